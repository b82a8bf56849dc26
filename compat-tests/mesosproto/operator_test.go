package mesosproto

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// agentAt is the agent of an offer, spoken to as a master is.
func agentAt(t *testing.T, o offer) *master {
	t.Helper()
	u, _ := o.Raw["url"].(obj)
	a, _ := u["address"].(obj)
	return &master{t: t, url: fmt.Sprintf("http://%v:%v", a["ip"], a["port"])}
}

// TestEndpoints is what is read beside the scheduler API (REC 33).
func TestEndpoints(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"webui_url": "http://fw:1/", "hostname": "fwhost"}).subscribe()
	o := f.offers(t, agentCount)[0]
	ports := obj{"name": "ports", "type": "RANGES", "ranges": obj{"range": list{obj{"begin": o.port(t), "end": o.port(t)}}}, "allocation_info": obj{"role": "web"}}
	f.accept(t, []offer{o}, launch(task("web.1", o, "echo out; echo err >&2; sleep 600", obj{"resources": list{cpus(0.1, "web"), mem(32, "web"), ports}}), task("done.1", o, "true")))
	f.course(t, "done.1", starting, running, ended("TASK_FINISHED", status0))
	st := f.course(t, "web.1", starting, running)
	get := func(path string) reply { return m.request(http.MethodGet, path, nil, "") }
	for _, path := range []string{"/state", "/state-summary", "/slaves", "/frameworks", "/tasks", "/roles", "/maintenance/schedule", "/maintenance/status", "/flags", "/version", "/metrics/snapshot"} {
		t.Run(path+" with and without /master", func(t *testing.T) {
			prefixes := []string{"", "/master"}
			if path == "/version" || path == "/metrics/snapshot" {
				prefixes = prefixes[:1]
			}
			for _, p := range prefixes {
				if r := get(p + path); r.status != 200 || !json.Valid([]byte(r.body)) || r.header.Get("Content-Type") != typeJSON {
					t.Errorf("%s: %d %q %.100s", p+path, r.status, r.header.Get("Content-Type"), r.body)
				}
			}
		})
	}
	for _, path := range []string{"/health", "/master/health"} {
		t.Run(path+" is 200 and empty", func(t *testing.T) {
			if r := get(path); r.status != 200 || r.body != "" {
				t.Errorf("%d %q", r.status, r.body)
			}
		})
	}
	t.Run("unknown path", func(t *testing.T) { get("/nosuch").check(t, 404, "404 Not Found.") })
	t.Run("jsonp wraps", func(t *testing.T) {
		if r := get("/master/state?jsonp=cb"); !strings.HasPrefix(r.body, "cb({") || !strings.HasSuffix(r.body, "})") && !strings.HasSuffix(r.body, "});") {
			t.Errorf("%.60s", r.body)
		}
	})
	t.Run("HEAD is answered", func(t *testing.T) {
		if r := m.request(http.MethodHead, "/master/state", nil, ""); r.status != 200 {
			t.Errorf("%d", r.status)
		}
	})
	t.Run("state in the v0 form: floats, ports as text, attributes as object", func(t *testing.T) {
		for _, v := range m.get("/state")["slaves"].(list) {
			a := v.(obj)
			if a["id"] != o.AgentID {
				continue
			}
			res, _ := a["resources"].(obj)
			if p, _ := res["ports"].(string); !strings.HasPrefix(p, "[") || res["cpus"] != o.scalar("cpus") || res["gpus"] != 0.0 {
				t.Errorf("resources %v", res)
			}
			if attr, ok := a["attributes"].(obj); !ok || realURL == "" && attr["rack"] != "r1" {
				t.Errorf("attributes %v", a["attributes"])
			}
		}
	})
	t.Run("framework in the list", func(t *testing.T) {
		fw := m.lookup("frameworks", f.id)
		if fw["webui_url"] != "http://fw:1/" || fw["hostname"] != "fwhost" || fw["active"] != true || fw["connected"] != true {
			t.Errorf("%v", fw)
		}
	})
	t.Run("tasks by id", func(t *testing.T) {
		l, _ := m.get("/master/tasks?task_id=web.1&framework_id=" + f.id)["tasks"].(list)
		if len(l) != 1 {
			t.Fatalf("%d tasks", len(l))
		}
		v := l[0].(obj)
		if v["state"] != "TASK_RUNNING" || v["slave_id"] != o.AgentID || v["executor_id"] != "" || v["framework_id"] != f.id {
			t.Errorf("%v", v)
		}
		if res, _ := v["resources"].(obj); res["ports"] != fmt.Sprintf("[%d-%d]", o.port(t), o.port(t)) {
			t.Errorf("resources %v", res)
		}
	})
	t.Run("tasks with limit", func(t *testing.T) {
		if l, _ := m.get("/tasks?limit=1&order=asc")["tasks"].(list); len(l) != 1 {
			t.Errorf("%d tasks", len(l))
		}
	})
	testOperatorCalls(t, m)
	testFiles(t, f, o, st)
}

func testOperatorCalls(t *testing.T, m *master) {
	for kind, body := range map[string]string{
		"GET_HEALTH":               `{"type":"GET_HEALTH","get_health":{"healthy":true}}`,
		"GET_WEIGHTS":              `{"type":"GET_WEIGHTS"}`,
		"GET_QUOTA":                `{"type":"GET_QUOTA","get_quota":{"status":{}}}`,
		"GET_MAINTENANCE_SCHEDULE": `{"type":"GET_MAINTENANCE_SCHEDULE","get_maintenance_schedule":{"schedule":{}}}`,
		"GET_MAINTENANCE_STATUS":   `{"type":"GET_MAINTENANCE_STATUS","get_maintenance_status":{"status":{}}}`,
	} {
		t.Run(kind, func(t *testing.T) {
			if r := m.operator(obj{"type": kind}); r.status != 200 || r.body != body {
				t.Errorf("%d %s, want %s", r.status, r.body, body)
			}
		})
	}
	for _, kind := range []string{"GET_VERSION", "GET_MASTER", "GET_AGENTS", "GET_FRAMEWORKS", "GET_TASKS", "GET_EXECUTORS", "GET_ROLES", "GET_OPERATIONS", "GET_STATE", "GET_FLAGS"} {
		t.Run(kind, func(t *testing.T) {
			if r := m.operator(obj{"type": kind}); r.status != 200 || !strings.HasPrefix(r.body, `{"type":"`+kind+`","`+strings.ToLower(kind)+`":{`) {
				t.Errorf("%d %.100s", r.status, r.body)
			}
		})
	}
	t.Run("unknown operator call", func(t *testing.T) {
		m.operator(obj{"type": "NOSUCH"}).check(t, 400, "Failed to validate master::Call: Expecting 'type' to be present")
	})
	t.Run("GET of the operator API", func(t *testing.T) {
		m.request(http.MethodGet, "/api/v1", nil, "").check(t, 405, "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.")
	})
}

// testFiles reads the sandbox of web.1 as a tail does.
func testFiles(t *testing.T, f *framework, o offer, st status) {
	a := agentAt(t, o)
	latest := "/frameworks/" + f.id + "/executors/web.1/runs/latest"
	read := func(path, more string) reply {
		return a.request(http.MethodGet, "/files/read?path="+url.QueryEscape(path)+more, nil, "")
	}
	for _, c := range []struct{ name, more, data string }{
		{"offset and length", "&offset=0&length=100", `{"data":"out\n","offset":0}`},
		{"short length", "&offset=0&length=2", `{"data":"ou","offset":0}`},
		{"offset alone", "&offset=2", `{"data":"t\n","offset":2}`},
		{"offset -1 gives the size", "&offset=-1", `{"data":"","offset":4}`},
		{"no offset gives the size", "", `{"data":"","offset":4}`},
		{"beyond the end", "&offset=1000&length=10", `{"data":"","offset":1000}`},
		{"length -1 is to the end", "&offset=0&length=-1", `{"data":"out\n","offset":0}`},
	} {
		t.Run("files/read "+c.name, func(t *testing.T) {
			if r := read(latest+"/stdout", c.more); r.status != 200 || r.body != c.data {
				t.Errorf("%d %s, want %s", r.status, r.body, c.data)
			}
		})
	}
	t.Run("files/read offset that is no number", func(t *testing.T) {
		if r := read(latest+"/stdout", "&offset=x"); r.status != 400 || strings.TrimSpace(r.body) != "Failed to parse offset: Failed to convert 'x' to number." {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
	t.Run("files/read of a directory", func(t *testing.T) {
		if r := read(latest, "&offset=0"); r.status != 400 || strings.TrimSpace(r.body) != "Cannot read a directory." {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
	t.Run("files/read of nothing", func(t *testing.T) {
		if r := read(latest+"/nosuch", "&offset=0"); r.status != 404 || r.body != "" {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
	t.Run("files/browse", func(t *testing.T) {
		r := a.request(http.MethodGet, "/files/browse?path="+url.QueryEscape(latest), nil, "")
		var v []obj
		if err := json.Unmarshal([]byte(r.body), &v); err != nil {
			t.Fatalf("%d %s", r.status, r.body)
		}
		found := false
		for _, e := range v {
			if path, _ := e["path"].(string); strings.HasSuffix(path, "/stdout") {
				found = true
				for _, field := range []string{"gid", "mode", "mtime", "nlink", "path", "size", "uid"} {
					if e[field] == nil {
						t.Errorf("no %s in %v", field, e)
					}
				}
			}
		}
		if !found {
			t.Errorf("no stdout in %s", r.body)
		}
	})
	t.Run("files/browse without path", func(t *testing.T) {
		if r := a.request(http.MethodGet, "/files/browse", nil, ""); r.status != 400 || strings.TrimSpace(r.body) != "Expecting 'path=value' in query." {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
	t.Run("files/browse of nothing", func(t *testing.T) {
		if r := a.request(http.MethodGet, "/files/browse?path=/nosuch", nil, ""); r.status != 404 || r.body != "" {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
	t.Run("files/download", func(t *testing.T) {
		if r := a.request(http.MethodGet, "/files/download?path="+url.QueryEscape(latest+"/stderr"), nil, ""); r.status != 200 || !strings.Contains(r.body, "err\n") {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
	t.Run("directory of the executor in the state of the agent", func(t *testing.T) {
		id, _ := st.Container["container_id"].(obj)
		run, _ := id["value"].(string)
		body := a.request(http.MethodGet, "/slave(1)/state", nil, "").body
		if !strings.Contains(body, "/frameworks/"+f.id+"/executors/web.1/runs/"+run+`"`) {
			t.Errorf("no such directory in %.300s", body)
		}
		if a.request(http.MethodGet, "/state", nil, "").status != 200 {
			t.Error("/state without /slave(1)")
		}
	})
	t.Run("READ_FILE has base64 and the size", func(t *testing.T) {
		r := a.operator(obj{"type": "READ_FILE", "read_file": obj{"path": latest + "/stdout", "offset": 0}})
		var v struct {
			Read struct {
				Size int
				Data string
			} `json:"read_file"`
		}
		if err := json.Unmarshal([]byte(r.body), &v); err != nil || v.Read.Size != 4 || v.Read.Data != base64.StdEncoding.EncodeToString([]byte("out\n")) {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := a.operator(obj{"type": "READ_FILE", "read_file": obj{"path": latest + "/nosuch", "offset": 0}}); r.status != 404 || r.body != "" {
			t.Errorf("of nothing: %d %q", r.status, r.body)
		}
	})
	if realURL == "" {
		t.Run("monitor/statistics exists, with .json it does not", func(t *testing.T) {
			if r := a.request(http.MethodGet, "/monitor/statistics", nil, ""); r.status != 200 {
				t.Errorf("%d", r.status)
			}
			if r := a.request(http.MethodGet, "/monitor/statistics.json", nil, ""); r.status != 404 {
				t.Errorf("with .json: %d", r.status)
			}
		})
	}
}

// TestOperatorStream is SUBSCRIBE of the operator API (REC 34).
func TestOperatorStream(t *testing.T) {
	m := newMaster(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/api/v1", strings.NewReader(`{"type":"SUBSCRIBE"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {typeJSON}, "Accept": {typeJSON}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get(streamHeader) != "" {
		t.Error("there is a stream id")
	}
	records := make(chan obj, 1000)
	go func() {
		defer close(records)
		for r := bufio.NewReader(resp.Body); ; {
			data, err := readRecord(r)
			if err != nil {
				return
			}
			var v obj
			if json.Unmarshal(data, &v) != nil {
				return
			}
			records <- v
		}
	}()
	next := func(t *testing.T, kind string) obj {
		t.Helper()
		for deadline := time.After(patience); ; {
			select {
			case v, ok := <-records:
				if !ok {
					t.Fatalf("end of the stream instead of %s", kind)
				}
				if v["type"] == kind {
					return v
				}
				if v["type"] != "HEARTBEAT" {
					t.Fatalf("%s instead of %s", encode(v), kind)
				}
			case <-deadline:
				t.Fatalf("no %s in %s", kind, patience)
			}
		}
	}
	t.Run("SUBSCRIBED with get_state, then HEARTBEAT", func(t *testing.T) {
		sub, _ := next(t, "SUBSCRIBED")["subscribed"].(obj)
		if sub["get_state"] == nil || sub["heartbeat_interval_seconds"] != 15.0 {
			t.Errorf("%s", encode(sub))
		}
		next(t, "HEARTBEAT")
	})
	f := m.framework(nil).subscribe()
	t.Run("FRAMEWORK_ADDED", func(t *testing.T) { next(t, "FRAMEWORK_ADDED") })
	o := f.offers(t, agentCount)[0]
	f.accept(t, []offer{o}, launch(task("e1", o, "sleep 0.3")))
	t.Run("TASK_ADDED in TASK_STAGING", func(t *testing.T) {
		if v := encode(next(t, "TASK_ADDED")); !strings.Contains(v, `"state":"TASK_STAGING"`) {
			t.Errorf("%s", v)
		}
	})
	for _, state := range []string{"TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"} {
		t.Run("TASK_UPDATED "+state, func(t *testing.T) {
			if v := encode(next(t, "TASK_UPDATED")); !strings.Contains(v, `"state":"`+state+`"`) {
				t.Errorf("%s", v)
			}
		})
	}
	f.update(t, "e1", "TASK_STARTING")
	f.close()
	eventually(t, "framework disconnected", patience, func() bool { fw := m.lookup("frameworks", f.id); return fw != nil && fw["connected"] == false })
	g := f.twin(nil).subscribe()
	t.Run("a disconnect is no event, the re-subscription is FRAMEWORK_UPDATED", func(t *testing.T) { next(t, "FRAMEWORK_UPDATED") })
	g.must(t, "TEARDOWN", nil)
	t.Run("FRAMEWORK_REMOVED", func(t *testing.T) { next(t, "FRAMEWORK_REMOVED") })
}
