package offers

import (
	"slices"
	"testing"
)

// behaviour 5.4: which host ports a definition gets.
func TestPorts(t *testing.T) {
	bridge := `"networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":`
	for name, c := range map[string]struct {
		app  string
		fits bool
		want []int // -1: any of 31000-31999
	}{
		"none":                   {`{"portDefinitions":[]}`, true, nil},
		"definitions are random": {`{"portDefinitions":[{"port":10000},{"port":0}]}`, true, []int{-1, -1}},
		"required":               {`{"requirePorts":true,"portDefinitions":[{"port":31005},{"port":31001}]}`, true, []int{31005, 31001}},
		"required not offered":   {`{"requirePorts":true,"portDefinitions":[{"port":31005},{"port":80}]}`, false, nil},
		"required zero":          {`{"requirePorts":true,"portDefinitions":[{"port":0}]}`, false, nil},
		"mapping fixed":          {`{` + bridge + `[{"containerPort":80,"hostPort":31010}]}}`, true, []int{31010}},
		"mapping fixed elsewhere": {
			`{` + bridge + `[{"containerPort":80,"hostPort":80}]}}`, false, nil},
		"mapping mixed": {`{` + bridge + `[{"containerPort":80,"hostPort":0},{"containerPort":81},{"hostPort":31000}]}}`, true, []int{-1, 0, 31000}},
	} {
		t.Run(name, func(t *testing.T) {
			m := try(offer(), need(app(t, c.app)))
			if (m.Operations != nil) != c.fits {
				t.Fatalf("reasons %v", m.Reasons)
			}
			got := m.HostPorts["_app"]
			for i, w := range c.want {
				if w == -1 && i < len(got) && got[i] >= 31000 && got[i] <= 31999 {
					got[i] = -1
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("ports %v, want %v", got, c.want)
			}
		})
	}
}

// behaviour 5.4: random ports never collide with required ones, use every offered port if need be, and the
// resources of the task are exactly the ports it got.
func TestRandomPortsUseWhatIsThere(t *testing.T) {
	rnd := random()
	for range 500 {
		o := offer(scalar("cpus", 1, "*"), scalar("mem", 128, "*"), ports("*", 31000, 31002, 31005, 31005), ports("web", 40000, 40001))
		a := app(t, `{"networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[
			{"hostPort":0},{"hostPort":31001},{"hostPort":0},{"hostPort":0},{"hostPort":0},{"hostPort":40000}]}}`)
		m := TryMatch(config(), now, rnd, o, o.Resources, need(a))
		got := slices.Clone(m.HostPorts["_app"])
		slices.Sort(got)
		if !slices.Equal(got, []int{31000, 31001, 31002, 31005, 40000, 40001}) {
			t.Fatalf("%v %v", got, m.Reasons)
		}
		if rest := Subtract(o.Resources, m.Consumed); len(rest) != 0 {
			t.Fatalf("left over: %+v", rest)
		}
	}
	o := offer(scalar("cpus", 1, "*"), scalar("mem", 128, "*"), ports("*", 31000, 31001))
	m := try(o, need(app(t, `{"networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[{"hostPort":31000},{"hostPort":0},{"hostPort":0}]}}`)))
	if !slices.Equal(m.Reasons, []Reason{InsufficientPorts}) {
		t.Errorf("two ports for three: %v", m.Reasons)
	}
}

// behaviour 5.4: one RANGES resource per run of one role, adjacent increasing ports merged, order preserved.
func TestPortResources(t *testing.T) {
	left := []Resource{ports("*", 1, 10), ports("web", 20, 30)}
	got := portResources(left, []picked{{5, 0}, {6, 0}, {0, 0}, {4, 0}, {20, 1}, {21, 1}, {1, 0}})
	if len(got) != 3 || !slices.Equal(got[0].Ranges, []Range{{5, 6}, {4, 4}}) || got[1].Role() != "web" ||
		!slices.Equal(got[1].Ranges, []Range{{20, 21}}) || !slices.Equal(got[2].Ranges, []Range{{1, 1}}) {
		t.Errorf("%+v", got)
	}
}

func envOf(task *TaskInfo) map[string]string {
	out := map[string]string{}
	for _, e := range task.Command.Env {
		out[e.Name] = e.Value
	}
	return out
}

// behaviour D.5: port variables.
func TestPortEnvironmentD5(t *testing.T) {
	def := func(name string, requested, host, container int) appPort {
		return appPort{name: name, requested: requested, host: host, container: container}
	}
	for name, c := range map[string]struct {
		ports []appPort
		want  map[string]string
	}{
		"three": {[]appPort{def("http", 80, 1001, 1001), def("", 8080, 1002, 1002), def("https", 443, 1003, 1003)}, map[string]string{
			"PORT": "1001", "PORT0": "1001", "PORT1": "1002", "PORT2": "1003", "PORTS": "1001,1002,1003", "PORT_80": "1001",
			"PORT_8080": "1002", "PORT_443": "1003", "PORT_HTTP": "1001", "PORT_HTTPS": "1003"}},
		"zeros": {[]appPort{def("", 0, 31000, 31000), def("", 0, 31001, 31001)}, map[string]string{
			"PORT": "31000", "PORTS": "31000,31001", "PORT0": "31000", "PORT1": "31001", "PORT_31000": "31000", "PORT_31001": "31001"}},
		"none":         {nil, map[string]string{}},
		"no host port": {[]appPort{def("", 80, 0, 80)}, map[string]string{"PORT0": "80", "PORT_80": "80", "PORTS": ""}},
		"generated": {[]appPort{def("", 0, 0, 0), def("", 0, 31000, 31000)}, map[string]string{
			"PORT": "31000", "PORTS": "31000,1025", "PORT0": "1025", "PORT1": "31000", "PORT_1025": "1025", "PORT_31000": "31000"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			for _, e := range portEnv(nil, "", c.ports, nil) {
				got[e.Name] = e.Value
			}
			if len(got) != len(c.want) {
				t.Errorf("%v", got)
			}
			for k, v := range c.want {
				if got[k] != v {
					t.Errorf("%s=%q, want %q", k, got[k], v)
				}
			}
		})
	}
}

// behaviour 6.4: what users set wins and is never prefixed; ports and HOST carry the prefix; label keys are escaped.
func TestEnvironmentLayers(t *testing.T) {
	cfg := config()
	cfg.EnvPrefix = "X_"
	a := app(t, `{"cmd":"sleep 1","cpus":0.1,"env":{"MARATHON_APP_ID":"mine","S":{"secret":"s"},"X_HOST":"there","MESOS_TASK_ID":{"secret":"s"}},
		"labels":{"a.b--c":"1","PLAIN":"2"},"portDefinitions":[{"port":0}]}`)
	o := offer()
	n := need(a)
	n.EnforceRole = true
	env := envOf(launched(t, TryMatch(cfg, now, random(), o, o.Resources, n)))
	for k, v := range map[string]string{"MARATHON_APP_ID": "mine", "X_HOST": "there", "MARATHON_APP_RESOURCE_CPUS": "0.1",
		"MARATHON_APP_RESOURCE_MEM": "128.0", "MARATHON_APP_RESOURCE_DISK": "0.0", "MARATHON_APP_RESOURCE_GPUS": "0",
		"MARATHON_APP_ENFORCE_GROUP_ROLE": "TRUE", "MARATHON_APP_LABELS": "PLAIN A_B_C", "MARATHON_APP_LABEL_A_B_C": "1",
		"MARATHON_APP_VERSION": a.Version.String(), "MESOS_TASK_ID": string(n.Instance.ID) + "._app.1"} {
		if env[k] != v {
			t.Errorf("%s=%q, want %q", k, env[k], v)
		}
	}
	for _, k := range []string{"S", "HOST", "PORT", "PORT0"} {
		if v, ok := env[k]; ok {
			t.Errorf("%s=%q is set", k, v)
		}
	}
	if env["X_PORT0"] == "" || env["X_PORT"] != env["X_PORT0"] {
		t.Errorf("prefixed ports: %v", env)
	}
}

// behaviour 6.4: numbers as Java prints them.
func TestJavaDouble(t *testing.T) {
	for v, want := range map[float64]string{1: "1.0", 0.1: "0.1", 128: "128.0", 0: "0.0", 1e7: "1.0E7", 12345678: "1.2345678E7", 0.0005: "5.0E-4", 9999999: "9999999.0"} {
		if got := javaDouble(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
