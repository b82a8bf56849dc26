package mesosproto

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func basic(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }

// authenticatingMaster knows the principals of recording 32.
func authenticatingMaster(t *testing.T) *master {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("framework framework-secret\noperator operator-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMasterWith(t, agentResources, agentAttributes, "--credentials", file)
	onlyMiniature(t, "32", "a master with --authenticate_http_frameworks is needed")
	return m
}

// TestAuthentication: 401 and principals (REC 32).
func TestAuthentication(t *testing.T) {
	m := authenticatingMaster(t)
	subscribe := encode(obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": frameworkInfo(obj{"principal": "framework"})}})
	for _, c := range []struct {
		name, authorization string
		status              int
		text                string
	}{
		{"no credentials", "", 401, "401 Unauthorized."},
		{"wrong secret", basic("framework:wrong"), 401, "401 Unauthorized."},
		{"unknown principal", basic("nobody:x"), 401, "401 Unauthorized."},
		{"malformed", "Basic !!!", 401, "401 Unauthorized."},
		{"another scheme", "Bearer abc", 401, "401 Unauthorized."},
		{"another principal", basic("operator:operator-secret"), 400,
			"Failed to validate scheduler::Call: Authenticated principal 'operator' does not match principal 'framework' set in `FrameworkInfo`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := map[string]string{"Content-Type": typeJSON, "Accept": typeJSON}
			if c.authorization != "" {
				h["Authorization"] = c.authorization
			}
			r := m.request(http.MethodPost, schedulerPath, h, subscribe)
			r.check(t, c.status, c.text)
			if got := r.header.Get("WWW-Authenticate"); c.status == 401 && got != `Basic realm="mesos-master-scheduler"` {
				t.Errorf("WWW-Authenticate %q", got)
			}
		})
	}
}

// TestPrincipals is the life of a framework that has authenticated (REC 32).
func TestPrincipals(t *testing.T) {
	m := authenticatingMaster(t)
	const right, other = "framework:framework-secret", "operator:operator-secret"
	t.Run("no principal in FrameworkInfo: it gets that of the credentials", func(t *testing.T) {
		f := m.framework(nil)
		f.auth = basic(right)
		f.subscribe()
		if got := m.lookup("frameworks", f.id)["principal"]; got != principal {
			t.Errorf("principal %v", got)
		}
		f.must(t, "TEARDOWN", nil)
	})
	f := m.framework(obj{"principal": principal})
	f.auth = basic(right)
	f.subscribe()
	o := f.offers(t, agentCount)[0]
	revive := obj{"type": "REVIVE", "framework_id": obj{"value": f.id}}
	for name, pair := range map[string]string{"without credentials": "", "with a wrong secret": "framework:wrong"} {
		t.Run("call "+name, func(t *testing.T) {
			auth := ""
			if pair != "" {
				auth = basic(pair)
			}
			r := m.callAs(auth, revive, f.streamID())
			r.check(t, 401, "401 Unauthorized.")
			if got := r.header.Get("WWW-Authenticate"); got != `Basic realm="mesos-master-scheduler"` {
				t.Errorf("WWW-Authenticate %q", got)
			}
		})
	}
	t.Run("call of another principal is 400, not 403", func(t *testing.T) {
		m.callAs(basic(other), revive, f.streamID()).check(t, 400,
			"Authenticated principal 'operator' does not match principal 'framework' set in `FrameworkInfo`")
	})
	t.Run("call with the right credentials", func(t *testing.T) { f.must(t, "REVIVE", nil) })
	t.Run("SUBSCRIBE with the id by another principal: ERROR, and the stream stays", func(t *testing.T) {
		g := f.twin(nil)
		g.auth = basic(other)
		g.refusedWith(t, "Changing framework's principal is not allowed.")
		f.must(t, "REVIVE", nil)
	})
	t.Run("a reservation must have the principal of the framework", func(t *testing.T) {
		by := func(id, who string) obj {
			r := obj{"type": "DYNAMIC", "role": "web", "principal": who}
			if who == "" {
				delete(r, "principal")
			}
			return operation("RESERVE", id, reserved(cpus(0.5, "web"), r))
		}
		f.accept(t, []offer{o}, by("r1", "operator"), by("r2", ""), by("r3", principal))
		f.outcome(t, "r1", "OPERATION_ERROR", "A reserve operation was attempted by authenticated principal 'framework', "+
			"which does not match a reserved resource in the request with principal 'operator'; on agent ...")
		f.outcome(t, "r2", "OPERATION_ERROR", "A reserve operation was attempted by principal 'framework', "+
			"but there is a reserved resource in the request with no principal set; on agent ...")
		f.outcome(t, "r3", "OPERATION_FINISHED", "")
	})
	t.Run("GET endpoints need no credentials", func(t *testing.T) {
		for _, path := range []string{"/master/state", "/master/slaves", "/master/frameworks", "/metrics/snapshot", "/master/health", "/health", "/version"} {
			if r := m.request(http.MethodGet, path, nil, ""); r.status != 200 {
				t.Errorf("%s: %d %q", path, r.status, r.body)
			}
		}
	})
	t.Run("operator calls need them", func(t *testing.T) {
		h := map[string]string{"Content-Type": typeJSON, "Accept": typeJSON}
		for _, pair := range []string{"", "operator:wrong"} {
			if pair != "" {
				h["Authorization"] = basic(pair)
			}
			r := m.request(http.MethodPost, "/api/v1", h, `{"type":"GET_HEALTH"}`)
			r.check(t, 401, "401 Unauthorized.")
			if got := r.header.Get("WWW-Authenticate"); got != `Basic realm="mesos-master-readwrite"` {
				t.Errorf("WWW-Authenticate %q", got)
			}
		}
		h["Authorization"] = basic(other)
		if r := m.request(http.MethodPost, "/api/v1", h, `{"type":"GET_HEALTH"}`); r.status != 200 || r.body != `{"type":"GET_HEALTH","get_health":{"healthy":true}}` {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}
