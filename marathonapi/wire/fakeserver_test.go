package wire

import (
	"encoding/json"
	"strings"

	"stadion/core"
)

// fakeServer answers the calls of the fixtures with the functions of this package and a tree in memory.
type fakeServer struct {
	conf *Config
	tree *memTree
}

const depAnswer = `{"version":"v","deploymentId":"d"}`

func (s *fakeServer) call(method, path string, body []byte) (int, []byte) {
	status, answer, err := s.route(method, path, body)
	if err != nil {
		return errorAnswer(err)
	}
	return status, answer
}

func (s *fakeServer) route(method, target string, body []byte) (int, []byte, error) {
	path, query, _ := strings.Cut(target, "?")
	kind, id, _ := strings.Cut(strings.TrimPrefix(path, "/v2/"), "/")
	p, err := core.ParsePath("/"+id, core.Root)
	if err != nil {
		return 0, nil, err
	}
	switch kind {
	case "apps":
		return s.apps(method, p, query, body)
	case "pods":
		return s.pods(method, p, body)
	case "groups":
		return s.groups(method, p, query, body)
	}
	return 0, nil, &core.Error{Kind: core.NotFound, Message: "URI not found"}
}

func (s *fakeServer) apps(method string, id core.PathID, query string, body []byte) (int, []byte, error) {
	partial := !strings.Contains(query, "partialUpdate=false")
	switch {
	case method == "GET":
		a, ok := s.tree.Spec(id)
		if !ok {
			return 0, nil, notFound("App", id)
		}
		return 200, mustJSON(map[string]any{"app": a}), nil
	case method == "POST":
		a, err := s.conf.CreateApp(body, s.tree)
		if err != nil {
			return 0, nil, err
		}
		text := appInfo(a)
		return 201, text, s.put(a)
	case id == core.Root:
		list, err := s.conf.PutApps(body, partial, method == "PUT", s.tree)
		if err != nil {
			return 0, nil, err
		}
		var specs []core.RunSpec
		for _, a := range list {
			specs = append(specs, a)
		}
		return 200, []byte(depAnswer), s.put(specs...)
	}
	return s.oneApp(method, id, partial, body)
}

func (s *fakeServer) oneApp(method string, id core.PathID, partial bool, body []byte) (int, []byte, error) {
	if method == "PATCH" {
		a, err := s.conf.PatchApp(id, body, s.tree)
		if err != nil {
			return 0, nil, err
		}
		return 200, []byte(depAnswer), s.put(a)
	}
	a, existed, err := s.conf.PutApp(id, body, partial, s.tree)
	if err != nil {
		return 0, nil, err
	}
	return map[bool]int{true: 200, false: 201}[existed], []byte(depAnswer), s.put(a)
}

func (s *fakeServer) put(specs ...core.RunSpec) error {
	return s.change(s.conf.SpecChange(s.tree, specs...))
}

func (s *fakeServer) change(ch core.Change) error {
	if err := s.conf.ValidateTree(s.tree, ch); err != nil {
		return err
	}
	s.tree.apply(ch)
	return nil
}

func (s *fakeServer) groups(method string, id core.PathID, query string, body []byte) (int, []byte, error) {
	var ch core.Change
	var err error
	status := 200
	switch method {
	case "GET":
		g, ok := s.tree.Group(id)
		if !ok {
			return 0, nil, notFound("Group", id)
		}
		return 200, mustJSON(s.groupInfo(g)), nil
	case "POST":
		status = 201
		ch, err = s.conf.PutGroup(id, body, true, s.tree)
	case "PUT":
		ch, err = s.conf.PutGroup(id, body, false, s.tree)
	case "PATCH":
		ch, err = s.conf.PatchGroup(id, body, s.tree)
	case "DELETE":
		ch, err = s.conf.RemoveGroup(id, s.tree)
	}
	if err != nil {
		return 0, nil, err
	}
	if strings.Contains(query, "dryRun=true") {
		return status, dryRun(ch), s.conf.ValidateTree(s.tree, ch)
	}
	return status, []byte(depAnswer), s.change(ch)
}

// dryRun lists the two steps that new apps without dependencies take.
func dryRun(ch core.Change) []byte {
	var steps []any
	for _, action := range []string{"StartApplication", "ScaleApplication"} {
		var actions []any
		for _, s := range ch.Put {
			actions = append(actions, map[string]any{"action": action, "app": s.SpecID()})
		}
		steps = append(steps, map[string]any{"actions": actions})
	}
	return mustJSON(map[string]any{"steps": steps})
}

func (s *fakeServer) groupInfo(g core.Group) map[string]any {
	apps, pods, groups := []any{}, []any{}, []any{}
	for spec := range s.tree.SpecsBelow(g.ID) {
		if spec.SpecID().Parent() == g.ID && !spec.IsPod() {
			apps = append(apps, spec)
		}
	}
	for sub := range s.tree.GroupsBelow(g.ID) {
		if sub.ID.Parent() == g.ID {
			groups = append(groups, s.groupInfo(sub))
		}
	}
	out := map[string]any{"id": g.ID, "apps": apps, "pods": pods, "groups": groups, "dependencies": g.Dependencies}
	if g.EnforceRole != nil {
		out["enforceRole"] = *g.EnforceRole
	}
	return out
}

func mustJSON(v any) []byte {
	b, err := core.EncodeJSON(v)
	if err != nil {
		panic(err)
	}
	return b
}

// appInfo is the answer to POST: the app with counters.
func appInfo(a *core.App) []byte {
	var m map[string]any
	if err := json.Unmarshal(mustJSON(a), &m); err != nil {
		panic(err)
	}
	for _, k := range []string{"tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"} {
		m[k] = 0
	}
	m["deployments"] = []any{map[string]any{"id": "d"}}
	return mustJSON(m)
}

func (s *fakeServer) pods(method string, id core.PathID, body []byte) (int, []byte, error) {
	var p *core.Pod
	var err error
	status := 200
	if method == "POST" {
		status = 201
		p, err = s.conf.CreatePod(body, s.tree)
	} else {
		p, _, err = s.conf.PutPod(id, body, s.tree)
	}
	if err != nil {
		return 0, nil, err
	}
	if err := s.put(p); err != nil {
		return 0, nil, err
	}
	stored, _ := s.tree.Spec(p.ID)
	return status, mustJSON(stored), nil
}
