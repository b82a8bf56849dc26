package offers

import (
	"fmt"
	"testing"

	"stadion/core"
)

// benchCluster is many agents in three zones.
func benchCluster(n int) []*Offer {
	out := make([]*Offer, n)
	for i := range out {
		o := offer()
		o.Agent = agent(i, "os", "linux", "rack", fmt.Sprint("rack", i%40), "zone", fmt.Sprint("z", i%3))
		out[i] = o
	}
	return out
}

// benchNeed is a spec with its instances placed on the first agents, tallied by the caller.
func benchNeed(b *testing.B, text string, offers []*Offer, placed int) *Need {
	n := need(app(b, text))
	n.Compiled = Compile(n.Spec)
	n.Counts = NewCounts(n.Compiled, nil)
	for i := range placed {
		n.Counts.Add(Placed{Instance: instance(n.Spec, 10+i).ID, Version: n.Spec.SpecVersion(), Agent: offers[i].Agent})
	}
	return n
}

// The goals are 1,000,000 pairs of offer and shape per second without constraints and 200,000 with GROUP_BY and UNIQUE.
func BenchmarkReject(b *testing.B) {
	offers := benchCluster(1000)
	cfg, rnd := config(), random()
	for name, c := range map[string]struct {
		app    string
		placed int
	}{
		"too large":           {`{"cpus":64,"mem":100000,"portDefinitions":[{"port":0}]}`, 0},
		"no port":             {`{"requirePorts":true,"portDefinitions":[{"port":80}]}`, 0},
		"GROUP_BY and UNIQUE": {`{"instances":2000,"portDefinitions":[{"port":0}],"constraints":[["zone","GROUP_BY","3"],["hostname","UNIQUE"]]}`, 1000},
		"LIKE":                {`{"constraints":[["rack","LIKE","rack(41|42)"]]}`, 0},
	} {
		b.Run(name, func(b *testing.B) {
			n := benchNeed(b, c.app, offers, c.placed)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				o := offers[i%len(offers)]
				i++
				if m := TryMatch(cfg, now, rnd, o, o.Resources, n); m.Operations != nil {
					b.Fatal("it fits")
				}
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "pairs/s")
		})
	}
}

func BenchmarkFit(b *testing.B) {
	offers := benchCluster(1000)
	cfg, rnd := config(), random()
	n := benchNeed(b, `{"cmd":"sleep 1000","cpus":0.01,"mem":1,"portDefinitions":[{"port":10000,"name":"http"}],"labels":{"a":"b"},"env":{"K":"V"}}`, offers, 0)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		o := offers[i%len(offers)]
		i++
		m := TryMatch(cfg, now, rnd, o, o.Resources, n)
		if m.Operations == nil {
			b.Fatal(m.Reasons)
		}
		Subtract(o.Resources, m.Consumed)
	}
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "launches/s")
}

func BenchmarkConstraintKills(b *testing.B) {
	a := app(b, `{"constraints":[["hostname","GROUP_BY"],["rack","GROUP_BY"]]}`)
	var all []*core.Instance
	for i := range 2000 {
		in := instance(a, i)
		in.Agent = agent(i%200, "rack", fmt.Sprint(i%7))
		all = append(all, in)
	}
	for b.Loop() {
		ConstraintKills(a, all, 1000)
	}
}
