package main

import (
	"fmt"
	"net/http"
	"time"
)

// deploymentsAndQueue is P17: the two lists that dashboards and release tools poll, while many deployments wait. Between
// reads one of them is replaced, so that no answer is that of the time before.
func (b *bench) deploymentsAndQueue() error {
	w, err := newWorld(1, "--max_running_deployments", "1000000")
	if err != nil {
		return err
	}
	defer w.close()
	for i := range b.deploying {
		if _, err := w.do(http.MethodPost, "/v2/apps", neverFits(fmt.Sprintf("/never/app-%d", i), 1, i)); err != nil {
			return err
		}
	}
	paths := []string{"/v2/deployments", "/v2/queue"}
	took, size := make([][]float64, len(paths)), make([]int, len(paths))
	for i := range 2 * b.pieces {
		if _, err := w.do(http.MethodPut, fmt.Sprintf("/v2/apps/never/app-%d?force=true", i), map[string]any{"instances": 2}); err != nil {
			return err
		}
		for k, path := range paths {
			began := time.Now()
			text, err := w.do(http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			took[k], size[k] = append(took[k], time.Since(began).Seconds()*1000), len(text)
		}
	}
	m := measure{ID: "P17", What: "GET /v2/deployments and /v2/queue, slower one's p99", Unit: "ms", Must: 100, Moonshot: 20, Judged: true,
		Size: fmt.Sprintf("%d running deployments, %d reads each, a change before each", b.deploying, 2*b.pieces)}
	for k, path := range paths {
		p99 := quantile(took[k], 0.99)
		m.Value = max(m.Value, p99)
		m.Size += fmt.Sprintf("; %s: %d KiB, p50 %s ms, p99 %s ms", path, size[k]>>10, number(median(took[k])), number(p99))
	}
	b.add(m)
	return nil
}

const cpuWanted = 300 * time.Millisecond // of the server, so that steps of 10 ms do not matter

// growthOfList is G4: what a byte of the list of apps costs, from a short list to a long one.
func (b *bench) growthOfList() error {
	w, err := newWorld(1)
	if err != nil {
		return err
	}
	defer w.close()
	var x, y []float64
	have := 0
	for _, n := range b.apps {
		if err := w.postMany(fmt.Sprintf("/g%d", n), n-have, 0, clients); err != nil {
			return err
		}
		have = n
		spent, bytes := w.server.cpu(), 0
		for reads := 0; reads < b.pieces || w.server.cpu()-spent < cpuWanted; reads++ {
			text, err := w.do(http.MethodGet, "/v2/apps", nil)
			if err != nil {
				return err
			}
			bytes += len(text)
		}
		x, y = append(x, float64(n)), append(y, float64((w.server.cpu()-spent).Nanoseconds())/float64(bytes))
	}
	b.add(measure{ID: "G4", What: "slope: apps → CPU per byte of GET /v2/apps", Must: 0.05, Moonshot: 0, Value: slope(x, y), Judged: true, Size: points(x, y, "ns")})
	return nil
}
