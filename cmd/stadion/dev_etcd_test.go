package main

import (
	"net"
	"net/url"
	"path/filepath"
	"testing"
)

// A port that was free when it was chosen and is taken when the embedded etcd wants it costs a try, not the start.
func TestDevEtcdTriesOtherPorts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, bad := range map[string]int{"the clients' port": 1, "the peers' port": 2} {
		n := 0
		e, endpoint, err := startEtcd(filepath.Join(t.TempDir(), "etcd"), func() (url.URL, error) {
			if n++; n == bad {
				return url.URL{Scheme: "http", Host: taken.Addr().String()}, nil
			}
			return freeURL()
		})
		if err != nil {
			t.Errorf("%s is taken: %v", name, err)
			continue
		}
		if n != 4 || endpoint == "http://"+taken.Addr().String() {
			t.Errorf("%s is taken: %d ports were tried, it listens on %s", name, n, endpoint)
		}
		e.Close()
	}
	if _, _, err := startEtcd(filepath.Join(t.TempDir(), "etcd"), func() (url.URL, error) {
		return url.URL{Scheme: "http", Host: taken.Addr().String()}, nil
	}); err == nil {
		t.Error("started on ports that are taken")
	}
}
