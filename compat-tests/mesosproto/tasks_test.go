package mesosproto

import (
	"strings"
	"testing"
)

// TestInvalidTasks launches all at once: what is wrong with one task does not
// touch the others (REC 06; those with an id that begins with s are from the source).
func TestInvalidTasks(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	with := func(rs ...obj) obj { return obj{"resources": rs} }
	ports := func(ranges ...obj) obj {
		return obj{"name": "ports", "type": "RANGES", "ranges": obj{"range": ranges}, "allocation_info": obj{"role": "web"}}
	}
	pair := func(b, e uint64) obj { return obj{"begin": b, "end": e} }
	health := func(h obj) obj { return obj{"health_check": h} }
	const tooMuch = " required by task and its executor is more than available ..."
	const neither = "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
	const badHealth = "Task uses invalid health check: "
	small := "cpus(allocated: web):0.1; mem(allocated: web):32"
	cases := []struct {
		name, id string
		changes  obj
		message  string
	}{
		{"more cpus than offered", "a1", with(cpus(100, "web"), mem(32, "web")), "Total resources cpus(allocated: web):100; mem(allocated: web):32" + tooMuch},
		{"more mem than offered", "a2", with(cpus(0.1, "web"), mem(1e6, "web")), "Total resources cpus(allocated: web):0.1; mem(allocated: web):1000000" + tooMuch},
		{"port that is not offered", "a3", with(cpus(0.1, "web"), mem(32, "web"), ports(pair(80, 80))),
			"Total resources " + small + "; ports(allocated: web):[80-80]" + tooMuch},
		{"unknown resource", "a6", with(cpus(0.1, "web"), mem(32, "web"), amount("gpus", 1, "web")), "Total resources " + small + "; gpus(allocated: web):1" + tooMuch},
		{"negative mem", "a8", with(cpus(0.1, "web"), mem(-32, "web")), "Resource 'mem(allocated: web):-32' is invalid: Invalid scalar resource: value <= 0"},
		{"cpus 0.0001 is rounded to 0", "a9", with(cpus(0.0001, "web"), mem(32, "web")), "Resource 'cpus(allocated: web):0' is invalid: Invalid scalar resource: value <= 0"},
		{"no resources", "a10", obj{"resources": list{}}, "Task uses no resources"},
		{"resources of another role", "a12", with(cpus(0.1, "other"), mem(32, "other")), "Total resources cpus(allocated: other):0.1; mem(allocated: other):32" + tooMuch},
		{"old role in a resource", "a13", with(obj{"name": "cpus", "type": "SCALAR", "scalar": obj{"value": 0.1}, "role": "web", "allocation_info": obj{"role": "web"}}, mem(32, "web")),
			"Total resources cpus(allocated: web)(reservations: [(STATIC,web)]):0.1; mem(allocated: web):32" + tooMuch},
		{"neither command nor executor", "b1", obj{"command": nil}, neither},
		{"both command and executor", "b2", obj{"executor": obj{"executor_id": obj{"value": "e"}, "command": shell("true")}}, neither},
		{"executor without command", "b3", obj{"command": nil, "executor": obj{"executor_id": obj{"value": "e"}}}, "'ExecutorInfo.command' must be set"},
		{"executor of another framework", "b4", obj{"command": nil, "executor": obj{"type": "CUSTOM", "executor_id": obj{"value": "e"}, "framework_id": obj{"value": "other"}, "command": shell("true")}},
			"ExecutorInfo has an invalid FrameworkID (Actual: other vs Expected: " + f.id + ")"},
		{"DEFAULT executor in a LAUNCH", "b5", obj{"executor": obj{"type": "DEFAULT", "executor_id": obj{"value": "e"}, "framework_id": obj{"value": f.id},
			"resources": list{cpus(0.1, "web"), mem(32, "web")}}}, neither},
		{"task id with a slash", "a/b", nil, "'a/b' contains invalid characters"},
		{"task id ..", "..", nil, "'..' is disallowed"},
		{"task id empty", "", nil, "ID must not be empty"},
		{"task id of 256 characters", strings.Repeat("x", 256), nil, "ID must not be greater than 255 characters"},
		{"task id with a control character", "a\x01b", nil, "'a\x01b' contains invalid characters"},
		{"unknown agent", "d1", obj{"agent_id": obj{"value": "no-such-agent"}}, "Task uses invalid agent no-such-agent while agent " + o.AgentID + " is expected"},
		{"health check HTTP without http", "e2", health(obj{"type": "HTTP"}), badHealth + "Expecting 'http' to be set for HTTP health check"},
		{"health check of unknown type", "e2b", health(obj{"type": "GRPC"}), badHealth + "HealthCheck must specify 'type'"},
		{"health check with a negative interval", "e3", health(obj{"type": "COMMAND", "command": shell("true"), "interval_seconds": -1}), badHealth + "Expecting 'interval_seconds' to be non-negative"},
		{"health check COMMAND without value", "e4", health(obj{"type": "COMMAND", "command": obj{}}), badHealth + "Command health check must contain 'shell command'"},
		{"health check HTTP with a path without slash", "e5", health(obj{"type": "HTTP", "http": obj{"port": 80, "path": "x"}}), badHealth + "The path 'x' of HTTP health check must start with '/'"},
		{"check without type", "e6", obj{"check": obj{"tcp": obj{"port": 80}}}, "Task uses invalid check: CheckInfo must specify 'type'"},
		{"negative kill grace period", "e7", obj{"kill_policy": obj{"grace_period": obj{"nanoseconds": -1}}}, "Task's 'kill_policy.grace_period' must be non-negative"},
		{"negative max_completion_time", "e8", obj{"max_completion_time": obj{"nanoseconds": -1}}, "Task's `max_completion_time` must be non-negative"},
		{"container DOCKER without docker", "e9", obj{"container": obj{"type": "DOCKER"}}, "Task's `ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"},
		{"environment variable without value", "e10", obj{"command": obj{"value": "true", "environment": obj{"variables": list{obj{"name": "A"}}}}},
			"Task's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have a value set"},
		{"volume without host path and source", "e11", obj{"container": obj{"type": "MESOS", "volumes": list{obj{"container_path": "x", "mode": "RW"}}}},
			"Task's `ContainerInfo` is invalid: Invalid volume: Only one of them should be set: 'host_path', 'image' and 'source'"},
		{"ports in overlapping ranges", "e12", with(cpus(0.1, "web"), mem(32, "web"), ports(pair(31600, 31605), pair(31603, 31609))),
			"Resource 'ports(allocated: web):[31600-31605, 31603-31609]' is invalid: Invalid ranges resource: overlapping ranges"},
		{"limit of something else", "s1", obj{"limits": obj{"disk": obj{"value": 5}}}, "Only cpus and mem may be included in a task's resource limits"},
		{"limit without request", "s2", obj{"limits": obj{"mem": obj{"value": 64}}, "resources": list{cpus(0.1, "web")}},
			"When a memory limit is specified, a memory request must also be specified"},
		{"check COMMAND without value", "s3", obj{"check": obj{"type": "COMMAND", "command": obj{"command": obj{}}}}, "Task uses invalid check: Command check must contain 'shell command'"},
		{"share_cgroups false outside of a group", "s4", obj{"container": obj{"type": "MESOS", "linux_info": obj{"share_cgroups": false}}},
			"Only tasks in a task group may have 'share_cgroups' set to 'false'"},
		{"container DOCKER with the parameter name", "s5", obj{"container": obj{"type": "DOCKER", "docker": obj{"image": "x", "parameters": list{obj{"key": "name", "value": "y"}}}}},
			"Task's `ContainerInfo` is invalid: Parameter in DockerInfo must not be 'name'"},
		{"volume whose source is empty", "s6", obj{"container": obj{"type": "MESOS", "volumes": list{obj{"container_path": "x", "mode": "RW", "source": obj{"type": "SANDBOX_PATH"}}}}},
			"Task's `ContainerInfo` is invalid: Invalid volume: 'source.sandbox_path' is not set for SANDBOX_PATH volume"},
		{"secret without reference", "s7", obj{"command": obj{"value": "true", "environment": obj{"variables": list{obj{"name": "A", "type": "SECRET", "secret": obj{"type": "REFERENCE"}}}}}},
			"Task's `CommandInfo` is invalid: Environment variable 'A' specifies an invalid secret: Secret of type REFERENCE must have the 'reference' field set"},
		{"limits below the request", "e13", obj{"limits": obj{"cpus": obj{"value": 0.05}}}, "The cpu limit must be greater than or equal to the cpu request"},
	}
	var operations []obj // one for each: a resource in a wrong form spoils its whole operation (Master::accept)
	for _, c := range cases {
		operations = append(operations, launch(task(c.id, o, "true", c.changes)))
	}
	f.accept(t, []offer{o}, append(operations, launch(task("good", o, "true")))...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { f.course(t, c.id, fromMaster("TASK_ERROR", "REASON_TASK_INVALID", c.message)) })
	}
	t.Run("good task beside them runs", func(t *testing.T) {
		f.course(t, "good", starting, running, ended("TASK_FINISHED", "Command exited with status 0"))
	})
	t.Run("unused part is offered at the next round", func(t *testing.T) { f.offerOf(t, o.AgentID) })
}

// TestBorderlineTasks are those that look wrong and run (REC 06).
func TestBorderlineTasks(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	finished := ended("TASK_FINISHED", "Command exited with status 0")
	cases := []struct {
		name, id string
		changes  obj
	}{
		{"zero cpus", "a7", obj{"resources": list{cpus(0, "web"), mem(32, "web")}}},
		{"cpus 0.001", "a9b", obj{"resources": list{cpus(0.001, "web"), mem(32, "web")}}},
		{"no mem", "a10b", obj{"resources": list{cpus(0.1, "web")}}},
		{"mem 16", "a11", obj{"resources": list{cpus(0.1, "web"), mem(16, "web")}}},
		{"task id with a blank", "a b", nil},
		{"task id with colon and non-ASCII letters", "a:é", nil},
		{"health check without type", "e1", obj{"health_check": obj{"http": obj{"port": 80}}}},
		{"resources without allocation_info", "plain", obj{"resources": list{cpus(0.1, ""), mem(32, "")}}},
	}
	var tasks []obj
	for _, c := range cases {
		tasks = append(tasks, task(c.id, o, "true", c.changes))
	}
	f.accept(t, []offer{o}, launch(append(tasks, task("b6", o, "", obj{"command": obj{}}))...))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { f.course(t, c.id, starting, running, finished) })
	}
	t.Run("command without value", func(t *testing.T) {
		f.course(t, "b6", starting, fromAgent("TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated"))
	})
}

// TestFieldsOfTasks: what protobuf requires is a 400 for the whole ACCEPT, and the
// offer stays good (REC 06).
func TestFieldsOfTasks(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	noType := amount("cpus", 0.1, "web")
	delete(noType, "type")
	for _, c := range []struct {
		name    string
		changes obj
		path    string
	}{
		{"no name", obj{"name": nil}, "name"},
		{"no task_id", obj{"task_id": nil}, "task_id"},
		{"no agent_id", obj{"agent_id": nil}, "agent_id"},
		{"resource without type", obj{"resources": list{noType, mem(32, "web")}}, "resources[0].type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.send("ACCEPT", obj{"offer_ids": ids(o), "operations": list{launch(task("n", o, "true", c.changes))}}).check(t, 400,
				"Failed to convert JSON into Call protobuf: Missing required fields: accept.operations[0].launch.task_infos[0]."+c.path)
		})
	}
	t.Run("offer is still good", func(t *testing.T) { f.run(t, "good", o) })
}

// TestTaskIDs: ids that are in use (REC 06).
func TestTaskIDs(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	f.run(t, "good", all[0])
	inUse := fromAgent("TASK_DROPPED", "REASON_TASK_INVALID", "Cannot reuse an already existing executor for a command task")
	duplicate := fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "Task has duplicate ID: good")
	t.Run("id of a running task: ERROR, and it runs on", func(t *testing.T) {
		f.accept(t, all[1:2], launch(task("good", all[1], "true")))
		f.course(t, "good", duplicate)
		f.must(t, "RECONCILE", obj{"tasks": list{obj{"task_id": obj{"value": "good"}}}})
		f.course(t, "good", reconciled("TASK_RUNNING", "Latest task state"))
	})
	t.Run("id twice in one LAUNCH: the first runs", func(t *testing.T) {
		o := f.offerOf(t, all[1].AgentID)
		f.accept(t, []offer{o}, launch(task("dup", o, "true"), task("dup", o, "true")))
		f.course(t, "dup", fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "Task has duplicate ID: dup"), starting, running,
			ended("TASK_FINISHED", "Command exited with status 0"))
	})
	t.Run("two tasks that together are too much: the first runs", func(t *testing.T) {
		o := f.wholeOffer(t, all[1])
		half := obj{"resources": list{cpus(o.scalar("cpus")*0.75, "web"), mem(32, "web")}}
		f.accept(t, []offer{o}, launch(task("half1", o, "true", half), task("half2", o, "true", half)))
		f.course(t, "half2", fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "Total resources ..."))
		f.course(t, "half1", starting, running, ended("TASK_FINISHED", "Command exited with status 0"))
	})
	t.Run("id of a task that ended a moment ago, on its agent", func(t *testing.T) {
		o := f.offerOf(t, all[0].AgentID)
		f.kill(t, "good")
		f.accept(t, []offer{o}, launch(task("good", o, "true")))
		st := f.awaitIn(t, "update", patience, updateOf("good")).Update.Status
		if st.State != "TASK_STARTING" || *exact { // the executor lingers for a second only
			inUse.check(t, st)
			return
		}
		f.course(t, "good", running, ended("TASK_FINISHED", status0))
	})
	t.Run("the same some seconds later", func(t *testing.T) {
		for { // nothing tells of the executor's end
			o := f.offerOf(t, all[0].AgentID)
			f.accept(t, []offer{o}, launch(task("good", o, "true")))
			st := f.awaitIn(t, "update", patience, updateOf("good")).Update.Status
			if st.State == "TASK_STARTING" {
				starting.check(t, st)
				break
			}
			inUse.check(t, st)
		}
		f.course(t, "good", running, ended("TASK_FINISHED", status0))
	})
}
