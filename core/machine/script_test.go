package machine

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

var rewrite = flag.Bool("rewrite", false, "write the traces that the scripts produce instead of comparing them")

// TestScripts runs every script in testdata: events in, trace of the batches out, compared as golden text. A script is
// a list of commands, one a line; after "---" stands the trace. Ids are shown as i1, i2 … and d1, d2 … in order of
// their first appearance.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".script"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			commands, want, _ := strings.Cut(string(text), "---\n")
			got := newWorld(t).run(commands)
			if *rewrite {
				if err := os.WriteFile(f, []byte(commands+"---\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("trace differs; run with -rewrite and read the diff.\n--- got\n%s", firstDiff(want, got))
			}
		})
	}
}

func firstDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range g {
		if i >= len(w) || w[i] != g[i] {
			end := min(i+8, len(g))
			wanted := "(end)"
			if i < len(w) {
				wanted = w[i]
			}
			return fmt.Sprintf("line %d, wanted: %s\n%s", i+1, wanted, strings.Join(g[i:end], "\n"))
		}
	}
	return fmt.Sprintf("trace ends early; wanted next: %s", w[len(g)])
}

// world drives one machine from a script.
type world struct {
	t       *testing.T
	m       *Machine
	now     core.Timestamp
	names   map[string]string
	counts  map[byte]int
	tasks   map[string]core.TaskID // alias of instance → latest task
	agents  map[string]*core.AgentInfo
	request uint64
	nextO   int
	out     strings.Builder
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: 1_000_000, names: map[string]string{}, counts: map[byte]int{}, tasks: map[string]core.TaskID{}, agents: map[string]*core.AgentInfo{}}
	w.m = New(DefaultConfig(), state.New())
	w.step(Begin{Seed: 1})
	w.out.Reset()
	return w
}

func (w *world) run(commands string) string {
	for line := range strings.Lines(commands) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fmt.Fprintf(&w.out, "> %s\n", line)
		w.command(line)
	}
	return w.out.String()
}

func (w *world) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "put": // put [force] {app}: create or replace
		force := strings.HasPrefix(rest, "force ")
		app := testApp(w.t, strings.TrimPrefix(rest, "force "))
		w.submit(UpdateTree{Base: w.m.st.RootStamp(), Change: core.Change{Put: []core.RunSpec{app}, Force: force, GroupID: app.ID.Parent()},
			Origin: &Origin{ClientIP: "c", URI: "/v2/apps", Event: "api_post_event", App: app.ID}})
	case "delete":
		w.submit(UpdateTree{Base: w.m.st.RootStamp(), Change: core.Change{Remove: []core.PathID{core.PathID(rest)}, Force: true}})
	case "restart":
		w.submit(UpdateTree{Base: w.m.st.RootStamp(), Change: core.Change{Restart: []core.PathID{core.PathID(rest)}}})
	case "cancel":
		id, force, _ := strings.Cut(rest, " ")
		w.submit(CancelDeployment{ID: w.real(id), Force: force == "force"})
	case "kill":
		id, wipe, _ := strings.Cut(rest, " ")
		w.submit(KillInstances{IDs: []core.InstanceID{core.InstanceID(w.real(id))}, Wipe: wipe == "wipe"})
	case "undelay":
		w.submit(ResetDelay{Spec: core.PathID(rest)})
	case "subscribed":
		w.step(Mesos{offers.Subscribed{FrameworkID: "fw", MasterURL: "http://master:5050"}})
	case "disconnected":
		w.step(Mesos{offers.Disconnected{Reason: "gone"}})
	case "offer":
		w.offer(strings.Fields(rest))
	case "status":
		w.status(strings.Fields(rest))
	case "health":
		f := strings.Fields(rest)
		i, _ := w.m.st.Instance(core.InstanceID(w.real(f[0])))
		w.step(HealthReport{Instance: i.ID, Task: i.Tasks[0].ID, Outcome: map[string]Outcome{"ok": ProbeHealthy, "fail": ProbeFailed}[f[1]], Cause: "refused"})
	case "ready":
		i, _ := w.m.st.Instance(core.InstanceID(w.real(rest)))
		w.step(ReadinessReport{Instance: i.ID, Task: i.Tasks[0].ID, Ready: true})
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			w.t.Fatal(err)
		}
		w.wait(d)
	case "crash": // a new leader loads what is durable
		w.reload()
	case "show":
		w.show(core.PathID(rest))
	default:
		w.t.Fatalf("unknown command %q", line)
	}
}

func (w *world) submit(c Command) {
	w.request++
	w.step(Request{ID: w.request, Command: c})
}

// step applies one event and settles until nothing is pending, one batch after the other.
func (w *world) step(ev Event) {
	b := &Batch{}
	w.m.Step(w.now, ev, b)
	w.m.Settle(w.now, b)
	w.trace(b)
	for n := 0; w.m.Pending(); n++ {
		if n > 1000 {
			w.t.Fatal("the machine never comes to rest")
		}
		b = &Batch{}
		w.m.Settle(w.now, b)
		w.trace(b)
	}
}

// wait lets time pass, firing each timer at its time.
func (w *world) wait(d time.Duration) {
	end := w.now.Add(d)
	for {
		due, ok := w.m.NextTimer()
		if !ok || due > end {
			break
		}
		w.now = max(w.now, due)
		w.step(Tick{})
	}
	w.now = end
}

func (w *world) offer(f []string) {
	w.nextO++
	name := f[0]
	if w.agents[name] == nil {
		w.agents[name] = &core.AgentInfo{ID: "S-" + name, Host: name}
	}
	o := offers.Offer{ID: fmt.Sprintf("o%d", w.nextO), Agent: w.agents[name], Role: "*"}
	for _, kv := range f[1:] {
		k, v, _ := strings.Cut(kv, "=")
		if k == "ports" {
			b, e, _ := strings.Cut(v, "-")
			lo, _ := strconv.ParseUint(b, 10, 64)
			hi, _ := strconv.ParseUint(e, 10, 64)
			o.Resources = append(o.Resources, offers.Resource{Name: k, Type: offers.Ranges, Ranges: []offers.Range{{Begin: lo, End: hi}}})
			continue
		}
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			w.t.Fatal(err)
		}
		o.Resources = append(o.Resources, offers.Resource{Name: k, Value: n})
	}
	w.step(Mesos{offers.Received{Offers: []offers.Offer{o}}})
}

// status <instance alias or task id> TASK_X [reason=R] [healthy] [old]
func (w *world) status(f []string) {
	id := core.InstanceID(w.real(f[0]))
	u := offers.StatusUpdate{State: f[1], UUID: []byte{1}, Timestamp: w.now, AgentID: "S", TaskID: core.TaskID(f[0])}
	if i, ok := w.m.st.Instance(id); ok {
		u.TaskID, u.AgentID = i.Tasks[0].ID, i.Agent.ID
	}
	for _, x := range f[2:] {
		switch k, v, _ := strings.Cut(x, "="); k {
		case "reason":
			u.Reason = v
		case "message":
			u.Message = v
		case "healthy":
			u.Healthy = core.Healthy
		case "unhealthy":
			u.Healthy = core.Unhealthy
		case "incarnation":
			n, _ := strconv.Atoi(v)
			u.TaskID = id.Task(core.AppContainer, n)
		}
	}
	w.step(Mesos{u})
}

// reload throws everything volatile away, as a leader change does.
func (w *world) reload() {
	w.m = New(DefaultConfig(), durableCopy(w.t, w.m.st))
	w.step(Begin{Seed: 2})
}

// durableCopy is what a new leader would load.
func durableCopy(t *testing.T, old *state.State) *state.State {
	st := state.New()
	for _, wr := range old.Durable() {
		if err := st.Load(wr); err != nil {
			t.Fatal(err)
		}
	}
	st.Finish()
	return st
}

func (w *world) show(id core.PathID) {
	for i := range w.m.st.InstancesOf(id) {
		fmt.Fprintf(&w.out, "  %s %s %s\n", w.alias(string(i.ID)), i.Condition, i.Goal)
	}
	c := w.m.st.Counts(id)
	fmt.Fprintf(&w.out, "  counts staged=%d running=%d healthy=%d unhealthy=%d waiting=%d\n", c.Staged, c.Running, c.Healthy, c.Unhealthy, c.Waiting)
}

var (
	instancePattern   = regexp.MustCompile(`[a-z0-9_.-]+\.instance-[0-9a-f-]{36}`)
	deploymentPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// alias names ids in order of their first appearance.
func (w *world) alias(s string) string {
	s = instancePattern.ReplaceAllStringFunc(s, func(id string) string { return w.name('i', id) })
	return deploymentPattern.ReplaceAllStringFunc(s, func(id string) string { return w.name('d', id) })
}

func (w *world) name(kind byte, id string) string {
	if w.names[id] == "" {
		w.counts[kind]++
		w.names[id] = fmt.Sprintf("%c%d", kind, w.counts[kind])
	}
	return w.names[id]
}

func (w *world) real(alias string) string {
	for id, a := range w.names {
		if a == alias {
			return id
		}
	}
	return alias
}

// trace prints a batch: rows, calls, answers and notices, in the order of their release.
func (w *world) trace(b *Batch) {
	p := func(format string, args ...any) { fmt.Fprintf(&w.out, "  %s\n", w.alias(fmt.Sprintf(format, args...))) }
	for _, x := range b.Writes {
		verb := "put"
		if x.Value == nil {
			verb = "drop"
		}
		if i, ok := x.Value.(*core.Instance); ok {
			p("%s %s %s %s %s", verb, x.Table, x.Key, i.Condition, i.Goal)
			continue
		}
		p("%s %s %s", verb, x.Table, strings.Split(x.Key, "@")[0])
	}
	for _, c := range b.Calls {
		p("call %s", callText(c))
	}
	for _, r := range b.Replies {
		if r.Err != nil {
			p("reply error: %v", r.Err)
		} else {
			p("reply ok")
		}
	}
	for _, n := range b.Notices {
		p("notice %s", noticeText(n))
	}
	for _, x := range b.Probes {
		p("probe stop=%v readiness=%v %s %s:%d", x.Stop, x.Readiness, x.Instance, x.Host, x.Port)
	}
}

func callText(c offers.Call) string {
	switch c := c.(type) {
	case offers.Accept:
		var ops []string
		for _, o := range c.Operations {
			if o.Launch != nil {
				ops = append(ops, "launch "+o.Launch.TaskID)
			}
		}
		return fmt.Sprintf("accept %v %s", c.OfferIDs, strings.Join(ops, ", "))
	case offers.Decline:
		return fmt.Sprintf("decline %v", c.OfferIDs)
	case offers.Kill:
		return fmt.Sprintf("kill %s", c.TaskID)
	case offers.Acknowledge:
		return fmt.Sprintf("acknowledge %s", c.TaskID)
	case offers.Reconcile:
		return fmt.Sprintf("reconcile %d", len(c.Tasks))
	}
	return fmt.Sprintf("%s %v", strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", c), "offers.")), c)
}

func noticeText(n core.Notice) string {
	switch b := n.Body.(type) {
	case *core.InstanceChanged:
		return fmt.Sprintf("%s %s %s", n.Type, b.InstanceID, b.Condition)
	case *core.StatusUpdated:
		return fmt.Sprintf("%s %s %s", n.Type, b.TaskID, b.TaskStatus)
	case core.DeploymentStep:
		var acts []string
		for _, a := range b.CurrentStep.Actions {
			acts = append(acts, a.Action+" "+string(a.App))
		}
		return fmt.Sprintf("%s %s [%s]", n.Type, b.Plan.ID, strings.Join(acts, ", "))
	case core.DeploymentEnd:
		return fmt.Sprintf("%s %s %s", n.Type, b.ID, b.Reason)
	case core.HealthStatusChanged:
		return fmt.Sprintf("%s %s alive=%v", n.Type, b.InstanceID, b.Alive)
	case core.UnhealthyKill:
		return fmt.Sprintf("%s %s %s", n.Type, b.TaskID, b.Reason)
	}
	return n.Type
}

// testApp makes an app from JSON with Marathon's defaults.
func testApp(t testing.TB, text string) *core.App {
	cmd := "sleep 1"
	a := &core.App{Cmd: &cmd, BackoffFactor: 1.15, BackoffSeconds: 1, MaxLaunchDelaySeconds: 300, CPUs: 1, Mem: 128, Instances: 1,
		Labels: map[string]string{}, Networks: []core.Network{{Mode: core.NetworkHost}}, UpgradeStrategy: core.UpgradeStrategy{MaximumOverCapacity: 1, MinimumHealthCapacity: 1},
		KillSelection: core.YoungestFirst, Role: "*", PortDefinitions: []core.PortDefinition{{Protocol: "tcp"}}}
	if err := json.Unmarshal([]byte(text), a); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for n := range a.HealthChecks {
		h := &a.HealthChecks[n]
		h.Protocol, h.IntervalSeconds, h.TimeoutSeconds = cmp.Or(h.Protocol, "HTTP"), 10, 5
	}
	return a
}
