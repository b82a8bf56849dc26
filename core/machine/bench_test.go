package machine

import (
	"fmt"
	"slices"
	"testing"
	"time"

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
	now := core.Timestamp(1_700_001_000_000)
	var events []Event // made before, so that only what Step does is counted
	for _, state := range []string{"TASK_STARTING", "TASK_RUNNING"} {
		for _, r := range refs {
			events = append(events, Mesos{offers.StatusUpdate{TaskID: r.TaskID, AgentID: r.AgentID, State: state, UUID: []byte("0123456789abcdef"), Timestamp: now}})
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	batch := &Batch{}
	for n := range b.N {
		m.Step(now, events[n%len(events)], batch)
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

// BenchmarkTakeOver is what a new leader of 100,000 running tasks does: begin, ask the master for all tasks, take in the
// answers (P28). The longest turn of the loop, a batch of at most so many events, is what everybody else waits for.
func BenchmarkTakeOver(b *testing.B) {
	const tasks, batch = 100_000, 4096
	m, refs := fill(b, tasks)
	now := core.Timestamp(1_700_001_000_000)
	turn := func(m *Machine, evs ...Event) (*Batch, time.Duration) {
		out, began := &Batch{}, time.Now()
		for _, ev := range evs {
			m.Step(now, ev, out)
		}
		m.Settle(now, out)
		return out, time.Since(began)
	}
	answer := func(r offers.TaskRef) Event {
		return Mesos{offers.StatusUpdate{TaskID: r.TaskID, AgentID: r.AgentID, State: "TASK_RUNNING", Reason: "RECONCILIATION", Timestamp: now}}
	}
	for _, r := range refs {
		m.Step(now, answer(r), &Batch{})
	}
	rows := m.st.View.Durable()
	longest := map[string]time.Duration{}
	for b.Loop() {
		st := state.New()
		for _, w := range rows {
			if err := st.Load(w); err != nil {
				b.Fatal(err)
			}
		}
		st.Finish()
		now += 60_000
		m := New(m.cfg, st)
		_, longest["begin-ms"] = turn(m, Begin{Seed: 1})
		asked := 0
		for evs := []Event{Mesos{offers.Subscribed{FrameworkID: "fw"}}}; len(evs) > 0 || m.Pending(); evs = nil {
			out, took := turn(m, evs...)
			longest["ask-ms"] = max(longest["ask-ms"], took)
			for _, c := range out.Calls {
				if r, ok := c.(offers.Reconcile); ok {
					asked += len(r.Tasks)
				}
			}
		}
		if asked != tasks {
			b.Fatalf("asked for %d tasks", asked)
		}
		for part := range slices.Chunk(refs, batch) {
			evs := make([]Event, len(part))
			for i, r := range part {
				evs[i] = answer(r)
			}
			_, took := turn(m, evs...)
			longest["answers-ms"] = max(longest["answers-ms"], took)
		}
		if m.recon.open.Len() > 0 {
			b.Fatalf("%d tasks are not answered", m.recon.open.Len())
		}
	}
	for name, d := range longest {
		b.ReportMetric(float64(d.Microseconds())/1000, name)
	}
}
