package offers

import (
	"math"
	"testing"

	"stadion/core"
)

// behaviour 8.5, the table of what Mesos is told of a check, with Marathon's cases: every protocol in host, bridge and
// user networks, by port and by index. Host mode prefers nothing: there the port inside is the port outside.
func TestHealthCheckForMesos(t *testing.T) {
	zero, one, given, path := 0, 1, 80, "/health"
	host := &core.App{Networks: []core.Network{{Mode: core.NetworkHost}}, PortDefinitions: []core.PortDefinition{{Port: 0}, {Port: 9}}}
	mapped := func(mode string, container int, hostPort *int) *core.App {
		return &core.App{Networks: []core.Network{{Mode: mode}}, Container: &core.Container{Type: "DOCKER",
			PortMappings: []core.PortMapping{{ContainerPort: container, HostPort: hostPort, Protocol: "tcp"}}}}
	}
	for name, c := range map[string]struct {
		app         *core.App
		ports       []int
		port, index *int
		want        int // 0: no check
	}{
		"host, index":                         {host, []int{31001, 31002}, nil, &one, 31002},
		"host, neither":                       {host, []int{31001, 31002}, nil, nil, 31001},
		"host, port":                          {host, []int{31001, 31002}, &given, nil, 80},
		"bridge, index":                       {mapped(core.NetworkBridge, 8080, &zero), []int{31001}, nil, &zero, 8080},
		"bridge, port":                        {mapped(core.NetworkBridge, 8080, &zero), []int{31001}, &given, nil, 80},
		"bridge, any container and host port": {mapped(core.NetworkBridge, 0, &zero), []int{31001}, nil, &zero, 31001},
		"user, no host port, index":           {mapped(core.NetworkContainer, 8080, nil), []int{0}, nil, &zero, 8080},
		"user, host port, index":              {mapped(core.NetworkContainer, 8080, &zero), []int{31001}, nil, &zero, 8080},
		"user, port":                          {mapped(core.NetworkContainer, 31337, &zero), []int{31001}, &given, nil, 80},
		"an index that is not there":          {mapped(core.NetworkContainer, 8080, &zero), []int{31001}, nil, &one, 0},
	} {
		for protocol, kind := range map[string]string{"MESOS_HTTP": "HTTP", "MESOS_HTTPS": "HTTP", "MESOS_TCP": "TCP"} {
			app := *c.app
			app.HealthChecks = []core.HealthCheck{{Protocol: "HTTP"}, {Protocol: protocol, Path: &path, Port: c.port, PortIndex: c.index, IPProtocol: "IPv6",
				GracePeriodSeconds: 10, IntervalSeconds: 60, TimeoutSeconds: 20, DelaySeconds: 15, MaxConsecutiveFailures: 3}}
			h := appHealthCheck(&app, appPorts(&app, c.ports))
			if h == nil {
				if c.want != 0 {
					t.Errorf("%s, %s: no check", name, protocol)
				}
				continue
			}
			if h.Port != c.want || h.Type != kind || !h.IPv6 || h.Grace != 10 || h.Interval != 60 || h.Timeout != 20 || h.Delay != 15 || h.ConsecutiveFailures != 3 {
				t.Errorf("%s, %s: %+v, want port %d", name, protocol, h, c.want)
			}
			scheme := map[string]string{"MESOS_HTTP": "http", "MESOS_HTTPS": "https"}[protocol]
			if h.Scheme != scheme || h.HasPath != (kind == "HTTP") {
				t.Errorf("%s, %s: scheme %q, path %v", name, protocol, h.Scheme, h.HasPath)
			}
		}
	}
	for given, want := range map[string]string{"/health": "/health", "health": "/health", "": "", "?q": "/?q"} { // src/common/validation.cpp
		app := *host
		app.HealthChecks = []core.HealthCheck{{Protocol: "MESOS_HTTP", Path: &given}}
		app.Check = &core.Check{HTTP: &core.CheckHTTP{Path: given}}
		list := appPorts(&app, []int{31001, 31002})
		if h := appHealthCheck(&app, list); h.Path != want || h.HasPath != (want != "") {
			t.Errorf("path %q of a health check becomes %q, set %v", given, h.Path, h.HasPath)
		}
		if c := appCheck(&app, list); c.Path != want {
			t.Errorf("path %q of a check becomes %q", given, c.Path)
		}
	}
	command := &core.App{HealthChecks: []core.HealthCheck{{Protocol: "COMMAND", Command: &core.CommandValue{Value: "true"}, PortIndex: &one}}}
	if h := appHealthCheck(command, nil); h == nil || h.Type != "COMMAND" || *h.Command.Value != "true" || !h.Command.Shell {
		t.Errorf("COMMAND, which needs no port: %+v", h)
	}
}

// A limit is never below the request that the master compares it with, and never for what is not requested
// (validateResourceLimits in Mesos's src/master/validation.cpp).
func TestLimitsAsTheMasterTakesThem(t *testing.T) {
	for name, c := range map[string]struct {
		text      string
		cpus, mem float64 // 0: no limit
	}{
		"both":              {`{"cpus":0.5,"mem":64,"resourceLimits":{"cpus":1,"mem":"unlimited"}}`, 1, math.Inf(1)},
		"rounded like it":   {`{"cpus":0.1237,"resourceLimits":{"cpus":0.1237}}`, 0.124, 0},
		"nothing requested": {`{"cpus":0,"mem":64,"resourceLimits":{"cpus":1,"mem":65}}`, 0, 65},
		"only that":         {`{"cpus":0,"resourceLimits":{"cpus":1}}`, 0, 0},
	} {
		o := offer(scalar("cpus", 4, "*"), scalar("mem", 4096, "*"))
		task := launched(t, try(o, need(app(t, c.text))))
		if got := task.Limits; got["cpus"] != c.cpus || got["mem"] != c.mem || (got != nil) != (c.cpus+c.mem > 0) {
			t.Errorf("%s: limits %v", name, got)
		}
	}
}
