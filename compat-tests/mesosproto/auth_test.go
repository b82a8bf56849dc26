package mesosproto

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestAuthentication: 401 and principals (REC 32).
func TestAuthentication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("framework framework-secret\noperator operator-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMasterWith(t, agentResources, agentAttributes, "--credentials", file)
	onlyMiniature(t, "32", "a master with --authenticate_http_frameworks is needed")
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
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
