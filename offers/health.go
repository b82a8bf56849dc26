package offers

import "stadion/core"

// appHealthCheck is the first check that Mesos runs, nil if there is none or its port cannot be told
// (behaviour.md 6.2, 8.5).
func appHealthCheck(a *core.App, ports []appPort) *HealthCheck {
	for i := range a.HealthChecks {
		if h := &a.HealthChecks[i]; !h.ServerRun() {
			return mesosHealthCheck(h, ports)
		}
	}
	return nil
}

func mesosHealthCheck(h *core.HealthCheck, ports []appPort) *HealthCheck {
	out := &HealthCheck{Delay: float64(h.DelaySeconds), Interval: float64(h.IntervalSeconds), Timeout: float64(h.TimeoutSeconds),
		Grace: float64(h.GracePeriodSeconds), ConsecutiveFailures: h.MaxConsecutiveFailures, IPv6: h.IPProtocol == "IPv6"}
	switch h.Protocol {
	case "COMMAND":
		if h.Command == nil {
			return nil
		}
		value := h.Command.Value
		out.Type, out.Command = "COMMAND", &CommandInfo{Shell: true, Value: &value}
		return out
	case "MESOS_HTTP", "MESOS_HTTPS":
		out.Type, out.Scheme = "HTTP", "http"
		if h.Protocol == "MESOS_HTTPS" {
			out.Scheme = "https"
		}
		out.Path, out.HasPath = slashed(h.Path)
	case "MESOS_TCP":
		out.Type = "TCP"
	default:
		return nil
	}
	var ok bool
	out.Port, ok = checkPort(h.Port, h.PortIndex, ports)
	if !ok {
		return nil
	}
	return out
}

// slashed is the path of an HTTP check as Mesos takes it: the master refuses the task when a path that is set does not
// begin with a slash, and without one the root is asked for (validateHealthCheck in its src/common/validation.cpp).
func slashed(path *string) (string, bool) {
	p := text(path)
	if p != "" && p[0] != '/' {
		p = "/" + p
	}
	return p, p != ""
}

// checkPort is the port a check of the executor connects to: the given one, else the container port of the
// indexed port, else its host port (behaviour.md 8.5). Without any hint the first port counts.
func checkPort(port, index *int, ports []appPort) (int, bool) {
	if port != nil {
		return *port, true
	}
	i := 0
	if index != nil {
		i = *index
	}
	if i < 0 || i >= len(ports) {
		return 0, false
	}
	if ports[i].container != 0 {
		return ports[i].container, true
	}
	return ports[i].host, ports[i].host != 0
}

// appCheck is the general check of an app (behaviour.md 8.7), nil if there is none or its port cannot be told.
func appCheck(a *core.App, ports []appPort) *CheckInfo {
	c := a.Check
	if c == nil {
		return nil
	}
	out := &CheckInfo{Delay: float64(c.DelaySeconds), Interval: float64(c.IntervalSeconds), Timeout: float64(c.TimeoutSeconds)}
	ok := true
	switch {
	case c.Exec != nil:
		out.Type, out.Command = "COMMAND", shellOrArgv(c.Exec.Command)
	case c.HTTP != nil:
		out.Type = "HTTP"
		out.Path, _ = slashed(&c.HTTP.Path)
		out.Port, ok = checkPort(c.HTTP.Port, c.HTTP.PortIndex, ports)
	case c.TCP != nil:
		out.Type = "TCP"
		out.Port, ok = checkPort(c.TCP.Port, c.TCP.PortIndex, ports)
	default:
		ok = false
	}
	if !ok {
		return nil
	}
	return out
}

func shellOrArgv(c core.ShellOrArgv) *CommandInfo {
	if c.Shell != nil {
		return &CommandInfo{Shell: true, Value: c.Shell}
	}
	if len(c.Argv) == 0 {
		return &CommandInfo{}
	}
	return &CommandInfo{Value: &c.Argv[0], Arguments: c.Argv}
}
