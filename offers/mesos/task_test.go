package mesos

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

// readCall encodes a call and reads it with mesos-go.
func readCall(t *testing.T, c offers.Call) (*scheduler.Call, []byte) {
	t.Helper()
	e := &encoder{frameworkID: "f1"}
	b, err := e.encode(c)
	if err != nil {
		t.Fatal(err)
	}
	var call scheduler.Call
	if err := call.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	if call.FrameworkID.GetValue() != "f1" {
		t.Fatalf("framework id %v", call.FrameworkID)
	}
	return &call, b
}

func ptr[T any](v T) *T { return &v }

// fullTask uses every field that a task can have.
func fullTask() *offers.TaskInfo {
	labels := []offers.Label{{Key: "k", Value: "v"}, {Key: "l"}}
	return &offers.TaskInfo{
		Name: "app.dev", TaskID: "t1", AgentID: "S0",
		Resources: []offers.Resource{{Name: "cpus", Value: 0.5, AllocationRole: "web"}},
		Limits:    map[string]float64{"cpus": 2, "mem": math.Inf(1)},
		Command: &offers.CommandInfo{
			Shell: true, Value: ptr("run"), Arguments: []string{"a", "b"}, User: ptr("nobody"),
			URIs: []offers.URI{{Value: "http://x/y.tgz", Executable: true, Cache: true, OutputFile: "z"}, {Value: "u", Extract: true}},
			Env:  []offers.EnvVar{{Name: "A", Value: ""}, {Name: "B", Secret: "s"}},
		},
		Container: &offers.ContainerInfo{
			Docker: true,
			DockerInfo: &offers.DockerInfo{
				Image: "nginx", Network: "BRIDGE", PortMappings: []offers.PortMapping{{HostPort: 31000, ContainerPort: 80, Protocol: "tcp"}},
				Privileged: true, Parameters: []offers.Label{{Key: "label", Value: "x"}}, ForcePullImage: true,
			},
			Networks: []offers.NetworkInfo{{Name: "net", Labels: labels, PortMappings: []offers.PortMapping{{HostPort: 1, ContainerPort: 2}}, IPProtocols: []string{"IPv4", "IPv6"}}},
			Volumes: []offers.VolumeInfo{
				{ContainerPath: "/a", Mode: "RO", HostPath: ptr("/h")},
				{ContainerPath: "/b", Mode: "RW", SandboxParent: "volumes/b"},
				{ContainerPath: "/c", Mode: "RW", DockerDriver: "rexray", DockerName: "vol", DockerOptions: []offers.Label{{Key: "size", Value: "1"}}},
				{ContainerPath: "/d", Mode: "RO", Secret: "sec"},
			},
			TTY:       true,
			LinuxInfo: &offers.LinuxInfo{ShareCgroups: ptr(false), SeccompProfile: "p", SeccompUnconfined: true, IPCMode: "PRIVATE", ShmSize: 64},
		},
		Labels: labels,
		Discovery: &offers.DiscoveryInfo{Name: "app.dev", Ports: []offers.DiscoveryPort{
			{Number: 31000, Name: "http", Protocol: "tcp", Labels: []offers.Label{{Key: "network-scope", Value: "host"}}}}},
		HealthCheck:     &offers.HealthCheck{Type: "HTTP", Scheme: "https", Path: "/", HasPath: true, Port: 80, IPv6: true, Delay: 1, Interval: 2, Timeout: 3, Grace: 4, ConsecutiveFailures: 5},
		Check:           &offers.CheckInfo{Type: "TCP", Port: 81, Delay: 1, Interval: 2, Timeout: 3},
		KillGraceMillis: ptr(int64(1500)), MaxCompletionMs: ptr(int64(2000)),
	}
}

func TestTaskInEveryField(t *testing.T) {
	call, _ := readCall(t, offers.Accept{OfferIDs: []string{"o1", "o2"}, Operations: []offers.Operation{{Launch: fullTask()}}, RefuseSeconds: 3})
	if call.Accept.Filters.GetRefuseSeconds() != 3 || len(call.Accept.OfferIDs) != 2 || call.Accept.Operations[0].Type != mesos.Offer_Operation_LAUNCH {
		t.Fatalf("accept %+v", call.Accept)
	}
	task := call.Accept.Operations[0].Launch.TaskInfos[0]
	checks := map[string]bool{
		"ids":         task.Name == "app.dev" && task.TaskID.Value == "t1" && task.AgentID.Value == "S0",
		"resources":   len(task.Resources) == 1 && task.Resources[0].GetAllocationInfo().GetRole() == "web",
		"limits":      task.Limits["cpus"].Value == 2 && math.IsInf(task.Limits["mem"].Value, 1),
		"kill policy": task.KillPolicy.GetGracePeriod().GetNanoseconds() == 1_500_000_000,
		"completion":  task.MaxCompletionTime.GetNanoseconds() == 2_000_000_000,
		"labels":      reflect.DeepEqual(fromLabels(task.Labels), []offers.Label{{Key: "k", Value: "v"}, {Key: "l"}}),
		"discovery":   task.Discovery.Visibility == mesos.FRAMEWORK && task.Discovery.GetPorts().GetPorts()[0].Number == 31000,
	}
	c := task.Command
	checks["command"] = c.GetShell() && c.GetValue() == "run" && fmt.Sprint(c.Arguments) == "[a b]" && c.GetUser() == "nobody"
	checks["uris"] = c.URIs[0].GetExecutable() && !c.URIs[0].GetExtract() && c.URIs[0].GetCache() && c.URIs[0].GetOutputFile() == "z" && c.URIs[1].GetExtract()
	env := c.Environment.Variables
	checks["env"] = env[0].Value != nil && env[0].GetType() == mesos.Environment_Variable_VALUE && env[1].Secret.GetReference().Name == "s" && env[1].Value == nil
	k := task.Container
	checks["container"] = k.GetType() == mesos.ContainerInfo_DOCKER && k.Mesos == nil && k.TTYInfo != nil
	checks["docker"] = k.Docker.GetNetwork() == mesos.ContainerInfo_DockerInfo_BRIDGE && k.Docker.PortMappings[0].ContainerPort == 80 && k.Docker.GetForcePullImage() && k.Docker.GetPrivileged() && k.Docker.Parameters[0].Key == "label"
	checks["network"] = k.NetworkInfos[0].GetName() == "net" && k.NetworkInfos[0].IPAddresses[1].GetProtocol() == mesos.IPv6 && k.NetworkInfos[0].PortMappings[0].Protocol == nil
	v := k.Volumes
	checks["volumes"] = len(v) == 4 && v[0].GetHostPath() == "/h" && v[0].GetMode() == mesos.RO &&
		v[1].Source.GetSandboxPath().GetType() == mesos.Volume_Source_SandboxPath_PARENT && v[1].Source.GetSandboxPath().GetPath() == "volumes/b" &&
		v[2].Source.GetDockerVolume().GetDriver() == "rexray" && v[2].Source.GetDockerVolume().GetDriverOptions().GetParameter()[0].Key == "size" &&
		v[3].Source.GetSecret().GetReference().GetName() == "sec"
	l := k.LinuxInfo
	checks["linux"] = l.ShareCgroups != nil && !*l.ShareCgroups && l.GetIPCMode() == mesos.LinuxInfo_PRIVATE && l.GetSHMSize() == 64 && l.Seccomp.GetProfileName() == "p" && l.Seccomp.GetUnconfined()
	h := task.HealthCheck
	checks["health"] = h.GetType() == mesos.HealthCheck_HTTP && h.HTTP.GetScheme() == "https" && h.HTTP.GetPath() == "/" && h.HTTP.GetPort() == 80 && h.HTTP.GetProtocol() == mesos.IPv6 &&
		h.GetDelaySeconds() == 1 && h.GetIntervalSeconds() == 2 && h.GetTimeoutSeconds() == 3 && h.GetGracePeriodSeconds() == 4 && h.GetConsecutiveFailures() == 5
	checks["check"] = task.Check.GetType() == mesos.CheckInfo_TCP && task.Check.TCP.GetPort() == 81 && task.Check.GetIntervalSeconds() == 2
	for name, ok := range checks {
		if !ok {
			t.Errorf("%s: %+v", name, task)
		}
	}
}

// The fields that a plain task leaves unset are unset on the wire (behaviour 6.2).
func TestTaskWithNothing(t *testing.T) {
	call, _ := readCall(t, offers.Accept{Operations: []offers.Operation{{Launch: &offers.TaskInfo{TaskID: "t", Command: &offers.CommandInfo{}}}}})
	task := call.Accept.Operations[0].Launch.TaskInfos[0]
	if task.Executor != nil || task.Container != nil || task.HealthCheck != nil || task.Check != nil || task.KillPolicy != nil || task.Labels != nil ||
		task.Discovery != nil || task.Limits != nil || task.MaxCompletionTime != nil || task.Command.Environment != nil || task.Command.Value != nil || task.Command.Shell == nil || *task.Command.Shell {
		t.Fatalf("task %+v", task)
	}
}

func podCall(csi *offers.CSIVolume) offers.Accept {
	container := func(image string) *offers.ContainerInfo {
		k := &offers.ContainerInfo{Image: &offers.Image{Name: image, Cached: true, PullConfigSecret: "pull", Principal: "p", PrincipalSecret: "q"},
			LinuxInfo: &offers.LinuxInfo{ShareCgroups: ptr(true)}}
		if csi != nil {
			k.Volumes = []offers.VolumeInfo{{ContainerPath: "/before", Mode: "RW", DockerName: "d", DockerDriver: "x"}, {ContainerPath: "/csi", Mode: "RW", CSI: csi}, {ContainerPath: "/after", Mode: "RO", HostPath: ptr("/h")}}
		}
		return k
	}
	return offers.Accept{OfferIDs: []string{"o"}, Operations: []offers.Operation{
		{LaunchGroup: &offers.TaskGroup{
			Executor: offers.ExecutorInfo{Default: true, ID: "instance-x", Resources: []offers.Resource{{Name: "cpus", Value: 0.1}}, Labels: []offers.Label{{Key: "k", Value: "v"}}, Container: container("e")},
			Tasks:    []offers.TaskInfo{{Name: "a", TaskID: "ta", Container: container("a")}, {Name: "b", TaskID: "tb", Container: container("b")}},
		}},
		{Launch: &offers.TaskInfo{TaskID: "t", Executor: &offers.ExecutorInfo{ID: "custom", Command: &offers.CommandInfo{Shell: true}, Container: container("c")}, Container: container("d")}},
	}}
}

func TestTaskGroup(t *testing.T) {
	call, _ := readCall(t, podCall(nil))
	g := call.Accept.Operations[0].LaunchGroup
	if g.Executor.Type != mesos.ExecutorInfo_DEFAULT || g.Executor.FrameworkID.GetValue() != "f1" || g.Executor.ExecutorID.Value != "instance-x" || g.Executor.Command != nil || len(g.TaskGroup.Tasks) != 2 {
		t.Fatalf("group %+v", g)
	}
	if l := g.Executor.Container.LinuxInfo; l.ShareCgroups == nil || *l.ShareCgroups { // true is refused (validation.cpp)
		t.Fatalf("linux info of the executor %+v", l)
	}
	if l := g.TaskGroup.Tasks[0].Container.LinuxInfo; l.ShareCgroups == nil || !*l.ShareCgroups {
		t.Fatalf("linux info of a task %+v", l)
	}
	image := g.TaskGroup.Tasks[1].Container.Mesos.Image
	if image.Docker.Name != "b" || !image.GetCached() || image.Docker.Config.GetReference().Name != "pull" || image.Docker.Credential.GetSecret() != "q" {
		t.Fatalf("image %+v", image)
	}
	if x := call.Accept.Operations[1].Launch.TaskInfos[0].Executor; x.Type != mesos.ExecutorInfo_CUSTOM || x.ExecutorID.Value != "custom" {
		t.Fatalf("executor %+v", x)
	}
}

// CSI volumes, which mesos-go does not know, are where Mesos looks for them, and all else stays as it is.
func TestCSIVolumesOnTheWire(t *testing.T) {
	csi := &offers.CSIVolume{
		Plugin: "nfs.csi", VolumeID: "vol-1", AccessType: "mount", AccessMode: "MULTI_NODE_MULTI_WRITER", FSType: "ext4", MountFlags: []string{"ro", "sync"}, ReadOnly: true,
		NodeStageSecrets: []offers.Label{{Key: "user", Value: "s1"}}, NodePublishSecrets: []offers.Label{{Key: "key", Value: "s2"}}, Context: []offers.Label{{Key: "server", Value: "10.0.0.1"}},
	}
	call, raw := readCall(t, podCall(csi))
	// Without the CSI sources the call is the same as one that never had them.
	found := 0
	strip := func(k *mesos.ContainerInfo) {
		if len(k.Volumes) != 3 || k.Volumes[0].Source.Type != mesos.Volume_Source_DOCKER_VOLUME || k.Volumes[0].Source.DockerVolume.GetDriver() != "x" || k.Volumes[2].GetHostPath() != "/h" {
			t.Fatalf("volumes %+v", k.Volumes)
		}
		if s := k.Volumes[1].Source; s.Type != csiVolume || s.DockerVolume != nil {
			t.Fatalf("source %+v", s)
		}
		found++
	}
	g := call.Accept.Operations[0].LaunchGroup
	strip(g.Executor.Container)
	strip(g.TaskGroup.Tasks[0].Container)
	strip(g.TaskGroup.Tasks[1].Container)
	task := call.Accept.Operations[1].Launch.TaskInfos[0]
	strip(task.Executor.Container)
	strip(task.Container)

	want, err := encodeCSI(csi)
	if err != nil {
		t.Fatal(err)
	}
	sources := 0
	for _, path := range csiPaths {
		if _, err := rewrite(raw, path, func(m message) ([]byte, error) {
			if bytes.Contains(m, want) {
				if !bytes.Equal(m, appendBytes(appendVarint(nil, 1, csiVolume), csiVolumeField, want)) {
					t.Errorf("source % x", m)
				}
				sources++
			}
			return m, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if sources != found {
		t.Fatalf("%d sources of %d", sources, found)
	}
	// The message itself, field by field as in Mesos's mesos.proto.
	static := []byte("\x0a\x05vol-1" + "\x12\x16" + "\x12\x10\x0a\x04ext4\x12\x02ro\x12\x04sync" + "\x1a\x02\x08\x05" + "\x18\x01" +
		"\x22\x10\x0a\x04user\x12\x08\x08\x01\x12\x04\x0a\x02s1" + "\x2a\x0f\x0a\x03key\x12\x08\x08\x01\x12\x04\x0a\x02s2" + "\x32\x12\x0a\x06server\x12\x0810.0.0.1")
	if expected := appendBytes([]byte("\x0a\x07nfs.csi"), 2, static); !bytes.Equal(want, expected) {
		t.Errorf("got  % x\nwant % x", want, expected)
	}
	block, err := encodeCSI(&offers.CSIVolume{Plugin: "p", VolumeID: "v", AccessType: "block", AccessMode: "SINGLE_NODE_WRITER"})
	if expected := "\x0a\x01p\x12\x0b\x0a\x01v\x12\x06\x0a\x00\x1a\x02\x08\x01"; err != nil || string(block) != expected {
		t.Errorf("block % x, %v", block, err)
	}
}

// What the matcher can never mean is an error and not a strange message.
func TestUnencodable(t *testing.T) {
	bad := []*offers.TaskInfo{
		{Container: &offers.ContainerInfo{DockerInfo: &offers.DockerInfo{Network: "NOPE"}}},
		{Container: &offers.ContainerInfo{Volumes: []offers.VolumeInfo{{Mode: "XX"}}}},
		{Container: &offers.ContainerInfo{Volumes: []offers.VolumeInfo{{CSI: &offers.CSIVolume{AccessType: "mount"}}}}},
		{Container: &offers.ContainerInfo{Volumes: []offers.VolumeInfo{{CSI: &offers.CSIVolume{AccessType: "tape", AccessMode: "SINGLE_NODE_WRITER"}}}}},
		{Container: &offers.ContainerInfo{LinuxInfo: &offers.LinuxInfo{IPCMode: "X"}}},
		{Executor: &offers.ExecutorInfo{Container: &offers.ContainerInfo{LinuxInfo: &offers.LinuxInfo{IPCMode: "X"}}}},
		{HealthCheck: &offers.HealthCheck{Type: "X"}},
		{Check: &offers.CheckInfo{Type: "X"}},
		{Resources: []offers.Resource{{Type: 77}}},
	}
	ops := []offers.Operation{{}, {Reserve: []offers.Resource{{Type: 77}}}, {LaunchGroup: &offers.TaskGroup{Executor: offers.ExecutorInfo{Resources: []offers.Resource{{Type: 77}}}}}}
	for _, task := range bad {
		ops = append(ops, offers.Operation{Launch: task}, offers.Operation{LaunchGroup: &offers.TaskGroup{Tasks: []offers.TaskInfo{*task}}})
	}
	for _, op := range ops {
		e := &encoder{frameworkID: "f1"}
		if _, err := e.encode(offers.Accept{Operations: []offers.Operation{op}}); err == nil {
			t.Errorf("%+v is encoded", op)
		}
	}
	if _, err := (&encoder{}).encode(nil); err == nil {
		t.Error("no call is encoded")
	}
}

func TestOtherCalls(t *testing.T) {
	disk := []offers.Resource{{Name: "disk", Value: 10, AllocationRole: "web",
		Reservations: []offers.ReservationInfo{{Dynamic: true, Role: "web", Principal: "p", Labels: []offers.Label{{Key: "a", Value: "b"}}}},
		Disk:         &offers.DiskInfo{PersistenceID: "id", Principal: "p", ContainerPath: "data", Mode: "RW"}}}
	ops := readOperations(t, []offers.Operation{{Reserve: disk}, {Unreserve: disk}, {Create: disk}, {Destroy: disk}})
	for i, list := range [][]mesos.Resource{ops[0].Reserve.Resources, ops[1].Unreserve.Resources, ops[2].Create.Volumes, ops[3].Destroy.Volumes} {
		if got, ok := fromResource(&list[0]); !ok || !reflect.DeepEqual(got, disk[0]) {
			t.Errorf("operation %d: %+v", i, got)
		}
	}
	seconds := 120.0
	if c, _ := readCall(t, offers.Decline{OfferIDs: []string{"o"}, RefuseSeconds: &seconds}); c.Decline.Filters.GetRefuseSeconds() != 120 || c.Decline.OfferIDs[0].Value != "o" {
		t.Errorf("decline %+v", c)
	}
	if c, _ := readCall(t, offers.Decline{OfferIDs: []string{"o"}}); c.Decline.Filters != nil {
		t.Errorf("decline %+v", c)
	}
	if c, _ := readCall(t, offers.Kill{TaskID: "t", AgentID: "S0"}); c.Kill.TaskID.Value != "t" || c.Kill.AgentID.GetValue() != "S0" || c.Kill.KillPolicy != nil {
		t.Errorf("kill %+v", c)
	}
	if c, _ := readCall(t, offers.Kill{TaskID: "t", GraceMillis: ptr(int64(1500))}); c.Kill.AgentID != nil || c.Kill.KillPolicy.GetGracePeriod().GetNanoseconds() != 1_500_000_000 {
		t.Errorf("kill with a policy %+v", c)
	}
	if c, _ := readCall(t, offers.Reconcile{}); c.Type != scheduler.Call_RECONCILE || c.Reconcile == nil || len(c.Reconcile.Tasks) != 0 {
		t.Errorf("reconcile %+v", c)
	}
	if c, _ := readCall(t, offers.Revive{Roles: []string{"a"}}); c.Type != scheduler.Call_REVIVE || c.Revive.Roles[0] != "a" {
		t.Errorf("revive %+v", c)
	}
	if c, _ := readCall(t, offers.Suppress{}); c.Type != scheduler.Call_SUPPRESS || len(c.Suppress.Roles) != 0 {
		t.Errorf("suppress %+v", c)
	}
	if c, _ := readCall(t, offers.AcceptInverse{IDs: []string{"i"}}); c.AcceptInverseOffers.InverseOfferIDs[0].Value != "i" {
		t.Errorf("accept inverse %+v", c)
	}
	if c, _ := readCall(t, offers.DeclineInverse{IDs: []string{"i"}}); c.DeclineInverseOffers.InverseOfferIDs[0].Value != "i" {
		t.Errorf("decline inverse %+v", c)
	}
	if c, _ := readCall(t, ack("t")); c.Acknowledge.TaskID.Value != "t" {
		t.Errorf("acknowledge %+v", c)
	}
}

func readOperations(t *testing.T, ops []offers.Operation) []mesos.Offer_Operation {
	t.Helper()
	c, _ := readCall(t, offers.Accept{OfferIDs: []string{"o"}, Operations: ops})
	return c.Accept.Operations
}

// behaviour 9.4: what the framework tells of itself, with MULTI_ROLE and without.
func TestFrameworkInfo(t *testing.T) {
	cfg := testConfig("h:1")
	cfg.Framework.Hostname, cfg.Framework.WebUIURL, cfg.Framework.Checkpoint = "h", "http://h:8080", true
	cfg.Framework.Labels = map[string]string{"b": "2", "a": "1"}
	info := cfg.frameworkInfo(identity{id: "f1", roles: []string{"x", "y"}})
	if info.GetID().GetValue() != "f1" || info.GetHostname() != "h" || info.GetWebUiURL() != "http://h:8080" || !info.GetCheckpoint() || info.GetFailoverTimeout() != 60 ||
		fmt.Sprint(info.Roles) != "[x y]" || info.Role != nil || info.Principal != nil || len(info.Capabilities) != 3 || info.Labels.Labels[0].Key != "a" {
		t.Fatalf("info %+v", info)
	}
	cfg.Framework.Capabilities = nil
	if info = cfg.frameworkInfo(identity{roles: []string{"x"}}); info.GetRole() != "x" || info.Roles != nil || info.ID != nil {
		t.Fatalf("info %+v", info)
	}
}

// D-49: which roles a refusal is about.
func TestRefusedRoles(t *testing.T) {
	const outside = "Supplied FrameworkInfo is not valid: Roles { x, b } are not present in the master's --roles"
	cases := []struct {
		wanted, accepted, refused []string
		text                      string
	}{
		{[]string{"*", "a"}, []string{"*"}, []string{"a"}, ""},
		{[]string{"*", "a"}, nil, []string{"a"}, ""},
		{[]string{"a"}, nil, []string{"a"}, ""},
		{[]string{"*", "a", "-b", "c d", "e//f", "/g", "h/", "..", ""}, nil, []string{"-b", "c d", "e//f", "/g", "h/", "..", ""}, ""},
		{[]string{"x", "a/b"}, []string{"y"}, []string{"a/b"}, ""},
		{[]string{"*", "a", "b", "x"}, []string{"*"}, []string{"b", "x"}, outside},
		{[]string{"x", "a"}, []string{"x"}, []string{"x"}, outside},
		{[]string{"*", "a"}, []string{"*"}, []string{"a"}, "Not authorized to register framework f1 with roles { *, a }"},
	}
	for _, c := range cases {
		if got := refusedRoles(c.wanted, c.accepted, c.text); !reflect.DeepEqual(got, c.refused) {
			t.Errorf("%q after %q: %q", c.wanted, c.accepted, got)
		}
	}
	if len(launched(&offers.Accept{Operations: podCall(nil).Operations}, "TASK_DROPPED", "X", "m", core.Timestamp(1))) != 3 {
		t.Error("not every task of a call is found")
	}
}
