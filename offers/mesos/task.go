package mesos

import (
	"fmt"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"stadion/offers"
)

// encoder turns plain values into messages for one framework.
type encoder struct {
	frameworkID string
	refinement  bool // the framework has RESERVATION_REFINEMENT
	csi         bool // set when a CSI volume was met: the encoded call needs placeCSI
}

func (e *encoder) task(t *offers.TaskInfo) (mesos.TaskInfo, error) {
	out := mesos.TaskInfo{
		Name:    t.Name,
		TaskID:  mesos.TaskID{Value: t.TaskID},
		AgentID: mesos.AgentID{Value: t.AgentID},
		Command: toCommand(t.Command),
		Labels:  toLabels(t.Labels),
	}
	var err error
	if out.Resources, err = toResources(t.Resources, e.refinement); err != nil {
		return out, err
	}
	if out.Executor, err = e.executor(t.Executor); err != nil {
		return out, err
	}
	if out.Container, err = e.container(t.Container); err != nil {
		return out, err
	}
	if out.HealthCheck, err = toHealthCheck(t.HealthCheck); err != nil {
		return out, err
	}
	if out.Check, err = toCheck(t.Check); err != nil {
		return out, err
	}
	out.Discovery = toDiscovery(t.Discovery)
	if t.KillGraceMillis != nil {
		out.KillPolicy = &mesos.KillPolicy{GracePeriod: millis(*t.KillGraceMillis)}
	}
	if t.MaxCompletionMs != nil {
		out.MaxCompletionTime = millis(*t.MaxCompletionMs)
	}
	if len(t.Limits) > 0 {
		out.Limits = make(map[string]mesos.Value_Scalar, len(t.Limits))
		for name, v := range t.Limits {
			out.Limits[name] = mesos.Value_Scalar{Value: v}
		}
	}
	return out, nil
}

func millis(ms int64) *mesos.DurationInfo { return &mesos.DurationInfo{Nanoseconds: ms * 1e6} }

func (e *encoder) executor(x *offers.ExecutorInfo) (*mesos.ExecutorInfo, error) {
	if x == nil {
		return nil, nil
	}
	out := &mesos.ExecutorInfo{
		Type:        mesos.ExecutorInfo_CUSTOM,
		ExecutorID:  mesos.ExecutorID{Value: x.ID},
		FrameworkID: &mesos.FrameworkID{Value: e.frameworkID},
		Command:     toCommand(x.Command),
		Labels:      toLabels(x.Labels),
	}
	if x.Default {
		out.Type = mesos.ExecutorInfo_DEFAULT
	}
	var err error
	if out.Resources, err = toResources(x.Resources, e.refinement); err != nil {
		return nil, err
	}
	if out.Container, err = e.container(x.Container); err != nil {
		return nil, err
	}
	// Mesos refuses true on an executor's container from 1.10 on; shared cgroups are said on the tasks alone.
	if l := out.Container.GetLinuxInfo(); l != nil && l.ShareCgroups != nil {
		l.ShareCgroups = flag(false)
	}
	return out, nil
}

func toCommand(c *offers.CommandInfo) *mesos.CommandInfo {
	if c == nil {
		return nil
	}
	out := &mesos.CommandInfo{Shell: flag(c.Shell), Value: c.Value, Arguments: c.Arguments, User: c.User}
	for i := range c.URIs {
		u := &c.URIs[i]
		out.URIs = append(out.URIs, mesos.CommandInfo_URI{
			Value: u.Value, Executable: flag(u.Executable), Extract: flag(u.Extract), Cache: flag(u.Cache),
			OutputFile: optional(u.OutputFile),
		})
	}
	if len(c.Env) > 0 {
		out.Environment = &mesos.Environment{Variables: make([]mesos.Environment_Variable, len(c.Env))}
		for i := range c.Env {
			out.Environment.Variables[i] = toVariable(&c.Env[i])
		}
	}
	return out
}

func toVariable(v *offers.EnvVar) mesos.Environment_Variable {
	if v.Secret != "" {
		return mesos.Environment_Variable{Name: v.Name, Type: mesos.Environment_Variable_SECRET.Enum(), Secret: secretReference(v.Secret)}
	}
	return mesos.Environment_Variable{Name: v.Name, Type: mesos.Environment_Variable_VALUE.Enum(), Value: text(v.Value)}
}

func secretReference(name string) *mesos.Secret {
	return &mesos.Secret{Type: mesos.Secret_REFERENCE, Reference: &mesos.Secret_Reference{Name: name}}
}

func toDiscovery(d *offers.DiscoveryInfo) *mesos.DiscoveryInfo {
	if d == nil {
		return nil
	}
	out := &mesos.DiscoveryInfo{Visibility: mesos.FRAMEWORK, Name: text(d.Name), Ports: &mesos.Ports{}}
	for i := range d.Ports {
		p := &d.Ports[i]
		out.Ports.Ports = append(out.Ports.Ports, mesos.Port{
			Number: uint32(p.Number), Name: optional(p.Name), Protocol: optional(p.Protocol), Labels: toLabels(p.Labels),
		})
	}
	return out
}

func toHealthCheck(h *offers.HealthCheck) (*mesos.HealthCheck, error) {
	if h == nil {
		return nil, nil
	}
	failures := uint32(h.ConsecutiveFailures)
	out := &mesos.HealthCheck{
		DelaySeconds: &h.Delay, IntervalSeconds: &h.Interval, TimeoutSeconds: &h.Timeout, GracePeriodSeconds: &h.Grace,
		ConsecutiveFailures: &failures,
	}
	protocol := mesos.IPv4
	if h.IPv6 {
		protocol = mesos.IPv6
	}
	switch h.Type {
	case "COMMAND":
		out.Type, out.Command = mesos.HealthCheck_COMMAND, toCommand(h.Command)
	case "HTTP":
		out.Type = mesos.HealthCheck_HTTP
		out.HTTP = &mesos.HealthCheck_HTTPCheckInfo{Port: uint32(h.Port), Scheme: optional(h.Scheme), Protocol: protocol.Enum()}
		if h.HasPath {
			out.HTTP.Path = text(h.Path)
		}
	case "TCP":
		out.Type = mesos.HealthCheck_TCP
		out.TCP = &mesos.HealthCheck_TCPCheckInfo{Port: uint32(h.Port), Protocol: protocol.Enum()}
	default:
		return nil, fmt.Errorf("unknown health check type %q", h.Type)
	}
	return out, nil
}

func toCheck(c *offers.CheckInfo) (*mesos.CheckInfo, error) {
	if c == nil {
		return nil, nil
	}
	out := &mesos.CheckInfo{DelaySeconds: &c.Delay, IntervalSeconds: &c.Interval, TimeoutSeconds: &c.Timeout}
	switch c.Type {
	case "COMMAND":
		command := toCommand(c.Command)
		if command == nil {
			command = &mesos.CommandInfo{}
		}
		out.Type, out.Command = mesos.CheckInfo_COMMAND, &mesos.CheckInfo_Command{Command: *command}
	case "HTTP":
		out.Type, out.HTTP = mesos.CheckInfo_HTTP, &mesos.CheckInfo_Http{Port: uint32(c.Port), Path: optional(c.Path)}
	case "TCP":
		out.Type, out.TCP = mesos.CheckInfo_TCP, &mesos.CheckInfo_Tcp{Port: uint32(c.Port)}
	default:
		return nil, fmt.Errorf("unknown check type %q", c.Type)
	}
	return out, nil
}
