package mesos_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
	"stadion/offers/mesos"
	"stadion/offers/minimesos"
)

const builderPrincipal = "prin"

// volumeApp has what only comes in two steps: a reservation with a volume, and then the launch on it.
const volumeApp = `{"cmd":"x","disk":5,"portDefinitions":[{"port":0}],
	"container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"type":"root","size":100,"constraints":[]}}]}}`

const volumePod = `{"volumes":[{"name":"keep","persistent":{"type":"root","size":100,"constraints":[]}}],
	"containers":[{"name":"c","resources":{"cpus":0.1,"mem":32},"exec":{"command":{"shell":"x"}},"endpoints":[{"name":"e","hostPort":0}],
	"volumeMounts":[{"name":"keep","mountPath":"data"}]}]}`

// oddApp has what the API takes and the master refuses as it stands.
const oddApp = `{"cmd":"x","cpus":0.1237,"portDefinitions":[{"port":0}],"resourceLimits":{"cpus":0.1237},
	"healthChecks":[{"protocol":"MESOS_HTTP","path":"health"}],"check":{"http":{"path":""}}}`

// The master takes every task that is built: the definitions of the golden files of package offers, and residents, in
// both forms of resources. What is wrong with one would come as TASK_ERROR from the rules of Mesos's
// src/master/validation.cpp.
func TestWhatIsBuiltIsValid(t *testing.T) {
	files, err := filepath.Glob("../testdata/build/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("definitions %v, %v", files, err)
	}
	specs := map[string]core.RunSpec{"odd-app": definition(t, "odd-app", []byte(oddApp)), "volume-app": definition(t, "volume-app", []byte(volumeApp)), "volume-pod": definition(t, "volume-pod", []byte(volumePod))}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		specs[name] = definition(t, name, text)
	}
	for _, more := range [][]string{nil, {"RESERVATION_REFINEMENT"}} {
		c := cluster(t, func(cfg *minimesos.Config) {
			resources, err := minimesos.ParseResources("cpus:40;cpus(web):0.5;mem:40960;disk:10000;gpus:8;ports:[31000-31499]", "*")
			if err != nil {
				t.Fatal(err)
			}
			cfg.Agents[0].Resources = resources
		})
		l := newLife(t, c.Addr(), "", func(cfg *mesos.Config) {
			cfg.Framework.Principal = builderPrincipal
			cfg.Framework.Capabilities = append(append(cfg.Framework.Capabilities, "GPU_RESOURCES"), more...)
		})
		for name, spec := range specs {
			t.Run(name+strings.Join(more, ""), func(t *testing.T) {
				l.t = t
				l.start(spec)
			})
		}
	}
}

// start brings one instance of a spec to TASK_RUNNING and ends it again, so that the next one finds everything free.
func (l *life) start(spec core.RunSpec) {
	l.t.Helper()
	cfg := &offers.Config{FrameworkID: l.id, Principal: builderPrincipal, DefaultExecutor: "//cmd", BridgeName: "mesos-bridge", AcceptedRolesDefault: "any",
		GPUBehavior: "unrestricted", ReservationTimeoutMs: 20_000}
	n := &offers.Need{Spec: spec, Instance: &core.Instance{ID: core.NewInstanceID(spec.SpecID(), "00000001-9d1b-11ec-8d5d-0242ac110002"),
		Spec: spec.SpecID(), Version: spec.SpecVersion(), Role: spec.SpecRole()}}
	var m offers.Match
	var o offers.Offer
	for m.TaskIDs == nil {
		o = l.offer()
		m = offers.TryMatch(cfg, core.At(time.Now()), rand.New(rand.NewPCG(1, 2)), &o, o.Resources, n)
		if m.Problem != "" {
			l.t.Fatalf("no match: %v %s", m.Reasons, m.Problem)
		}
		l.Send([]offers.Call{offers.Accept{OfferIDs: []string{o.ID}, AgentID: o.Agent.ID, Operations: m.Operations}})
		if m.Reservation != nil {
			n.Instance.Reservation = m.Reservation
		}
	}
	l.all(m.TaskIDs, "TASK_RUNNING")
	for _, id := range m.TaskIDs {
		l.Send([]offers.Call{offers.Kill{TaskID: id, AgentID: o.Agent.ID}})
	}
	l.all(m.TaskIDs, "TASK_KILLED")
}

// all waits until every task was in the state, in any order. Offers that come meanwhile go back, so that none is held for
// ever and the next spec finds everything in one.
func (l *life) all(tasks []core.TaskID, state string) {
	l.t.Helper()
	left, again := slices.Clone(tasks), 0.0
	seek(l, func(e offers.Event) bool {
		switch e := e.(type) {
		case offers.Received:
			for i := range e.Offers {
				l.Send([]offers.Call{offers.Decline{OfferIDs: []string{e.Offers[i].ID}, RefuseSeconds: &again}})
			}
		case offers.StatusUpdate:
			l.Send([]offers.Call{offers.Acknowledge{TaskID: e.TaskID, AgentID: e.AgentID, UUID: e.UUID}})
			if e.State == "TASK_ERROR" {
				l.t.Fatalf("%s: %s %s %q", e.TaskID, e.State, e.Reason, e.Message)
			}
			if e.State == state {
				left = slices.DeleteFunc(left, func(id core.TaskID) bool { return id == e.TaskID })
			}
		}
		return len(left) == 0
	})
}

// definition reads an app, or a pod when it has containers, as the golden tests of package offers do.
func definition(t *testing.T, name string, text []byte) core.RunSpec {
	t.Helper()
	labels := map[string]string{"GPU_SCHEDULING_BEHAVIOR": "unrestricted"}
	if bytes.Contains(text, []byte(`"containers"`)) {
		p := &core.Pod{ID: core.PathID("/" + name), Role: "web", Version: 1, Scaling: core.PodScaling{Kind: "fixed", Instances: 1},
			ExecutorResources: core.ExecutorResources{CPUs: 0.1, Mem: 32, Disk: 10}, Labels: labels}
		if err := json.Unmarshal(text, p); err != nil {
			t.Fatalf("pod %s: %v", name, err)
		}
		return p
	}
	a := &core.App{ID: core.PathID("/" + name), Role: "web", Instances: 1, Version: 1, CPUs: 1, Mem: 128, Labels: labels}
	if err := json.Unmarshal(text, a); err != nil {
		t.Fatalf("app %s: %v", name, err)
	}
	return a
}
