package machine

import (
	"fmt"
	"testing"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// fill deploys one app with so many instances on simulated offers and returns their tasks, provisioned.
func fill(b testing.TB, instances int) (*Machine, []offers.TaskRef) {
	cfg := DefaultConfig()
	cfg.MaxRows = 1 << 30
	cfg.Offers.MaxInstancesPerOffer = 1000
	m := New(cfg, state.New())
	now := core.Timestamp(1_700_000_000_000)
	step := func(ev Event) *Batch {
		out := &Batch{}
		m.Step(now, ev, out)
		m.Settle(now, out)
		for m.Pending() {
			m.Settle(now, out)
		}
		return out
	}
	step(Begin{Seed: 1})
	step(Mesos{offers.Subscribed{FrameworkID: "fw"}})
	app := testApp(b, `{"id":"/web","cpus":0.01,"mem":1}`)
	step(Request{ID: 1, Command: UpdateTree{Change: core.Change{Put: []core.RunSpec{app.WithInstances(instances)}}}})
	var refs []offers.TaskRef
	for n := 0; len(refs) < instances; n++ {
		if n > 10*instances {
			b.Fatal("the instances find no place")
		}
		now += lookEveryMs
		var list []offers.Offer
		for k := range 10 {
			id := fmt.Sprintf("S%d-%d", n, k)
			list = append(list, offers.Offer{ID: "o" + id, Agent: &core.AgentInfo{ID: id, Host: id}, Role: "*", Resources: []offers.Resource{
				{Name: "cpus", Value: 64}, {Name: "mem", Value: 65536}, {Name: "ports", Type: offers.Ranges, Ranges: []offers.Range{{Begin: 10000, End: 20000}}}}})
		}
		for _, c := range step(Mesos{offers.Received{Offers: list}}).Calls {
			if a, ok := c.(offers.Accept); ok {
				for _, op := range a.Operations {
					refs = append(refs, offers.TaskRef{TaskID: core.TaskID(op.Launch.TaskID), AgentID: a.AgentID})
				}
			}
		}
	}
	return m, refs
}

// BenchmarkStatusUpdate is the micro bound of performance.md 3.8: Step for a status update among 100,000 instances.
func BenchmarkStatusUpdate(b *testing.B) {
	m, refs := fill(b, 100_000)
	states := []string{"TASK_STARTING", "TASK_RUNNING"}
	now := core.Timestamp(1_700_001_000_000)
	uuid := []byte("0123456789abcdef")
	b.ReportAllocs()
	b.ResetTimer()
	batch := &Batch{}
	for n := range b.N {
		r := refs[n%len(refs)]
		m.Step(now, Mesos{offers.StatusUpdate{TaskID: r.TaskID, AgentID: r.AgentID, State: states[n/len(refs)%2], UUID: uuid, Timestamp: now}}, batch)
		if n%100 == 99 {
			batch = &Batch{}
			m.st.Flush()
		}
	}
}

// BenchmarkLaunch is the whole way of an instance through the machine: scheduled, matched, placed.
func BenchmarkLaunch(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		fill(b, 10_000)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/10_000, "µs/instance")
}
