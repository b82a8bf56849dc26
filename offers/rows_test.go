package offers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

// behaviour 5.5.1: on an agent without the field every operator says no, but UNLIKE yes; D-15: not with a pattern that
// cannot be used.
func TestMissingField(t *testing.T) {
	for _, field := range []string{"shelf", "@region", "@zone"} {
		for rest, want := range map[string]bool{`"UNIQUE"`: false, `"CLUSTER"`: false, `"CLUSTER","x"`: false, `"GROUP_BY"`: false, `"GROUP_BY","2"`: false,
			`"MAX_PER","9"`: false, `"LIKE",".*"`: false, `"UNLIKE",".*"`: true, `"UNLIKE","("`: false, `"IS","x"`: false, `"IS",""`: false} {
			m := try(offer(), need(app(t, `{"constraints":[["`+field+`",`+rest+`]]}`)))
			if fits := m.Operations != nil; fits != want || !fits && !slices.Equal(m.Reasons, []Reason{UnfulfilledConstraint}) {
				t.Errorf("%s %s: fits %v, %v", field, rest, fits, m.Reasons)
			}
		}
	}
}

// behaviour 5.5.1: what each field means, on the offer and on the agents of placed instances; of several attributes of
// one name the first counts.
func TestFields(t *testing.T) {
	here := &core.AgentInfo{Host: "h1", ID: "S1", Region: "eu", Zone: "z1", Attributes: []core.Attribute{{Name: "rack", Value: "r1"}, {Name: "rack", Value: "r2"}}}
	there := &core.AgentInfo{Host: "h2", ID: "S2", Region: "us", Zone: "z2", Attributes: []core.Attribute{{Name: "rack", Value: "r2"}, {Name: "rack", Value: "r1"}}}
	for field, value := range map[string]string{"hostname": "h1", "@hostname": "h1", "@region": "eu", "@zone": "z1", "rack": "r1"} {
		for _, c := range []struct {
			rule   string
			placed *core.AgentInfo
			want   bool
		}{
			{`"IS","` + value + `"`, nil, true}, {`"IS","h2"`, nil, false}, {`"LIKE","` + value + `"`, nil, true}, {`"UNLIKE","` + value + `"`, nil, false},
			{`"CLUSTER","` + value + `"`, there, true}, {`"UNIQUE"`, here, false}, {`"UNIQUE"`, there, true}, {`"CLUSTER"`, here, true}, {`"CLUSTER"`, there, false},
			{`"MAX_PER","1"`, here, false}, {`"MAX_PER","1"`, there, true}, {`"GROUP_BY","1"`, there, false}, {`"GROUP_BY","1"`, here, true},
		} {
			a := app(t, `{"instances":9,"constraints":[["`+field+`",`+c.rule+`]]}`)
			n, o := need(a), offer()
			o.Agent = here
			if c.placed != nil {
				n.Placed = []Placed{{Instance: instance(a, 7).ID, Version: a.Version, Agent: c.placed}}
			}
			cfg := config()
			cfg.HomeRegion = "eu"
			if m := TryMatch(cfg, now, random(), o, o.Resources, n); (m.Operations != nil) != c.want {
				t.Errorf("%s %s with one on %+v: %v", field, c.rule, c.placed, m.Reasons)
			}
		}
	}
}

// behaviour 5.5.2: CLUSTER without a value goes where the first of the placed ones is, GROUP_BY may not overfill a
// group that has its share of what is left over.
func TestFirstOfSeveral(t *testing.T) {
	for _, c := range []struct {
		constraint, placed, value string
		want                      bool
	}{
		{`["g","CLUSTER"]`, "a b", "a", true},
		{`["g","CLUSTER"]`, "a b", "b", false},
		{`["g","GROUP_BY","2"]`, "a a a b b", "b", false}, // 5 instances in 2 groups: only one may have 3
		{`["g","GROUP_BY","3"]`, "a a b b", "b", false},
		{`["g","GROUP_BY","3"]`, "a a b b", "c", true},
		{`["g","GROUP_BY","inf"]`, "a", "a", false},
	} {
		if got := fitsGroup(t, c.constraint, 5, strings.Fields(c.placed), c.value); got != c.want {
			t.Errorf("%s placed %q offer %q: %v", c.constraint, c.placed, c.value, got)
		}
	}
}

// behaviour 5.5.6: GPUs are kept for those who ask for them, by the flag or the label of an app or a pod, unless the
// offer holds the volume of a resident instance that waits for it.
func TestScarceGPUs(t *testing.T) {
	gpus := func(o *Offer) *Offer { o.Resources = append(o.Resources, scalar("gpus", 1, "*")); return o }
	label := func(v string) string { return `"labels":{"GPU_SCHEDULING_BEHAVIOR":"` + v + `"}` }
	pod := `"containers":[{"name":"c","resources":{"cpus":0.1,"mem":32,"disk":0,"gpus":0},"exec":{"command":{"shell":"x"}}}]`
	for name, c := range map[string]struct {
		flag, spec string
		want       bool
	}{
		"flag":                         {"restricted", `{"cpus":1}`, false},
		"flag off":                     {"unrestricted", `{"cpus":1}`, true},
		"the label wins over the flag": {"unrestricted", `{` + label("restricted") + `}`, false},
		"also this way":                {"restricted", `{` + label("unrestricted") + `}`, true},
		"a pod":                        {"restricted", `{` + label("maybe") + `,` + pod + `}`, false},
		"a pod with the label":         {"restricted", `{` + label("unrestricted") + `,` + pod + `}`, true},
		"one that wants gpus":          {"restricted", `{"gpus":1,"labels":{}}`, true},
	} {
		cfg := config()
		cfg.GPUBehavior = c.flag
		var spec core.RunSpec
		if strings.Contains(c.spec, "containers") {
			spec = definition(t, []byte(c.spec))
		} else {
			spec = app(t, c.spec)
		}
		o := gpus(offer())
		m := TryMatch(cfg, now, random(), o, o.Resources, need(spec))
		if fits := m.Operations != nil; fits != c.want || !fits && !slices.Equal(m.Reasons, []Reason{DeclinedScarceResources}) {
			t.Errorf("%s: fits %v, %v", name, fits, m.Reasons)
		}
	}
	n := need(app(t, residentApp))
	if m := try(gpus(offer()), n); !slices.Equal(m.Reasons, []Reason{DeclinedScarceResources}) {
		t.Errorf("a new reservation beside gpus: %v", m.Reasons)
	}
	first := try(offer(), n)
	n.Instance.Reservation = first.Reservation
	launched(t, try(gpus(reservedOffer(first)), n))
}

// behaviour 5.3: only what is required is looked at, and nothing that is not comes along (6.2).
func TestNothingRequired(t *testing.T) {
	o := offer(scalar("cpus", 1, "*"))
	task := launched(t, try(o, need(app(t, `{"cpus":0.5,"mem":0,"disk":0,"portDefinitions":[]}`))))
	if len(task.Resources) != 1 || task.Resources[0].Name != "cpus" || task.KillGraceMillis != nil || task.Limits != nil || task.Labels != nil || task.HealthCheck != nil || task.Check != nil {
		t.Errorf("%+v", task)
	}
}

// behaviour 5.3: the accepted roles of a pod are those of its scheduling policy.
func TestAcceptedRolesOfPods(t *testing.T) {
	for accepted, want := range map[string]bool{`["*"]`: false, `["web"]`: true, `["*","web"]`: true, `[]`: true} {
		spec := definition(t, []byte(`{"scheduling":{"placement":{"acceptedResourceRoles":`+accepted+`}},"containers":[{"name":"c","resources":{"cpus":1,"mem":32}}]}`))
		m := try(offer(scalar("cpus", 4, "web"), scalar("mem", 1000, "*"), scalar("mem", 1000, "web"), scalar("disk", 100, "*"), scalar("disk", 100, "web")), need(spec))
		if (m.Operations != nil) != want {
			t.Errorf("%s: %v", accepted, m.Reasons)
		}
	}
}

// behaviour 5.3: a persistent volume is nobody's scratch space, nor does it make an offer usable.
func TestVolumesAreNoScratch(t *testing.T) {
	volume := scalar("disk", 500, "*")
	volume.Disk = &DiskInfo{PersistenceID: "v", ContainerPath: "data", Mode: "RW"}
	a := app(t, `{"cpus":0,"mem":0,"disk":100,"portDefinitions":[]}`)
	if m := try(offer(scalar("cpus", 1, "*"), volume), need(a)); !slices.Equal(m.Reasons, []Reason{InsufficientDisk}) {
		t.Errorf("beside a volume: %v", m.Reasons)
	}
	if m := try(offer(volume), need(a)); !slices.Equal(m.Reasons, []Reason{UnfulfilledRole, InsufficientDisk}) {
		t.Errorf("nothing but a volume: %v", m.Reasons)
	}
}

// behaviour 5.3.2: the pieces of one volume come from one source; a volume is not put together from two disks.
func TestVolumeOfOneDisk(t *testing.T) {
	disk := func(size float64, root string) Resource {
		r := scalar("disk", size, "*")
		r.Disk = &DiskInfo{Source: &DiskSource{Type: "PATH", Root: root}}
		return r
	}
	a := app(t, `{"portDefinitions":[],"container":{"type":"MESOS","volumes":[{"containerPath":"v","mode":"RW","persistent":{"type":"path","size":250,"constraints":[]}}]}}`)
	base := []Resource{scalar("cpus", 4, "*"), scalar("mem", 4096, "*")}
	if m := try(offer(append(slices.Clone(base), disk(200, "/p1"), disk(200, "/p2"))...), need(a)); !slices.Equal(m.Reasons, []Reason{InsufficientDisk}) {
		t.Errorf("of two disks: %+v", m)
	}
	if m := try(offer(append(slices.Clone(base), disk(200, "/p1"), disk(300, "/p2"))...), need(a)); m.Operations == nil || m.Operations[1].Create[0].Disk.Source.Root != "/p2" {
		t.Errorf("of the larger one: %+v", m)
	}
}

// behaviour 5.4: requirePorts means nothing outside of the host network; a port of a role that is not accepted is none.
func TestPortsByModeAndRole(t *testing.T) {
	bridge := `{"requirePorts":true,"networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[{"containerPort":80,"hostPort":0,"servicePort":80}]}}`
	if p := try(offer(), need(app(t, bridge))).HostPorts[core.AppContainer]; len(p) != 1 || p[0] < 31000 {
		t.Errorf("ports %v", p)
	}
	required := `{"requirePorts":true,"portDefinitions":[{"port":5000}]}`
	for role, want := range map[string]bool{"*": true, "web": true, "db": false} {
		o := offer(scalar("cpus", 1, "*"), scalar("mem", 128, "*"), ports("*", 31000, 31009), ports(role, 5000, 5000))
		m := try(o, need(app(t, required)))
		if (m.Operations != nil) != want {
			t.Errorf("port of role %s: %v", role, m.Reasons)
			continue
		}
		if want {
			if r := m.Operations[0].Launch.Resources; r[len(r)-1].Role() != role || !slices.Equal(r[len(r)-1].Ranges, []Range{{5000, 5000}}) {
				t.Errorf("port of role %s: %+v", role, r)
			}
		}
	}
}

// behaviour 5.4: random ports of one task lie together, with a wrap-around at the end of what is offered, and begin
// anywhere.
func TestRandomPortsLieTogether(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	begins := map[int]bool{}
	for range 400 {
		o := offer(scalar("cpus", 1, "*"), scalar("mem", 128, "*"), ports("*", 31000, 31019))
		m := TryMatch(config(), now, rnd, o, o.Resources, need(app(t, `{"portDefinitions":[{"port":0},{"port":0},{"port":0}]}`)))
		p := m.HostPorts[core.AppContainer]
		begins[p[0]] = true
		for i := range p {
			if p[i] != 31000+(p[0]-31000+i)%20 {
				t.Fatalf("%v", p)
			}
		}
	}
	if len(begins) != 20 {
		t.Errorf("begins at %d of 20 ports", len(begins))
	}
	follows := map[[2]int]bool{} // which range comes after which: they are shuffled
	for range 300 {
		o := offer(scalar("cpus", 1, "*"), scalar("mem", 128, "*"), ports("*", 1, 1, 5, 5, 9, 9))
		m := TryMatch(config(), now, rnd, o, o.Resources, need(app(t, `{"portDefinitions":[{"port":0},{"port":0},{"port":0}]}`)))
		p := m.HostPorts[core.AppContainer]
		follows[[2]int{p[0], p[1]}] = true
	}
	if len(follows) != 6 {
		t.Errorf("%v", follows)
	}
}

// behaviour 6.4: labels below 493 bytes of key and 512 of value become variables, longer ones do not.
func TestLabelLengths(t *testing.T) {
	for _, c := range []struct {
		key, value int
		want       bool
	}{{492, 511, true}, {493, 1, false}, {1, 512, false}} {
		a := app(t, `{"cmd":"x"}`)
		key := strings.Repeat("k", c.key)
		a.Labels = map[string]string{key: strings.Repeat("v", c.value)}
		env := envOf(launched(t, try(offer(), need(a))))
		value, set := env["MARATHON_APP_LABEL_"+strings.ToUpper(key)]
		if set != c.want || set && len(value) != c.value || (env["MARATHON_APP_LABELS"] != "") != c.want {
			t.Errorf("%d and %d: set %v", c.key, c.value, set)
		}
	}
}

// behaviour 6.4: a container port that nobody chose is one of 1025 to 65535 that is not used otherwise.
func TestGeneratedPorts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	seen := map[string]bool{}
	for range 300 {
		env := map[string]string{}
		for _, v := range portEnv(nil, "", []appPort{{}, {}, {host: 2000, container: 2000}}, rnd) {
			env[v.Name] = v.Value
		}
		var a, b int
		fmt.Sscan(env["PORT0"], &a)
		fmt.Sscan(env["PORT1"], &b)
		if a < 1025 || a > 65535 || b < 1025 || b > 65535 || a == b || a == 2000 || b == 2000 {
			t.Fatalf("%v", env)
		}
		seen[env["PORT0"]] = true
	}
	if len(seen) < 200 {
		t.Errorf("only %d different ports", len(seen))
	}
	used := map[int]bool{1026: true}
	if a, b := unusedPort(used, nil), unusedPort(used, nil); a != 1025 || b != 1027 {
		t.Errorf("%d and %d are generated beside 1026", a, b)
	}
}

// behaviour 6.6, D-37: a port without host port is told of once for each network it is in.
func TestDiscoveryByNetwork(t *testing.T) {
	a := app(t, `{"networks":[{"mode":"container","name":"n1"},{"mode":"container","name":"n2"},{"mode":"container","name":"n3"}],
		"container":{"type":"MESOS","portMappings":[{"containerPort":80,"protocol":"udp,tcp","networkNames":["n1","n3"],"labels":{"l":"1"}},{"containerPort":81}]}}`)
	var got []string
	for _, p := range launched(t, try(offer(), need(a))).Discovery.Ports {
		got = append(got, fmt.Sprint(p.Number, p.Protocol, p.Labels))
	}
	want := []string{}
	for _, proto := range []string{"udp", "tcp"} {
		for _, n := range []string{"n1", "n3"} {
			want = append(want, fmt.Sprint(80, proto, []Label{{"l", "1"}, {"network-name", n}, {"network-scope", "container"}}))
		}
	}
	for _, n := range []string{"n1", "n2", "n3"} {
		want = append(want, fmt.Sprint(81, "tcp", []Label{{"network-name", n}, {"network-scope", "container"}}))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// behaviour 6.1: the executor of a pod is named after the instance, from the second launch on also after the launch: the
// executor of the last one may still be going away on the same agent, and a group that comes under its id ends with it.
func TestExecutorOfEachLaunch(t *testing.T) {
	const spec = `{"containers":[{"name":"c","resources":{"cpus":0.1,"mem":32,"disk":0,"gpus":0},"exec":{"command":{"shell":"x"}}}],"networks":[{"mode":"host"}]}`
	for before, want := range map[int]string{0: "instance-prod_pod.i1", 1: "instance-prod_pod.i1.2", 41: "instance-prod_pod.i1.42"} {
		o := offer(scalar("cpus", 4, "*"), scalar("mem", 4096, "*"), scalar("disk", 10000, "*"))
		n := need(definition(t, []byte(spec)))
		n.Instance.ID, n.Instance.Incarnation = "prod_pod.instance-i1", before
		m := TryMatch(config(), now, nil, o, o.Resources, n)
		if len(m.Operations) != 1 {
			t.Fatalf("no match: %v %s", m.Reasons, m.Problem)
		}
		if got := m.Operations[0].LaunchGroup.Executor.ID; got != want {
			t.Errorf("after %d launches: executor %q, want %q", before, got, want)
		}
	}
}
