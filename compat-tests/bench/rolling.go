package main

import (
	"fmt"
	"math"
	"net/http"
	"time"
)

const (
	offerCycle  = 1.0 // seconds between two rounds of offers of the master
	leastHealth = 0.9 // minimumHealthCapacity of P8
)

// rolling is P8: all instances of an app are replaced with a tenth of them missing at most and none on top. A wave is
// a tenth of the instances: one round of offers launches it, and the next one may go when it runs.
func (b *bench) rolling() error {
	w, err := newWorld(b.agents)
	if err != nil {
		return err
	}
	defer w.close()
	big := app("/big", b.replaced)
	big["upgradeStrategy"] = map[string]any{"minimumHealthCapacity": leastHealth, "maximumOverCapacity": 0}
	if _, err := w.do(http.MethodPost, "/v2/apps", big); err != nil {
		return err
	}
	if err := w.until("the first version runs", w.settled); err != nil {
		return err
	}
	waves := math.Ceil(float64(b.replaced) / (float64(b.replaced) - math.Ceil(float64(b.replaced)*leastHealth)))
	var took, cpu []float64
	for range max(b.rounds/2, 1) {
		spent, began := w.server.cpu(), time.Now()
		if _, err := w.do(http.MethodPost, "/v2/apps/big/restart", nil); err != nil {
			return err
		}
		if err := w.until("the restart has ended", w.settled); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds())
		cpu = append(cpu, (w.server.cpu() - spent).Seconds())
	}
	ideal := waves * offerCycle
	m := measure{ID: "P8", What: "rolling restart ÷ (waves × offer cycle)", Must: 1.5, Moonshot: 1.1, Judged: true,
		Size: fmt.Sprintf("%d instances, minimumHealthCapacity %s: %s s, ideal %.0f waves × %.0f s; %s s of CPU", b.replaced, number(leastHealth), number(median(took)), waves, offerCycle, number(median(cpu)))}
	var ratio []float64
	for _, s := range took {
		ratio = append(ratio, s/ideal)
	}
	m.spread(ratio)
	b.add(m)
	return nil
}
