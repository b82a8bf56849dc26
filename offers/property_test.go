package offers

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

// cluster is a random world of agents and a random app for it.
type cluster struct {
	offers []*Offer
	left   [][]Resource
	app    *core.App
	placed []Placed
}

func drawCluster(t *rapid.T) *cluster {
	c := &cluster{}
	for i := range rapid.IntRange(1, 6).Draw(t, "agents") {
		c.offers = append(c.offers, drawOffer(t, i))
		c.left = append(c.left, c.offers[i].Resources)
	}
	c.app = drawApp(t)
	return c
}

func drawOffer(t *rapid.T, i int) *Offer {
	o := &Offer{ID: fmt.Sprint("O", i), Role: "web", Agent: agent(i)}
	if rapid.Bool().Draw(t, "has rack") {
		o.Agent.Attributes = []core.Attribute{{Name: "rack", Value: rapid.SampledFrom([]string{"r1", "r2", "r3"}).Draw(t, "rack")}}
	}
	o.Agent.Region = rapid.SampledFrom([]string{"", "eu", "eu", "eu", "eu", "us"}).Draw(t, "region")
	if o.Agent.Region != "" {
		o.Agent.Zone = rapid.SampledFrom([]string{"z1", "z2"}).Draw(t, "zone")
	}
	if rapid.IntRange(0, 15).Draw(t, "maintenance") == 0 {
		o.Unavailability = &Unavailability{Start: now - core.Timestamp(rapid.SampledFrom([]int{-1, 1, 100}).Draw(t, "start")), Duration: int64(rapid.SampledFrom([]int{0, 50}).Draw(t, "for"))}
	}
	add := func(r Resource) {
		role := rapid.SampledFrom([]string{"*", "*", "*", "web", "web", "db", "web with label", "web of a resident"}).Draw(t, "role")
		if role != "*" {
			r.Reservations = []ReservationInfo{{Role: role[:min(3, len(role))]}}
		}
		switch role {
		case "db":
			r.Reservations[0].Role = "db"
		case "web with label":
			r.Reservations[0].Dynamic, r.Reservations[0].Labels = true, []Label{{"owner", "x"}}
		case "web of a resident":
			r.Reservations[0].Dynamic, r.Reservations[0].Labels = true, []Label{{labelFramework, "fw"}, {labelReservation, "x"}}
		}
		o.Resources = append(o.Resources, r)
	}
	for piece := range uint64(rapid.IntRange(1, 3).Draw(t, "pieces")) {
		add(scalar("cpus", float64(rapid.IntRange(1, 40).Draw(t, "cpus"))/10, "*"))
		add(scalar("mem", float64(rapid.IntRange(32, 512).Draw(t, "mem")), "*"))
		begin := 300 + 20*piece + uint64(rapid.IntRange(0, 5).Draw(t, "port"))
		add(ports("*", begin, begin+uint64(rapid.IntRange(0, 14).Draw(t, "ports"))))
		disk := scalar("disk", float64(rapid.IntRange(1, 100).Draw(t, "disk")), "*")
		switch kind := rapid.SampledFrom([]string{"", "", "PATH", "MOUNT", "volume"}).Draw(t, "kind"); kind {
		case "":
		case "volume":
			disk.Disk = &DiskInfo{PersistenceID: "v"}
		default:
			disk.Disk = &DiskInfo{Source: &DiskSource{Type: kind, Root: "/" + kind}}
		}
		add(disk)
	}
	if rapid.IntRange(0, 5).Draw(t, "has gpus") == 0 {
		add(scalar("gpus", float64(rapid.IntRange(1, 3).Draw(t, "gpus")), "*"))
	}
	return o
}

func drawApp(t *rapid.T) *core.App {
	a := &core.App{ID: "/a", Role: "web", Version: now, Instances: rapid.IntRange(1, 8).Draw(t, "instances"),
		CPUs: core.Num(float64(rapid.IntRange(0, 8).Draw(t, "cpus")) / 10), Mem: core.Num(rapid.IntRange(0, 100).Draw(t, "mem"))}
	if rapid.IntRange(0, 2).Draw(t, "wants disk") == 0 {
		a.Disk = core.Num(rapid.IntRange(1, 60).Draw(t, "disk"))
	}
	a.GPUs = rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 2}).Draw(t, "gpus")
	if b := rapid.SampledFrom([]string{"", "restricted", "unrestricted"}).Draw(t, "scarcity"); b != "" {
		a.Labels = map[string]string{labelGPUBehavior: b}
	}
	if rapid.Bool().Draw(t, "restrict roles") {
		a.AcceptedResourceRoles = []string{rapid.SampledFrom([]string{"*", "web"}).Draw(t, "accepted")}
	}
	drawPorts(t, a)
	for range rapid.IntRange(0, 2).Draw(t, "constraints") {
		k := core.Constraint{Field: rapid.SampledFrom([]string{"hostname", "rack", "rack", "@region", "@zone"}).Draw(t, "field"),
			Operator: rapid.SampledFrom([]string{"UNIQUE", "CLUSTER", "GROUP_BY", "GROUP_BY", "MAX_PER", "LIKE", "UNLIKE", "IS"}).Draw(t, "operator")}
		switch k.Operator {
		case "CLUSTER":
			k.Value = rapid.SampledFrom([]string{"", "", "r1", "h1", "eu"}).Draw(t, "place")
		case "GROUP_BY":
			if rapid.Bool().Draw(t, "groups given") {
				k.Value = strconv.Itoa(rapid.IntRange(1, 4).Draw(t, "groups"))
			}
		case "MAX_PER":
			k.Value = strconv.Itoa(rapid.IntRange(1, 3).Draw(t, "max"))
		case "LIKE", "UNLIKE":
			k.Value = rapid.SampledFrom([]string{"r1", "r[12]", "h.*", "h[0-2]|r3", "eu|z1"}).Draw(t, "pattern")
		case "IS":
			k.Value = rapid.SampledFrom([]string{"r1", "h1", "eu", "z2"}).Draw(t, "value")
		}
		a.Constraints = append(a.Constraints, k)
	}
	return a
}

// drawPorts is every row of behaviour 5.4.
func drawPorts(t *rapid.T, a *core.App) {
	number := rapid.IntRange(300, 340)
	distinct := func(taken []int, n int) int {
		for slices.Contains(taken, n) {
			n++
		}
		return n
	}
	var taken []int
	bridge := rapid.IntRange(0, 2).Draw(t, "bridge") == 0
	a.RequirePorts = rapid.IntRange(0, 2).Draw(t, "require") == 0
	if bridge {
		a.Networks = []core.Network{{Mode: core.NetworkBridge}}
		a.Container = &core.Container{Type: "MESOS"}
	}
	for range rapid.IntRange(0, 3).Draw(t, "ports") {
		if !bridge {
			p := core.PortDefinition{Protocol: "tcp"}
			if a.RequirePorts && rapid.IntRange(0, 9).Draw(t, "zero") > 0 {
				p.Port = distinct(taken, number.Draw(t, "port"))
				taken = append(taken, p.Port)
			}
			a.PortDefinitions = append(a.PortDefinitions, p)
			continue
		}
		m := core.PortMapping{ContainerPort: 80, Protocol: "tcp"}
		switch rapid.IntRange(0, 2).Draw(t, "host port") {
		case 0:
			m.HostPort = new(int)
		case 1:
			n := distinct(taken, number.Draw(t, "port"))
			taken = append(taken, n)
			m.HostPort = &n
		}
		a.Container.PortMappings = append(a.Container.PortMappings, m)
	}
}

// solver decides by enumeration, straight from behaviour.md 5.3 to 5.5, sharing no code with the matcher.
type solver struct {
	app    *core.App
	placed []Placed
}

func (s *solver) usable(r Resource) bool {
	role := "*"
	if len(r.Reservations) > 0 {
		role = r.Reservations[0].Role
		for _, l := range r.Reservations[0].Labels {
			if l.Key == "marathon_task_id" {
				return false
			}
		}
	}
	if r.Disk != nil && r.Disk.PersistenceID != "" {
		return false
	}
	if len(s.app.AcceptedResourceRoles) > 0 {
		return slices.Contains(s.app.AcceptedResourceRoles, role)
	}
	return role == "*" || role == "web"
}

// What is asked of one port: a number, any, or no host port at all.
const (
	askAny  = 0
	askNone = -1
)

// asks are the ports of the app; never: no offer can have them.
func (s *solver) asks() (asks []int, never bool) {
	if s.app.Container != nil {
		for _, m := range s.app.Container.PortMappings {
			if m.HostPort == nil {
				asks = append(asks, askNone)
			} else {
				asks = append(asks, *m.HostPort)
			}
		}
		return asks, false
	}
	for _, d := range s.app.PortDefinitions {
		if s.app.RequirePorts {
			never = never || d.Port == 0
			asks = append(asks, d.Port)
		} else {
			asks = append(asks, askAny)
		}
	}
	return asks, never
}

func (s *solver) fits(o *Offer, left []Resource) bool {
	var cpus, mem, disk, gpus float64
	free := map[uint64]bool{}
	any, scarce := false, false
	for _, r := range left {
		scarce = scarce || r.Name == "gpus"
		if !s.usable(r) {
			continue
		}
		any = true
		switch r.Name {
		case "cpus":
			cpus += r.Value
		case "mem":
			mem += r.Value
		case "gpus":
			gpus += r.Value
		case "disk":
			if r.Disk == nil {
				disk += r.Value
			}
		case "ports":
			for _, g := range r.Ranges {
				for p := g.Begin; p <= g.End; p++ {
					free[p] = true
				}
			}
		}
	}
	if !any || cpus < float64(s.app.CPUs)-1e-6 || mem < float64(s.app.Mem)-1e-6 || disk < float64(s.app.Disk)-1e-6 || gpus < float64(s.app.GPUs)-1e-6 {
		return false
	}
	if scarce && s.app.GPUs == 0 && s.app.Labels[labelGPUBehavior] != "unrestricted" {
		return false
	}
	asks, never := s.asks()
	wanted := 0
	for _, p := range asks {
		if p > 0 && !free[uint64(p)] {
			return false
		}
		if p >= 0 {
			wanted++
		}
	}
	if never || wanted > len(free) {
		return false
	}
	if u := o.Unavailability; u != nil && now > u.Start && (u.Duration == 0 || now <= u.Start+core.Timestamp(u.Duration)) {
		return false
	}
	anywhere := false
	for _, k := range s.app.Constraints {
		anywhere = anywhere || k.Field[0] == '@'
		if !s.allows(k, o.Agent) {
			return false
		}
	}
	return anywhere || o.Agent.Region == "" || o.Agent.Region == "eu"
}

func (s *solver) allows(k core.Constraint, a *core.AgentInfo) bool {
	read := func(a *core.AgentInfo) string {
		switch k.Field {
		case "hostname":
			return a.Host
		case "@region":
			return a.Region
		case "@zone":
			return a.Zone
		}
		if len(a.Attributes) > 0 {
			return a.Attributes[0].Value
		}
		return ""
	}
	v := read(a)
	if v == "" {
		return k.Operator == "UNLIKE"
	}
	groups := map[string]int{}
	for _, p := range s.placed {
		groups[read(p.Agent)]++
	}
	switch k.Operator {
	case "UNIQUE":
		return groups[v] == 0
	case "CLUSTER":
		if k.Value != "" {
			return v == k.Value
		}
		return len(s.placed) == 0 || read(s.placed[0].Agent) == v
	case "MAX_PER":
		n, _ := strconv.Atoi(k.Value)
		return groups[v] < n
	case "IS":
		return v == k.Value
	case "LIKE", "UNLIKE":
		sets := map[string][]string{"r1": {"r1"}, "r[12]": {"r1", "r2"}, "h.*": {"h0", "h1", "h2", "h3", "h4", "h5"}, "h[0-2]|r3": {"h0", "h1", "h2", "r3"}, "eu|z1": {"eu", "z1"}}
		return slices.Contains(sets[k.Value], v) == (k.Operator == "LIKE")
	}
	if k.Value == "" { // GROUP_BY, D-16
		least := math.MaxInt
		for g, n := range groups {
			if g != "" {
				least = min(least, n)
			}
		}
		return groups[v] == 0 || groups[v] == least
	}
	g, _ := strconv.Atoi(k.Value)
	if groups[v] == 0 {
		return len(groups) < g // the offer's own group is in groups only when it has members
	}
	per, rem, used := s.app.Instances/g, s.app.Instances%g, 0
	for _, n := range groups {
		used += max(0, n-per)
	}
	return groups[v] < per || groups[v] == per && rem-used > 0
}

// amounts adds up resources by what Mesos tells apart; ports count one each under their number.
func amounts(list []Resource) map[string]int64 {
	out := map[string]int64{}
	for _, r := range list {
		key := r.Name + "/" + r.Role()
		if r.Disk != nil {
			key += fmt.Sprint(r.Disk.Source, r.Disk.PersistenceID)
		}
		if len(r.Reservations) > 0 {
			key += fmt.Sprint(r.Reservations[0].Labels)
		}
		if r.Name != "ports" {
			out[key] += int64(math.Round(r.Value * 1000))
			continue
		}
		for _, g := range r.Ranges {
			for p := g.Begin; p <= g.End; p++ {
				out[fmt.Sprint(key, "/", p)]++
			}
		}
	}
	return out
}

// checkTask verifies that a launch takes what the app asked for, out of what was left, and nothing else (I7).
func checkTask(t *rapid.T, s *solver, m Match, left []Resource) {
	task := m.Operations[0].Launch
	have, took := amounts(left), amounts(task.Resources)
	var cpus, mem, disk, gpus, count int64
	for key, n := range took {
		if n > have[key] {
			t.Fatalf("took %d of %s, only %d left", n, key, have[key])
		}
		switch name, _, _ := strings.Cut(key, "/"); name {
		case "cpus":
			cpus += n
		case "mem":
			mem += n
		case "disk":
			disk += n
		case "gpus":
			gpus += n
		default:
			count++
		}
	}
	asks, _ := s.asks()
	wanted := len(asks)
	for _, p := range asks {
		if p == askNone {
			wanted--
		}
	}
	if cpus != milli(float64(s.app.CPUs)) || mem != milli(float64(s.app.Mem)) || disk != milli(float64(s.app.Disk)) || gpus != int64(s.app.GPUs)*1000 || int(count) != wanted {
		t.Fatalf("took %v for cpus %v mem %v disk %v gpus %d ports %v", took, s.app.CPUs, s.app.Mem, s.app.Disk, s.app.GPUs, asks)
	}
	got := m.HostPorts[core.AppContainer]
	for i, p := range got {
		if (asks[i] == askNone) != (p == 0) || asks[i] > 0 && p != asks[i] || p != 0 && slices.Index(got, p) != i {
			t.Fatalf("ports %v for %v", got, asks)
		}
	}
	if len(got) != len(asks) {
		t.Fatalf("ports %v for %v", got, asks)
	}
	for _, r := range task.Resources {
		if !s.usable(r) {
			t.Fatalf("took %s of role %s", r.Name, r.Role())
		}
	}
	rest := amounts(Subtract(left, m.Consumed))
	for key, n := range have {
		if rest[key] != n-took[key] {
			t.Fatalf("%s: had %d, took %d, %d left", key, n, took[key], rest[key])
		}
	}
}

// On random clusters the matcher never breaks a constraint, never misses a place for an instance and never uses more of
// an offer than it has (I7, D-16): with roles and reservations, every row of 5.4, gpus, kinds of disk, all operators on all
// kinds of fields, regions and maintenance windows; whether the tally is kept by the caller or counted anew.
func TestMatcherAgainstSolver(t *testing.T) {
	fits, tries := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n, of := drawCluster(t).play(t, 25)
		fits, tries = fits+n, tries+of
	})
	if tries > 1000 && fits < 10 { // it would prove nothing
		t.Errorf("%d of %d fit", fits, tries)
	}
}

// The same with room for everything, so that only constraints decide and groups fill up to their quotas.
func TestConstraintsAgainstSolver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &cluster{app: &core.App{ID: "/a", Role: "web", Version: now, Instances: rapid.IntRange(1, 12).Draw(t, "instances")}}
		for i := range rapid.IntRange(2, 4).Draw(t, "agents") {
			o := offer(scalar("cpus", 1, "*"))
			o.Agent = agent(i, "rack", fmt.Sprint("r", 1+i%3))
			c.offers, c.left = append(c.offers, o), append(c.left, o.Resources)
		}
		for range rapid.IntRange(1, 2).Draw(t, "constraints") {
			c.app.Constraints = append(c.app.Constraints, rapid.SampledFrom([]core.Constraint{
				{Field: "rack", Operator: "GROUP_BY"}, {Field: "rack", Operator: "GROUP_BY", Value: "2"}, {Field: "rack", Operator: "GROUP_BY", Value: "3"},
				{Field: "hostname", Operator: "GROUP_BY"}, {Field: "hostname", Operator: "MAX_PER", Value: "4"}, {Field: "rack", Operator: "MAX_PER", Value: "3"},
			}).Draw(t, "constraint"))
		}
		c.play(t, 40)
	})
}

// play tries one instance after another on random offers, sometimes losing one, and compares every answer.
func (c *cluster) play(t *rapid.T, most int) (fits, tries int) {
	compiled := Compile(c.app)
	counts := NewCounts(compiled, nil)
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	for step := range rapid.IntRange(most/2, most).Draw(t, "steps") {
		if len(c.placed) > 0 && rapid.IntRange(0, 4).Draw(t, "lose") == 0 {
			i := rapid.IntRange(0, len(c.placed)-1).Draw(t, "which")
			counts.Remove(c.placed[i].Instance)
			c.placed = slices.Delete(c.placed, i, i+1)
		}
		i := rapid.IntRange(0, len(c.offers)-1).Draw(t, "offer")
		n := &Need{Spec: c.app, Instance: instance(c.app, step), Placed: c.placed}
		if rapid.Bool().Draw(t, "kept") {
			n.Compiled, n.Counts = compiled, counts
		}
		s := &solver{c.app, c.placed}
		cfg := config()
		cfg.HomeRegion = "eu"
		m := TryMatch(cfg, now, rnd, c.offers[i], c.left[i], n)
		if want := s.fits(c.offers[i], c.left[i]); want != (m.Operations != nil) || want != (len(m.Reasons) == 0) || m.Problem != "" {
			t.Fatalf("solver says %v, matcher %v %s; app %+v, offer %+v, placed %v", want, m.Reasons, m.Problem, c.app, c.offers[i], c.placed)
		}
		if tries++; m.Operations == nil {
			continue
		}
		fits++
		checkTask(t, s, m, c.left[i])
		c.left[i] = Subtract(c.left[i], m.Consumed)
		p := Placed{Instance: n.Instance.ID, Version: c.app.Version, Agent: c.offers[i].Agent}
		c.placed = append(c.placed, p)
		counts.Add(p)
	}
	return fits, tries
}

// Specs of one class get the same answer from every offer, and what tells specs apart tells classes apart.
func TestClass(t *testing.T) {
	seen := map[string]*core.App{}
	rapid.Check(t, func(t *rapid.T) {
		a, o := drawApp(t), drawOffer(t, 1)
		class := Compile(a).Class()
		counting := slices.ContainsFunc(a.Constraints, func(k core.Constraint) bool {
			return k.Operator == "UNIQUE" || k.Operator == "CLUSTER" || k.Operator == "GROUP_BY" || k.Operator == "MAX_PER"
		})
		if counting != (class == "") {
			t.Fatalf("class %q of %v", class, a.Constraints)
		}
		other, known := seen[class]
		if class == "" || !known {
			seen[class] = a
			return
		}
		x, y := try(o, need(a)), try(o, need(other))
		if !slices.Equal(x.Reasons, y.Reasons) {
			t.Fatalf("class %s: %v and %v", class, x.Reasons, y.Reasons)
		}
	})
	one, two := app(t, `{"cpus":1,"labels":{"a":"b"},"instances":3}`), app(t, `{"cpus":1,"id":"/x","cmd":"y"}`)
	if Compile(one).Class() != Compile(two).Class() {
		t.Error("what does not matter to offers makes another class")
	}
	for _, text := range []string{`{"cpus":2}`, `{"mem":1}`, `{"gpus":1}`, `{"role":"x"}`, `{"portDefinitions":[{"port":0}]}`, `{"acceptedResourceRoles":["*"]}`,
		`{"constraints":[["a","LIKE","b"]]}`, `{"labels":{"GPU_SCHEDULING_BEHAVIOR":"unrestricted"}}`, `{"executor":"/e","executorResources":{"cpus":1,"mem":1,"disk":1}}`} {
		if Compile(app(t, text)).Class() == Compile(app(t, `{}`)).Class() {
			t.Errorf("%s makes no other class", text)
		}
	}
}

// behaviour 11.4: what executor and containers get adds up to what was consumed, piece by piece.
func TestDealingAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOffer(t, 1)
		o.Resources = append(o.Resources, scalar("gpus", 4, "*"), scalar("disk", 100, "web"), scalar("disk", 50, "*"))
		p := &core.Pod{ID: "/p", Role: "web", ExecutorResources: core.ExecutorResources{CPUs: 0.1, Mem: 32, Disk: 10},
			Labels: map[string]string{labelGPUBehavior: "unrestricted"}}
		for i := range rapid.IntRange(1, 4).Draw(t, "containers") {
			p.Containers = append(p.Containers, core.PodContainer{Name: fmt.Sprint("c", i), Resources: core.PodResources{
				CPUs: core.Num(float64(rapid.IntRange(0, 900).Draw(t, "cpus")) / 1000), Mem: core.Num(rapid.IntRange(0, 200).Draw(t, "mem")),
				Disk: core.Num(rapid.IntRange(0, 60).Draw(t, "disk")), GPUs: rapid.IntRange(0, 2).Draw(t, "gpus")}})
		}
		m := try(o, need(p))
		if m.Operations == nil {
			return
		}
		g := m.Operations[0].LaunchGroup
		dealt := slices.Clone(g.Executor.Resources)
		for i, task := range g.Tasks {
			dealt = append(dealt, task.Resources...)
			want := compileParts(p)[i]
			var got scalars
			for _, r := range task.Resources {
				switch r.Name {
				case "cpus":
					got.cpus += milli(r.Value)
				case "mem":
					got.mem += milli(r.Value)
				case "disk":
					got.disk += milli(r.Value)
				case "gpus":
					got.gpus += milli(r.Value)
					if r.Value != math.Trunc(r.Value) {
						t.Fatalf("a broken GPU: %v", r.Value)
					}
				}
			}
			if got != want {
				t.Fatalf("container %d got %+v, wants %+v", i, got, want)
			}
		}
		have, used := amounts(m.Consumed), amounts(dealt)
		if len(have) != len(used) {
			t.Fatalf("consumed %v, dealt %v", have, used)
		}
		for key, n := range have {
			if used[key] != n {
				t.Fatalf("consumed %v, dealt %v", have, used)
			}
		}
	})
}

func compileParts(p *core.Pod) []scalars { return Compile(p).parts }
