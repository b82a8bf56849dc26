package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
)

// sizes are what a run does; the bars speak of the full ones.
type sizes struct {
	rounds    int   // of the launch race
	instances int   // of the launch race
	agents    int   // in all but G5
	growth    []int // instances of G1
	apps      []int // apps of G2, G3, P12
	many      int   // apps of P3, ten instances each
	agentsOf  []int // G5
	pending   []int // G6
	unplaced  int   // P31
	replaced  int   // P8
	checked   int   // H1
	posts     int   // POSTs per side of P11 and per point of G3
	seconds   int   // of P30 and P31
	kept      []int // instances of G7; the last one also of P10, P23, P24, P27, P28
	grouped   int   // apps of P13
	losing    int   // P29
	deploying int   // P17
	listening []int // streams of G10; the last one also of P19
	versions  []int // G8
	pieces    int   // of each kind of read or write per point of P17, G4, G8 and G9
	persisted int   // instances of P9
	changes   int   // status changes of P14
	storm     int   // tasks of P32
	waitStart int   // seconds between launch and STARTING in P32: all must be launched within
	simple    int   // instances of P4
}

func small() sizes {
	return sizes{rounds: 3, instances: 20_000, agents: 5000, growth: []int{1000, 4000, 16_000}, apps: []int{10, 100, 1000}, many: 1000,
		agentsOf: []int{10, 100, 1000}, pending: []int{1, 10, 100, 1000}, unplaced: 10_000, replaced: 10_000, checked: 10_000, posts: 60, seconds: 5,
		kept: []int{1000, 10_000, 50_000}, grouped: 2000, losing: 10_000,
		deploying: 1000, listening: []int{1, 10, 100, 1000}, versions: []int{1, 10, 100, 1000}, pieces: 40,
		persisted: 20_000, changes: 150_000, storm: 10_000, waitStart: 10, simple: 500}
}

func full() sizes {
	return sizes{rounds: 7, instances: 100_000, agents: 5000, growth: []int{1000, 10_000, 100_000}, apps: []int{10, 100, 1000, 10_000}, many: 10_000,
		agentsOf: []int{10, 100, 1000, 10_000}, pending: []int{1, 10, 100, 1000, 10_000}, unplaced: 10_000, replaced: 10_000, checked: 10_000, posts: 200, seconds: 20,
		kept: []int{1000, 10_000, 100_000, 1_000_000}, grouped: 10_000, losing: 10_000,
		deploying: 1000, listening: []int{1, 10, 100, 1000}, versions: []int{1, 10, 100, 1000}, pieces: 120,
		persisted: 100_000, changes: 1_000_000, storm: 100_000, waitStart: 60, simple: 2000}
}

// bench is a run.
type bench struct {
	sizes
	*report
	only []string
}

// part is a group of measures that share a world.
type part struct {
	ids []string
	run func() error
}

func main() {
	var err error
	good := true
	switch {
	case len(os.Args) == 3 && os.Args[1] == "-etcd":
		err = runEtcd(os.Args[2])
	case len(os.Args) == 4 && (os.Args[1] == plainForm || os.Args[1] == pipedForm || os.Args[1] == stormForm):
		err = runNoop(os.Args[1], os.Args[2], os.Args[3])
	case len(os.Args) == 5 && os.Args[1] == naiveForm:
		err = runNaive(os.Args[2], os.Args[3], os.Args[4])
	default:
		good, err = runAll(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

func runAll(only []string) (good bool, err error) {
	b := &bench{sizes: small(), only: only}
	isFull := os.Getenv("BENCH") == "full"
	if isFull {
		b.sizes = full()
	}
	if n, err := strconv.Atoi(os.Getenv("BENCH_ROUNDS")); err == nil {
		b.rounds = n
	}
	if n, err := strconv.Atoi(os.Getenv("BENCH_INSTANCES")); err == nil {
		b.instances = n
		b.kept = []int{1000, n / 10, n}
	}
	if b.report, err = newReport(isFull); err != nil {
		return false, err
	}
	defer b.file.Close()
	if err := b.conditions(); err != nil {
		return false, err
	}
	for _, p := range b.parts() {
		if len(only) > 0 && !slices.ContainsFunc(p.ids, func(id string) bool { return slices.Contains(only, id) }) {
			continue
		}
		if err := p.run(); err != nil {
			for _, id := range p.ids {
				if !slices.ContainsFunc(b.all, func(m measure) bool { return m.ID == id }) {
					b.add(measure{ID: id, What: "not measured", Error: err.Error()})
				}
			}
		}
	}
	return b.table(), nil
}

func (b *bench) parts() []part {
	return []part{
		{[]string{"P1", "P2", "P5", "P7", "P21", "P30"}, b.race},
		{[]string{"G1"}, b.growthOfLaunch},
		{[]string{"P6", "P16"}, b.beside},
		{[]string{"P3"}, b.manyApps},
		{[]string{"P8"}, b.rolling},
		{[]string{"H1"}, b.checks},
		{[]string{"P11", "P12", "P15", "P18", "G2", "G3"}, b.posting},
		{[]string{"P22"}, b.memory},
		{[]string{"P31"}, b.unplaceable},
		{[]string{"G5"}, b.growthOfAgents},
		{[]string{"G6"}, b.growthOfPending},
		{[]string{"P10", "P23", "P24", "P27", "P28", "G7"}, b.held},
		{[]string{"P13"}, b.largest},
		{[]string{"P29"}, b.lost},
		{[]string{"P17"}, b.deploymentsAndQueue},
		{[]string{"P19", "G10"}, b.streams},
		{[]string{"P20"}, b.deploymentEvents},
		{[]string{"G4"}, b.growthOfList},
		{[]string{"G8"}, b.growthOfVersions},
		{[]string{"G9"}, b.growthOfGroups},
		{[]string{"P9"}, b.persisting},
		{[]string{"P14"}, b.churn},
		{[]string{"P32"}, b.updateStorm},
		{[]string{"P4"}, b.againstNaive},
	}
}
