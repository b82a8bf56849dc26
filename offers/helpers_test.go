package offers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"stadion/core"
)

const now = core.Timestamp(1_700_000_000_000)

func config() *Config {
	return &Config{FrameworkID: "fw", Principal: "prin", DefaultExecutor: "//cmd", BridgeName: "mesos-bridge", AcceptedRolesDefault: "any",
		GPUBehavior: "restricted", MaintenanceMode: true, ReservationTimeoutMs: 20_000}
}

func random() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// app reads a definition and fills in what every app has.
func app(t testing.TB, text string) *core.App {
	t.Helper()
	a := &core.App{ID: "/prod/shop", Role: "web", Instances: 1, Version: now - 5000, CPUs: 1, Mem: 128}
	if err := json.Unmarshal([]byte(text), a); err != nil {
		t.Fatalf("app %s: %v", text, err)
	}
	return a
}

func agent(n int, attributes ...string) *core.AgentInfo {
	a := &core.AgentInfo{Host: fmt.Sprintf("h%d", n), ID: fmt.Sprintf("S%d", n)}
	for i := 0; i+1 < len(attributes); i += 2 {
		a.Attributes = append(a.Attributes, core.Attribute{Name: attributes[i], Value: attributes[i+1]})
	}
	return a
}

func scalar(name string, v float64, role string) Resource {
	r := Resource{Name: name, Value: v, AllocationRole: "web"}
	if role != "*" {
		r.Reservations = []ReservationInfo{{Role: role}}
	}
	return r
}

func ports(role string, ends ...uint64) Resource {
	r := scalar("ports", 0, role)
	r.Type = Ranges
	for i := 0; i+1 < len(ends); i += 2 {
		r.Ranges = append(r.Ranges, Range{ends[i], ends[i+1]})
	}
	return r
}

// offer is an agent with the given resources; without any a roomy one.
func offer(resources ...Resource) *Offer {
	if len(resources) == 0 {
		resources = []Resource{ports("*", 31000, 31999), scalar("cpus", 4, "*"), scalar("mem", 4096, "*"), scalar("disk", 10000, "*")}
	}
	return &Offer{ID: "O1", Agent: agent(1), Role: "web", Resources: resources}
}

func instance(spec core.RunSpec, n int) *core.Instance {
	return &core.Instance{ID: core.NewInstanceID(spec.SpecID(), fmt.Sprintf("%08d-9d1b-11ec-8d5d-0242ac110002", n)),
		Spec: spec.SpecID(), Version: spec.SpecVersion(), Role: spec.SpecRole()}
}

func need(spec core.RunSpec) *Need { return &Need{Spec: spec, Instance: instance(spec, 1)} }

func try(o *Offer, n *Need) Match { return TryMatch(config(), now, random(), o, o.Resources, n) }

func launched(t testing.TB, m Match) *TaskInfo {
	t.Helper()
	if len(m.Operations) != 1 || m.Operations[0].Launch == nil {
		t.Fatalf("no launch: reasons %v, problem %q", m.Reasons, m.Problem)
	}
	return m.Operations[0].Launch
}

// placedAt makes instances of the spec on agents whose attribute g has the given values.
func placedAt(spec core.RunSpec, values ...string) []Placed {
	var out []Placed
	for i, v := range values {
		a := agent(100 + i)
		if v != "" {
			a.Attributes = []core.Attribute{{Name: "g", Value: v}}
		}
		out = append(out, Placed{Instance: instance(spec, 100+i).ID, Version: spec.SpecVersion(), Agent: a})
	}
	return out
}
