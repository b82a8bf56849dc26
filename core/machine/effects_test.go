package machine

import (
	"fmt"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// TestEffectsRestOnWrites: a launch leaves in the batch that stores its intent (D-14, R3, I2), and an update is
// acknowledged once, in the batch that stores its effect (I9), also when the work takes several batches.
func TestEffectsRestOnWrites(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxRows = 10 })
	r.put(`{"id":"/web","cpus":0.1,"instances":95}`)
	b := &Batch{}
	var list []offers.Offer
	for n := range 5 {
		list = append(list, r.offerOf(fmt.Sprintf("h%d", n), cpus(2)...))
	}
	r.m.Step(r.now, Mesos{offers.Received{Offers: list}}, b)
	launched := 0
	for batches := 0; ; batches++ {
		r.m.Settle(r.now, b)
		stored := map[core.InstanceID]core.Condition{}
		for _, w := range b.Writes {
			if i, ok := w.Value.(*core.Instance); ok {
				stored[i.ID] = i.Condition
			}
		}
		for _, task := range launches(b) {
			launched++
			name, _ := core.ParseTaskID(task)
			if stored[name.Instance] != core.Provisioned {
				t.Fatalf("%s leaves without its intent", task)
			}
		}
		if !r.m.Pending() {
			if batches < 4 {
				t.Errorf("only %d batches", batches+1)
			}
			break
		}
		b = &Batch{}
	}
	if launched != 50 { // ten of each offer: an offer is used once, and what is left of it comes again
		t.Errorf("%d launched", launched)
	}
	for _, id := range r.ids("/web")[:20] {
		b = &Batch{}
		i := r.get(id)
		r.m.Step(r.now, Mesos{offers.StatusUpdate{TaskID: i.Tasks[0].ID, AgentID: i.Agent.ID, State: "TASK_RUNNING", UUID: []byte{7}, Timestamp: r.now}}, b)
		r.m.Settle(r.now, b)
		stored := false
		for _, w := range b.Writes {
			stored = stored || w.Table == state.TableInstance && w.Key == string(id)
		}
		if acks(b) != 1 || !stored {
			t.Errorf("%d acknowledgements, stored %v", acks(b), stored)
		}
	}
}

// TestOfferFlood is F19: thousands of offers with nothing wanted cost one call and are each answered once; a rescinded
// one is not answered (I8); an accept that came too late heals itself.
func TestOfferFlood(t *testing.T) {
	r := newRig(t)
	r.running(`{"id":"/web"}`)
	var list []offers.Offer
	for n := range 5000 {
		list = append(list, r.offerOf(fmt.Sprintf("h%d", n)))
	}
	b := &Batch{}
	r.m.Step(r.now, Mesos{offers.Received{Offers: list}}, b)
	r.m.Step(r.now, Mesos{offers.Rescinded{OfferID: list[17].ID}}, b)
	for r.m.Settle(r.now, b); r.m.Pending(); {
		r.m.Settle(r.now, b)
	}
	answered := map[string]int{}
	for _, d := range calls[offers.Decline](b) {
		for _, id := range d.OfferIDs {
			answered[id]++
		}
	}
	if len(answered) != 4999 || answered[list[17].ID] != 0 || len(b.Calls) > 3 {
		t.Errorf("%d answered in %d calls", len(answered), len(b.Calls))
	}
	for id, n := range answered {
		if n != 1 {
			t.Fatalf("%s is answered %d times", id, n)
		}
	}
	r.put(`{"id":"/late"}`)
	r.offer("a")
	id := r.ids("/late")[0]
	r.status(id, "TASK_DROPPED", reason("INVALID_OFFERS"))
	r.wait(2 * time.Second)
	if got := launches(r.offer("a")); len(got) != 1 {
		t.Errorf("relaunched %v", got)
	}
}
