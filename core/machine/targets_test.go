package machine

import (
	"fmt"
	"strings"
	"testing"

	"stadion/core"
	"stadion/offers"
)

// What a server-run check asks where (behaviour 6.7, 8.2): an app is described by its networks, ports and container, and
// its task by the host ports and the addresses that the agent reported. Marathon's cases of the effective port and of the
// ports of readiness checks are among them.
func TestProbeTargets(t *testing.T) {
	const (
		bridge    = `"networks":[{"mode":"container/bridge"}],"container":{"type":"DOCKER","portMappings":[%s]}`
		container = `"networks":[{"mode":"container","name":"n"}],"container":{"type":"MESOS","portMappings":[%s]}`
		host      = `"portDefinitions":[{"port":80,"name":"http-api"},{"port":81,"name":"admin"}]`
	)
	mapped := func(form string, mappings ...string) string { return fmt.Sprintf(form, strings.Join(mappings, ",")) }
	zero, one, nine := 0, 1, 9
	fixed := 8080
	for name, c := range map[string]struct {
		app          string
		index, fixed *int
		hostPorts    []int
		ips          []string
		host         string
		port         int
	}{
		"host mode, no index is the first":      {host, nil, nil, []int{31001, 31002}, nil, "a", 31001},
		"host mode, second":                     {host, &one, nil, []int{31001, 31002}, nil, "a", 31002},
		"host mode, an index that is not there": {host, &nine, nil, []int{31001, 31002}, nil, "a", 0},
		"host mode, a fixed port":               {host, nil, &fixed, []int{31001, 31002}, []string{"10.0.0.7"}, "a", 8080},
		"host mode, no ports at all":            {`"portDefinitions":[]`, &zero, nil, nil, nil, "a", 0},
		"bridge, host port":                     {mapped(bridge, `{"containerPort":80,"hostPort":0}`), &zero, nil, []int{31005}, []string{"172.17.0.2"}, "a", 31005},
		"bridge, fixed port":                    {mapped(bridge, `{"containerPort":80,"hostPort":0}`), nil, &fixed, []int{31005}, []string{"172.17.0.2"}, "a", 8080},
		"bridge, no host port":                  {mapped(bridge, `{"containerPort":80}`), &zero, nil, []int{0}, []string{"172.17.0.2"}, "172.17.0.2", 80},
		"container, no host port":               {mapped(container, `{"containerPort":80}`), &zero, nil, []int{0}, []string{"10.0.0.7"}, "10.0.0.7", 80},
		"container, IPv6":                       {mapped(container, `{"containerPort":80}`), &zero, nil, []int{0}, []string{"fd00::7"}, "fd00::7", 80},
		"container, the first of many":          {mapped(container, `{"containerPort":80}`), &zero, nil, []int{0}, []string{"fd00::7", "10.0.0.7"}, "fd00::7", 80},
		"container, host port":                  {mapped(container, `{"containerPort":80,"hostPort":0}`), &zero, nil, []int{31007}, []string{"10.0.0.7"}, "a", 31007},
		"container, second without host port":   {mapped(container, `{"containerPort":80,"hostPort":0}`, `{"containerPort":81}`), &one, nil, []int{31007, 0}, []string{"10.0.0.7"}, "10.0.0.7", 81},
		"container, fixed port":                 {mapped(container, `{"containerPort":80,"hostPort":0}`), nil, &fixed, []int{31007}, []string{"10.0.0.7"}, "10.0.0.7", 8080},
		"container, no address yet":             {mapped(container, `{"containerPort":80}`), &zero, nil, []int{0}, nil, "", 80},
	} {
		app := testApp(t, `{"id":"/web",`+c.app+`}`)
		i := &core.Instance{Spec: "/web", Agent: &core.AgentInfo{Host: "a"}, Tasks: []core.Task{{HostPorts: c.hostPorts}}}
		for _, ip := range c.ips {
			i.Tasks[0].IPs = append(i.Tasks[0].IPs, core.IPAddress{Address: ip})
		}
		if h, p := effective(app, i, c.index, c.fixed); h != c.host || p != c.port {
			t.Errorf("%s: %s:%d, want %s:%d", name, h, p, c.host, c.port)
		}
	}
	for name, c := range map[string]struct {
		app, port string
		hostPorts []int
		want      string
	}{
		"dynamic":        {host, "http-api", []int{31001, 31002}, "a:31001"},
		"second":         {host, "admin", []int{31001, 31002}, "a:31002"},
		"required":       {`"requirePorts":true,` + host, "http-api", []int{80, 81}, "a:80"},
		"unknown (D-27)": {host, "other", []int{31001, 31002}, ":0"},
		"mapping":        {mapped(container, `{"containerPort":80,"hostPort":0,"name":"x"}`, `{"containerPort":81,"name":"http-api"}`), "http-api", []int{31001, 0}, "10.0.0.7:81"},
	} {
		i := &core.Instance{Spec: "/web", Agent: &core.AgentInfo{Host: "a"}, Tasks: []core.Task{{HostPorts: c.hostPorts, IPs: []core.IPAddress{{Address: "10.0.0.7"}}}}}
		if h, p := readinessTarget(testApp(t, `{"id":"/web",`+c.app+`}`), i, c.port); fmt.Sprintf("%s:%d", h, p) != c.want {
			t.Errorf("readiness, %s: %s:%d, want %s", name, h, p, c.want)
		}
	}
}

// TestAddressComesLater: a task's address may come with a later status than the one that says it runs; its checks then
// ask there (behaviour 6.7, 8.2).
func TestAddressComesLater(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web","networks":[{"mode":"container","name":"n"}],"container":{"type":"MESOS","portMappings":[{"containerPort":80,"name":"http"}]},
		"portDefinitions":[],"healthChecks":[{"portIndex":0,"gracePeriodSeconds":30,"maxConsecutiveFailures":3}],
		"readinessChecks":[{"name":"r","protocol":"HTTP","portName":"http","intervalSeconds":2,"timeoutSeconds":1,"httpStatusCodesForReady":[200]}]}`)
	r.offer("a")
	id := r.ids("/web")[0]
	asked := func(b *Batch) (out []string) {
		for _, p := range b.Probes {
			if !p.Stop {
				out = append(out, fmt.Sprintf("%v %s:%d", p.Readiness, p.Host, p.Port))
			}
		}
		return out
	}
	if got := strings.Join(asked(r.status(id, "TASK_RUNNING")), ", "); got != "false :80, true :80" {
		t.Errorf("before: %s", got)
	}
	b := r.status(id, "TASK_RUNNING", func(u *offers.StatusUpdate) { u.IPs = []core.IPAddress{{Address: "10.0.0.7"}} })
	if got := strings.Join(asked(b), ", "); got != "false 10.0.0.7:80, true 10.0.0.7:80" {
		t.Errorf("after: %q", got)
	}
}
