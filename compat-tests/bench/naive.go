package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	naiveForm   = "-naive"
	pollOffers  = 500 * time.Millisecond
	naivePrefix = "/naive/"
)

// naive is a small rebuild of the design of Swan, not Swan itself: a goroutine for each event, a map under a lock, one
// write into the store for each change of a task, one task on an offer, offers looked for by polling, one launch at a
// time, and updates acknowledged before they are stored.
type naive struct {
	*noop
	db     *clientv3.Client
	mu     sync.RWMutex
	offers map[string]mesos.Offer
	tasks  map[string]string // state by id
	slot   chan struct{}     // of the one launch
	run    atomic.Int64
}

// runNaive launches the wanted number of tasks and says how many seconds that took.
func runNaive(url, store, wanted string) error {
	n, err := strconv.Atoi(wanted)
	if err != nil {
		return err
	}
	db, err := clientv3.New(clientv3.Config{Endpoints: []string{store}, Logger: zap.NewNop(), DialTimeout: readyTimeout})
	if err != nil {
		return err
	}
	defer db.Close()
	f := &naive{noop: &noop{url: url + schedulerPath, wanted: n, failed: make(chan error, 1), ended: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: ackSenders, DisableCompression: true}}},
		db: db, offers: map[string]mesos.Offer{}, tasks: map[string]string{}, slot: make(chan struct{}, 1)}
	began := time.Now()
	res, err := f.subscribe()
	if err != nil {
		return err
	}
	defer res.Body.Close()
	go func() { f.fail(f.listenNaively(res.Body)) }()
	for k := range n {
		go func() {
			if err := f.launchOne("naive." + strconv.Itoa(k)); err != nil {
				f.fail(err)
			}
		}()
	}
	select {
	case err := <-f.failed:
		return err
	case <-f.ended:
	}
	fmt.Printf("ready: %f\n", time.Since(began).Seconds())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	return nil
}

func (f *naive) fail(err error) {
	select {
	case f.failed <- err:
	default:
	}
}

func (f *naive) listenNaively(body io.Reader) error {
	r := bufio.NewReaderSize(body, recordsBuffer)
	for {
		head, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		size, err := strconv.Atoi(strings.TrimSuffix(head, "\n"))
		if err != nil {
			return err
		}
		buf := make([]byte, size)
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		var e scheduler.Event
		if err := e.Unmarshal(buf); err != nil {
			return err
		}
		if e.Type == scheduler.Event_SUBSCRIBED {
			f.id = e.Subscribed.FrameworkID
			continue
		}
		go func() {
			if err := f.handle(&e); err != nil {
				f.fail(err)
			}
		}()
	}
}

// handle is the goroutine of one event.
func (f *naive) handle(e *scheduler.Event) error {
	switch e.Type {
	case scheduler.Event_ERROR:
		return errors.New(e.Error.Message)
	case scheduler.Event_OFFERS:
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, o := range e.Offers.Offers {
			f.offers[o.ID.Value] = o
		}
	case scheduler.Event_RESCIND:
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.offers, e.Rescind.OfferID.Value)
	case scheduler.Event_UPDATE:
		st := &e.Update.Status
		if err := f.call(f.ackOf(st)); err != nil {
			return err
		}
		if err := f.keep(st.TaskID.Value, st.GetState().String()); err != nil {
			return err
		}
		if st.GetState() == mesos.TASK_RUNNING && f.run.Add(1) == int64(f.wanted) {
			close(f.ended)
		}
	}
	return nil
}

// keep stores the state of a task, in memory and in etcd.
func (f *naive) keep(task, state string) error {
	f.mu.Lock()
	f.tasks[task] = state
	f.mu.Unlock()
	_, err := f.db.Put(context.Background(), naivePrefix+task, fmt.Sprintf(`{"id":%q,"state":%q,"command":"sleep 1000","cpus":0.1,"mem":32,"updated":%q}`, task, state, time.Now().Format(time.RFC3339Nano)))
	return err
}

// launchOne launches one task when it is its turn and an offer is there.
func (f *naive) launchOne(task string) error {
	f.slot <- struct{}{}
	defer func() { <-f.slot }()
	var offer *mesos.Offer
	for offer = f.takeOffer(); offer == nil; offer = f.takeOffer() {
		time.Sleep(pollOffers)
	}
	if err := f.keep(task, "TASK_STAGING"); err != nil {
		return err
	}
	t := f.body
	t.TaskID.Value, t.AgentID = task, offer.AgentID
	t.Resources = []mesos.Resource{scalar("cpus", 0.1, offer), scalar("mem", 32, offer)}
	return f.call(&scheduler.Call{Type: scheduler.Call_ACCEPT, Accept: &scheduler.Call_Accept{OfferIDs: []mesos.OfferID{offer.ID},
		Operations: []mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH, Launch: &mesos.Offer_Operation_Launch{TaskInfos: []mesos.TaskInfo{t}}}}}})
}

func (f *naive) takeOffer() *mesos.Offer {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, o := range f.offers {
		delete(f.offers, id)
		return &o
	}
	return nil
}

// againstNaive is P4: the rate of P1 against that of the rebuild at as many instances as it lives to launch. What the server
// does at so few, where half of the time is the first offers' way, is told beside it.
func (b *bench) againstNaive() error {
	var ratio, ours, few, theirs []float64
	for range b.rounds {
		t, err := b.lapOfNaive()
		if err != nil {
			return err
		}
		o, err := b.lapOfServer(b.instances, nil)
		if err != nil {
			return err
		}
		s, err := b.lapOfServer(b.simple, nil)
		if err != nil {
			return err
		}
		n := float64(b.simple)
		ours, few, theirs = append(ours, float64(b.instances)/o.seconds), append(few, n/s.seconds), append(theirs, n/t)
		ratio = append(ratio, ours[len(ours)-1]/theirs[len(theirs)-1])
	}
	m := measure{ID: "P4", What: "launch rate ÷ naive, a rebuild of Swan's design", Must: 20, Moonshot: 100, AtLeast: true, Judged: true,
		Size: fmt.Sprintf("%d agents: %.0f/s at %d instances, naive %.0f/s at %d; at so few %.0f/s, ÷ naive %.1f",
			b.agents, median(ours), b.instances, median(theirs), b.simple, median(few), median(few)/median(theirs))}
	m.spread(ratio)
	b.add(m)
	return nil
}

func (b *bench) lapOfNaive() (seconds float64, err error) {
	w := &world{}
	defer w.close()
	if w.dir, err = os.MkdirTemp(os.Getenv("BENCH_DIR"), "stadion-bench-"); err != nil {
		return 0, err
	}
	if w.master, err = newMaster(w.dir, b.agents); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if w.store, err = start(otherCore, self, "-etcd", w.dir+"/etcd"); err != nil {
		return 0, err
	}
	if w.server, err = start(subjectCore, self, naiveForm, w.master.said, w.store.said, strconv.Itoa(b.simple)); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(w.server.said, 64)
}
