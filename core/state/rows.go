package state

import (
	"iter"

	"stadion/core"
)

// Counts are the counters of one spec, as lists show them (behaviour.md 8.6).
type Counts struct {
	Instances   int // rows of the spec, whatever their goal
	Waiting     int // scheduled: wait for an offer
	Provisioned int // accepted, no status yet, goal Running
	Staged      int // launched, no status yet or TASK_STAGING
	Running     int // last status TASK_RUNNING
	Healthy     int // at least one health result, all alive
	Unhealthy   int // at least one health result, not all alive
}

// HealthResult is what is known of one health check of one instance (behaviour.md 8.2).
type HealthResult struct {
	Reported            bool // false: no result yet in this term
	Alive               bool
	ConsecutiveFailures int
	FirstSuccess        core.Timestamp
	LastSuccess         core.Timestamp
	LastFailure         core.Timestamp
	LastFailureCause    string
}

// HealthBook is the health of one instance: one result per health check of its version, in the order of the
// definition. Seeded marks alive flags that come from the last term (D-45).
type HealthBook struct {
	Results []HealthResult
	Seeded  bool
}

// Aggregate is the health of the instance over all checks (behaviour.md 8.6).
func (b *HealthBook) Aggregate() core.Health {
	if b == nil || len(b.Results) == 0 {
		return core.HealthUnknown
	}
	all, unknown := true, false
	for _, r := range b.Results {
		if !r.Reported {
			unknown = true
		}
		if !r.Alive {
			all = false
		}
	}
	switch {
	case all:
		return core.Healthy
	case unknown:
		return core.HealthUnknown
	}
	return core.Unhealthy
}

// Any reports whether any check has a result, and whether all that have one are alive (tasksHealthy, tasksUnhealthy).
func (b *HealthBook) Any() (some, alive bool) {
	if b == nil {
		return false, false
	}
	alive = true
	for _, r := range b.Results {
		if r.Reported {
			some = true
			alive = alive && r.Alive
		}
	}
	return some, some && alive
}

// Delay is the backoff of one configuration (behaviour.md 4.3); Current in milliseconds.
type Delay struct {
	Reference core.Timestamp
	Current   float64
	Max       float64
}

// Deadline is the moment from which a launch is allowed again.
func (d Delay) Deadline() core.Timestamp { return d.Reference + core.Timestamp(d.Current) }

// OfferTally counts offers (behaviour.md 4.5).
type OfferTally struct {
	Processed  int
	Unused     int
	LastUnused core.Timestamp
	Funnel     [10]int // declined per first reason, in funnel order
}

// QueueStats are the offer statistics of one waiting spec since the launch attempt began (behaviour.md 4.5). Immutable
// once stored. Specs that ask the same of an offer share what they are refused: Stats adds that on top.
type QueueStats struct {
	OfferTally
	LastUsed   core.Timestamp
	LastOffers map[string]LastOffer // last non-matching offer per agent id; at most MaxLastOffers (D-12)

	Kin   string     // the statistics shared with others; empty: none
	Base  OfferTally // of those, as they were when this spec began to share them
	Since int        // and how many refusals they had seen

	shared *KinStats
}

// KinStats are the refusals that specs which ask the same of an offer share. Immutable once stored.
type KinStats struct {
	OfferTally
	LastOffers map[string]LastOffer
}

// Plus is the tally with what another one counted since base.
func (t OfferTally) Plus(k, base OfferTally) OfferTally {
	t.Processed += max(0, k.Processed-base.Processed)
	t.Unused += max(0, k.Unused-base.Unused)
	for n := range t.Funnel {
		t.Funnel[n] += max(0, k.Funnel[n]-base.Funnel[n])
	}
	if k.Unused > base.Unused {
		t.LastUnused = max(t.LastUnused, k.LastUnused)
	}
	return t
}

// with is the statistics together with the shared ones.
func (q *QueueStats) with(k *KinStats) *QueueStats {
	c := *q
	c.OfferTally, c.shared = q.Plus(k.OfferTally, q.Base), k
	return &c
}

// Last iterates over the last offer of each agent that did not match, in no order, at most MaxLastOffers.
func (q *QueueStats) Last() iter.Seq2[string, LastOffer] {
	return func(yield func(string, LastOffer) bool) {
		n := 0
		if q.shared != nil {
			for agent, o := range q.shared.LastOffers {
				if o.Number > q.Since {
					if n++; n > MaxLastOffers || !yield(agent, o) {
						return
					}
				}
			}
		}
		for agent, o := range q.LastOffers {
			if q.shared != nil && q.shared.LastOffers[agent].Number > q.Since {
				continue
			}
			if n++; n > MaxLastOffers || !yield(agent, o) {
				return
			}
		}
	}
}

// MaxLastOffers bounds the agents remembered per waiting spec (D-12).
const MaxLastOffers = 1000

// LastOffer is one agent's last offer that did not match. Offer is an offers.Offer, kept as any because this
// package must not import offers.
type LastOffer struct {
	Offer   any
	Reasons []uint8
	At      core.Timestamp
	Number  int // of the refusal among those that specs share
}

// Readiness is the last readiness result of a task in a running deployment (behaviour.md 8.8).
type Readiness struct {
	Name        string
	Task        core.TaskID
	Instance    core.InstanceID
	Ready       bool
	LastStatus  int // 0: no response kept
	ContentType string
	Body        string
}

// Mesos is what is known of the connection to the master.
type Mesos struct {
	Connected  bool
	MasterURL  string
	HomeRegion string
}

// Gauges are sizes inside the machine that operators chart (behaviour.md 10.2).
type Gauges struct {
	Kills, KillAttempts int // instances being killed, and how often they were told to end
	Overdue             int // launches that took too long when last looked at
	Ready               int // specs that wait for offers and not for a delay
	HeldOffers          int // offers that wait to be looked at
	Tokens              int // launch tokens left; 0 without a bound
}

// Stall is what the running step of a deployment waits for, and since when nothing has moved (D-02).
type Stall struct {
	Deployment string
	Since      core.Timestamp
	Spec       core.PathID
	WaitingFor string // offers, delay, health, readiness, kill, promotion, resume
	Missing    int
}
