package main

import (
	"fmt"
	"net/http"
	"time"
)

// neverFits is an app that no agent can take, of one of several shapes.
func neverFits(id string, instances, shape int) map[string]any {
	a := app(id, instances)
	a["cpus"] = 1000 + shape
	return a
}

// everyRound makes the master offer everything again in each round.
var everyRound = []string{"--decline_offer_duration", "1", "--max_running_deployments", "1000000"}

// unplaceable is P31.
func (b *bench) unplaceable() error {
	w, err := newWorld(b.agents, everyRound...)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.do(http.MethodPost, "/v2/apps", neverFits("/never", b.unplaced, 0)); err != nil {
		return err
	}
	share, offers, err := w.cpuPerOffer("/never", time.Duration(b.seconds)*time.Second)
	if err != nil {
		return err
	}
	b.add(measure{ID: "P31", What: "CPU with unplaceable instances and all offers each second", Unit: "% core", Must: 20, Moonshot: 5, Value: share * 100, Judged: true,
		Size: fmt.Sprintf("%d instances, %.0f offers/s", b.unplaced, offers/float64(b.seconds))})
	return nil
}

// cpuPerOffer is the share of a core that the server uses while it looks at offers in vain, and how many they were.
func (w *world) cpuPerOffer(id string, d time.Duration) (share, offers float64, err error) {
	before, err := w.processed(id)
	for end := time.Now().Add(d); err == nil && before == 0 && time.Now().Before(end); before, err = w.processed(id) {
		time.Sleep(pollEvery)
	}
	if err != nil {
		return 0, 0, err
	}
	time.Sleep(settleTime)
	if before, err = w.processed(id); err != nil {
		return 0, 0, err
	}
	cpu, began := w.server.cpu(), time.Now()
	time.Sleep(d)
	share = (w.server.cpu() - cpu).Seconds() / time.Since(began).Seconds()
	after, err := w.processed(id)
	return share, float64(after - before), err
}

// processed is how many offers a waiting app was matched with.
func (w *world) processed(id string) (int, error) {
	var q struct {
		Queue []struct {
			App struct {
				ID string `json:"id"`
			} `json:"app"`
			Summary struct {
				Processed int `json:"processedOffersCount"`
			} `json:"processedOffersSummary"`
		} `json:"queue"`
	}
	if err := w.get("/v2/queue", &q); err != nil {
		return 0, err
	}
	for _, e := range q.Queue {
		if e.App.ID == id {
			return e.Summary.Processed, nil
		}
	}
	return 0, fmt.Errorf("%s does not wait", id)
}

// growthOfAgents is G5: the same waiting app on ever more agents.
func (b *bench) growthOfAgents() error {
	var x, y []float64
	for _, n := range b.agentsOf {
		w, err := newWorld(n, everyRound...)
		if err != nil {
			return err
		}
		if _, err = w.do(http.MethodPost, "/v2/apps", neverFits("/never", 1, 0)); err == nil {
			var share, offers float64
			// Few offers need a longer look: CPU time is counted in steps of 10 ms.
			d := time.Duration(b.seconds) * time.Second
			if n < 1000 {
				d *= 2
			}
			if share, offers, err = w.cpuPerOffer("/never", d); err == nil && offers > 0 {
				x, y = append(x, float64(n)), append(y, max(share*d.Seconds(), clockTick.Seconds())/offers*1e6)
			}
		}
		w.close()
		if err != nil {
			return err
		}
	}
	b.add(measure{ID: "G5", What: "slope: agents → CPU per offer", Must: 0.1, Moonshot: 0, Value: slope(x, y), Judged: true, Size: points(x, y, "µs")})
	return nil
}

const (
	shapes         = 20
	agentsForQueue = 1000
)

// growthOfPending is G6: ever more waiting apps of few shapes.
func (b *bench) growthOfPending() error {
	w, err := newWorld(agentsForQueue, everyRound...)
	if err != nil {
		return err
	}
	defer w.close()
	var x, y []float64
	have := 0
	for _, n := range b.pending {
		for ; have < n; have++ {
			if _, err := w.do(http.MethodPost, "/v2/apps", neverFits(fmt.Sprintf("/never-%d", have), 1, have%shapes)); err != nil {
				return err
			}
		}
		share, offers, err := w.cpuPerOffer("/never-0", time.Duration(b.seconds)*time.Second)
		if err != nil {
			return err
		}
		if offers > 0 {
			x, y = append(x, float64(n)), append(y, share*float64(b.seconds)/offers*agentsForQueue*1000)
		}
	}
	b.add(measure{ID: "G6", What: "slope: waiting apps of 20 shapes → CPU per offer round", Must: 0.3, Moonshot: 0.1, Value: slope(x, y), Judged: true,
		Size: points(x, y, "ms per 1,000 offers")})
	return nil
}
