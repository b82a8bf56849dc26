package clients

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	sd "github.com/prometheus/prometheus/discovery/marathon"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// prometheusSD is Prometheus's own marathon_sd.
func prometheusSD() client {
	return client{name: "Prometheus marathon_sd", group: "prom", features: []feature{{"discovery", (*caller).promDiscovery}, {"scaling", (*caller).promScaling}, {"delete", (*caller).promDelete}}}
}

// promTargets runs the discovery until wanted accepts the groups of our apps.
func (c *caller) promTargets(what string, wanted func(map[string]*targetgroup.Group) bool) map[string]*targetgroup.Group {
	c.Helper()
	registry := prometheus.NewRegistry()
	refresh := discovery.NewRefreshMetrics(registry)
	if err := refresh.Register(); err != nil {
		c.Fatal(err)
	}
	defer refresh.Unregister()
	config := sd.DefaultSDConfig
	config.Servers, config.RefreshInterval = []string{c.url}, model.Duration(100*time.Millisecond)
	found, err := config.NewDiscoverer(discovery.DiscovererOptions{Logger: slog.New(slog.DiscardHandler), Metrics: config.NewDiscovererMetrics(registry, refresh)})
	if err != nil {
		c.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	updates := make(chan []*targetgroup.Group)
	go found.Run(ctx, updates)
	seen := map[string]*targetgroup.Group{}
	for {
		select {
		case groups := <-updates:
			for _, g := range groups {
				if strings.HasPrefix(g.Source, c.base+"/") {
					seen[g.Source] = g
				}
			}
			if wanted(seen) {
				return seen
			}
		case <-ctx.Done():
			c.Fatalf("%s: not within %s; seen %v", what, waitLimit, seen)
		}
	}
}

// promDiscovery: each port of each task is a target with the labels that relabelling rules use.
func (c *caller) promDiscovery() {
	id := c.id("web")
	c.put(c.webService(id, "metrics", 2, object{"labels": object{"team": "shop"},
		"portDefinitions": []any{object{"port": 0, "name": "http", "labels": object{"metrics": "yes"}}}}))
	group := c.promTargets("two targets", func(g map[string]*targetgroup.Group) bool { return g[id] != nil && len(g[id].Targets) == 2 })[id]
	for name, want := range map[model.LabelName]model.LabelValue{"__meta_marathon_app": model.LabelValue(id), "__meta_marathon_app_label_team": "shop"} {
		if group.Labels[name] != want {
			c.Errorf("%s is %q, want %q", name, group.Labels[name], want)
		}
	}
	var addrs []string
	for _, target := range group.Targets {
		addrs = append(addrs, string(target[model.AddressLabel]))
		for name, want := range map[model.LabelName]model.LabelValue{"__meta_marathon_port_index": "0", "__meta_marathon_port_definition_label_metrics": "yes"} {
			if target[name] != want {
				c.Errorf("%s is %q, want %q", name, target[name], want)
			}
		}
		if target["__meta_marathon_task"] == "" {
			c.Errorf("a target without a task: %v", target)
		}
	}
	want := c.tasksOf(id)
	slices.Sort(addrs)
	slices.Sort(want)
	if !slices.Equal(addrs, want) {
		c.Errorf("targets %v, tasks %v", addrs, want)
	}
}

// promScaling: targets follow the instances.
func (c *caller) promScaling() {
	id := c.id("web")
	c.put(object{"id": id, "instances": 1})
	c.promTargets("one target", func(g map[string]*targetgroup.Group) bool { return g[id] != nil && len(g[id].Targets) == 1 })
}

// promDelete: the group of a deleted app is gone.
func (c *caller) promDelete() {
	id := c.id("web")
	deleted := false
	c.promTargets("no targets", func(g map[string]*targetgroup.Group) bool {
		if !deleted { // after it was seen once
			deleted = g[id] != nil
			if deleted {
				c.deployed(at(c.api.Must(http.MethodDelete, "/v2/apps"+id, nil).JSON(), "deploymentId"))
			}
			return false
		}
		return len(g[id].Targets) == 0
	})
}
