package marathonapi

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"stadion/core"
	"stadion/core/state"
	"stadion/deployments"
	"stadion/offers"
)

// TestDryRunEqualsRun: for a range of changes a dry run stores nothing and says what the run then does: the steps of its
// deployment, which specs come, go and change, and in which fields.
func TestDryRunEqualsRun(t *testing.T) {
	r := newRig(t, Config{}, nil)
	plans := r.listen("?event_type=group_change_success&event_type=deployment_info")
	rnd := rand.New(rand.NewPCG(7, 41))
	kinds := map[string]int{}
	for n := range 120 {
		method, path, body := someChange(rnd, n)
		before, definitions := r.loop.Snapshot(), r.definitions()
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		dry := r.do(method, path+join+"dryRun=true", body)
		if after := r.loop.Snapshot(); after.RootStamp() != before.RootStamp() || after.DeploymentCount() != before.DeploymentCount() || !reflect.DeepEqual(r.definitions(), definitions) {
			t.Fatalf("the dry run of %s %s %s stored something", method, path, body)
		}
		run := r.do(method, path+join+"force=true", body)
		if dry.StatusCode >= 300 || run.StatusCode >= 300 {
			if dry.StatusCode != run.StatusCode || dry.body != run.body {
				t.Fatalf("%s %s %s\ndry %d %s\nrun %d %s", method, path, body, dry.StatusCode, dry.body, run.StatusCode, run.body)
			}
			continue
		}
		var p preview
		if err := json.Unmarshal([]byte(dry.body), &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Steps) > 0 {
			if want := plans.steps(run.Header.Get(deploymentHeader)); !reflect.DeepEqual(p.Steps, want) {
				t.Fatalf("%s %s %s\ndry %+v\nrun %+v", method, path, body, p.Steps, want)
			}
		} else if run.Header.Get(deploymentHeader) == "" && method != "PATCH" {
			t.Fatalf("%s %s has no deployment", method, path)
		}
		compareChange(t, p, definitions, r.definitions(), kinds)
	}
	for _, k := range []string{"create", "update", "remove", "restart"} {
		if kinds[k] < 3 {
			t.Errorf("only %d changes of kind %s were seen: %v", kinds[k], k, kinds)
		}
	}
}

// someChange is one request of a client.
func someChange(rnd *rand.Rand, n int) (method, path, body string) {
	id := []string{"/a", "/b", "/g/c", "/g/d", "/g/h/e"}[rnd.IntN(5)]
	app := fmt.Sprintf(`{"id":%q,"cmd":"sleep %d","instances":%d,"mem":%d,"labels":{"n":"%d"}}`, id, rnd.IntN(2), rnd.IntN(4), 32*(1+rnd.IntN(2)), rnd.IntN(2))
	switch rnd.IntN(9) {
	case 0:
		return "POST", "/v2/apps", app
	case 1, 2:
		return "PUT", "/v2/apps" + id, app
	case 3:
		return "PATCH", "/v2/apps" + id, fmt.Sprintf(`{"instances":%d}`, rnd.IntN(5))
	case 4:
		return "PUT", "/v2/apps", fmt.Sprintf(`[%s,{"id":"/b","cmd":"sleep %d","instances":2,"dependencies":["/a"]}]`, strings.Replace(app, id, "/a", 1), n)
	case 5:
		return "DELETE", "/v2/apps" + id, ""
	case 6:
		return "POST", "/v2/apps" + id + "/restart", ""
	case 7:
		return "PUT", "/v2/groups/g?embed=changes", fmt.Sprintf(`{"apps":[{"id":"c","cmd":"sleep %d","instances":1},{"id":"d","cmd":"true","instances":%d,"dependencies":["c"]}]}`, n, rnd.IntN(3))
	}
	return "DELETE", "/v2/groups/g", ""
}

// steps are those of a plan, as its first event tells them.
func (c *client) steps(id string) []core.WireStep {
	c.t.Helper()
	for {
		f := c.frame()
		if len(f) != 3 {
			c.t.Fatalf("frame %q", f)
		}
		if !strings.HasSuffix(f[1], "deployment_info") {
			continue
		}
		var info struct {
			Plan struct {
				ID    string          `json:"id"`
				Steps []core.WireStep `json:"steps"`
			} `json:"plan"`
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(f[2], "data: ")), &info); err != nil {
			c.t.Fatal(err)
		}
		if info.Plan.ID == id {
			return info.Plan.Steps
		}
	}
}

// definitions are the JSON definitions of all specs, as they are stored.
func (r *rig) definitions() map[core.PathID]map[string]json.RawMessage {
	out := map[core.PathID]map[string]json.RawMessage{}
	for spec := range r.loop.Snapshot().SpecsBelow(core.Root) {
		f, err := fieldsOf(spec)
		if err != nil {
			r.Fatal(err)
		}
		delete(f, "version")
		delete(f, "versionInfo")
		out[spec.SpecID()] = f
	}
	return out
}

func compareChange(t *testing.T, p preview, before, after map[core.PathID]map[string]json.RawMessage, kinds map[string]int) {
	t.Helper()
	said := map[core.PathID]specPreview{}
	for _, c := range p.Changes {
		said[c.ID] = c
		kinds[c.Change]++
	}
	for id := range before {
		if _, stays := after[id]; !stays && said[id].Change != "remove" {
			t.Fatalf("%s was removed, the dry run said %+v", id, said[id])
		}
	}
	for id, now := range after {
		was, had := before[id]
		if !had {
			if said[id].Change != "create" {
				t.Fatalf("%s was created, the dry run said %+v", id, said[id])
			}
			continue
		}
		for _, f := range said[id].Fields {
			if d := said[id].Diff[f]; string(d.From) != string(was[f]) || string(d.To) != string(now[f]) {
				t.Fatalf("%s: %s went from %s to %s, the dry run said %s to %s", id, f, was[f], now[f], d.From, d.To)
			}
		}
		for f := range now {
			if string(now[f]) != string(was[f]) && !slices.Contains(said[id].Fields, f) {
				t.Fatalf("%s: %s went from %s to %s, the dry run did not say so", id, f, was[f], now[f])
			}
		}
	}
}

// TestDryRunCounts: instances started and stopped all in all, and who would be in the way.
func TestDryRunCounts(t *testing.T) {
	st := filled(1, 3)
	st.PutDeployment(&core.Deployment{ID: "d", Steps: []core.Step{{Actions: []core.Action{{Spec: "/group-0/app-0"}}}}})
	s, l := stillServer(st)
	s.cfg.Plan = deployments.Flags{PortMin: 10000, PortMax: 20000}
	for _, c := range []struct {
		method, path, body, want string
		start, stop              int
	}{
		{"PUT", "/v2/apps/group-0/app-0?dryRun=true", `{"instances":5}`, "update", 2, 0},
		{"PATCH", "/v2/apps/group-0/app-0?dryRun=TRUE", `{"instances":1}`, "update", 0, 2},
		{"PUT", "/v2/apps/group-0/app-0?dryRun=true", `{"cmd":"true","instances":4}`, "update", 4, 3},
		{"POST", "/v2/apps/group-0/app-0/restart?dryRun=true", ``, "restart", 3, 3},
		{"DELETE", "/v2/apps/group-0/app-0?dryRun=true", ``, "remove", 0, 3},
		{"DELETE", "/v2/groups/group-0?dryRun=true", ``, "remove", 0, 3},
		{"POST", "/v2/apps?dryRun=true", `{"id":"/n","cmd":"true","instances":6}`, "create", 6, 0},
	} {
		w := send(s, c.method, c.path, c.body)
		var p preview
		if err := json.Unmarshal(w.Body.Bytes(), &p); w.Code != 200 || err != nil || len(p.Changes) != 1 {
			t.Fatalf("%s %s: %d %s %v", c.method, c.path, w.Code, w.Body, err)
		}
		got := p.Changes[0]
		if got.Change != c.want || got.Start != c.start || got.Stop != c.stop {
			t.Errorf("%s %s: %+v", c.method, c.path, got)
		}
		if len(got.Stopped) != c.stop || !slices.IsSorted(got.Stopped) {
			t.Errorf("%s %s: %d are stopped, these: %v", c.method, c.path, c.stop, got.Stopped)
		}
		if held := c.want != "create"; held != (len(p.Locks) == 1 && p.Locks[0].ID == "d") {
			t.Errorf("%s %s: locked by %v", c.method, c.path, p.Locks)
		}
	}
	if len(l.asked) != 0 {
		t.Errorf("dry runs asked the loop for %v", l.asked)
	}
}

// TestDryRunOfGroups: where Marathon itself knows dryRun, the answer is Marathon's unless more is asked for (http-api.md 18).
func TestDryRunOfGroups(t *testing.T) {
	r := newRig(t, Config{}, nil)
	const group = `{"apps":[{"id":"a","cmd":"sleep 1"}]}`
	for query, more := range map[string]bool{"?dryRun=true": false, "?dryRun=true&embed=changes": true} {
		res := r.must(200, "PUT", "/v2/groups/g"+query, group)
		if !strings.Contains(res.body, `{"steps":[{"actions":[{"action":"StartApplication","app":"/g/a"}]}`) || strings.Contains(res.body, `"changes":[`) != more {
			t.Errorf("%s: %s", query, res.body)
		}
	}
}

// TestSteer: a deployment can be held, let go and promoted; who is not there is a 404.
func TestSteer(t *testing.T) {
	r := newRig(t, Config{}, nil)
	id := r.must(201, "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1"}`).Header.Get(deploymentHeader)
	paused := func(res reply) bool { return strings.Contains(res.body, `"paused":true`) }
	if res := r.must(200, "POST", "/v2/deployments/"+id+"/pause", ""); !paused(res) {
		t.Errorf("paused: %s", res.body)
	}
	if asked, not := r.must(200, "GET", "/v2/deployments?embed=stall", ""), r.must(200, "GET", "/v2/deployments", ""); !paused(asked) || paused(not) {
		t.Errorf("list: %s %s", asked.body, not.body)
	}
	for _, action := range []string{"resume", "promote"} {
		if res := r.must(200, "POST", "/v2/deployments/"+id+"/"+action, ""); paused(res) || !strings.Contains(res.body, id) {
			t.Errorf("%s: %s", action, res.body)
		}
	}
	r.must(404, "POST", "/v2/deployments/x/pause", "")
	r.must(405, "GET", "/v2/deployments/"+id+"/pause", "")
	r.must(404, "POST", "/v2/deployments/"+id+"/destroy", "")
}

// TestExplain: what waits is explained with the nearest miss; an app of that very name is still shown.
func TestExplain(t *testing.T) {
	st := waitingApp(state.New())
	s, _ := stillServer(st)
	s.cfg.Offers = offers.Config{AcceptedRolesDefault: "any", GPUBehavior: "restricted", DefaultExecutor: "//cmd", BridgeName: "b"}
	w := get(s, "GET", "/v2/apps/w/explain")
	conform(t, "GET", "/v2/apps/w/explain", "", reply{w.Result(), w.Body.String()})
	for _, part := range []string{`"waiting":1`, `"agents":1`, `"waitingFor":"resources"`, `"host":"agent-7"`, `"InsufficientMemory"`, `"lacks":64`} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("%d %s has no %s", w.Code, w.Body, part)
		}
	}
	if w := get(s, "GET", "/v2/apps/none/explain"); w.Code != 404 {
		t.Errorf("no app: %d %s", w.Code, w.Body)
	}
	r := newRig(t, Config{}, nil)
	r.must(201, "POST", "/v2/apps", `{"id":"/x","cmd":"sleep 1"}`)
	if res := r.must(200, "GET", "/v2/apps//x/explain", ""); !strings.Contains(res.body, `"waitingFor":"connection"`) {
		t.Errorf("without a master: %s", res.body)
	}
	r.must(201, "PUT", "/v2/apps/y/explain", `{"cmd":"sleep 1"}`)
	if res := r.must(200, "GET", "/v2/apps/y/explain", ""); !strings.Contains(res.body, `{"app":{"id":"/y/explain"`) {
		t.Errorf("an app named explain: %s", res.body)
	}
	r.must(200, "DELETE", "/v2/apps/y/explain", "")
}

// waitingApp adds an app whose only instance waits, with an offer that lacks memory.
func waitingApp(st *state.State) *state.State {
	app := testApp("/w", 1)
	app.PortDefinitions, app.HealthChecks = nil, nil
	st.PutSpec(app)
	st.PutInstance(&core.Instance{ID: core.NewInstanceID("/w", "0ab6b7c1-9a3b-11ea-8d8e-000000000001"), Spec: "/w", Version: app.Version, Role: "*", Condition: core.Scheduled, QueuedAt: start})
	st.SetMesos(state.Mesos{Connected: true})
	rack, level := "r1", 3.5
	offer := &offers.Offer{ID: "o1", Role: "*", Agent: &core.AgentInfo{ID: "S7", Host: "agent-7", Attributes: []core.Attribute{{Name: "rack", Value: "r1"}}},
		Attributes: []offers.Attribute{{Name: "rack", Text: &rack}, {Name: "level", Scalar: &level}, {Name: "slots", Ranges: []offers.Range{{Begin: 20, End: 30}, {Begin: 1, End: 2}}},
			{Name: "kinds", Items: []string{"b", "a"}}},
		Resources: []offers.Resource{{Name: "cpus", Type: offers.Scalar, Value: 4}, {Name: "mem", Type: offers.Scalar, Value: 64}, {Name: "disk", Type: offers.Scalar, Value: 100},
			{Name: "ports", Type: offers.Ranges, Ranges: []offers.Range{{Begin: 31000, End: 31010}}}}}
	q := &state.QueueStats{OfferTally: state.OfferTally{Processed: 3, Unused: 3, LastUnused: start}, LastOffers: map[string]state.LastOffer{"S7": {Offer: offer, Reasons: []uint8{uint8(offers.InsufficientMemory)}, At: start}}}
	q.Funnel[offers.InsufficientMemory] = 3
	st.SetStats("/w", q)
	return st
}
