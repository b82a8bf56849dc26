package minimesos

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/mesos/mesos-go/api/v1/lib/scheduler"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

func basic(principal, secret string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(principal+":"+secret))}}
}

// Recording 32.
func TestAuthentication(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) {
		cfg.Credentials = map[string]string{"framework": "secret", "operator": "other"}
	})
	body := `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"a","principal":"framework"}}}`
	for _, x := range []struct {
		name   string
		header http.Header
		status int
		text   string
	}{
		{"none", http.Header{}, 401, "401 Unauthorized."},
		{"wrong secret", basic("framework", "x"), 401, "401 Unauthorized."},
		{"unknown principal", basic("nobody", "secret"), 401, "401 Unauthorized."},
		{"malformed", http.Header{"Authorization": {"Basic !"}}, 401, "401 Unauthorized."},
		{"another principal", basic("operator", "other"), 400, "Failed to validate scheduler::Call: " +
			"Authenticated principal 'operator' does not match principal 'framework' set in `FrameworkInfo`"},
	} {
		x.header.Set("Content-Type", typeJSON)
		if status, text := post(t, c, "/api/v1/scheduler", x.header, body); status != x.status || text != x.text {
			t.Errorf("%s: %d %q, want %d %q", x.name, status, text, x.status, x.text)
		}
	}
	f := newFramework(t, c, "web")
	f.header = basic("framework", "secret")
	principal := "framework"
	f.info.Principal = &principal
	f.subscribe()
	f.header = basic("operator", "other")
	if status, text := f.call(&scheduler.Call{Type: scheduler.Call_REVIVE}); status != 400 ||
		text != "Authenticated principal 'operator' does not match principal 'framework' set in `FrameworkInfo`" {
		t.Errorf("call of another principal: %d %q", status, text)
	}
	thief := newFramework(t, c, "web")
	thief.header = basic("operator", "other")
	thief.info.ID = &mesos.FrameworkID{Value: f.id}
	thief.open(&scheduler.Call{Type: scheduler.Call_SUBSCRIBE, FrameworkID: thief.info.ID,
		Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: thief.info}})
	if ev := thief.next(scheduler.Event_ERROR); ev.Error.Message != "Changing framework's principal is not allowed." {
		t.Errorf("foreign framework: %q", ev.Error.Message)
	}
	f.header = basic("framework", "secret")
	f.must(&scheduler.Call{Type: scheduler.Call_REVIVE})
	own := newFramework(t, c, "web")
	own.header = basic("framework", "secret")
	own.subscribe() // without a principal in FrameworkInfo
	own.subscribe() // and again, with its id
	if status, text := operatorCall(t, c, `{"type":"GET_HEALTH"}`); status != 401 || text != "401 Unauthorized." {
		t.Errorf("operator without credentials: %d %q", status, text)
	}
	if status, _, _ := get(t, c, "/master/state"); status != 200 {
		t.Errorf("reading without credentials: %d", status)
	}
}
