package loop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/store"
	"stadion/core/store/etcdtest"
	"stadion/leader"
)

// I1, R1, R8: whatever the store does to single transactions, and whenever another leader takes over, what was
// answered is stored and what was shown is stored.
func TestAnsweredIsStored(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { answeredIsStored(t, seed) })
	}
}

func answeredIsStored(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	mem := store.NewMemory()
	db := mem.Open(store.Options{MaxTxnOps: 4 + rnd.IntN(10)})
	st, err := db.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	txns, last := 0, 20+rnd.IntN(150)
	mem.Faults = func() store.Fault { // called by the one goroutine that commits
		if txns++; txns == last {
			mem.Fence()
		}
		if txns > last {
			return store.NoFault
		}
		return []store.Fault{store.NoFault, store.NoFault, store.LoseBefore, store.LoseAfter, store.Full}[rnd.IntN(5)]
	}
	out := &edges{}
	l := New(Config{Machine: &fakeMachine{st: st, limit: 20}, Store: db, Publisher: out, Clock: &handClock{now: 1},
		Seq: db.Seq(), Term: db.Term(), MaxRows: 20})
	ended := make(chan error, 1)
	go func() { ended <- l.Run(context.Background()) }()

	var mu sync.Mutex
	var answered []core.PathID
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			for n := 0; ; n++ {
				spec := core.PathID(fmt.Sprintf("/c%d/n%d", c, n))
				_, err := l.Submit(context.Background(), machine.ResetDelay{Spec: spec})
				if err != nil {
					time.Sleep(100 * time.Microsecond) // refused while the store is away: try again a little later
				} else {
					if _, shown := l.Snapshot().Failure(spec); !shown {
						t.Errorf("%s: own write is not shown", spec) // R11
					}
					mu.Lock()
					answered = append(answered, spec)
					mu.Unlock()
				}
				select {
				case <-l.ended:
					return
				default:
				}
			}
		})
	}
	if err := <-ended; !errors.Is(err, store.ErrFenced) {
		t.Fatalf("Run ended with %v", err)
	}
	clients.Wait()
	mem.Faults = nil
	after, err := mem.Open(store.Options{}).Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(answered) == 0 {
		t.Error("nothing was ever answered")
	}
	for _, spec := range answered {
		if _, ok := after.Failure(spec); !ok {
			t.Errorf("%s was answered and is lost", spec)
		}
	}
	for c := range 8 {
		for n := range 2000 {
			spec := core.PathID(fmt.Sprintf("/c%d/n%d", c, n))
			_, shown := l.Snapshot().Failure(spec)
			if _, stored := after.Failure(spec); shown && !stored {
				t.Errorf("%s was shown and is not stored", spec)
			}
		}
	}
}

// F8, R13 with a real etcd and a real election: while etcd is cut off, reads go on and writes are refused; all heals
// by itself. Then another leader takes over and the term ends.
func TestEtcdGoesAndComes(t *testing.T) {
	srv := etcdtest.Start(t)
	proxy := etcdtest.NewProxy(t, srv.Endpoint)
	ctx := etcdtest.Context(t)
	client := srv.Client(t, proxy.Addr)
	term, err := leader.New(client, leader.Options{TTL: 30 * time.Second}).Campaign(ctx, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	db := store.New(client, store.Fence{Key: term.Key, Rev: term.Rev}, store.Options{Timeout: 300 * time.Millisecond})
	st, err := db.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{Machine: &fakeMachine{st: st}, Store: db, Seq: db.Seq(), Term: db.Term(), MaxRows: 100})
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	put := func(spec core.PathID) error {
		_, err := l.Submit(ctx, machine.ResetDelay{Spec: spec})
		return err
	}
	if err := put("/before"); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	during := make(chan error, 1)
	go func() { during <- put("/during") }()
	await(t, "the loss of the store", func() bool { return l.Away() != nil })
	var e *core.Error
	if err := put("/refused"); !errors.As(err, &e) || e.Kind != core.Unavailable {
		t.Errorf("write without a store: %v", err)
	}
	if _, ok := l.Snapshot().Failure("/before"); !ok {
		t.Error("reads do not go on")
	}
	proxy.Heal()
	if err := <-during; err != nil {
		t.Errorf("the write in flight: %v", err)
	}
	await(t, "the store", func() bool { return put("/after") == nil })

	if _, err := srv.Client(t).Delete(ctx, term.Key); err != nil { // as a take-over does
		t.Fatal(err)
	}
	var open *core.Error
	if err := put("/late"); !errors.As(err, &open) || open.Kind != core.Unavailable {
		t.Errorf("write of a leader without a fence: %v", err)
	}
	if err := <-ended; !errors.Is(err, store.ErrFenced) {
		t.Errorf("Run ended with %v", err)
	}
	select {
	case <-term.Lost():
	case <-ctx.Done():
		t.Error("the term does not know that it is over")
	}
}
