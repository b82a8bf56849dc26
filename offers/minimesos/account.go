package minimesos

import mesos "github.com/mesos/mesos-go/api/v1/lib"

// Account is what frameworks did with what they were sent, as the master saw it.
type Account struct {
	Offers, Inverse OfferAccount
	Updates         UpdateAccount
	Launches        int            // tasks of ACCEPTs, those that came too late included
	Dropped         int            // of them, because their offer was no longer valid
	Kills           map[string]int // KILL calls, by task
}

// OfferAccount counts offers of one kind by what became of them (I8).
type OfferAccount struct {
	Made     int
	Open     int // not answered, and not taken back
	Answered int // once, while they were valid
	TakenBy  int // taken back by the master: rescinded, or void as the framework was away
	Late     int // answers to those; part of TakenBy
	Again    int // answers to what was answered before: must be 0
	Strange  int // answers to what never was offered: must be 0
}

// UpdateAccount counts statuses that ask for an acknowledgement (I9).
type UpdateAccount struct {
	Made         int // different ones
	Sent         int // arrivals: repetitions count
	Acknowledged int // acknowledgements
	Open         int // different ones that nobody has acknowledged
	TooOften     int // different ones with more acknowledgements than arrivals: must be 0
	Strange      int // acknowledgements of what never was sent: must be 0
}

// fate is what became of an offer.
type fate uint8

const (
	open fate = iota + 1
	answered
	takenBack
)

// ledger keeps the account. It remembers every id, so there is one on request only; a nil ledger keeps nothing.
type ledger struct {
	account         Account
	offers, inverse map[string]fate
	updates         map[string]*arrivals // by uuid
	history         []sent
}

// arrivals are how often an update was sent and acknowledged.
type arrivals struct{ sent, acknowledged int }

// sent is an update that went to a framework.
type sent struct {
	framework string
	status    *mesos.TaskStatus
}

// KeepAccount begins a new account.
func (c *Cluster) KeepAccount() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger = &ledger{account: Account{Kills: map[string]int{}}, offers: map[string]fate{}, inverse: map[string]fate{},
		updates: map[string]*arrivals{}}
	if c.m == nil {
		return
	}
	for id := range c.m.offers { // their answers are still to come
		c.ledger.offered(id)
	}
	for id := range c.m.inverse {
		c.ledger.invited(id)
	}
}

// Account is the account so far; without KeepAccount it is empty.
func (c *Cluster) Account() Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.ledger
	if l == nil {
		return Account{}
	}
	a := l.account
	a.Kills = map[string]int{}
	for task, n := range l.account.Kills {
		a.Kills[task] = n
	}
	a.Offers.Open, a.Inverse.Open = countOpen(l.offers), countOpen(l.inverse)
	a.Updates.Made = len(l.updates)
	for _, u := range l.updates {
		if u.acknowledged == 0 {
			a.Updates.Open++
		}
		if u.acknowledged > u.sent {
			a.Updates.TooOften++
		}
	}
	return a
}

func countOpen(offers map[string]fate) int {
	n := 0
	for _, f := range offers {
		if f == open {
			n++
		}
	}
	return n
}

func (l *ledger) offered(id string) {
	if l != nil {
		l.account.Offers.Made++
		l.offers[id] = open
	}
}

func (l *ledger) invited(id string) {
	if l != nil {
		l.account.Inverse.Made++
		l.inverse[id] = open
	}
}

// answeredAll books the answer to offers.
func (l *ledger) answeredAll(ids []mesos.OfferID) {
	if l != nil {
		book(&l.account.Offers, l.offers, ids)
	}
}

// answeredInverse books the answer to inverse offers.
func (l *ledger) answeredInverse(ids []mesos.OfferID) {
	if l != nil {
		book(&l.account.Inverse, l.inverse, ids)
	}
}

func book(a *OfferAccount, fates map[string]fate, ids []mesos.OfferID) {
	for _, id := range ids {
		switch fates[id.Value] {
		case open:
			a.Answered++
		case takenBack:
			a.Late++
		case answered:
			a.Again++
		default:
			a.Strange++
		}
		fates[id.Value] = answered
	}
}

// takenBack books that an offer ends without an answer.
func (l *ledger) takenBack(id string) {
	if l != nil && l.offers[id] == open {
		l.account.Offers.TakenBy++
		l.offers[id] = takenBack
	}
}

func (l *ledger) inverseTakenBack(id string) {
	if l != nil && l.inverse[id] == open {
		l.account.Inverse.TakenBy++
		l.inverse[id] = takenBack
	}
}

// sentStatus books an arrival of what asks for an acknowledgement.
func (l *ledger) sentStatus(framework string, st *mesos.TaskStatus) {
	if l == nil || len(st.UUID) == 0 {
		return
	}
	l.account.Updates.Sent++
	u := l.updates[string(st.UUID)]
	if u == nil {
		u = &arrivals{}
		l.updates[string(st.UUID)] = u
		l.history = append(l.history, sent{framework, st})
	}
	u.sent++
}

func (l *ledger) acknowledged(uuid []byte) {
	if l == nil {
		return
	}
	l.account.Updates.Acknowledged++
	if u := l.updates[string(uuid)]; u != nil {
		u.acknowledged++
	} else {
		l.account.Updates.Strange++
	}
}

func (l *ledger) killed(task string) {
	if l != nil {
		l.account.Kills[task]++
	}
}

// launched books the tasks of an ACCEPT, and whether its offers were no longer valid.
func (l *ledger) launched(ops []mesos.Offer_Operation, late bool) {
	if l == nil {
		return
	}
	for i := range ops {
		n := len(allTasks(&ops[i]))
		l.account.Launches += n
		if late {
			l.account.Dropped += n
		}
	}
}
