package deployments

import (
	"fmt"
	"maps"

	"stadion/core"
)

// The texts of http-api.md 6.7 and 4.12.
const (
	appOrPodText     = "Applications and Pods may not share the same id"
	groupOrAppText   = "Groups and Applications may not have the same identifier."
	groupOrPodText   = "Groups and Pods may not have the same identifier."
	cycleText        = "Dependency graph has cyclic dependencies."
	volumesText      = "Persistent volumes can not be changed!"
	resourcesText    = "Services with persistent volumes configured may not change resource requirements. If you need to make this change, please create a new service."
	hostPortsText    = "Services with persistent volumes configured may not change host ports. If you need to make this change, please create a new service."
	podVolumesText   = "persistent volumes cannot be updated"
	podResourceText  = "%s cannot be updated if a pod has persistent volumes"
	podHostPortsText = "host ports cannot be updated if a pod has persistent volumes"
	roleText         = "It is not possible to change the role for existing reservations. If you proceed with this change, all existing " +
		"instances will continue to run under the previous role, %s. Only new instances will be allocated with the new role, %s. " +
		"In order to continue, retry your request with ?force=true"
)

func invalid(path string, texts ...string) error {
	return &core.Error{Kind: core.Invalid, Message: "Object is not valid", Details: []core.Detail{{Path: path, Errors: texts}}}
}

// checkRemovedGroups makes sure that nothing is left behind without a group around it.
func (p *preparer) checkRemovedGroups() error {
	for _, id := range p.change.RemoveGroups {
		if _, again := p.tree.Group(id); again {
			continue
		}
		for s := range p.tree.SpecsBelow(id) {
			return &core.Error{Kind: core.Internal, Message: fmt.Sprintf("group %s cannot be removed: %s is still in it", id, s.SpecID())}
		}
	}
	return nil
}

// checkNames finds ids that are both a group and a spec. Only new groups and new specs can clash.
func (p *preparer) checkNames() error {
	for _, id := range p.tree.specIDs {
		if s := p.tree.specs[id]; s != nil {
			if _, clash := p.tree.Group(id); clash {
				return invalid("/", clashText(s))
			}
		}
	}
	for _, id := range p.tree.groupIDs {
		if p.tree.groups[id] == nil {
			continue
		}
		if s, clash := p.tree.Spec(id); clash {
			return invalid("/", clashText(s))
		}
	}
	return nil
}

func clashText(s core.RunSpec) string {
	if s.IsPod() {
		return groupOrPodText
	}
	return groupOrAppText
}

// checkResidents refuses changes that a reservation cannot follow (behaviour.md 1.8, http-api.md 4.12).
func (p *preparer) checkResidents() error {
	for _, id := range p.tree.specIDs {
		s := p.tree.specs[id]
		old, had := p.now.Spec(id)
		if s == nil || !had || !s.Resident() && !old.Resident() {
			continue
		}
		var texts []string
		switch n := s.(type) {
		case *core.App:
			texts = appResidentTexts(old.(*core.App), n)
		case *core.Pod:
			texts = podResidentTexts(old.(*core.Pod), n)
		}
		if len(texts) > 0 {
			return invalid("/", texts...)
		}
		if was, will := old.SpecRole(), s.SpecRole(); was != will && old.Resident() && !p.change.Force && !p.change.Rollback {
			return invalid("/role", fmt.Sprintf(roleText, was, will))
		}
	}
	return nil
}

func appResidentTexts(a, b *core.App) (out []string) {
	if !maps.EqualFunc(appVolumes(a), appVolumes(b), sameVolume) {
		out = append(out, volumesText)
	}
	if a.CPUs != b.CPUs || a.Mem != b.Mem || a.Disk != b.Disk || a.GPUs != b.GPUs || a.RequirePorts != b.RequirePorts {
		out = append(out, resourcesText)
	}
	if !maps.Equal(appHostPorts(a), appHostPorts(b)) {
		out = append(out, hostPortsText)
	}
	return out
}

// appVolumes are the persistent volumes by mount path.
func appVolumes(a *core.App) map[string]*core.PersistentVolume {
	out := make(map[string]*core.PersistentVolume)
	if a.Container != nil {
		for _, v := range a.Container.Volumes {
			if v.Persistent != nil {
				out[v.ContainerPath+"\x00"+v.Mode] = v.Persistent
			}
		}
	}
	return out
}

func sameVolume(a, b *core.PersistentVolume) bool {
	if a.Type != b.Type || a.Size != b.Size || !samePtr(a.MaxSize, b.MaxSize) || !samePtr(a.ProfileName, b.ProfileName) {
		return false
	}
	set := make(map[core.Constraint]bool)
	for _, c := range a.Constraints {
		set[c] = true
	}
	other := make(map[core.Constraint]bool)
	for _, c := range b.Constraints {
		other[c] = true
	}
	return maps.Equal(set, other)
}

func samePtr[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func appHostPorts(a *core.App) map[int]bool {
	out := make(map[int]bool)
	if a.HostNetworking() {
		for _, d := range a.PortDefinitions {
			out[d.Port] = true
		}
	} else if a.Container != nil {
		for _, m := range a.Container.PortMappings {
			if m.HostPort != nil {
				out[*m.HostPort] = true
			}
		}
	}
	return out
}

func podResidentTexts(a, b *core.Pod) (out []string) {
	if !maps.EqualFunc(podVolumes(a), podVolumes(b), sameVolume) {
		out = append(out, podVolumesText)
	}
	x, y := podNeeds(a), podNeeds(b)
	for i, name := range []string{"cpus", "mem", "disk", "gpus"} {
		if x[i] != y[i] {
			out = append(out, fmt.Sprintf(podResourceText, name))
		}
	}
	if !maps.Equal(podHostPorts(a), podHostPorts(b)) {
		out = append(out, podHostPortsText)
	}
	return out
}

func podVolumes(p *core.Pod) map[string]*core.PersistentVolume {
	out := make(map[string]*core.PersistentVolume)
	for _, v := range p.Volumes {
		if v.Persistent != nil {
			out[v.Name] = v.Persistent
		}
	}
	return out
}

// podNeeds are cpus, mem, disk and gpus of all containers and the executor.
func podNeeds(p *core.Pod) [4]float64 {
	out := [4]float64{float64(p.ExecutorResources.CPUs), float64(p.ExecutorResources.Mem), float64(p.ExecutorResources.Disk), 0}
	for _, c := range p.Containers {
		out[0] += float64(c.Resources.CPUs)
		out[1] += float64(c.Resources.Mem)
		out[2] += float64(c.Resources.Disk)
		out[3] += float64(c.Resources.GPUs)
	}
	return out
}

func podHostPorts(p *core.Pod) map[int]bool {
	out := make(map[int]bool)
	for _, c := range p.Containers {
		for _, e := range c.Endpoints {
			if e.HostPort != nil {
				out[*e.HostPort] = true
			}
		}
	}
	return out
}
