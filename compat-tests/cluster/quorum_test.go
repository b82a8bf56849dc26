package cluster

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

var outage = flag.Duration("cluster.outage", 6*time.Second, "how long etcd has no quorum")

// TestQuorumLost: two of three members of etcd are gone for longer than a lease lasts. No task ends, no write is taken,
// reads go on and show what ran before, directly and through standbys, to the end; and when the members return all goes
// on without a hand, with the same processes (F8, R13).
//
//	go test ./cluster -run QuorumLost -v -cluster.outage 10m
func TestQuorumLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	_, _, end := w.keepUp()
	defer end()
	w.put("/v2/apps/stable", app("exec sleep 100000", stableTasks, 0))
	w.settle("stable", stableTasks)
	before := harness.TaskPids(t, w.dir)

	w.etcds.Stop(0)
	w.etcds.Stop(1)
	began := time.Now()
	over := began.Add(*outage)
	var reads, refused int
	var clients sync.WaitGroup
	var last time.Time
	clients.Go(func() { reads, last = w.readStable(over) })
	clients.Go(func() { refused = w.writeNothing(over) })
	for time.Now().Before(over) {
		if now := harness.TaskPids(t, w.dir); !maps.EqualFunc(before, now, slices.Equal) {
			t.Errorf("after %s without a quorum: processes %v, were %v", time.Since(began), now, before)
			break
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	clients.Wait()
	if over.Sub(last) > *outage/2 { // each server is asked by turns, so half of it is many reads
		t.Errorf("the last read was answered %s before the end of the outage", over.Sub(last))
	}
	for i := range 2 {
		if err := w.etcds.Start(i); err != nil {
			t.Fatal(err)
		}
	}
	back := time.Now()
	w.put("/v2/apps/later", app("exec sleep 100000", 1, 0))
	t.Logf("%s without a quorum: %d reads answered, %d writes refused; a write is taken %s after its return",
		*outage, reads, refused, time.Since(back).Round(time.Millisecond))
	w.settle("later", 1)
	w.settle("stable", stableTasks)
	if now := tasksOf(harness.TaskPids(t, w.dir), "stable"); !maps.EqualFunc(before, now, slices.Equal) {
		t.Errorf("processes %v, were %v", now, before)
	}
	end()
}

// readStable reads what nobody touches all the time and counts the answers, which must show it; last is when the last one came.
func (w *world) readStable(end time.Time) (answered int, last time.Time) {
	for n := 0; time.Now().Before(end); n++ {
		res, err := harness.NewAPI(w.t, w.nodes[n%servers].url).Try("GET", "/v2/apps/stable/tasks", nil)
		switch {
		case err != nil || res.Status >= http.StatusInternalServerError: // that much is said openly
		case !showsStable(res):
			w.t.Errorf("a read of %d tasks without a quorum: %d %s", stableTasks, res.Status, res.Body)
			return answered, last
		default:
			answered++
			last = time.Now()
		}
		time.Sleep(10 * time.Millisecond) // the pace of a client
	}
	return answered, last
}

// writeNothing tries to write all the time and counts the refusals; there must be nothing else.
func (w *world) writeNothing(end time.Time) (refused int) {
	for n := 0; time.Now().Before(end); n++ {
		res, err := harness.NewAPI(w.t, w.nodes[n%servers].url).Try("PUT", "/v2/apps/never?force=true", app("exec sleep 100000", 1, n))
		if err == nil && res.Status/100 == 2 {
			w.t.Errorf("a write without a quorum: %d %s", res.Status, res.Body)
			return refused
		}
		if err == nil {
			refused++
		}
		time.Sleep(10 * time.Millisecond) // the pace of a client
	}
	return refused
}

func showsStable(res harness.Answer) bool {
	var list struct{ Tasks []struct{ State string } }
	return res.Status == http.StatusOK && json.Unmarshal(res.Body, &list) == nil && len(list.Tasks) == stableTasks &&
		fmt.Sprint(list.Tasks) == "[{TASK_RUNNING} {TASK_RUNNING} {TASK_RUNNING}]"
}
