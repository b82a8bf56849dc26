package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"stadion/core/store/etcdtest"
	"stadion/leader"
)

// secureEtcd is an etcd that speaks TLS, wants client certificates, and has users.
func secureEtcd(t *testing.T, a *authority, cert string) string {
	t.Helper()
	s := etcdtest.Start(t, func(c *embed.Config) {
		for _, u := range [][]url.URL{c.ListenClientUrls, c.AdvertiseClientUrls} {
			u[0].Scheme = "https"
		}
		c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = cert, cert
		c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = a.file, true
	})
	return "https://" + s.Endpoint
}

// The whole etcd is compacted by default, every minute and earlier after much was written, and not where it is shared.
func TestCompactionIsAnOption(t *testing.T) { // F11, P14, D-22
	on, off := serverFlags(t), serverFlags(t, "--disable_etcd_compaction")
	for _, c := range []struct {
		f     *flagSet
		age   time.Duration
		grown bool
		want  bool
	}{
		{on, compactEvery, false, true}, {on, compactEvery - 1, false, false}, {on, compactGap, true, true}, {on, compactGap - 1, true, false},
		{off, compactEvery, false, false}, {off, compactEvery, true, false}, {serverFlags(t, "--etcd_compaction"), compactEvery, false, true},
	} {
		if got := compactionDue(c.f, c.age, compactEvery, c.grown); got != c.want {
			t.Errorf("after %v, much written %v, wanted %v: due %v", c.age, c.grown, c.f.on("etcd_compaction"), got)
		}
	}
}

// S3: TLS both ways and a user with a password, as production has them; what is wrong with them is said.
func TestSecureEtcd(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	member, mine := a.issue("member", time.Hour, "127.0.0.1"), a.issue("mine", time.Hour)
	endpoint := secureEtcd(t, a, member)
	tls, err := (leader.TLSFiles{CA: a.file, Cert: mine, Key: mine}).Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx := etcdtest.Context(t)
	admin, err := leader.Dial(ctx, leader.Etcd{Endpoints: []string{endpoint}, TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { _, err := admin.UserAdd(ctx, "root", "geheim"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := admin.UserAdd(ctx, "stadion", "secret"); return err },
		func() error { _, err := admin.RoleAdd(ctx, "stadion"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(ctx, "stadion", "/marathon/", clientv3.GetPrefixRangeEnd("/marathon/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := admin.UserGrantRole(ctx, "stadion", "stadion"); return err },
		func() error { _, err := admin.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil && !strings.Contains(err.Error(), "role name already exists") {
			t.Fatal(err)
		}
	}
	_ = admin.Close()
	master := mini(t)
	password := written(t, "secret\n")
	args := func(ca, cert, user, password, patience string) []string {
		return []string{"server", "--master", master, "--etcd_endpoints", endpoint, "--hostname", "127.0.0.1", "--http_address", "127.0.0.1", "--http_port", fmt.Sprint(etcdtest.FreePort(t)),
			"--etcd_lease_ttl", "2", "--etcd_ca_file", ca, "--etcd_cert_file", cert, "--etcd_key_file", cert, "--etcd_username", user, "--etcd_password_file", password,
			"--zk_connection_timeout", patience}
	}
	good := launch(t, "the right one", args(a.file, mine, "stadion", password, "60000")...)
	within(t, atMost, "the server leads", func() bool { return strings.Contains(good.log(), "ready: ") || good.gone() })
	if good.gone() {
		t.Fatal("refused")
	}
	good.addr = strings.TrimPrefix(strings.TrimSpace(strings.Split(strings.Split(good.log(), "ready: ")[1], "\n")[0]), "http://")
	good.deploy("/app", 1)
	const tried = "8000" // milliseconds: connections that fail are tried again for so long
	name := args(a.file, mine, "", "", tried)
	name[4] = secureEtcd(t, a, a.issue("elsewhere", time.Hour, "127.0.0.9")) // a name that is not the endpoint's
	refused := map[string]struct {
		args []string
		text string
	}{
		"wrong CA":       {args(stranger.file, mine, "stadion", password, tried), "certificate"},
		"no client cert": {args(a.file, "", "stadion", password, tried), "certificate"},
		"expired":        {args(a.file, a.issue("expired", -time.Hour), "stadion", password, tried), "certificate"},
		"wrong password": {args(a.file, mine, "stadion", written(t, "wrong"), "60000"), "authentication failed"},
		"name mismatch":  {name, "127.0.0.1"},
	}
	servers := map[string]*server{}
	for name, c := range refused {
		servers[name] = launch(t, name, c.args...)
	}
	for name, c := range refused {
		s := servers[name]
		if code := s.code(atMost); code != exitStoreUnreachable || !strings.Contains(s.log(), c.text) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", name, code, exitStoreUnreachable, c.text, s.log())
		}
		if strings.Contains(s.log(), "secret") {
			t.Errorf("%s: the password is in the log", name)
		}
	}
}

// An etcd that asks for no user serves a server that has one, which says so.
func TestUserOfAnOpenEtcd(t *testing.T) { // S3
	endpoint := "http://" + etcdtest.Start(t).Endpoint
	for user, warned := range map[string]bool{"stadion": true, "": false} {
		args := []string{"server", "--master", mini(t), "--etcd_endpoints", endpoint, "--hostname", "127.0.0.1", "--http_address", "127.0.0.1", "--http_port", fmt.Sprint(etcdtest.FreePort(t))}
		if user != "" {
			args = append(args, "--etcd_username", user, "--etcd_password_file", written(t, "secret"))
		}
		s := launch(t, "user "+user, args...)
		within(t, atMost, "the server leads", func() bool { return strings.Contains(s.log(), "ready: ") || s.gone() })
		if got := strings.Contains(s.log(), "--etcd_username is given, but etcd has authentication off"); got != warned || s.gone() {
			t.Errorf("user %q: warned %v, ended %v:\n%s", user, got, s.gone(), s.log())
		}
		s.signal(syscall.SIGTERM)
		s.code(15 * time.Second)
	}
}

// An etcd out of space: reads go on, writes are refused with 503, and all heals without a restart.
func TestEtcdOutOfSpace(t *testing.T) { // F10, R13
	etcd := etcdtest.Start(t, func(c *embed.Config) { c.QuotaBackendBytes = 3 << 20 })
	c := &cluster{t: t, endpoint: "http://" + etcd.Endpoint, master: mini(t), ttl: 60}
	s := c.start(etcdtest.FreePort(t))
	running := s.deploy("/app", 2)
	client, ctx := etcd.Client(t), etcdtest.Context(t)
	for n := 0; ; n++ {
		if _, err := client.Put(ctx, fmt.Sprintf("/foreign/%d", n), strings.Repeat("x", 100<<10)); err != nil {
			break // the alarm is on
		}
	}
	status, _, text := s.call("PUT", "/v2/apps/app?force=true", testApp("/app", 4))
	if status != 503 {
		t.Errorf("a write: %d: %s", status, text)
	}
	status, head, text := s.call("PUT", "/v2/apps/other", testApp("/other", 1))
	if status != 503 || head.Get("Retry-After") == "" || !strings.Contains(text, "out of space") {
		t.Errorf("a second write: %d: %v %s", status, head, text)
	}
	if got := s.tasks("/app"); len(got) != len(running) {
		t.Errorf("reads see %v", got)
	}
	if _, err := client.Delete(ctx, "/foreign/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	at, err := client.Get(ctx, "/foreign/")
	if err == nil {
		_, err = client.Compact(ctx, at.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err == nil {
		_, err = client.Defragment(ctx, etcd.Endpoint)
	}
	if err == nil {
		_, err = client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	}
	if err != nil {
		t.Fatal(err)
	}
	within(t, atMost, "writes are taken again", func() bool {
		status, _, _ := s.call("PUT", "/v2/apps/app?force=true", testApp("/app", 4))
		return status == 200
	})
	within(t, atMost, "four tasks run", func() bool { return len(s.tasks("/app")) == 4 })
	if s.gone() {
		t.Error("the server did not survive")
	}
}

// Rows that cannot be read are reported and left alone, and everything else goes on, start after start.
func TestForeignRowsAreReported(t *testing.T) { // F14
	c := newCluster(t, 60, 1)
	lead, _ := c.leader()
	running := lead.deploy("/app", 1)
	lead.cmd.Process.Kill()
	<-lead.exited
	client, err := leader.Dial(context.Background(), leader.Etcd{Endpoints: []string{c.endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	keys := []string{"/marathon/v1/apps/foreign", "/marathon/v1/nonsense", "/marathon/v1/deployments/d"}
	for _, k := range keys {
		if _, err := client.Put(etcdtest.Context(t), k, "{half"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		next := c.start(lead.port())
		within(t, atMost, "the next leads", func() bool { return next.leads() == next.addr })
		for _, k := range keys {
			if !strings.Contains(next.log(), k) {
				t.Errorf("%s is not reported", k)
			}
			if got, err := client.Get(etcdtest.Context(t), k); err != nil || len(got.Kvs) != 1 {
				t.Errorf("%s was touched: %v", k, err)
			}
		}
		within(t, atMost, "the task is known", func() bool { got := next.tasks("/app"); return len(got) == 1 && got[0] == running[0] })
		_ = next.cmd.Process.Kill()
		<-next.exited
	}
}
