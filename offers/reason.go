package offers

import "math/bits"

// reasonSet is a set of reasons; bit r stands for Reason r.
type reasonSet uint16

func (s *reasonSet) add(r Reason) { *s |= 1 << r }

// reasonLists holds the list of each set in funnel order, so that saying no costs no memory.
var reasonLists = func() (lists [1 << ReasonCount][]Reason) {
	for s := range lists {
		for r := Reason(0); r < ReasonCount; r++ {
			if s&(1<<r) != 0 {
				lists[s] = append(lists[s], r)
			}
		}
	}
	return lists
}()

// list is the set as a list in funnel order; it is shared and must not be changed.
func (s reasonSet) list() []Reason { return reasonLists[s] }

// first is the reason the offer counts under in the funnel.
func (s reasonSet) first() Reason { return Reason(bits.TrailingZeros16(uint16(s))) }

var reasonNames = [ReasonCount]string{"UnfulfilledRole", "UnfulfilledConstraint", "NoCorrespondingReservationFound",
	"AgentMaintenance", "InsufficientCpus", "InsufficientMemory", "InsufficientDisk", "InsufficientGpus",
	"InsufficientPorts", "DeclinedScarceResources"}

// String is the name in /v2/queue (behaviour.md 4.5).
func (r Reason) String() string { return reasonNames[r] }

// Funnel counts rejected offers by their first reason: the summaries of /v2/queue (behaviour.md 4.5).
type Funnel [ReasonCount]int

// Add counts one rejected offer under its first reason. A rejection without reason counts as UnfulfilledConstraint,
// so that the funnel always adds up (D-11).
func (f *Funnel) Add(reasons []Reason) { f[firstOf(reasons)]++ }

// Remove takes back one Add of the same reasons, for the funnel over the last offer of each agent.
func (f *Funnel) Remove(reasons []Reason) { f[firstOf(reasons)]-- }

func firstOf(reasons []Reason) Reason {
	if len(reasons) == 0 {
		return UnfulfilledConstraint
	}
	var s reasonSet
	for _, r := range reasons {
		s.add(r)
	}
	return s.first()
}

// FunnelRow is one row of a summary.
type FunnelRow struct {
	Reason    string `json:"reason"`
	Declined  int    `json:"declined"`
	Processed int    `json:"processed"`
}

// Rows is the funnel as /v2/queue shows it: always ten rows; processed starts at total and drops by what each row
// declined (behaviour.md 4.5).
func (f *Funnel) Rows(total int) []FunnelRow {
	rows := make([]FunnelRow, ReasonCount)
	for r := range ReasonCount {
		rows[r] = FunnelRow{r.String(), f[r], total}
		total -= f[r]
	}
	return rows
}

// Top is the reason that declined most, the first of equals; false when nothing was declined (D-02 topRejectReason).
func (f *Funnel) Top() (Reason, bool) {
	best := Reason(0)
	for r := range ReasonCount {
		if f[r] > f[best] {
			best = r
		}
	}
	return best, f[best] > 0
}
