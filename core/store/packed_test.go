package store

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"stadion/core"
	"stadion/core/state"
)

// packed is an instance in which every field is set that the packed form holds.
func packed(spec core.PathID, n int) *core.Instance {
	i := &core.Instance{}
	fillAll(reflect.ValueOf(i).Elem())
	i.ID, i.Spec, i.Reservation = instance(spec, n).ID, spec, nil
	i.Tasks = append(i.Tasks, i.Tasks[0])
	i.Tasks[0].ID, i.Tasks[0].Status = i.ID.Task("text", 7), new(*i.Tasks[0].Status)
	i.Tasks[0].Status.Check, i.Tasks[1].Status = nil, nil
	return i
}

func pack1(t *testing.T, i *core.Instance) (key string, raw []byte) {
	t.Helper()
	w := state.Write{Table: state.TableInstance, Key: string(i.ID), Value: i}
	raw, err := encodeRow(w, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keysOf(w)
	if err != nil {
		t.Fatal(err)
	}
	return keys[0], raw
}

// I13: an instance comes out of the packed form as it went in; what that form cannot hold is not packed. A field that is
// added to core.Instance and forgotten here fails this test.
func TestPackedInstances(t *testing.T) {
	odd := func(edit func(i *core.Instance)) *core.Instance {
		i := instance("/team/service", 3)
		edit(i)
		return i
	}
	some := &shared{}
	for name, c := range map[string]struct {
		i      *core.Instance
		packed bool
	}{
		"all fields": {packed("/team/service", 1), true},
		"usual":      {instance("/team/service", 2), true},
		"no tasks": {odd(func(i *core.Instance) {
			i.Tasks, i.Agent, i.Goal, i.Condition = nil, nil, core.GoalStopped, core.Scheduled
		}), true},
		"old ids": {odd(func(i *core.Instance) {
			i.ID = "team_service.marathon-11111111-2222-3333-4444-000000000009"
			i.Tasks[0].ID = "team_service.11111111-2222-3333-4444-000000000009"
		}), true},
		"texts": {odd(func(i *core.Instance) {
			i.Role, i.KillReason = "TASK_RUNNING", "AAAAAAAA-bbbb-cccc-dddd-eeeeeeeeeeee"
			i.Agent = &core.AgentInfo{Host: "010.0.0.7", ID: "11111111-2222-3333-4444-000000000009", Region: "::1", Zone: "1",
				Attributes: []core.Attribute{{Name: "10.1.2.3", Value: ""}, {Name: "11111111-2222-3333-4444-00000000000é", Value: strings.Repeat("x", 300)}}}
		}), true},
		"negative": {odd(func(i *core.Instance) {
			i.Since, i.ActiveSince, i.Incarnation, i.Tasks[0].HostPorts = -5, stamp*2, -1, []int{0, -3}
		}), true},
		"reserved": {odd(func(i *core.Instance) { i.Reservation = &core.Reservation{ID: "r"} }), false},
		"checked":  {odd(func(i *core.Instance) { i.Tasks[0].Status.Check = &core.CheckResult{ExitCode: new(3)} }), false},
	} {
		for _, sh := range []*shared{nil, some, some} { // the second time the agent is known
			key, raw := pack1(t, c.i)
			if (raw[0] == packInstance) != c.packed {
				t.Errorf("%s: packed %v", name, raw[0] == packInstance)
			}
			got, ex, err := decodeRow(key, raw, sh)
			if err != nil || ex != nil || got.Key != string(c.i.ID) || !reflect.DeepEqual(got.Value, c.i) {
				t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got.Value, c.i)
			}
		}
	}
	if len(some.agents) == 0 {
		t.Error("no agent is shared")
	}
}

// F14: a damaged row is an error, never a panic and never half an instance; with a byte missing or more it is never taken
// for whole.
func TestDamagedPackedRows(t *testing.T) {
	for _, i := range []*core.Instance{packed("/a", 1), instance("/a", 2)} {
		key, raw := pack1(t, i)
		for n := 1; n < len(raw); n++ {
			if _, _, err := decodeRow(key, raw[:n], nil); err == nil {
				t.Errorf("the first %d of %d bytes are read", n, len(raw))
			}
		}
		if _, _, err := decodeRow(key, append(slices.Clone(raw), 0), nil); err == nil {
			t.Error("a byte too many is not noticed")
		}
		rng, sh := rand.New(rand.NewPCG(1, 2)), &shared{}
		for range 20000 {
			bad := slices.Clone(raw)
			for range 1 + rng.IntN(3) {
				bad[1+rng.IntN(len(bad)-1)] = byte(rng.Uint32())
			}
			if w, _, err := decodeRow(key, bad, sh); (w.Value == nil) != (err != nil) {
				t.Fatalf("%x: value %v, error %v", bad, w.Value, err)
			}
		}
	}
	c := &coder{b: []byte{255, 255}, reading: true}
	m := c.mask(1)
	if m.end(); c.err == nil || errors.Is(c.err, errCutShort) {
		t.Errorf("fields of a later version: %v", c.err)
	}
}

// The places of words are stored: each of them is for ever.
func TestWordsStay(t *testing.T) {
	for n, w := range map[int]string{0: "", 1: "*", 6: "Running", 18: "Decommissioned", 21: "TASK_RUNNING", 32: "TASK_UNKNOWN", 33: "IPv4", 35: "RECONCILIATION", 43: "MASTER_DISCONNECTED"} {
		if words[n] != w {
			t.Errorf("word %d is %q, was %q", n, words[n], w)
		}
	}
	if len(wordNumbers) != len(words) {
		t.Error("a word stands twice")
	}
}

func BenchmarkUnpackInstance(b *testing.B) {
	i := instance("/team/service", 1)
	raw, sh := packRow(i), &shared{}
	key := dirInstances + instanceName(string(i.ID))
	b.ReportMetric(float64(len(raw)), "B/row")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := decodeRow(key, raw, sh); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPackInstance(b *testing.B) {
	i := instance("/team/service", 1)
	b.ReportAllocs()
	for b.Loop() {
		packRow(i)
	}
}
