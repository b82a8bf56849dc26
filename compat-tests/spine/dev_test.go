package spine

import (
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// dev is one data directory on which stadion dev starts again and again.
type dev struct {
	t    *testing.T
	dir  string
	args []string
}

func newDev(t *testing.T) *dev {
	t.Helper()
	d := &dev{t: t, dir: t.TempDir()}
	harness.KillLeftovers(t, d.dir)
	ports := harness.NewPorts(t)
	d.args = []string{"dev", "--data_dir", filepath.Join(d.dir, "data"), "--http_address", "127.0.0.1", "--http_port", strconv.Itoa(ports.Next(t)),
		"--resources", ports.Resources()}
	return d
}

func (d *dev) start() *harness.Server {
	d.t.Helper()
	p := harness.Start(d.t, d.args...)
	return &harness.Server{Process: p, API: harness.NewAPI(d.t, p.Ready()), Dir: d.dir}
}

// settled waits until the app has n running tasks and these are the machine's
// processes, one each, and returns them.
func (d *dev) settled(srv *harness.Server, id string, n int) map[string][]int {
	d.t.Helper()
	var pids map[string][]int
	harness.Await(d.t, deployLimit, fmt.Sprintf("%s runs as %d processes", id, n), func() (bool, string) {
		var list struct{ Tasks []struct{ ID, State string } }
		srv.Get("/v2/apps"+id+"/tasks", &list)
		pids = harness.TaskPids(d.t, d.dir)
		ok := len(list.Tasks) == n && len(pids) == n
		for _, task := range list.Tasks {
			ok = ok && task.State == "TASK_RUNNING" && len(pids[task.ID]) == 1
		}
		return ok, fmt.Sprintf("tasks %+v, processes %v", list.Tasks, pids)
	})
	return pids
}

// TestDevRestart: state survives an orderly end, which takes the tasks along; the
// next start brings them back.
func TestDevRestart(t *testing.T) {
	t.Parallel()
	d := newDev(t)
	srv := d.start()
	// One of them takes no notice of SIGTERM: the end must not wait for it without bound.
	srv.Must("POST", "/v2/apps", map[string]any{"id": "/deaf", "cmd": `trap "" TERM; while :; do sleep 1; done`, "cpus": 0.1, "mem": 16})
	srv.Must("POST", "/v2/apps", map[string]any{"id": "/web", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16, "instances": 2})
	harness.Await(t, deployLimit, "all run", func() (bool, string) {
		deployments := string(srv.Must("GET", "/v2/deployments", nil).Body)
		return deployments == "[]", deployments
	})
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		began := time.Now()
		if err := syscall.Kill(srv.Pid(), sig); err != nil {
			t.Fatal(err)
		}
		if code := srv.Exit(harness.StopTimeout); code != 0 {
			t.Errorf("exit code %d after %s, want 0", code, sig)
		}
		took := time.Since(began)
		if left, err := harness.Processes(d.dir); err != nil || len(left) > 0 {
			t.Errorf("left after the end: %v %v", left, err)
		}
		began = time.Now()
		srv = d.start()
		t.Logf("%s: ended after %s, ready again after %s", sig, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		harness.Await(t, deployLimit, "all run again", func() (bool, string) {
			var list struct {
				Apps []struct {
					ID                      string
					Instances, TasksRunning int
				}
			}
			srv.Get("/v2/apps", &list)
			ok := len(list.Apps) == 2
			for _, a := range list.Apps {
				ok = ok && a.Instances == a.TasksRunning
			}
			return ok, fmt.Sprintf("%+v", list)
		})
	}
	srv.Must("DELETE", "/v2/groups?force=true", nil)
	harness.NoneLeft(t, d.dir, reachLimit)
}

// TestDevCrash: everything in one process dies at once, the tasks go on; the next
// start finds them as they are.
func TestDevCrash(t *testing.T) {
	t.Parallel()
	d := newDev(t)
	srv := d.start()
	srv.Must("POST", "/v2/apps", map[string]any{"id": "/web", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16, "instances": 3})
	before := d.settled(srv, "/web", 3)
	for range 3 {
		srv.Kill()
		srv = d.start()
		after := d.settled(srv, "/web", 3)
		if fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("tasks and processes are %v, they were %v", after, before)
		}
	}
	srv.Must("PUT", "/v2/apps/web", map[string]any{"instances": 1})
	d.settled(srv, "/web", 1)
	srv.Must("DELETE", "/v2/apps/web", nil)
	harness.NoneLeft(t, d.dir, reachLimit)
}
