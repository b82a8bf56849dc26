package minimesos

import (
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

func reserve(role, principal string, r mesos.Resource) mesos.Resource {
	r.Reservations = []mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role}}
	if principal != "" {
		r.Reservations[0].Principal = &principal
	}
	return r
}

func reserveOp(role string, r mesos.Resource) mesos.Offer_Operation {
	return mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE,
		Reserve: &mesos.Offer_Operation_Reserve{Resources: []mesos.Resource{reserve(role, "", r)}}}
}

func volume(id string, r mesos.Resource) mesos.Resource {
	r.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{ID: id},
		Volume: &mesos.Volume{ContainerPath: "data", Mode: mesos.RW.Enum()}}
	return r
}

func withID(id string, op mesos.Offer_Operation) mesos.Offer_Operation {
	op.ID = &mesos.OperationID{Value: id}
	return op
}

// Recording 19: RESERVE, CREATE and LAUNCH in one ACCEPT; DESTROY and UNRESERVE in another.
func TestReserveAndVolumes(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	disk := reserve("web", "", scalar("disk", 64))
	vol := volume("v1", disk)
	task := testTask("t1", &o, 1)
	elsewhere := volume("v1", disk) // the mount is the task's own business
	elsewhere.Disk.Volume.ContainerPath = "elsewhere"
	task.Resources = append(task.Resources, elsewhere)
	create := mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE, Create: &mesos.Offer_Operation_Create{Volumes: []mesos.Resource{vol}}}
	f.accept([]mesos.Offer{o}, reserveOp("web", scalar("disk", 64)), create, launchOp(task))
	f.update("t1", mesos.TASK_RUNNING)
	rest := f.offers()[0]
	if rest.Resources[0].Name != "ports" {
		t.Errorf("first resource %s, want ports", rest.Resources[0].Name)
	}
	if d := c.ids.bagOf(rest.Resources).scalar("disk"); d != 9936_000 {
		t.Errorf("disk left %d", d)
	}
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "t1"}}})
	f.update("t1", mesos.TASK_KILLED)
	freed := f.offers()[0]
	destroy := mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY, Destroy: &mesos.Offer_Operation_Destroy{Volumes: []mesos.Resource{vol}}}
	unreserve := mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE, Unreserve: &mesos.Offer_Operation_Unreserve{Resources: []mesos.Resource{disk}}}
	f.accept([]mesos.Offer{rest, freed}, destroy, unreserve)
	whole := f.offers()[0]
	for i := range whole.Resources {
		if r := &whole.Resources[i]; r.Disk != nil || len(r.Reservations) > 0 {
			t.Errorf("left over: %s", appendJSON(nil, r))
		}
	}
	if len(whole.Resources) != 4 {
		t.Errorf("whole offer %s", appendJSON(nil, &whole))
	}
}

// Recording 20: feedback with ids, errors with the recorded texts.
func TestOperationFeedback(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.UpdateRetry = 30 * time.Millisecond })
	f := newFramework(t, c, "web")
	principal := "framework"
	f.info.Principal = &principal
	f.subscribe()
	status := func(id string) *mesos.OperationStatus {
		t.Helper()
		return &f.seek("status of "+id, func(ev *scheduler.Event) bool {
			return ev.Type == scheduler.Event_UPDATE_OPERATION_STATUS && ev.UpdateOperationStatus.Status.OperationID.GetValue() == id
		}).UpdateOperationStatus.Status
	}
	half := scalar("cpus", 0.5)
	op := func(id string, r mesos.Resource) mesos.Offer_Operation {
		return withID(id, mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE, Reserve: &mesos.Offer_Operation_Reserve{Resources: []mesos.Resource{r}}})
	}
	o := f.offers()[0]
	place := "; on agent " + o.AgentID.Value + " at slave(1)@127.0.0.2:5051 (agent1)"
	f.accept([]mesos.Offer{o}, op("role", reserve("other", "framework", half)), op("principal", reserve("web", "other", half)),
		op("none", reserve("web", "", half)), op("star", reserve("*", "framework", half)),
		op("much", reserve("web", "framework", scalar("cpus", 100))), op("plain", half), op("good", reserve("web", "framework", half)))
	want := []struct{ id, text string }{
		{"role", "A reserve operation was attempted for a resource with role 'other', but the resource was allocated to role 'web'" + place},
		{"principal", "A reserve operation was attempted by authenticated principal 'framework', which does not match a reserved resource in the request with principal 'other'" + place},
		{"none", "A reserve operation was attempted by principal 'framework', but there is a reserved resource in the request with no principal set" + place},
		{"star", "Operation attempted with invalid resources: Resource 'cpus(reservations: [(DYNAMIC,*,framework)]):0.5' is invalid: Invalid reservation: role \"*\" cannot be reserved"},
		{"much", "ports(allocated: web):[31000-31499]; cpus(allocated: web):4; mem(allocated: web):4096; disk(allocated: web):10000 does not contain cpus(allocated: web):100"},
		{"plain", "Resource cpus:0.5 is not dynamically reserved" + place},
	}
	for _, x := range want {
		st := status(x.id)
		if st.State != mesos.OPERATION_ERROR || st.GetMessage() != x.text || st.UUID != nil || st.AgentID != nil {
			t.Errorf("%s: %s\nwant %s", x.id, appendJSON(nil, st), x.text)
		}
	}
	good := status("good")
	if good.State != mesos.OPERATION_FINISHED || good.UUID == nil {
		t.Fatalf("good: %s", appendJSON(nil, good))
	}
	if again := status("good"); !again.UUID.Equal(good.UUID) {
		t.Error("not re-sent unchanged")
	}
	f.must(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS,
		AcknowledgeOperationStatus: &scheduler.Call_AcknowledgeOperationStatus{AgentID: good.AgentID, UUID: good.UUID.Value, OperationID: *good.OperationID}})
	f.must(&scheduler.Call{Type: scheduler.Call_RECONCILE_OPERATIONS, ReconcileOperations: &scheduler.Call_ReconcileOperations{
		Operations: []scheduler.Call_ReconcileOperations_Operation{{OperationID: mesos.OperationID{Value: "ghost"}}}}})
	if st := status("ghost"); st.State != mesos.OPERATION_UNKNOWN || !strings.HasSuffix(st.GetMessage(), "and no 'agent_id' was provided") {
		t.Errorf("ghost: %s", appendJSON(nil, st))
	}
}

// groupOf is a LAUNCH_GROUP with an executor that has room of its own.
func groupOf(f *testFramework, id string, tasks ...mesos.TaskInfo) mesos.Offer_Operation {
	return mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH_GROUP, LaunchGroup: &mesos.Offer_Operation_LaunchGroup{
		Executor: mesos.ExecutorInfo{Type: mesos.ExecutorInfo_DEFAULT, ExecutorID: mesos.ExecutorID{Value: id},
			FrameworkID: &mesos.FrameworkID{Value: f.id}, Resources: []mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 10)}},
		TaskGroup: mesos.TaskGroupInfo{Tasks: tasks}}}
}

// Recording 21: a group is killed with one of its tasks; FAILURE with status 0 follows.
func TestTaskGroup(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.accept([]mesos.Offer{o}, groupOf(f, "ex", testTask("a", &o, 1), testTask("b", &o, 1)))
	f.update("b", mesos.TASK_RUNNING)
	rest := f.offers()[0]
	if len(rest.ExecutorIDs) != 1 || rest.ExecutorIDs[0].Value != "ex" {
		t.Errorf("executors of the offer %v", rest.ExecutorIDs)
	}
	if cpus := c.ids.bagOf(rest.Resources).scalar("cpus"); cpus != 1900 {
		t.Errorf("cpus left %d", cpus)
	}
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "a"}}})
	failed := false
	states := map[string]mesos.TaskState{}
	f.seek("the end of the group", func(ev *scheduler.Event) bool {
		switch ev.Type {
		case scheduler.Event_UPDATE:
			states[ev.Update.Status.TaskID.Value] = ev.Update.Status.GetState()
		case scheduler.Event_FAILURE:
			failed = ev.Failure.ExecutorID.GetValue() == "ex" && ev.Failure.Status != nil && *ev.Failure.Status == 0
		}
		return failed && states["a"] == mesos.TASK_KILLED && states["b"] == mesos.TASK_KILLED
	})
}

// Recording 21: every task of an invalid group gets the same error.
func TestInvalidGroups(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	poor := groupOf(f, "ex-7", testTask("a", &o, 1), testTask("b", &o, 1))
	poor.LaunchGroup.Executor.Resources = nil
	stray := groupOf(f, "ex-11", testTask("c", &o, 1))
	stray.LaunchGroup.Executor.FrameworkID = nil
	twice := groupOf(f, "ex-12", testTask("d", &o, 1), testTask("d", &o, 1))
	f.accept([]mesos.Offer{o}, poor, stray, twice)
	for _, x := range []struct{ task, text string }{
		{"a", "Executor 'ex-7' uses less CPUs (None) than the minimum required (0.01)"},
		{"b", "Executor 'ex-7' uses less CPUs (None) than the minimum required (0.01)"},
		{"c", "'ExecutorInfo.framework_id' must be set"},
		{"d", "Task 'd' is invalid: Task has duplicate ID: d"},
	} {
		st := f.update(x.task, mesos.TASK_ERROR)
		if st.GetMessage() != x.text || st.GetReason() != mesos.REASON_TASK_GROUP_INVALID {
			t.Errorf("%s: %s", x.task, appendJSON(nil, st))
		}
	}
}

// Recording 17: roles, suppression, constraints, immutable fields.
func TestUpdateFramework(t *testing.T) {
	c := testCluster(t, 2, nil)
	f := newFramework(t, c, "web").subscribe()
	f.info.ID = &mesos.FrameworkID{Value: f.id}
	f.offers()
	update := func(change func(*mesos.FrameworkInfo), rest string) (int, string) {
		t.Helper()
		info := *f.info
		change(&info)
		body := `{"type":"UPDATE_FRAMEWORK","framework_id":{"value":"` + f.id + `"},"update_framework":{"framework_info":` +
			string(appendJSON(nil, &info)) + rest + `}}`
		return post(t, c, "/api/v1/scheduler", map[string][]string{"Content-Type": {typeJSON}, streamHeader: {f.stream}}, body)
	}
	same := func(*mesos.FrameworkInfo) {}
	for _, x := range []struct {
		change func(*mesos.FrameworkInfo)
		rest   string
		status int
		text   string
	}{
		{func(i *mesos.FrameworkInfo) { i.User = "nobody" }, "", 400,
			"FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; attempted to update from 'root' to 'nobody'"},
		{func(i *mesos.FrameworkInfo) { i.Checkpoint = nil }, "", 400,
			"FrameworkInfo update is not valid: Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from 'true' to 'false'"},
		{func(i *mesos.FrameworkInfo) { i.ID = nil }, "", 400,
			"Failed to validate scheduler::Call: 'framework_id' differs from 'update_framework.framework_info.id'"},
		{func(i *mesos.FrameworkInfo) { i.Capabilities = nil }, "", 400,
			"Supplied FrameworkInfo is not valid: 'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"},
		{same, `,"suppressed_roles":["zzz"]`, 400,
			"'UpdateFramework' call is not valid: Suppressed roles { zzz } are not contained in the set of roles"},
		{same, `,"offer_constraints":{"role_constraints":{"zzz":{"groups":[{"attribute_constraints":[{"selector":{"attribute_name":"rack"},"predicate":{"exists":{}}}]}]}}}`, 400,
			"'UpdateFramework' call is not valid: Offer constraints specify `role_constraints` for a role 'zzz'not contained in the set of roles"},
		{same, `,"offer_constraints":{"role_constraints":{"web":{"groups":[{"attribute_constraints":[{"selector":{"attribute_name":"rack"},"predicate":{"text_matches":{"regex":"("}}}]}]}}}`, 400,
			"'UpdateFramework' call is not valid: Offer constraints are not valid: A role web has an invalid 'AttributeConstraint': Failed to construct regex from pattern '(': missing ): ("},
		{func(i *mesos.FrameworkInfo) { i.Roles = []string{"db"} }, "", 200, ""},
	} {
		if status, text := update(x.change, x.rest); status != x.status || text != x.text {
			t.Errorf("%d %q, want %d %q", status, text, x.status, x.text)
		}
	}
	for range 2 {
		f.seek("RESCIND", isEvent(scheduler.Event_RESCIND))
	}
	if o := f.offers(); o[0].AllocationInfo.GetRole() != "db" || len(o) != 2 {
		t.Errorf("offers %v", o)
	}
	only := `,"offer_constraints":{"role_constraints":{"web":{"groups":[{"attribute_constraints":[{"selector":{"attribute_name":"rack"},"predicate":{"text_equals":{"value":"r2"}}}]}]}}}`
	if status, text := update(same, only); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if o := f.offers(); len(o) != 1 || o[0].Hostname != "agent2" {
		t.Errorf("constrained offers %v", o)
	}
}

func TestParseResources(t *testing.T) {
	rs, err := ParseResources("cpus:4;mem:4096; ports:[31000-31999, 32000-32010];cpus(role):2;tags:{a,b}", "*")
	if err != nil {
		t.Fatal(err)
	}
	got := newIdentities().bagOf(rs).text("")
	if want := "cpus:4; mem:4096; ports:[31000-32010]; cpus(reservations: [(STATIC,role)]):2; tags:{a, b}"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	rs, err = ParseResources(`[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"role":"web"}]`, "*")
	if err != nil || len(rs) != 1 || rs[0].Reservations[0].GetRole() != "web" {
		t.Errorf("JSON: %v %v", rs, err)
	}
	for _, s := range []string{"cpus", "cpus:x", "cpus:-1", "ports:[5-1]", "ports:[1-5", "cpus(a:1", ":4", `[{"name":"cpus"}]`} {
		if rs, err := ParseResources(s, "*"); err == nil {
			t.Errorf("%q gave %v", s, rs)
		}
	}
	as, err := ParseAttributes("rack:r1;zone:{a,b};n:1.5;range:[1-5]")
	if err != nil || len(as) != 4 || as[0].Text.GetValue() != "r1" || as[1].Type != mesos.SET || as[2].Scalar.GetValue() != 1.5 ||
		as[3].Ranges.Range[0].End != 5 {
		t.Errorf("attributes %v %v", as, err)
	}
}
