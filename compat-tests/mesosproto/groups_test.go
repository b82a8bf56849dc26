package mesosproto

import (
	"testing"
	"time"
)

// group launches tasks under a default executor of 0.1 cpus and 32 MiB.
func (f *framework) group(executor string, o offer, tasks []obj, changes ...obj) obj {
	ex := obj{"type": "DEFAULT", "executor_id": obj{"value": executor}, "framework_id": obj{"value": f.id},
		"resources": list{cpus(0.1, o.Role), mem(32, o.Role), amount("disk", 10, o.Role)}, "container": obj{"type": "MESOS", "volumes": list{}}}
	for _, c := range changes {
		for k, v := range c {
			if ex[k] = v; v == nil {
				delete(ex, k)
			}
		}
	}
	return obj{"type": "LAUNCH_GROUP", "launch_group": obj{"executor": ex, "task_group": obj{"tasks": tasks}}}
}

// failure waits for the end of an executor; -1 stands for no status.
func (f *framework) failure(t *testing.T, agent, executor string, wanted int) {
	t.Helper()
	ev := f.awaitIn(t, "FAILURE of "+executor, patience, func(e *event) bool { return e.Type == "FAILURE" && e.Failure.Executor.Value == executor })
	got := -1
	if ev.Failure.Status != nil {
		got = *ev.Failure.Status
	}
	if got != wanted || ev.Failure.Agent.Value != agent {
		t.Errorf("%s, want status %d of agent %s", ev.raw, wanted, agent)
	}
}

const terminated = "Command terminated with signal Terminated"

// TestGroups is the default executor (REC 21).
func TestGroups(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	next := func(t *testing.T) {
		t.Helper()
		o = f.offerWith(t, "offer", func(x offer) bool { return x.AgentID == o.AgentID && x.scalar("cpus") > 2 })
	}
	run := func(t *testing.T, ids ...string) {
		t.Helper()
		for _, id := range ids {
			f.course(t, id, starting, running)
		}
	}
	shared := obj{"container": obj{"type": "MESOS", "volumes": list{obj{"mode": "RW", "container_path": "shared",
		"source": obj{"type": "SANDBOX_PATH", "sandbox_path": obj{"type": "PARENT", "path": "shared"}}}}}}
	t.Run("all finish, with a shared volume; FAILURE with status 0", func(t *testing.T) {
		f.accept(t, []offer{o}, f.group("ex-1", o, []obj{task("g1.a", o, "echo x > shared/f; "+m.gate("g1"), shared),
			task("g1.b", o, m.gate("g1")+"; until grep x shared/f; do sleep 0.1; done", shared)}))
		run(t, "g1.a")
		f.course(t, "g1.b", starting)
		st := f.course(t, "g1.b", running)
		if st.Executor.Value != "ex-1" {
			t.Errorf("executor %q", st.Executor.Value)
		}
		id, _ := st.Container["container_id"].(obj)
		if parent, _ := id["parent"].(obj); parent["value"] == nil || st.Container["executor_pid"] == nil || st.Container["network_infos"] == nil {
			t.Errorf("container_status %v", st.Container)
		}
		next(t)
		if got := encode(o.Raw["executor_ids"]); got != `[{"value":"ex-1"}]` {
			t.Errorf("executor_ids of the next offer %s", got)
		}
		f.decline(t, 0, o)
		m.open(t, "g1")
		f.course(t, "g1.a", ended("TASK_FINISHED", status0))
		f.course(t, "g1.b", ended("TASK_FINISHED", status0))
		f.failure(t, o.AgentID, "ex-1", 0)
	})
	t.Run("one fails: the others are killed without a reason", func(t *testing.T) {
		next(t)
		f.accept(t, []offer{o}, f.group("ex-2", o, []obj{task("g2.a", o, m.gate("g2.a")+"; exit 4"), task("g2.b", o, "sleep 600"),
			task("g2.c", o, `trap "exit 0" TERM; `+m.mark("g2.c")+`; while true; do sleep 0.1; done`)}))
		run(t, "g2.a", "g2.b", "g2.c")
		m.marked(t, "g2.c") // the trap
		m.open(t, "g2.a")
		f.course(t, "g2.a", ended("TASK_FAILED", "Command exited with status 4"))
		f.course(t, "g2.b", killing, ended("TASK_KILLED", terminated))
		f.course(t, "g2.c", killing, ended("TASK_KILLED", status0))
		f.failure(t, o.AgentID, "ex-2", 0)
	})
	t.Run("one ends with 0: the others go on; KILL of one kills all", func(t *testing.T) {
		next(t)
		f.accept(t, []offer{o}, f.group("ex-3", o, []obj{task("g3.a", o, "sleep 0.5"), task("g3.b", o, "sleep 600"), task("g3.c", o, "sleep 600")}))
		run(t, "g3.a", "g3.b", "g3.c")
		f.course(t, "g3.a", ended("TASK_FINISHED", status0))
		f.never(t, "update", time.Second, updateOf("g3.b"))
		f.must(t, "KILL", question("g3.b", ""))
		f.course(t, "g3.b", killing, ended("TASK_KILLED", terminated))
		f.course(t, "g3.c", killing, ended("TASK_KILLED", terminated))
		f.failure(t, o.AgentID, "ex-3", 0)
	})
	t.Run("SHUTDOWN of the executor", func(t *testing.T) {
		next(t)
		f.accept(t, []offer{o}, f.group("ex-4", o, []obj{task("g4.a", o, "sleep 600"), task("g4.b", o, "sleep 600")}))
		run(t, "g4.a", "g4.b")
		f.must(t, "SHUTDOWN", obj{"executor_id": obj{"value": "ex-4"}, "agent_id": obj{"value": o.AgentID}})
		for _, id := range []string{"g4.a", "g4.b"} {
			f.course(t, id, killing, ended("TASK_KILLED", terminated))
		}
		f.failure(t, o.AgentID, "ex-4", 0)
	})
	t.Run("fetch failure: STARTING, FAILED; the others are killed", func(t *testing.T) {
		next(t)
		f.accept(t, []offer{o}, f.group("ex-5", o, []obj{task("g5.a", o, "", obj{"command": obj{"value": "true", "uris": list{obj{"value": "http://127.0.0.1:1/nope"}}}}),
			task("g5.b", o, "sleep 600")}))
		f.course(t, "g5.a", starting, ended("TASK_FAILED", "Command exited with status 1"))
		f.course(t, "g5.b", starting)
		if st := f.awaitIn(t, "update", patience, updateOf("g5.b")).Update.Status; st.State == "TASK_RUNNING" { // the fetch may be quicker
			killing.check(t, f.update(t, "g5.b", "TASK_KILLING"))
		} else {
			killing.check(t, st)
		}
		f.course(t, "g5.b", want{"TASK_KILLED", "SOURCE_EXECUTOR", "", "...", true})
		f.failure(t, o.AgentID, "ex-5", 0)
	})
	t.Run("failing health check kills the group", func(t *testing.T) {
		next(t)
		check := obj{"health_check": obj{"type": "COMMAND", "command": shell("false"), "delay_seconds": 0, "interval_seconds": 0.3, "grace_period_seconds": 0,
			"consecutive_failures": 2, "timeout_seconds": 60}}
		f.accept(t, []offer{o}, f.group("ex-15", o, []obj{task("g15.a", o, "sleep 600", check), task("g15.b", o, "sleep 600")}))
		run(t, "g15.a", "g15.b")
		unhealthy := want{"TASK_RUNNING", "SOURCE_EXECUTOR", "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED", "", true}
		st := f.course(t, "g15.a", unhealthy, unhealthy, killing, ended("TASK_KILLED", terminated))
		if st.Healthy == nil || *st.Healthy {
			t.Errorf("healthy %v", st.Healthy)
		}
		f.course(t, "g15.b", killing, ended("TASK_KILLED", terminated))
	})
}

type invalidGroup struct {
	name, id string
	tasks    []obj
	changes  obj
	message  string
}

// TestInvalidGroups: every task of the group gets the same ERROR (REC 21, 21b).
func TestInvalidGroups(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	const total = "Total resources cpus(allocated: web):50.2; mem(allocated: web):96; disk(allocated: web):10 required by task group and its executor are more than available ..."
	cases := []invalidGroup{
		{"executor without resources", "7", []obj{task("7.a", o, "true"), task("7.b", o, "true")}, obj{"resources": nil},
			"Executor 'ex-7' uses less CPUs (None) than the minimum required (0.01)"},
		{"task too large", "8", []obj{task("8.a", o, "true", obj{"resources": list{cpus(50, "web"), mem(32, "web")}}), task("8.b", o, "true")}, nil, total},
		{"task with another executor", "9", []obj{task("9.a", o, "true", obj{"executor": obj{"type": "DEFAULT", "executor_id": obj{"value": "other"}, "framework_id": obj{"value": f.id}}})}, nil,
			"The `ExecutorInfo` of task '9.a' is different from executor 'ex-9'"},
		{"CUSTOM executor", "10", []obj{task("10.a", o, "true")}, obj{"type": "CUSTOM"}, "'ExecutorInfo.command' must be set for 'CUSTOM' executor"},
		{"executor without framework id", "11", []obj{task("11.a", o, "true")}, obj{"framework_id": nil}, "'ExecutorInfo.framework_id' must be set"},
		{"DEFAULT executor with a command", "12", []obj{task("12.a", o, "true")}, obj{"command": shell("true")}, "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"},
		{"DOCKER container", "14", []obj{task("14.a", o, "true", obj{"container": obj{"type": "DOCKER", "docker": obj{"image": "busybox"}}})}, nil,
			"Task '14.a' is invalid: Docker ContainerInfo is not supported on the task"},
	}
	inside := func(c obj) obj { return obj{"container": c} }
	own := inside(obj{"type": "MESOS", "linux_info": obj{"share_cgroups": false}})
	cases = append(cases, []invalidGroup{ // (source)
		{"executor without disk", "s1", []obj{task("s1.a", o, "true")}, obj{"resources": list{cpus(0.1, "web"), mem(32, "web")}}, "Executor 'ex-s1' uses no disk"},
		{"executor with an image", "s2", []obj{task("s2.a", o, "true")}, inside(obj{"type": "MESOS", "mesos": obj{"image": obj{"type": "DOCKER", "docker": obj{"name": "x"}}}}),
			"'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"},
		{"executor in a DOCKER container", "s3", []obj{task("s3.a", o, "true")}, inside(obj{"type": "DOCKER", "docker": obj{"image": "x"}}),
			"'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"},
		{"executor with share_cgroups", "s4", []obj{task("s4.a", o, "true")}, inside(obj{"type": "MESOS", "linux_info": obj{"share_cgroups": true}}),
			"The 'share_cgroups' field cannot be set to 'true' on executor containers"},
		{"tasks that differ in share_cgroups", "s5", []obj{task("s5.a", o, "true", own), task("s5.b", o, "true")}, nil,
			"If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a single executor"},
		{"limits without cgroups of its own", "s6", []obj{task("s6.a", o, "true", obj{"limits": obj{"cpus": obj{"value": 1}}})}, nil,
			"Task 's6.a' is invalid: Resource limits may only be set for tasks within a task group when the 'share_cgroups' field is set to 'false'."},
		{"HTTP health check in a network of its own", "s7", []obj{task("s7.a", o, "true", inside(obj{"type": "MESOS", "network_infos": list{obj{"name": "n"}}}),
			obj{"health_check": obj{"type": "HTTP", "http": obj{"port": 80}}})}, nil,
			"Task 's7.a' is invalid: HTTP and TCP health checks are not supported for nested containers not joining parent's network"},
	}...)
	var ops []obj
	for _, c := range cases {
		ops = append(ops, f.group("ex-"+c.id, o, c.tasks, c.changes))
	}
	f.accept(t, []offer{o}, ops...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, task := range c.tasks {
				f.course(t, task["name"].(string), fromMaster("TASK_ERROR", "REASON_TASK_GROUP_INVALID", c.message))
			}
		})
	}
	t.Run("group without tasks is nothing", func(t *testing.T) {
		o = f.offerOf(t, o.AgentID)
		f.accept(t, []offer{o}, f.group("ex-6", o, []obj{}))
		o = f.offerOf(t, o.AgentID)
	})
	t.Run("id of a running task", func(t *testing.T) {
		f.accept(t, []offer{o}, f.group("ex-1", o, []obj{task("a", o, "sleep 600")}))
		f.course(t, "a", starting, running)
		p := all[1]
		f.accept(t, []offer{p}, f.group("ex-2", p, []obj{task("a", p, "true"), task("b", p, "true")}))
		for _, id := range []string{"a", "b"} {
			f.course(t, id, fromMaster("TASK_ERROR", "REASON_TASK_GROUP_INVALID", "Task 'a' is invalid: Task has duplicate ID: a"))
		}
	})
	t.Run("second group in a running executor lives on when the first is killed", func(t *testing.T) {
		o = f.offerOf(t, o.AgentID)
		f.accept(t, []offer{o}, f.group("ex-1", o, []obj{task("c", o, "sleep 600")}))
		f.course(t, "c", starting, running)
		f.kill(t, "a")
		f.must(t, "RECONCILE", obj{"tasks": list{}})
		f.course(t, "c", reconciled("TASK_RUNNING", "Latest task state"))
	})
	t.Run("id twice in one group: ERROR, not the crash of Mesos 1.12", func(t *testing.T) {
		if realURL != "" {
			t.Skip("a real 1.12 master would crash; recording 21b has it")
		}
		p := f.offerOf(t, all[1].AgentID)
		f.accept(t, []offer{p}, f.group("ex-3", p, []obj{task("d", p, "true"), task("d", p, "true")}))
		f.update(t, "d", "TASK_ERROR")
	})
}

// TestExecutors is MESSAGE, SHUTDOWN and a custom executor (REC 23).
func TestExecutors(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	f.run(t, "m1", o)
	o = f.offerOf(t, o.AgentID)
	target := func(executor, agent string) obj {
		return obj{"executor_id": obj{"value": executor}, "agent_id": obj{"value": agent}}
	}
	message := func(executor, agent string) obj {
		b := target(executor, agent)
		b["data"] = "aGk="
		return b
	}
	t.Run("MESSAGE is 202 and nothing comes back", func(t *testing.T) {
		f.must(t, "MESSAGE", message("m1", o.AgentID))
		f.must(t, "MESSAGE", message("nosuch", o.AgentID))
		f.must(t, "MESSAGE", message("m1", "nosuch"))
		f.never(t, "event", 500*time.Millisecond, func(e *event) bool { return e.Type != "HEARTBEAT" && e.Type != "OFFERS" && e.Type != "SUBSCRIBED" })
	})
	t.Run("SHUTDOWN of what is unknown is 202", func(t *testing.T) {
		f.must(t, "SHUTDOWN", target("nosuch", o.AgentID))
		f.must(t, "SHUTDOWN", target("nosuch", "nosuch"))
	})
	t.Run("SHUTDOWN of a command executor, no FAILURE", func(t *testing.T) {
		f.must(t, "SHUTDOWN", target("m1", o.AgentID))
		f.course(t, "m1", killing, ended("TASK_KILLED", terminated))
		f.never(t, "FAILURE", 1500*time.Millisecond, func(e *event) bool { return e.Type == "FAILURE" })
	})
	t.Run("custom executor that exits with 7", func(t *testing.T) {
		ex := obj{"type": "CUSTOM", "executor_id": obj{"value": "cx"}, "framework_id": obj{"value": f.id}, "command": shell("exit 7"),
			"resources": list{cpus(0.1, "web"), mem(32, "web")}}
		f.accept(t, []offer{o}, launch(task("c1", o, "", obj{"command": nil, "executor": ex})))
		f.failure(t, o.AgentID, "cx", 1792)
		f.course(t, "c1", fromAgent("TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated"))
	})
}

// TestDiskLimit is the form of a container limitation (REC 35).
func TestDiskLimit(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	small := obj{"resources": list{cpus(0.1, "web"), mem(32, "web"), amount("disk", 10, "web")}}
	f.accept(t, []offer{o}, launch(task("du", o, "dd if=/dev/zero of=big bs=1M count=30; sleep 600", small)))
	f.course(t, "du", starting, running)
	t.Run("TASK_FAILED with limitation", func(t *testing.T) {
		ev := f.awaitIn(t, "update, as if no quota was kept", patience, updateOf("du"))
		st := ev.Update.Status
		fromAgent("TASK_FAILED", "REASON_CONTAINER_LIMITATION_DISK", "Disk usage (...").check(t, st)
		if encode(st.Limitation) == "null" || st.Container != nil {
			t.Errorf("limitation %v, container_status %v", st.Limitation, st.Container)
		}
	})
}
