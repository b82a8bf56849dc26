package marathonapi

import (
	"fmt"
	"net/http"

	"stadion/core"
	"stadion/core/machine"
	"stadion/marathonapi/wire"
)

// thePod finds the pod of the path.
func (r *request) thePod() (*core.Pod, error) {
	id, _ := r.id()
	if spec, ok := r.snap.Spec(id); ok {
		if p, ok := spec.(*core.Pod); ok {
			return p, nil
		}
	}
	return nil, missing("Pod", id)
}

func (s *Server) listPods(r *request) error {
	if r.unchanged() {
		return nil
	}
	return r.stream(func(e *encoder) {
		e.raw("[")
		first := true
		for p := range r.shownPods {
			e.comma(&first)
			e.json(p)
			e.spill()
		}
		e.raw("]")
	})
}

// getPod: the message of a 404 is itself JSON text, as in Marathon (http-api.md 7.2).
func (s *Server) getPod(r *request) error {
	p, err := r.thePod()
	if err != nil {
		id, _ := r.id()
		return &core.Error{Kind: core.NotFound, Message: fmt.Sprintf("{\"message\": \"pod with %s does not exist\"}", id), Direct: true}
	}
	return r.answer(http.StatusOK, p)
}

func (s *Server) createPod(r *request) error {
	body, err := r.body()
	if err != nil {
		return err
	}
	pod, err := s.wire.CreatePod(body, r.snap)
	if err != nil {
		return err
	}
	res, err := s.update(r, r.flag("force"), r.origin("pod_created_event", pod.ID), func(tree core.Tree) (core.Change, error) {
		p, err := s.wire.CreatePod(body, tree)
		if err != nil {
			return core.Change{}, err
		}
		return s.wire.SpecChange(tree, p), nil
	})
	if err != nil {
		return err
	}
	s.located(r, string(pod.ID))
	return s.storedPod(r, http.StatusCreated, pod, res)
}

// storedPod answers with the pod as it was stored by the request.
func (s *Server) storedPod(r *request, status int, sent *core.Pod, res machine.UpdateResult) error {
	r.Response().Header().Set(deploymentHeader, res.Deployment)
	spec, ok := r.snap.SpecAt(sent.ID, res.Version)
	if !ok {
		spec, ok = r.snap.Spec(sent.ID)
	}
	if p, isPod := spec.(*core.Pod); ok && isPod {
		sent = p
	}
	return r.answer(status, sent)
}

func (s *Server) putPod(r *request) error {
	id, body, err := r.target(badSpecID)
	if err != nil {
		return err
	}
	pod, existed, err := s.wire.PutPod(id, body, r.snap)
	if err != nil {
		return err
	}
	kind := "pod_created_event"
	if existed {
		kind = "pod_updated_event"
	}
	res, err := s.update(r, r.flag("force"), r.origin(kind, id), func(tree core.Tree) (core.Change, error) {
		p, _, err := s.wire.PutPod(id, body, tree)
		if err != nil {
			return core.Change{}, err
		}
		return s.wire.SpecChange(tree, p), nil
	})
	if err != nil {
		return err
	}
	return s.storedPod(r, http.StatusOK, pod, res)
}

func (s *Server) deletePod(r *request) error {
	id, _ := r.id()
	res, err := s.update(r, r.flag("force"), r.origin("pod_deleted_event", id), func(tree core.Tree) (core.Change, error) {
		if spec, ok := tree.Spec(id); !ok || !spec.IsPod() {
			return core.Change{}, missing("Pod", id)
		}
		return core.Change{Remove: []core.PathID{id}, GroupID: id.Parent()}, nil
	})
	if err != nil {
		return err
	}
	r.Response().Header().Set(deploymentHeader, res.Deployment)
	s.located(r, "/"+res.Deployment)
	return r.NoContent(http.StatusAccepted)
}

// plain answers in the form of the alternative writer, without fractions (http-api.md 1.12).
func (r *request) plain(v any) error {
	t, err := marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	return r.Blob(http.StatusOK, typeJSON, wire.PlainNumbers(t))
}

func (s *Server) podVersions(r *request) error {
	p, err := r.thePod()
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, stampsOf(r.snap.SpecVersions(p.ID)))
}

func (s *Server) podVersion(r *request) error {
	at, err := core.ParseTimestamp(r.vars["version"])
	if err != nil {
		return err
	}
	id, _ := r.id()
	spec, ok := r.snap.SpecAt(id, at)
	if p, isPod := spec.(*core.Pod); ok && isPod {
		return r.plain(p)
	}
	if _, err := r.thePod(); err != nil {
		return err
	}
	return missing("Pod", id)
}

// podPath is the 404 of the ::instances calls (http-api.md 7.2).
func (r *request) podPath() (*core.Pod, error) {
	p, err := r.thePod()
	if err != nil {
		id, _ := r.id()
		return nil, notFound("Path '" + string(id) + "' does not exist")
	}
	return p, nil
}

func (s *Server) killPodInstances(r *request) error {
	body, err := r.body()
	if err != nil {
		return err
	}
	var texts []string
	if err := decodeBody(body, &texts); err != nil {
		return err
	}
	var bad []core.Detail
	for i, t := range texts {
		if _, ok := core.ParseInstanceID(t); !ok {
			bad = append(bad, core.Detail{Path: fmt.Sprintf("/(%d)", i), Errors: []string{"must match the form of an instance id"}})
		}
	}
	if bad != nil {
		return &core.Error{Kind: core.Invalid, Message: "Object is not valid", Details: bad}
	}
	pod, err := r.podPath()
	if err != nil {
		return err
	}
	victims := []*core.Instance{}
	for _, t := range texts {
		if i, ok := r.snap.Instance(core.InstanceID(t)); ok && i.Spec == pod.ID && !i.Erased() {
			victims = append(victims, i)
		}
	}
	r.recordKill(victims)
	if len(victims) > 0 {
		if _, err := submit[machine.KillResult](s, r, machine.KillInstances{IDs: idsOf(victims), Wipe: r.flag("wipe")}); err != nil {
			return err
		}
	}
	out := make([]instanceInfo, len(victims))
	for n, i := range victims {
		out[n] = instanceOf(i, pod)
	}
	return r.answer(http.StatusOK, out)
}

func (s *Server) killPodInstance(r *request) error {
	pod, err := r.podPath()
	if err != nil {
		return err
	}
	id := r.vars["instance"]
	if _, ok := core.ParseInstanceID(id); !ok {
		return &core.Error{Kind: core.Invalid, Message: "Object is not valid", Details: []core.Detail{{Path: "/", Errors: []string{"must match the form of an instance id"}}}}
	}
	i, ok := r.snap.Instance(core.InstanceID(id))
	if !ok || i.Spec != pod.ID || i.Erased() {
		return missing("Task", id)
	}
	r.recordKill([]*core.Instance{i})
	if _, err := submit[machine.KillResult](s, r, machine.KillInstances{IDs: []core.InstanceID{i.ID}, Wipe: r.flag("wipe")}); err != nil {
		return err
	}
	return r.plain(instanceOf(i, pod))
}

// instanceInfo is an instance as the ::instances calls show it (http-api.md 7.8).
type instanceInfo struct {
	ID    core.InstanceID `json:"instanceId"`
	State struct {
		Condition   string         `json:"condition"`
		Since       core.Timestamp `json:"since"`
		ActiveSince core.Timestamp `json:"activeSince,omitzero"`
		Healthy     *bool          `json:"healthy,omitempty"`
		Goal        string         `json:"goal"`
	} `json:"state"`
	Agent       *agentInfo               `json:"agentInfo,omitempty"`
	Version     core.Timestamp           `json:"runSpecVersion"`
	Unreachable core.UnreachableStrategy `json:"unreachableStrategy"`
}

type agentInfo struct {
	Host       string          `json:"host"`
	ID         string          `json:"agentId,omitempty"`
	Region     string          `json:"region,omitempty"`
	Zone       string          `json:"zone,omitempty"`
	Attributes []attributeInfo `json:"attributes"`
}

func instanceOf(i *core.Instance, pod *core.Pod) instanceInfo {
	out := instanceInfo{ID: i.ID, Version: i.Version, Unreachable: pod.Unreachable()}
	out.State.Condition, out.State.Goal = i.Condition.String(), i.Goal.String()
	out.State.Since, out.State.ActiveSince, out.State.Healthy = i.Since, i.ActiveSince, i.Healthy.Ptr()
	if a := i.Agent; a != nil {
		out.Agent = &agentInfo{a.Host, a.ID, a.Region, a.Zone, []attributeInfo{}}
		for _, at := range a.Attributes {
			out.Agent.Attributes = append(out.Agent.Attributes, attributeInfo{Name: at.Name, Text: &at.Value})
		}
	}
	return out
}
