package store

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"stadion/core"
	"stadion/core/state"
	"stadion/core/store/etcdtest"
)

// each runs a test on the twin and on a real etcd. open begins a new term, which ends the one before.
func each(t *testing.T, f func(t *testing.T, open func(Options) *Store)) {
	t.Run("memory", func(t *testing.T) { f(t, NewMemory().Open) })
	t.Run("etcd", func(t *testing.T) {
		c := etcdtest.Start(t).Client(t)
		f(t, func(o Options) *Store { return New(c, lead(t, c), o) })
	})
}

// lead makes a leader key, as an election does.
func lead(t testing.TB, c *clientv3.Client) Fence {
	t.Helper()
	const key = "/marathon/v1/leader/test"
	ctx := etcdtest.Context(t)
	if _, err := c.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	resp, err := c.Put(ctx, key, "me:1")
	if err != nil {
		t.Fatal(err)
	}
	return Fence{key, resp.Header.Revision}
}

func load(t testing.TB, s *Store) *state.State {
	t.Helper()
	st, err := s.Load(etcdtest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func commit(t testing.TB, s *Store, seq uint64, st *state.State) {
	t.Helper()
	if err := s.Commit(etcdtest.Context(t), seq, st.Flush()); err != nil {
		t.Fatal(err)
	}
}

// stamp is a fixed moment; tests add to it.
const stamp = core.Timestamp(1763699216123)

func app(id core.PathID, v core.Timestamp) *core.App {
	cmd := "while true; do echo <&> ; sleep 1; done"
	return &core.App{ID: id, Cmd: &cmd, CPUs: 0.1, Mem: 128, Instances: 3, Executor: "", Role: "*", Version: v,
		Labels: map[string]string{"a": "b"}, Env: map[string]core.EnvValue{"K": {Value: "v"}, "S": {Secret: "s"}},
		Constraints: []core.Constraint{{Field: "hostname", Operator: "UNIQUE"}},
		VersionInfo: &core.VersionInfo{LastScalingAt: v, LastConfigChangeAt: v - 5}}
}

func pod(id core.PathID, v core.Timestamp) *core.Pod {
	return &core.Pod{ID: id, Version: v, Role: "*", Containers: []core.PodContainer{{Name: "c1"}},
		VersionInfo: &core.VersionInfo{LastScalingAt: v - 1, LastConfigChangeAt: v - 2}}
}

func instance(spec core.PathID, n int) *core.Instance {
	id := core.NewInstanceID(spec, fmt.Sprintf("11111111-2222-3333-4444-%012d", n))
	return &core.Instance{ID: id, Spec: spec, Version: stamp, Role: "*", Condition: core.Running, Since: stamp + 900,
		ActiveSince: stamp + 800, Incarnation: 1,
		Agent: &core.AgentInfo{Host: "10.0.0.7", ID: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee-S7"},
		Tasks: []core.Task{{ID: id.Task(core.AppContainer, 1), Container: core.AppContainer, Condition: core.Running,
			StagedAt: stamp + 500, StartedAt: stamp + 800, HostPorts: []int{31001},
			Status: &core.TaskStatus{State: "TASK_RUNNING", At: stamp + 900},
			IPs:    []core.IPAddress{{Address: "10.0.0.7", Protocol: "IPv4"}}}}}
}

// dump lists all durable rows of a state by table and key.
func dump(v *state.View) map[string]any {
	out := map[string]any{"framework": v.FrameworkID(), "stamp": v.RootStamp()}
	for s := range v.SpecsBelow(core.Root) {
		out["spec "+string(s.SpecID())] = s
		for _, old := range v.SpecVersions(s.SpecID()) {
			out[fmt.Sprint("version ", s.SpecID(), old.SpecVersion())] = old
		}
	}
	root, _ := v.Group(core.Root)
	out["group /"] = root
	for g := range v.GroupsBelow(core.Root) {
		out["group "+string(g.ID)] = g
	}
	for r := range v.Roots() {
		out["root "+r.Version.String()] = r
	}
	for i := range v.Instances() {
		out["instance "+string(i.ID)] = i
		if alive, known := v.LastAlive(i.ID); known {
			out["alive "+string(i.ID)] = alive
		}
	}
	for d := range v.Deployments() {
		out["deployment "+d.ID] = d
	}
	for s := range v.SpecsBelow(core.Root) {
		if f, ok := v.Failure(s.SpecID()); ok {
			out["failure "+string(s.SpecID())] = f
		}
	}
	return out
}

func sameState(t *testing.T, got, want *state.View) {
	t.Helper()
	g, w := dump(got), dump(want)
	for k := range w {
		if !reflect.DeepEqual(g[k], w[k]) {
			t.Errorf("%s:\n got %+v\nwant %+v", k, g[k], w[k])
		}
	}
	for k := range g {
		if _, ok := w[k]; !ok {
			t.Errorf("%s is too much", k)
		}
	}
}

// counting is a backend that records what each transaction asks for.
type counting struct {
	backend
	mu            sync.Mutex
	txns          int
	ops, bytes    int // largest
	value         int // largest
	beforeEachTxn func(n int) error
}

func (c *counting) apply(ctx context.Context, g guard, ops []op) (verdict, error) {
	c.mu.Lock()
	c.txns++
	n := c.txns
	size := 0
	for _, o := range ops {
		size += o.size()
		c.value = max(c.value, len(o.value))
	}
	c.ops, c.bytes = max(c.ops, len(ops)), max(c.bytes, size)
	c.mu.Unlock()
	if c.beforeEachTxn != nil {
		if err := c.beforeEachTxn(n); err != nil {
			return verdict{}, err
		}
	}
	return c.backend.apply(ctx, g, ops)
}

// eventually retries until f succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}
