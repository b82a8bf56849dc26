package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"stadion/core/store/etcdtest"
)

// run executes a sub-command of the cluster's store and returns its exit code and what it said.
func (c *cluster) run(args ...string) (int, string) {
	c.t.Helper()
	s := launch(c.t, args[0], append([]string{args[0], "--etcd_endpoints", c.endpoint, "--etcd_lease_ttl", "2"}, args[1:]...)...)
	return s.code(atMost), s.log()
}

func (c *cluster) want(code int, text string, args ...string) {
	c.t.Helper()
	if got, said := c.run(args...); got != code || !strings.Contains(said, text) {
		c.t.Errorf("%v: exit code %d, want %d with %q:\n%s", args, got, code, text, said)
	}
}

func TestBackupAndRestoreCommands(t *testing.T) { // behaviour 1.11
	c := newCluster(t, 60, 1)
	lead, _ := c.leader()
	running := lead.deploy("/kept", 2)
	file := filepath.Join(t.TempDir(), "b.tar.gz")

	c.want(0, "backed up", "backup", file) // beside a running server
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}
	c.want(exitFlag, "--force", "backup", file)
	c.want(exitFlag, "expected FILE", "backup")
	c.want(exitFlag, "no such file", "restore", file+".none")
	c.want(exitFlag, "is running", "restore", "--force", file)
	lead.deploy("/later", 1)
	lead.signal(syscall.SIGTERM)
	lead.code(atMost)
	c.want(exitFlag, "--force", "restore", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".cut", whole[:len(whole)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(exitFlag, "damaged", "restore", "--force", file+".cut")

	c.want(0, "restored", "restore", "--force", file)
	again := c.start(etcdtest.FreePort(t))
	within(t, atMost, "the restored state leads", func() bool { return again.leads() == again.addr })
	if got := again.apps(); !slices.Equal(got, []string{"/kept"}) {
		t.Errorf("apps after the restore: %v", got)
	}
	within(t, atMost, "its tasks are known again", func() bool { return slices.Equal(again.tasks("/kept"), running) })
	again.signal(syscall.SIGTERM)
	again.code(atMost)
	c.want(0, "restored", "restore", "--etcd_prefix", "/elsewhere", file) // empty: no force is needed
}

// DELETE /v2/leader leaves a backup and a restore to the next leader, which does them once.
func TestBackupAndRestoreByAbdication(t *testing.T) { // behaviour 1.11, http-api 10.2
	c := newCluster(t, 60, 2)
	lead, others := c.leader()
	lead.deploy("/kept", 1)
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	if status, _, text := lead.call("DELETE", "/v2/leader?backup=s3://bucket/key", ""); status != 422 || !strings.Contains(text, "unsupported scheme") {
		t.Errorf("s3: %d %s", status, text)
	}
	if status, _, text := lead.call("DELETE", "/v2/leader?backup=file://"+file, ""); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if code := lead.code(atMost); code != exitAbdicated {
		t.Errorf("exit code %d", code)
	}
	lead = others[0]
	within(t, atMost, "the next leads", func() bool { return lead.leads() == lead.addr })
	if _, err := archiveFrom(file); err != nil {
		t.Fatal(err)
	}
	lead.deploy("/later", 1)
	next := c.start(etcdtest.FreePort(t))
	lead.call("DELETE", "/v2/leader?restore=file://"+file, "")
	lead.code(atMost)
	within(t, atMost, "the next leads", func() bool { return next.leads() == next.addr })
	if got := next.apps(); !slices.Equal(got, []string{"/kept"}) {
		t.Errorf("apps after the restore: %v", got)
	}
	// A request that cannot be fulfilled ends one leader, not all.
	last := c.start(etcdtest.FreePort(t))
	next.call("DELETE", "/v2/leader?restore=file:///no/such/file", "")
	next.code(atMost)
	if code := last.code(atMost); code != exitFaulty || !strings.Contains(last.log(), "/no/such/file") {
		t.Errorf("exit code %d, want %d: %s", code, exitFaulty, last.log())
	}
	after := c.start(etcdtest.FreePort(t))
	within(t, atMost, "the one after it leads", func() bool { return after.leads() == after.addr })
}
