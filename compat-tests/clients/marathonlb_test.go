package clients

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// marathonLB is a proxy that works as marathon-lb does: it hears of changes by events, reads all apps with their tasks,
// writes a configuration of HAProxy and reloads it when it has changed. HAProxy is the real one.
func marathonLB() client {
	return client{name: "marathon-lb + HAProxy", group: "lb", ready: func(t *testing.T) string { return harness.Program(t, "haproxy") }, features: []feature{
		{"discovery", (*caller).lbDiscovery}, {"traffic", (*caller).lbTraffic}, {"scaling", (*caller).lbScaling}, {"delete", (*caller).lbDelete}}}
}

const vhost = "shop.example.com"

// balanced is a service that marathon-lb serves under its service port and a name.
func (c *caller) balanced(word string, instances int) object {
	return c.webService(c.id("shop"), word, instances, object{"labels": object{"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": vhost}})
}

// lbDiscovery: the service is served under its name and its service port soon after its start.
func (c *caller) lbDiscovery() {
	b := startBalancer(c)
	c.put(c.balanced("blue", 2))
	c.reachable(c.id("shop"))
	harness.Await(c, waitLimit, "both tasks are backends", func() (bool, string) {
		got := b.backends()
		want := c.tasksOf(c.id("shop"))
		slices.Sort(want)
		return slices.Equal(got, want) && len(got) == 2, fmt.Sprint(got, want)
	})
	b.answers(c, "blue")
	if res := get(c, b.frontend, "nowhere.example.com"); res.Status != http.StatusServiceUnavailable {
		c.Errorf("an unknown name answers %d", res.Status)
	}
}

// lbTraffic: not one request fails while a new version replaces the old one.
func (c *caller) lbTraffic() {
	b := startBalancer(c)
	b.answers(c, "blue")
	load := startLoad(b)
	c.put(c.balanced("green", 2))
	load.until(c, "green")
	harness.Await(c, waitLimit, "the old backends are gone", func() (bool, string) { got := b.backends(); return len(got) == 2, fmt.Sprint(got) })
	load.judge(c)
	c.Logf("%d reloads of HAProxy", b.reloads)
}

// lbScaling: instances that are added are served, and nothing fails when some are taken away.
func (c *caller) lbScaling() {
	b := startBalancer(c)
	b.answers(c, "green")
	load := startLoad(b)
	for _, n := range []int{3, 1} {
		c.put(object{"id": c.id("shop"), "instances": n})
		harness.Await(c, waitLimit, fmt.Sprintf("%d backends", n), func() (bool, string) { got := b.backends(); return len(got) == n, fmt.Sprint(got) })
	}
	load.judge(c)
}

// lbDelete: a deleted app leaves the configuration.
func (c *caller) lbDelete() {
	b := startBalancer(c)
	b.answers(c, "green")
	c.deployed(at(c.api.Must(http.MethodDelete, "/v2/apps"+c.id("shop"), nil).JSON(), "deploymentId"))
	harness.Await(c, waitLimit, "no backend is left", func() (bool, string) { got := b.backends(); return len(got) == 0, fmt.Sprint(got) })
}

// excludedStates are the states of tasks that get no traffic: all but running and those that may be (http-api.md 15).
var excludedStates = []string{"TASK_STAGING", "TASK_STARTING", "TASK_KILLING", "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_DROPPED",
	"TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN"}

// lbApp is what marathon-lb reads of an app.
type lbApp struct {
	ID              string
	Labels          map[string]string
	PortDefinitions []struct{ Port int }
	HealthChecks    []struct {
		Protocol, Path                                                              string
		PortIndex                                                                   int
		TimeoutSeconds, IntervalSeconds, GracePeriodSeconds, MaxConsecutiveFailures int
	}
	Tasks []lbTask
}

type lbTask struct {
	ID, Host, State    string
	Ports              []int
	HealthCheckResults []struct{ Alive bool }
}

// servers are the lines of the backend of the app's first port, and the addresses in them.
func (a lbApp) servers() (lines, addrs []string) {
	for _, task := range a.Tasks {
		alive := len(a.HealthChecks) == 0
		for _, r := range task.HealthCheckResults {
			alive = alive || r.Alive
		}
		if slices.Contains(excludedStates, task.State) || !alive || len(task.Ports) == 0 {
			continue
		}
		addr := fmt.Sprintf("%s:%d", task.Host, task.Ports[0])
		line := fmt.Sprintf("  server %s %s", strings.NewReplacer(".", "_", ":", "_").Replace(addr), addr)
		if len(a.HealthChecks) > 0 {
			line += fmt.Sprintf(" check inter %ds fall %d", a.HealthChecks[0].IntervalSeconds, a.HealthChecks[0].MaxConsecutiveFailures+1)
		}
		lines, addrs = append(lines, line), append(addrs, addr)
	}
	slices.Sort(lines)
	slices.Sort(addrs)
	return lines, addrs
}

// haproxyConfig is the configuration for the apps below base, and all addresses in it.
func haproxyConfig(apps []lbApp, base, socket, host string) (text string, addrs []string) {
	var names, ports, backends strings.Builder
	slices.SortFunc(apps, func(a, b lbApp) int { return strings.Compare(a.ID, b.ID) })
	for _, a := range apps {
		if !strings.HasPrefix(a.ID, base+"/") || a.Labels["HAPROXY_GROUP"] != "external" || len(a.PortDefinitions) == 0 {
			continue
		}
		servers, found := a.servers()
		if len(servers) == 0 {
			continue
		}
		addrs = append(addrs, found...)
		port := a.PortDefinitions[0].Port
		name := strings.ReplaceAll(strings.TrimPrefix(a.ID, "/"), "/", "_") + fmt.Sprintf("_%d", port)
		if host := a.Labels["HAPROXY_0_VHOST"]; host != "" {
			fmt.Fprintf(&names, "  acl host_%s hdr(host) -i %s\n  use_backend %s if host_%s\n", name, host, name, name)
		}
		fmt.Fprintf(&ports, "frontend port_%s\n  bind %s:%d\n  mode http\n  use_backend %s\n", name, host, port, name)
		fmt.Fprintf(&backends, "backend %s\n  balance roundrobin\n  mode http\n  option forwardfor\n", name)
		if len(a.HealthChecks) > 0 {
			fmt.Fprintf(&backends, "  option httpchk GET %s\n  timeout check %ds\n", a.HealthChecks[0].Path, a.HealthChecks[0].TimeoutSeconds)
		}
		fmt.Fprintf(&backends, "%s\n", strings.Join(servers, "\n"))
	}
	return fmt.Sprintf(`global
  maxconn 500
  stats socket %s level admin expose-fd listeners
  hard-stop-after 60s
defaults
  retries 3
  option redispatch
  timeout connect 5s
  timeout client 50s
  timeout server 50s
frontend marathon_http_in
  bind %s:8000
  mode http
%s%s%s`, socket, host, &names, &ports, &backends), addrs
}

// TestHAProxyConfig: tasks that must not get traffic are left out.
func TestHAProxyConfig(t *testing.T) {
	var a lbApp
	a.ID, a.Labels = "/x/web", map[string]string{"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "web"}
	a.PortDefinitions = append(a.PortDefinitions, struct{ Port int }{10001})
	for _, state := range append(excludedStates, "TASK_RUNNING", "TASK_UNREACHABLE") {
		a.Tasks = append(a.Tasks, lbTask{Host: state, State: state, Ports: []int{1}})
	}
	text, addrs := haproxyConfig([]lbApp{a, {ID: "/y/other"}}, "/x", "/s", "127.1.2.3")
	if want := []string{"TASK_RUNNING:1", "TASK_UNREACHABLE:1"}; !slices.Equal(addrs, want) {
		t.Errorf("backends %v, want %v", addrs, want)
	}
	if !strings.Contains(text, "bind 127.1.2.3:10001") || !strings.Contains(text, "hdr(host) -i web") {
		t.Error(text)
	}
}
