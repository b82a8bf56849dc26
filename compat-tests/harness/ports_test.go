package harness

import (
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"
)

// The look at ports leaves none of them in use, also while other processes are started.
func TestFreeIsFree(t *testing.T) {
	first := NewPorts(t).first
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				_ = exec.Command("true").Run()
			}
		}
	}()
	for range 300 {
		if !free(first) {
			t.Fatal("our own block is taken")
		}
	}
	close(stop)
	<-ended
}

// A port that is held for a moment does not keep etcd from starting.
func TestEtcdAwaitsItsPort(t *testing.T) {
	ports := NewPorts(t)
	held, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports.first))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(3*portHeld, func() { _ = held.Close() })
	startEtcds(t, ports, 1)
}
