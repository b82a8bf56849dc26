package mesosproto

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const status0 = "Command exited with status 0"

// TestLaunch is a good task in full (REC 10).
func TestLaunch(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	f.accept(t, []offer{o}, launch(task("web.1", o, "sleep 600", obj{"labels": obj{"labels": list{obj{"key": "a", "value": "b"}}},
		"data": "eHl6", "discovery": obj{"visibility": "FRAMEWORK", "name": "web"}})))
	start := time.Now()
	first, second := f.course(t, "web.1", starting), f.course(t, "web.1", running)
	for _, st := range []status{first, second} {
		t.Run(st.State+" in full", func(t *testing.T) {
			if b, err := base64.StdEncoding.DecodeString(st.UUID); err != nil || len(b) != 16 {
				t.Errorf("uuid %q, want 16 bytes in base64", st.UUID)
			}
			if st.Agent.Value != o.AgentID || st.Executor.Value != "web.1" {
				t.Errorf("agent %q, executor %q", st.Agent.Value, st.Executor.Value)
			}
			if d := float64(start.Unix()) - st.Timestamp; d > 60 || d < -60 {
				t.Errorf("timestamp %f is not now in seconds", st.Timestamp)
			}
			if st.Labels != nil || st.Data != "" {
				t.Errorf("labels %v and data %q are echoed", st.Labels, st.Data)
			}
		})
	}
	t.Run("container_status", func(t *testing.T) {
		c := second.Container
		id, _ := c["container_id"].(obj)
		if text, _ := id["value"].(string); len(text) != 36 {
			t.Errorf("container id %v", id)
		}
		if pid, _ := c["executor_pid"].(float64); pid <= 1 {
			t.Errorf("executor_pid %v", c["executor_pid"])
		}
		if got := encode(c["network_infos"]); !strings.Contains(got, `"ip_addresses":[{"ip_address":"`) || !strings.Contains(got, `"protocol":"IPv4"`) {
			t.Errorf("network_infos %s", got)
		}
	})
	t.Run("answer to RECONCILE has no uuid and no executor_id, and the last container_status", func(t *testing.T) {
		f.must(t, "RECONCILE", obj{"tasks": list{obj{"task_id": obj{"value": "web.1"}}}})
		st := f.course(t, "web.1", reconciled("TASK_RUNNING", "Latest task state"))
		if st.Executor.Value != "" || encode(st.Container) != encode(second.Container) {
			t.Errorf("executor %q, container_status %v, want %v", st.Executor.Value, st.Container, second.Container)
		}
	})
}

// TestNotAcknowledged: one update per task is in flight and comes again (REC 11, timings).
func TestNotAcknowledged(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil)
	f.autoAck = false
	f.subscribe()
	o := f.offers(t, agentCount)[0]
	f.accept(t, []offer{o}, launch(task("na", o, "sleep 600")))
	first := f.await("update", patience, updateOf("na"))
	st := first.Update.Status
	f.offerOf(t, o.AgentID) // the rest
	t.Run("first again after 10 s, the same byte for byte", func(t *testing.T) {
		next := f.awaitIn(t, "update", 10*time.Second+patience, updateOf("na"))
		span{7 * time.Second, 11500 * time.Millisecond}.check(t, next.at.Sub(first.at))
		if next.raw != first.raw {
			t.Errorf("%s\nthen %s", first.raw, next.raw)
		}
		first = next
	})
	t.Run("wrong acknowledgements are 202 without effect", func(t *testing.T) {
		ack := func(agent, task, uuid string) {
			f.must(t, "ACKNOWLEDGE", obj{"agent_id": obj{"value": agent}, "task_id": obj{"value": task}, "uuid": uuid})
		}
		ack(st.Agent.Value, "na", base64.StdEncoding.EncodeToString([]byte("0123456789abcdef")))
		ack("no-such-agent", "na", st.UUID)
		ack(st.Agent.Value, "nosuch", st.UUID)
		f.never(t, "the next update", 2*time.Second, updateOf("na"))
	})
	t.Run("then after 20 s", func(t *testing.T) {
		next := f.awaitIn(t, "update", 20*time.Second+patience, updateOf("na"))
		span{14 * time.Second, 21500 * time.Millisecond}.check(t, next.at.Sub(first.at))
		if next.raw != first.raw {
			t.Errorf("%s\nthen %s", first.raw, next.raw)
		}
	})
	t.Run("the right acknowledgement releases the next at once", func(t *testing.T) {
		start := time.Now()
		f.acknowledge(f.streamID(), st)
		running.check(t, f.update(t, "na", "TASK_RUNNING"))
		span{0, 500 * time.Millisecond}.check(t, time.Since(start))
	})
	start := time.Now()
	f.must(t, "KILL", obj{"task_id": obj{"value": "na"}})
	t.Run("later updates wait; the timer starts anew for each", func(t *testing.T) {
		next := f.update(t, "na", "TASK_RUNNING") // again, not KILLING
		span{7 * time.Second, 11500 * time.Millisecond}.check(t, time.Since(start))
		f.acknowledge(f.streamID(), next)
		kill := f.course(t, "na", killing)
		f.acknowledge(f.streamID(), kill)
	})
	t.Run("resources come back only after the terminal update was acknowledged", func(t *testing.T) {
		last := f.course(t, "na", ended("TASK_KILLED", "Command terminated with signal Terminated"))
		f.never(t, "OFFERS", 2*time.Second, isOffers)
		f.acknowledge(f.streamID(), last)
		f.offerOf(t, o.AgentID)
	})
}

// TestEnds is the table of states as far as a task brings them about itself (REC 12).
func TestEnds(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good.txt" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("hello")) // the fetcher judges what arrives
	}))
	defer files.Close()
	fetch := func(name, command string) obj {
		return obj{"command": obj{"value": command, "uris": list{obj{"value": files.URL + "/" + name}}}}
	}
	failed := func(text string) []want { return []want{starting, running, ended("TASK_FAILED", text)} }
	cases := []struct {
		name, id, command string
		changes           obj
		course            []want
	}{
		{"exit 0", "finish", "sleep 0.3; true", nil, []want{starting, running, ended("TASK_FINISHED", status0)}},
		{"exit n", "fail3", "sleep 0.3; exit 3", nil, failed("Command exited with status 3")},
		{"signal 9", "sig9", "kill -9 $$", nil, failed("Command terminated with signal Killed")},
		{"signal 15", "sig15", "kill -15 $$", nil, failed("Command terminated with signal Terminated")},
		{"command not found is 127", "nocmd", "no-such-command-at-all", nil, failed("Command exited with status 127")},
		{"binary not found without a shell is 1", "argv", "", obj{"command": obj{"shell": false, "value": "/no/such/binary", "arguments": list{"x"}}}, failed("Command exited with status 1")},
		{"arguments without a shell", "argvok", "", obj{"command": obj{"shell": false, "value": "/bin/sh", "arguments": list{"sh", "-c", "exit 0"}}},
			[]want{starting, running, ended("TASK_FINISHED", status0)}},
		{"max_completion_time", "maxcompl", "sleep 600", obj{"max_completion_time": obj{"nanoseconds": 5e9}},
			[]want{starting, running, {"TASK_FAILED", "SOURCE_EXECUTOR", "REASON_MAX_COMPLETION_TIME_REACHED", "Command terminated with signal Terminated", true}}},
		{"URI is fetched into the sandbox", "okfetch", "", fetch("good.txt", "grep -q hello good.txt"), []want{starting, running, ended("TASK_FINISHED", status0)}},
		{"fetch failure", "badfetch", "", fetch("bad.txt", "true"), []want{fromAgent("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED",
			"Failed to launch container: Failed to fetch all URIs for container '...")}},
		{"image not supported", "mesosimage", "true", obj{"container": obj{"type": "MESOS", "mesos": obj{"image": obj{"type": "DOCKER", "docker": obj{"name": "busybox"}}}}},
			[]want{fromAgent("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED", "Failed to launch container: Unsupported container image type: DOCKER")}},
		{"no containerizer", "badcontainer", "true", obj{"container": obj{"type": "DOCKER", "docker": obj{"image": "busybox"}}},
			[]want{fromAgent("TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Abnormal executor termination: unknown container")}},
		{"user unknown", "nouser", "", obj{"command": obj{"value": "true", "user": "no-such-user"}},
			[]want{fromAgent("TASK_DROPPED", "REASON_EXECUTOR_TERMINATED", "Failed to create executor directory '...")}},
	}
	var tasks []obj
	for _, c := range cases {
		tasks = append(tasks, task(c.id, o, c.command, c.changes))
	}
	f.accept(t, []offer{o}, launch(tasks...))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { f.course(t, c.id, c.course...) })
	}
	t.Run("fetch failure names the container and the status", func(t *testing.T) {
		f.forgetOffers()
		o := f.offers(t, 1)[0]
		f.accept(t, []offer{o}, launch(task("badfetch2", o, "", fetch("bad.txt", "true"))))
		if st := f.update(t, "badfetch2", "TASK_FAILED"); !strings.HasSuffix(st.Message, "': exited with status 1") {
			t.Errorf("%q", st.Message)
		}
	})
}

// TestExecutorDies: the process tree of the task goes with the executor (REC 12).
func TestExecutorDies(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	// The executor is the parent of the command.
	f.accept(t, []offer{o}, launch(task("exkill", o, "sleep 1; kill -9 $PPID; sleep 600")))
	f.course(t, "exkill", starting, running)
	st := f.course(t, "exkill", fromAgent("TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated"))
	if st.Container != nil {
		t.Errorf("container_status %v, want none", st.Container)
	}
}

// TestKill is KILL in its forms (REC 13, 13b).
func TestKill(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	policy := func(seconds float64) obj {
		return obj{"kill_policy": obj{"grace_period": obj{"nanoseconds": seconds * 1e9}}}
	}
	onTerm := func(id, then string) string {
		return fmt.Sprintf(`trap %q TERM; %s; while true; do sleep 0.1; done`, then, m.mark(id))
	}
	commands := []struct {
		id, command string
		changes     obj
	}{{"k1", "sleep 600", nil}, {"k2", onTerm("k2", ""), policy(1)}, {"k3", onTerm("k3", "exit 0"), nil}, {"k7", onTerm("k7", "exit 5"), nil}, {"k4", onTerm("k4", ""), nil},
		{"k5", "sleep 600", nil}, {"k6", "sleep 600", nil}}
	var tasks []obj
	for _, c := range commands {
		tasks = append(tasks, task(c.id, o, c.command, c.changes))
	}
	f.accept(t, []offer{o}, launch(tasks...))
	for _, c := range commands {
		f.course(t, c.id, starting, running)
	}
	m.marked(t, "k2", "k3", "k7", "k4") // the traps
	kill := func(t *testing.T, id string, more obj) {
		t.Helper()
		body := obj{"task_id": obj{"value": id}}
		for k, v := range more {
			body[k] = v
		}
		f.must(t, "KILL", body)
	}
	byAgent := func(id string) obj { return obj{"agent_id": obj{"value": id}} }
	start := time.Now()
	kill(t, "k2", nil)
	kill(t, "k2", nil)
	kill(t, "k4", policy(1))
	t.Run("without agent id", func(t *testing.T) {
		kill(t, "k1", nil)
		f.course(t, "k1", killing, ended("TASK_KILLED", "Command terminated with signal Terminated"))
	})
	t.Run("task that exits 0 upon SIGTERM", func(t *testing.T) {
		kill(t, "k3", nil)
		f.course(t, "k3", killing, ended("TASK_KILLED", status0))
	})
	t.Run("task that exits 5 upon SIGTERM", func(t *testing.T) {
		kill(t, "k7", nil)
		f.course(t, "k7", killing, ended("TASK_KILLED", "Command exited with status 5"))
	})
	t.Run("kill policy of the task; a second KILL changes nothing", func(t *testing.T) {
		f.course(t, "k2", killing, ended("TASK_KILLED", "Command terminated with signal Killed"))
		span{900 * time.Millisecond, 2500 * time.Millisecond}.check(t, time.Since(start))
	})
	t.Run("no kill policy in the task is 3 s, the old command executor ignores that of KILL", func(t *testing.T) {
		f.course(t, "k4", killing, ended("TASK_KILLED", "Command terminated with signal Killed"))
		span{2800 * time.Millisecond, 4500 * time.Millisecond}.check(t, time.Since(start))
	})
	t.Run("wrong agent id does nothing and says nothing", func(t *testing.T) {
		kill(t, "k5", byAgent(all[1].AgentID))
		kill(t, "k5", byAgent("no-such-agent"))
		f.never(t, "update", 1500*time.Millisecond, updateOf("k5"))
	})
	t.Run("right agent id", func(t *testing.T) {
		for _, id := range []string{"k5", "k6"} {
			kill(t, id, byAgent(o.AgentID))
			f.course(t, id, killing, ended("TASK_KILLED", "Command terminated with signal Terminated"))
		}
	})
	t.Run("right after the launch", func(t *testing.T) {
		w := m.dial(t) // both calls in one write: no other way is early enough for certain
		call := func(kind string, body obj) string {
			return post(obj{"type": kind, "framework_id": obj{"value": f.id}, strings.ToLower(kind): body}, streamHeader+": "+f.streamID())
		}
		w.write(call("ACCEPT", obj{"offer_ids": ids(all[1]), "operations": list{launch(task("early", all[1], "sleep 600"))}, "filters": again()}) +
			call("KILL", question("early", "")))
		f.course(t, "early", fromAgent("TASK_KILLED", "REASON_TASK_KILLED_DURING_LAUNCH", "Killed before delivery to the executor"))
	})
}

// TestKillOfHTTPCommandExecutor: it obeys the policy of a KILL and of a drain, and a
// second, shorter one (REC 13b, 27).
func TestKillOfHTTPCommandExecutor(t *testing.T) {
	m := newMasterWith(t, agentResources, agentAttributes, "--http_command_executor")
	onlyMiniature(t, "13b", "agents with --http_command_executor are needed")
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o, p := all[0], all[1]
	policy := func(s int64) obj { return obj{"kill_policy": obj{"grace_period": obj{"nanoseconds": s * 1e9}}} }
	const stubborn = `trap "" TERM; echo x > trapped; while true; do sleep 0.1; done`
	f.accept(t, []offer{o}, launch(task("h1", o, stubborn), task("h2", o, stubborn, policy(1)), task("h3", o, stubborn, policy(30)), task("h4", o, stubborn, policy(30))))
	f.accept(t, []offer{p}, launch(task("d1", p, stubborn, policy(30))))
	for _, id := range []string{"h1", "h2", "h3", "h4", "d1"} {
		f.course(t, id, starting, running)
	}
	eventually(t, "traps of all tasks", patience, func() bool { return m.sandboxFiles("trapped") == 5 })
	start := time.Now()
	kill := func(id string, more obj) {
		t.Helper()
		q := question(id, "")
		for k, v := range more {
			q[k] = v
		}
		f.must(t, "KILL", q)
	}
	kill("h1", nil)
	kill("h2", nil)
	kill("h3", policy(1))
	kill("h4", nil)
	kill("h4", policy(2))
	m.accepted(t, "DRAIN_AGENT", obj{"agent_id": obj{"value": p.AgentID}, "max_grace_period": obj{"seconds": 1}})
	bySignal := ended("TASK_KILLED", "Command terminated with signal Killed")
	for _, c := range []struct {
		name, id string
		after    time.Duration
	}{
		{"policy of the task", "h2", time.Second},
		{"policy of KILL before that of the task", "h3", time.Second},
		{"second, shorter policy", "h4", 2 * time.Second},
		{"default", "h1", 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.course(t, c.id, killing, bySignal)
			if took := time.Since(start); took < c.after-100*time.Millisecond || took > 29*time.Second {
				t.Errorf("SIGKILL after %s, want %s", took, c.after)
			}
		})
	}
	t.Run("grace period of a drain before that of the task", func(t *testing.T) {
		draining := func(state, message string) want {
			return want{state, "SOURCE_EXECUTOR", "REASON_AGENT_DRAINING", message, true}
		}
		f.course(t, "d1", draining("TASK_KILLING", ""), draining("TASK_KILLED", "Command terminated with signal Killed"))
		if took := time.Since(start); took > 25*time.Second {
			t.Errorf("SIGKILL after %s", took)
		}
	})
}

// sandboxFiles counts the files of a name in all sandboxes of the miniature.
func (m *master) sandboxFiles(name string) int {
	n := 0
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name && !d.IsDir() {
			n++
		}
		return nil // what goes away meanwhile does not count
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// TestKillWithoutCapabilities: no TASK_KILLING, and TASK_LOST for the unknown (REC 14).
func TestKillWithoutCapabilities(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"capabilities": capabilities("MULTI_ROLE")}).subscribe()
	o := f.offers(t, agentCount)[0]
	f.accept(t, []offer{o}, launch(task("p1", o, "sleep 600"), task("p2", o, `trap "" TERM; `+m.mark("p2")+`; while true; do sleep 0.1; done`)))
	f.course(t, "p1", starting, running)
	f.course(t, "p2", starting, running)
	m.marked(t, "p2") // the trap
	start := time.Now()
	for _, id := range []string{"p1", "p2"} {
		f.must(t, "KILL", obj{"task_id": obj{"value": id}})
	}
	t.Run("no TASK_KILLING", func(t *testing.T) {
		f.course(t, "p1", ended("TASK_KILLED", "Command terminated with signal Terminated"))
	})
	t.Run("SIGKILL 3 s after SIGTERM", func(t *testing.T) {
		f.course(t, "p2", ended("TASK_KILLED", "Command terminated with signal Killed"))
		span{2800 * time.Millisecond, 4500 * time.Millisecond}.check(t, time.Since(start))
	})
}
