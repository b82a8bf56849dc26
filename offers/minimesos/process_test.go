package minimesos

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"

	processes "stadion/offers/minimesos/agent"
)

func processCluster(t *testing.T) *Cluster {
	return testCluster(t, 1, func(cfg *Config) { cfg.Simulated = nil })
}

func shellTask(id string, o *mesos.Offer, command string) mesos.TaskInfo {
	task := testTask(id, o, 0.1)
	task.Command.Value = &command
	return task
}

// Real processes end to end: output, exit codes, kill, the lingering executor.
func TestProcesses(t *testing.T) {
	c := processCluster(t)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.accept([]mesos.Offer{o}, launchOp(shellTask("hello", &o, "echo hello"), shellTask("bad", &o, "exit 3"),
		shellTask("long", &o, "sleep 1000")))
	states := map[string]*mesos.TaskStatus{}
	f.seek("all three", func(ev *scheduler.Event) bool {
		if ev.Type == scheduler.Event_UPDATE {
			states[ev.Update.Status.TaskID.Value] = &ev.Update.Status
		}
		return states["hello"].GetState() == mesos.TASK_FINISHED && states["bad"].GetState() == mesos.TASK_FAILED &&
			states["long"].GetState() == mesos.TASK_RUNNING
	})
	if m := states["bad"].GetMessage(); m != "Command exited with status 3" {
		t.Errorf("bad: %q", m)
	}
	out, err := filepath.Glob(filepath.Join(c.cfg.WorkDir, "agents/agent1/slaves/*/frameworks/*/executors/hello/runs/*/stdout"))
	if err != nil || len(out) == 0 {
		t.Fatalf("no sandbox: %v", err)
	}
	if text, err := os.ReadFile(out[0]); err != nil || !strings.Contains(string(text), "hello\n") {
		t.Errorf("stdout %q %v", text, err)
	}
	views := c.Tasks()
	if len(views) != 1 || views[0].ID != "long" || views[0].PID == 0 {
		t.Fatalf("tasks of the agent %+v", views)
	}
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "long"}}})
	f.update("long", mesos.TASK_KILLING)
	f.update("long", mesos.TASK_KILLED)
	again := f.offers()[0]
	f.accept([]mesos.Offer{again}, launchOp(shellTask("long", &again, "true")))
	if st := f.update("long", mesos.TASK_DROPPED); st.GetMessage() != "Cannot reuse an already existing executor for a command task" {
		t.Errorf("id of a lingering executor: %q", st.GetMessage())
	}
}

// Closing with killTasks leaves no process behind.
func TestCloseKills(t *testing.T) {
	c := processCluster(t)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.accept([]mesos.Offer{o}, launchOp(shellTask("long", &o, "sleep 1000")))
	f.update("long", mesos.TASK_RUNNING)
	pid := c.Tasks()[0].PID
	if err := c.Close(true); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for syscall.Kill(pid, 0) == nil {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const shimCommand = "minimesos-test-shim"

// TestMain lets the test binary be the task shim.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == shimCommand {
		os.Exit(processes.ShimMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// A cluster that is started again on its WorkDir has the agents, the tasks that
// still run, the reservations and the updates nobody has acknowledged.
func TestClusterRestartOnWorkDir(t *testing.T) {
	dir := t.TempDir()
	start := func() *Cluster {
		return testCluster(t, 1, func(cfg *Config) {
			cfg.Simulated, cfg.WorkDir, cfg.Helper = nil, dir, []string{os.Args[0], shimCommand}
		})
	}
	c := start()
	f := newFramework(t, c, "web")
	f.autoAk = false
	f.subscribe()
	o := f.offers()[0]
	reserved := reserveOp("web", scalar("mem", 100))
	f.accept([]mesos.Offer{o}, reserved, launchOp(shellTask("long", &o, "sleep 1000"), shellTask("short", &o, "true")))
	finished := func() bool {
		for _, v := range c.Tasks() {
			if v.ID == "short" {
				return v.State == mesos.TASK_FINISHED
			}
		}
		return false
	}
	f.seekFile(finished)
	f.acknowledge(f.update("long", mesos.TASK_STARTING))
	f.acknowledge(f.update("long", mesos.TASK_RUNNING))
	if err := c.Close(false); err != nil {
		t.Fatal(err)
	}
	c = start()
	f.c, f.autoAk = c, true
	f.subscribe()
	var back mesos.Offer
	ended := false
	f.seek("the open update and an offer", func(ev *scheduler.Event) bool {
		if ev.Type == scheduler.Event_OFFERS {
			back = ev.Offers.Offers[0]
		}
		ended = ended || ev.Type == scheduler.Event_UPDATE && ev.Update.Status.TaskID.Value == "short" &&
			ev.Update.Status.GetState() == mesos.TASK_FINISHED
		return ended && back.Hostname != ""
	})
	if back.AgentID.Value != o.AgentID.Value {
		t.Errorf("agent %s became %s", o.AgentID.Value, back.AgentID.Value)
	}
	if cpus := c.ids.bagOf(back.Resources).scalar("cpus"); cpus != 3900 {
		t.Errorf("offered %d thousandths of a cpu, want 3900", cpus)
	}
	found := false
	for i := range back.Resources {
		found = found || len(back.Resources[i].Reservations) > 0 && back.Resources[i].Scalar.GetValue() == 100
	}
	if !found {
		t.Errorf("the reservation is gone: %s", appendJSON(nil, &back))
	}
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "long"}}})
	f.update("long", mesos.TASK_KILLED)
}

// The process died after an agent was marked gone and before its tasks were killed: its successor has a new id and
// ends what is left (Mesos tells an agent that is gone to shut down).
func TestGoneAgentLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	start := func() *Cluster {
		return testCluster(t, 1, func(cfg *Config) {
			cfg.Simulated, cfg.WorkDir, cfg.Helper = nil, dir, []string{os.Args[0], shimCommand}
		})
	}
	c := start()
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.accept([]mesos.Offer{o}, launchOp(shellTask("long", &o, "sleep 1000")))
	f.update("long", mesos.TASK_RUNNING)
	pid := c.Tasks()[0].PID
	if err := c.Close(false); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "registry.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var reg registryFile
	if err := json.Unmarshal(data, &reg); err != nil {
		t.Fatal(err)
	}
	reg.Gone = map[string]time.Time{o.AgentID.Value: time.Now()}
	if data, err = json.Marshal(reg); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	c = start()
	f.c = c
	f.subscribe()
	if next := f.offers()[0]; next.AgentID.Value == o.AgentID.Value {
		t.Errorf("agent %s is back", o.AgentID.Value)
	}
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
	if left := c.Tasks(); len(left) != 0 {
		t.Errorf("tasks left: %v", left)
	}
}

// Recording 25: a checkpointing framework hears nothing of a restarted agent.
func TestAgentRestart(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) {
		cfg.Simulated, cfg.Helper = nil, []string{os.Args[0], shimCommand}
	})
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.accept([]mesos.Offer{o}, launchOp(shellTask("long", &o, "sleep 1000")))
	f.update("long", mesos.TASK_RUNNING)
	if err := c.RestartAgent("agent1"); err != nil {
		t.Fatal(err)
	}
	f.reconcile("long", nil)
	f.update("long", mesos.TASK_RUNNING)
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "long"}}})
	f.update("long", mesos.TASK_KILLED)
}

// Recording 13: the command executor keeps to the kill policy of the task, whatever
// the one of the KILL call says.
func TestKillPolicyOfTheCallIsIgnored(t *testing.T) {
	c := processCluster(t)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	task := shellTask("deaf", &o, "trap '' TERM; echo ready; while true; do sleep 0.05; done")
	task.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: int64(300 * time.Millisecond)}}
	f.accept([]mesos.Offer{o}, launchOp(task))
	f.update("deaf", mesos.TASK_RUNNING)
	f.seekFile(func() bool {
		_, text, _ := get(t, c, "/files/read?offset=0&path=/frameworks/"+f.id+"/executors/deaf/runs/latest/stdout")
		return strings.Contains(text, "ready")
	})
	begin := time.Now()
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: task.TaskID,
		KillPolicy: &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: int64(time.Hour)}}}})
	st := f.update("deaf", mesos.TASK_KILLED)
	if took := time.Since(begin); st.GetMessage() != "Command terminated with signal Killed" || took < 300*time.Millisecond {
		t.Errorf("%q after %s", st.GetMessage(), took)
	}
}

// 33-operator-endpoints: the v1 API of an agent has the files of its sandboxes.
func TestAgentOperatorAPI(t *testing.T) {
	c := processCluster(t)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.accept([]mesos.Offer{o}, launchOp(shellTask("hello", &o, "echo hello; sleep 1000")))
	f.update("hello", mesos.TASK_RUNNING)
	box := "/frameworks/" + f.id + "/executors/hello/runs/latest"
	real := filepath.Join(c.nodes[0].runner.sandbox(f.id, "hello"), "stdout")
	f.seekFile(func() bool {
		text, err := os.ReadFile(real)
		return err == nil && string(text) == "hello\n"
	})
	agentURL := "http://127.0.0.1:" + strconv.Itoa(int(c.nodes[0].port))
	if c.nodes[0].cfg.IP != "" {
		agentURL = "http://" + net.JoinHostPort(c.nodes[0].cfg.IP, strconv.Itoa(int(c.nodes[0].port)))
	}
	for _, x := range []struct {
		call   string
		status int
		want   string
	}{
		{`{"type":"GET_HEALTH"}`, 200, `{"type":"GET_HEALTH","get_health":{"healthy":true}}`},
		{`{"type":"READ_FILE","read_file":{"path":"` + box + `/stdout","offset":1}}`, 200, `{"type":"READ_FILE","read_file":{"size":6,"data":"ZWxsbwo="}}`},
		{`{"type":"READ_FILE","read_file":{"path":"` + box + `/stdout","offset":9}}`, 200, `{"type":"READ_FILE","read_file":{"size":6,"data":""}}`},
		{`{"type":"READ_FILE","read_file":{"path":"` + box + `/nosuch","offset":0}}`, 404, ""},
		{`{"type":"LIST_FILES","list_files":{"path":"` + box + `"}}`, 200, box + `/stdout","nlink":1,"size":6,`},
		{`{"type":"LIST_FILES"}`, 400, "Failed to validate agent::Call: Expecting 'list_files' to be present"},
		{`{"type":"GET_FLAGS"}`, 501, "The call GET_FLAGS is not supported"},
	} {
		resp, err := http.Post(agentURL+"/api/v1", typeJSON, strings.NewReader(x.call))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != x.status || !strings.Contains(string(text), x.want) || x.want == "" && len(text) > 0 {
			t.Errorf("%s: %d %s %v", x.call, resp.StatusCode, text, err)
		}
	}
	resp, err := http.Get(agentURL + "/monitor/statistics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(text), `"executor_id":"hello"`) {
		t.Errorf("statistics: %s %v", text, err)
	}
}

// A default executor whose last task has ended goes away within a second. A group that comes meanwhile under its id is
// handed to it and ends with it; one under another id runs.
func TestGroupForAnEndingExecutor(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.Simulated, cfg.ExecutorLinger = nil, time.Hour })
	f := newFramework(t, c, "web").subscribe()
	launch := func(executor, id string) {
		o := f.offers()[0]
		f.accept([]mesos.Offer{o}, groupOf(f, executor, shellTask(id, &o, "sleep 1000")))
	}
	launch("ex", "a")
	f.update("a", mesos.TASK_RUNNING)
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "a"}}})
	f.update("a", mesos.TASK_KILLED)
	launch("ex", "b")
	if st := f.update("b", mesos.TASK_FAILED); st.GetMessage() != "Executor terminated" || st.GetReason() != mesos.REASON_EXECUTOR_TERMINATED || st.GetSource() != mesos.SOURCE_AGENT {
		t.Errorf("a group for an executor that ends: %v", st)
	}
	launch("ex.2", "c")
	f.update("c", mesos.TASK_RUNNING)
}
