package mesosproto

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestHealth is health checks and checks (REC 22).
func TestHealth(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}
	web.Start()
	defer web.Close()
	open := l.Addr().(*net.TCPAddr).Port
	check := func(kind obj, more obj) obj {
		h := obj{"delay_seconds": 0, "interval_seconds": 0.3, "timeout_seconds": 60, "grace_period_seconds": 0, "consecutive_failures": 3}
		for _, o := range []obj{kind, more} {
			for k, v := range o {
				h[k] = v
			}
		}
		return obj{"health_check": h}
	}
	command := func(text string) obj { return obj{"type": "COMMAND", "command": shell(text)} }
	probe := func(kind obj) obj {
		c := obj{"delay_seconds": 0, "interval_seconds": 0.3, "timeout_seconds": 60}
		for k, v := range kind {
			c[k] = v
		}
		return obj{"check": c}
	}
	cases := []obj{
		task("http", o, "sleep 600", check(obj{"type": "HTTP", "http": obj{"port": open, "path": "/"}}, nil)),
		task("tcp", o, "sleep 600", check(obj{"type": "TCP", "tcp": obj{"port": open}}, nil)),
		task("cmd", o, "sleep 600", check(command("true"), nil)),
		task("never", o, "sleep 600", check(command("false"), nil)),
		task("zero", o, "sleep 600", check(command("false"), obj{"consecutive_failures": 0})),
		task("slow", o, "sleep 600", check(command("sleep 600"), obj{"timeout_seconds": 0.3, "consecutive_failures": 1})),
		task("flap", o, "sleep 600", check(command("test -e once || { touch once; exit 1; }"), nil)),
		task("grace", o, "sleep 600", check(command("false"), obj{"grace_period_seconds": 600})),
		task("grace2", o, "sleep 600", check(command("test -e once && exit 1; touch once"), obj{"grace_period_seconds": 600})),
		task("probe", o, "sleep 600", probe(obj{"type": "COMMAND", "command": obj{"command": shell("exit 3")}})),
		task("probehttp", o, "sleep 600", probe(obj{"type": "HTTP", "http": obj{"port": open, "path": "/"}})),
		task("probetcp", o, "sleep 600", probe(obj{"type": "TCP", "tcp": obj{"port": open}})),
	}
	f.accept(t, []offer{o}, launch(cases...))
	first := func(t *testing.T, id string) {
		t.Helper()
		for _, w := range []want{starting, running} {
			if st := f.course(t, id, w); st.Healthy != nil {
				t.Errorf("%s has healthy %v", w.state, *st.Healthy)
			}
		}
	}
	health := func(t *testing.T, id string, healthy bool) {
		t.Helper()
		st := f.course(t, id, want{"TASK_RUNNING", "SOURCE_EXECUTOR", "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED", "", true})
		if st.Healthy == nil || *st.Healthy != healthy {
			t.Errorf("healthy %v, want %t", st.Healthy, healthy)
		}
	}
	killed := func(t *testing.T, id string) {
		t.Helper()
		if st := f.course(t, id, killing); st.Healthy != nil {
			t.Errorf("KILLING has healthy %v", *st.Healthy)
		}
		st := f.course(t, id, ended("TASK_KILLED", "Command terminated with signal Terminated"))
		if st.Healthy == nil || *st.Healthy {
			t.Errorf("healthy of the end %v, want false", st.Healthy)
		}
	}
	for _, id := range []string{"http", "tcp", "cmd"} {
		t.Run(id+": one success is sent, further ones are not", func(t *testing.T) {
			first(t, id)
			health(t, id, true)
			f.never(t, "another update", 1200*time.Millisecond, updateOf(id))
		})
	}
	t.Run("reconciliation repeats the last healthy", func(t *testing.T) {
		f.must(t, "RECONCILE", obj{"tasks": list{obj{"task_id": obj{"value": "cmd"}}}})
		if st := f.course(t, "cmd", reconciled("TASK_RUNNING", "Latest task state")); st.Healthy == nil || !*st.Healthy {
			t.Errorf("healthy %v", st.Healthy)
		}
	})
	t.Run("KILLED after a KILL call has no healthy", func(t *testing.T) {
		f.must(t, "KILL", obj{"task_id": obj{"value": "cmd"}})
		f.course(t, "cmd", killing)
		if st := f.course(t, "cmd", ended("TASK_KILLED", "Command terminated with signal Terminated")); st.Healthy != nil {
			t.Errorf("healthy %v", *st.Healthy)
		}
	})
	t.Run("every counted failure is sent; after the third KILLED with healthy false", func(t *testing.T) {
		first(t, "never")
		for range 3 {
			health(t, "never", false)
		}
		killed(t, "never")
	})
	t.Run("consecutive_failures 0 kills at the first", func(t *testing.T) {
		first(t, "zero")
		health(t, "zero", false)
		killed(t, "zero")
	})
	t.Run("a timeout is a failure", func(t *testing.T) {
		first(t, "slow")
		health(t, "slow", false)
		killed(t, "slow")
	})
	t.Run("success after a failure is sent", func(t *testing.T) {
		first(t, "flap")
		health(t, "flap", false)
		health(t, "flap", true)
	})
	t.Run("failures in the grace period are neither sent nor counted", func(t *testing.T) {
		first(t, "grace")
		f.never(t, "update", 2*time.Second, updateOf("grace"))
	})
	t.Run("the first success ends the grace period (source)", func(t *testing.T) {
		first(t, "grace2")
		health(t, "grace2", true)
		for range 3 {
			health(t, "grace2", false)
		}
		killed(t, "grace2")
	})
	for _, c := range []struct{ id, empty, full string }{
		{"probe", `{"command":{},"type":"COMMAND"}`, `{"command":{"exit_code":3},"type":"COMMAND"}`},
		{"probehttp", `{"http":{},"type":"HTTP"}`, `{"http":{"status_code":200},"type":"HTTP"}`},
		{"probetcp", `{"tcp":{},"type":"TCP"}`, `{"tcp":{"succeeded":true},"type":"TCP"}`},
	} {
		t.Run(c.id+": check_status", func(t *testing.T) {
			for _, w := range []want{starting, running} {
				if st := f.course(t, c.id, w); encode(st.Check) != c.empty {
					t.Errorf("%s has check_status %s, want %s", w.state, encode(st.Check), c.empty)
				}
			}
			st := f.course(t, c.id, want{"TASK_RUNNING", "SOURCE_EXECUTOR", "REASON_TASK_CHECK_STATUS_UPDATED", "", true})
			if encode(st.Check) != c.full || st.Healthy != nil {
				t.Errorf("check_status %s, healthy %v, want %s", encode(st.Check), st.Healthy, c.full)
			}
			f.must(t, "KILL", obj{"task_id": obj{"value": c.id}})
			for _, w := range []want{killing, ended("TASK_KILLED", "Command terminated with signal Terminated")} {
				if st := f.course(t, c.id, w); encode(st.Check) != c.empty {
					t.Errorf("%s has check_status %s, want %s", w.state, encode(st.Check), c.empty)
				}
			}
		})
	}
}
