package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// changes times changes of the tree, each followed by a put of a thousand bytes into the same etcd: what disk and
// machine do meanwhile shows in both, and growth is that of the ratio.
type changes struct {
	*world
	raw  *clientv3.Client
	puts int
}

func (b *bench) newChanges(flags ...string) (*changes, error) {
	w, err := newWorld(1, flags...)
	if err != nil {
		return nil, err
	}
	c, err := w.etcdClient()
	if err != nil {
		w.close()
		return nil, err
	}
	return &changes{world: w, raw: c}, nil
}

func (c *changes) close() {
	_ = c.raw.Close()
	c.world.close()
}

// inPuts is the median time of some changes in puts, and in milliseconds.
func (c *changes) inPuts(rounds int, change func(i int) error) (ratio, ms float64, err error) {
	var ours, puts []float64
	text := strings.Repeat("x", 1000)
	for i := range rounds {
		began := time.Now()
		if err := change(i); err != nil {
			return 0, 0, err
		}
		ours = append(ours, time.Since(began).Seconds()*1000)
		c.puts++
		began = time.Now()
		if _, err := c.raw.Put(context.Background(), "/raw/"+strconv.Itoa(c.puts), text); err != nil {
			return 0, 0, err
		}
		puts = append(puts, time.Since(began).Seconds()*1000)
	}
	return median(ours) / median(puts), median(ours), nil
}

// edit gives an app without instances another command.
func (c *changes) edit(id string, k int) error {
	_, err := c.do(http.MethodPut, "/v2/apps"+id, map[string]any{"cmd": "sleep " + strconv.Itoa(k)})
	return err
}

// growthOfVersions is G8: the time of an update of an app that has ever more versions.
func (b *bench) growthOfVersions() error {
	most := b.versions[len(b.versions)-1]
	c, err := b.newChanges("--zk_max_versions", strconv.Itoa(2*most))
	if err != nil {
		return err
	}
	defer c.close()
	var x, y, ms []float64
	for _, n := range b.versions {
		// Updates make versions: so many apps that none grows by more than a tenth, but one at least.
		apps := (b.pieces + max(n/10, 1) - 1) / max(n/10, 1)
		name := func(k int) string { return fmt.Sprintf("/v%d/app-%d", n, k) }
		if err := c.postMany(fmt.Sprintf("/v%d", n), apps, 0, clients); err != nil {
			return err
		}
		for k := range apps {
			for v := 1; v < n; v++ {
				if err := c.edit(name(k), v); err != nil {
					return err
				}
			}
		}
		ratio, t, err := c.inPuts(b.pieces, func(i int) error { return c.edit(name(i%apps), n+i) })
		if err != nil {
			return err
		}
		x, y, ms = append(x, float64(n)), append(y, ratio), append(ms, t)
	}
	b.add(measure{ID: "G8", What: "slope: versions kept → time of one update (in puts)", Must: 0.05, Moonshot: 0, Value: slope(x, y), Judged: true, Size: points(x, ms, "ms")})
	return nil
}

// growthOfGroups is G9: the time of a change deep in the tree, and in a group of many apps; the steeper slope counts.
func (b *bench) growthOfGroups() error {
	c, err := b.newChanges()
	if err != nil {
		return err
	}
	defer c.close()
	var depths, deep, deepMs, many, manyMs []float64
	for n := 1; n <= 32; n *= 2 {
		group := strings.Repeat("/group", n)
		if err := c.postMany(group, 1, 0, 1); err != nil {
			return err
		}
		ratio, t, err := c.inPuts(b.pieces, func(i int) error { return c.edit(group+"/app-0", i) })
		if err != nil {
			return err
		}
		depths, deep, deepMs = append(depths, float64(n)), append(deep, ratio), append(deepMs, t)
	}
	var sizes []float64
	for _, n := range b.apps {
		group := fmt.Sprintf("/wide%d", n)
		if err := c.postMany(group, n, 0, clients); err != nil {
			return err
		}
		ratio, t, err := c.inPuts(b.pieces, func(i int) error { return c.edit(fmt.Sprintf("%s/app-%d", group, i%n), i) })
		if err != nil {
			return err
		}
		sizes, many, manyMs = append(sizes, float64(n)), append(many, ratio), append(manyMs, t)
	}
	b.add(measure{ID: "G9", What: "slope: depth, apps in one group → time of one change (in puts)", Must: 0.1, Moonshot: 0, Judged: true,
		Value: max(slope(depths, deep), slope(sizes, many)),
		Size:  fmt.Sprintf("depth %s (%s); apps %s (%s)", points(depths, deepMs, "ms"), number(slope(depths, deep)), points(sizes, manyMs, "ms"), number(slope(sizes, many)))})
	return nil
}
