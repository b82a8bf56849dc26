package minimesos

import (
	"strconv"
	"strings"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// What the master refuses beyond the recordings: rules of Mesos's src/common/resources.cpp, src/common/validation.cpp
// and src/master/validation.cpp that a framework may break without noticing it against a lenient master.
func TestInvalidTasks(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	text := func(s string) *string { return &s }
	reserved := reserve("web", "", scalar("disk", 10))
	also := func(rs ...mesos.Resource) func(*mesos.TaskInfo) {
		return func(task *mesos.TaskInfo) { task.Resources = append(task.Resources, rs...) }
	}
	own := func(change func(*mesos.ExecutorInfo)) func(*mesos.TaskInfo) {
		return func(task *mesos.TaskInfo) {
			task.Executor = &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_CUSTOM, ExecutorID: mesos.ExecutorID{Value: "own"}, FrameworkID: &mesos.FrameworkID{Value: f.id},
				Command: &mesos.CommandInfo{Value: text("true")}}
			task.Command = nil
			change(task.Executor)
		}
	}
	with := func(r mesos.Resource, change func(*mesos.Resource)) mesos.Resource {
		change(&r)
		return r
	}
	stack := func(roles ...string) mesos.Resource {
		r := scalar("cpus", 0.1)
		for i := range roles {
			r.Reservations = append(r.Reservations, mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &roles[i]})
		}
		return r
	}
	revocable := with(scalar("cpus", 0.1), func(r *mesos.Resource) { r.Revocable = &mesos.Resource_RevocableInfo{} })
	health := func(http mesos.HealthCheck_HTTPCheckInfo) func(*mesos.TaskInfo) {
		return func(task *mesos.TaskInfo) {
			task.HealthCheck = &mesos.HealthCheck{Type: mesos.HealthCheck_HTTP, HTTP: &http}
		}
	}
	shares := true
	list := []struct {
		change func(*mesos.TaskInfo)
		want   string
	}{
		{also(with(scalar("cpus", 0.1), func(r *mesos.Resource) { r.Disk = &mesos.Resource_DiskInfo{} })), "DiskInfo should not be set for cpus resource"},
		{also(with(scalar("disk", 1), func(r *mesos.Resource) { r.Disk = &mesos.Resource_DiskInfo{} })), "Task uses invalid resources: Invalid DiskInfo: DiskInfo is set but empty"},
		{also(with(reserved, func(r *mesos.Resource) {
			r.Disk = &mesos.Resource_DiskInfo{Volume: &mesos.Volume{ContainerPath: "x", Mode: mesos.RW.Enum()}}
		})), "Task uses invalid resources: Invalid DiskInfo: Non-persistent volume not supported"},
		{also(volume("v", scalar("disk", 1))), "Task uses invalid resources: Invalid DiskInfo: Persistent volumes cannot be created from unreserved resources"},
		{also(volume("a/b", reserved)), "Task uses invalid resources: Invalid DiskInfo: Invalid persistence ID for persistent volume: 'a/b' contains invalid characters"},
		{also(volume("v", reserved), volume("v", reserved)), "Task uses duplicate persistence ID: Persistence ID 'v' is not unique"},
		{also(with(scalar("disk", 1), func(r *mesos.Resource) {
			r.Disk = &mesos.Resource_DiskInfo{Source: &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_RAW, Mount: &mesos.Resource_DiskInfo_Source_Mount{}}}
		})), "Mount should not be set for RAW disk source"},
		{also(scalar("gpus", 0.5)), "Task uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer"},
		{also(revocable), "Task mixes revocable and non-revocable resources: Cannot use both revocable and non-revocable 'cpus' at the same time"},
		{also(mesos.Resource{Name: "tags", Type: mesos.SET.Enum(), Set: &mesos.Value_Set{Item: []string{"a", "a"}}}), "Invalid set resource: duplicated elements"},
		{also(scalar("", 1)), "Empty resource name"},
		{also(with(scalar("cpus", 0.1), func(r *mesos.Resource) { r.Shared = &mesos.Resource_SharedInfo{} })), "Resource cpus cannot be shared"},
		{also(with(scalar("disk", 1), func(r *mesos.Resource) { r.Shared = &mesos.Resource_SharedInfo{} })), "Only persistent volumes can be shared"},
		{also(with(scalar("cpus", 0.1), func(r *mesos.Resource) { r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: text("b")} })),
			"Invalid task resources: The resources have multiple allocation roles ('b' and 'web') but only one allocation role is allowed"},
		{also(with(stack("web"), func(r *mesos.Resource) { r.Reservations[0].Type = nil })), "'Resource.ReservationInfo.type' field must be set."},
		{also(with(stack("web"), func(r *mesos.Resource) { r.Reservations[0].Role = nil })), "'Resource.ReservationInfo.role' field must be set."},
		{also(stack("web", "other/x")), "Invalid refined reservation: role 'other/x' is not a refinement of 'web'"},
		{also(with(stack("web", "web/x"), func(r *mesos.Resource) { r.Reservations[1].Type = mesos.Resource_ReservationInfo_STATIC.Enum() })), "A refined reservation cannot be STATIC"},
		{also(with(stack("web", "web/x"), func(r *mesos.Resource) { r.Role = text("web") })), "must not be set if there is more than one reservation"},
		{also(with(stack("web"), func(r *mesos.Resource) { r.Role = text("b") })), "'Resource.role' field with 'b' does not match the role 'web'"},
		{also(with(stack("web"), func(r *mesos.Resource) { r.Role = text("web") })), "must either be both set or both not set"},
		{also(with(scalar("cpus", 0.1), func(r *mesos.Resource) { r.Reservation = &mesos.Resource_ReservationInfo{} })), `role "*" cannot be dynamically reserved`},
		{also(with(scalar("cpus", 0.1), func(r *mesos.Resource) {
			r.Role, r.Reservation = text("web"), &mesos.Resource_ReservationInfo{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum()}
		})), "'Resource.ReservationInfo.type' must not be set for the 'Resource.reservation' field"},
		{health(mesos.HealthCheck_HTTPCheckInfo{Path: text("")}), "Task uses invalid health check: The path '' of HTTP health check must start with '/'"},
		{health(mesos.HealthCheck_HTTPCheckInfo{Scheme: text("HTTP")}), "Task uses invalid health check: Unsupported HTTP health check scheme: 'HTTP'"},
		{func(task *mesos.TaskInfo) { task.Limits = map[string]mesos.Value_Scalar{"disk": {Value: 1}} }, "Only cpus and mem may be included in a task's resource limits"},
		{own(func(ex *mesos.ExecutorInfo) { ex.Type, ex.Command = mesos.ExecutorInfo_DEFAULT, nil }), "'ExecutorInfo.type' must be 'CUSTOM'"},
		{own(func(ex *mesos.ExecutorInfo) {
			ex.Container = &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), LinuxInfo: &mesos.LinuxInfo{ShareCgroups: &shares}}
		}), "The 'share_cgroups' field cannot be set to 'true' on executor containers"},
		{own(func(ex *mesos.ExecutorInfo) { ex.Resources = []mesos.Resource{scalar("gpus", 0.5)} }), "Executor uses invalid resources: Invalid 'gpus' resource: "},
		{own(func(ex *mesos.ExecutorInfo) { ex.Resources = []mesos.Resource{scalar("disk", 1), revocable} }), "Task and its executor mix revocable and non-revocable resources: "},
		{func(task *mesos.TaskInfo) {
			port := mesos.Resource{Name: "ports", Type: mesos.RANGES.Enum(), Ranges: o.Resources[0].Ranges}
			own(func(ex *mesos.ExecutorInfo) { ex.Resources = []mesos.Resource{port} })(task)
			task.Resources = append(task.Resources, port)
		}, "There are overlapping resources"},
	}
	var ops []mesos.Offer_Operation
	for i, x := range list {
		task := testTask("bad-"+strconv.Itoa(i), &o, 1)
		x.change(&task)
		ops = append(ops, launchOp(task))
	}
	f.accept([]mesos.Offer{o}, ops...)
	for i, x := range list {
		if st := f.update("bad-"+strconv.Itoa(i), mesos.TASK_ERROR); !strings.Contains(st.GetMessage(), x.want) || st.GetReason() != mesos.REASON_TASK_INVALID {
			t.Errorf("%d: %s %q, want %q", i, st.GetReason(), st.GetMessage(), x.want)
		}
	}
}

// One resource in a wrong form spoils its whole operation; an executor that runs already must be named as it is.
func TestInvalidOperations(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	good, bad := testTask("good", &o, 1), testTask("bad", &o, 1)
	bad.Resources[0].Name = ""
	f.accept([]mesos.Offer{o}, launchOp(good, bad), groupOf(f, "ex", testTask("first", &o, 1)))
	for _, id := range []string{"good", "bad"} {
		if st := f.update(id, mesos.TASK_ERROR); !strings.Contains(st.GetMessage(), "Empty resource name") {
			t.Errorf("%s: %q", id, st.GetMessage())
		}
	}
	f.update("first", mesos.TASK_RUNNING)
	o = f.offers()[0]
	other := groupOf(f, "ex", testTask("second", &o, 1))
	other.LaunchGroup.Executor.Resources[1] = scalar("mem", 33)
	f.accept([]mesos.Offer{o}, other, groupOf(f, "ex", testTask("third", &o, 1)))
	if st := f.update("second", mesos.TASK_ERROR); !strings.HasPrefix(st.GetMessage(), "ExecutorInfo is not compatible with existing ExecutorInfo") {
		t.Errorf("another executor of the id: %q", st.GetMessage())
	}
	f.update("third", mesos.TASK_RUNNING)

	// Operations on resources.
	o = f.offers()[0]
	readOnly := volume("v", reserve("web", "", scalar("disk", 10)))
	readOnly.Disk.Volume.Mode = mesos.RO.Enum()
	provided := scalar("disk", 10)
	provided.ProviderID = &mesos.ResourceProviderID{Value: "rp"}
	create := func(id string, rs ...mesos.Resource) mesos.Offer_Operation {
		return withID(id, mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE, Create: &mesos.Offer_Operation_Create{Volumes: rs}})
	}
	mixed := withID("mixed", reserveOp("web", scalar("disk", 10)))
	mixed.Reserve.Resources = append(mixed.Reserve.Resources, reserve("web", "", provided))
	twice := volume("w", reserve("web", "", scalar("disk", 10)))
	f.accept([]mesos.Offer{o}, create("ro", readOnly), mixed, create("twice", twice, twice))
	for _, x := range []struct{ id, want string }{
		{"ro", "Not a persistent volume: Read-only persistent volume not supported"},
		{"mixed", "Invalid resources: Some resources have a resource provider and some do not"},
		{"twice", "Persistence ID 'w' is not unique"},
	} {
		st := f.seek("status of "+x.id, func(ev *scheduler.Event) bool {
			return ev.Type == scheduler.Event_UPDATE_OPERATION_STATUS && ev.UpdateOperationStatus.Status.OperationID.GetValue() == x.id
		}).UpdateOperationStatus.Status
		if st.State != mesos.OPERATION_ERROR || !strings.HasPrefix(st.GetMessage(), x.want) {
			t.Errorf("%s: %s %q", x.id, st.State, st.GetMessage())
		}
	}
}
