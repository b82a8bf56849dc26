package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/crypto/bcrypt"
)

// written is a file with this text.
func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func hashed(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func TestCredentials(t *testing.T) { // S1
	file := written(t, "# users\n\nalice:"+hashed(t, "wonder:land")+"\nbob:"+hashed(t, "builder")+"\n")
	for _, c := range []struct {
		single, file, user, password string
		in                           bool
	}{
		{"u:p", "", "u", "p", true},
		{"u:p", "", "u", "q", false},
		{"a:b:c", "", "a", "b:c", true}, // http-api 1.1: one text, wherever it is split
		{"u:p", "", "", "", false},
		{"", file, "alice", "wonder:land", true},
		{"", file, "alice", "builder", false},
		{"", file, "bob", "builder", true},
		{"", file, "nobody", "builder", false},
		{"u:p", file, "u", "p", true},
		{"u:p", file, "bob", "builder", true},
	} {
		users, err := newCredentials(c.single, c.file)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from memory
			if got := users.check(c.user, c.password); got != c.in {
				t.Errorf("%q with a file %v: %s:%s enters: %v", c.single, c.file != "", c.user, c.password, got)
			}
		}
	}
}

// What is malformed refuses to start; Marathon would be open to all (http-api 18).
func TestMalformedCredentials(t *testing.T) { // S1
	for name, c := range map[string][2]string{"no colon": {"user", ""}, "no user": {":p", ""}, "no password": {"u:", ""},
		"no file": {"", "/no/such/file"}, "empty file": {"", written(t, "# none\n")}, "plain password": {"", written(t, "u:secret\n")},
		"md5": {"", written(t, "u:$apr1$abc$def\n")}, "twice": {"", written(t, "u:"+hashed(t, "a")+"\nu:"+hashed(t, "b"))}} {
		_, err := newCredentials(c[0], c[1])
		if codeOf(err) != exitFlag {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}

func TestPermissions(t *testing.T) { // S5
	rights, err := newPermissions(written(t, `
		# who  what            where
		admin  *               /
		team   GET,PUT,DELETE  /v2/apps/team
		*      GET             /v2/info
	`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, method, path string
		ok                 bool
	}{
		{"admin", "DELETE", "/v2/leader", true},
		{"team", "PUT", "/v2/apps/team", true},
		{"team", "PUT", "/v2/apps//team/web/", true},
		{"team", "HEAD", "/v2/apps/team/web", true},
		{"team", "POST", "/v2/apps/team", false},
		{"team", "PUT", "/v2/apps/teamster", false},
		{"team", "PUT", "/v2/apps", false},
		{"team", "PUT", "/v2/apps/team/../other", false},
		{"team", "GET", "/v2/info", true},
		{"none", "GET", "/v2/info", true},
		{"none", "GET", "/v2/apps", false},
		{"none", "POST", "/v2/info", false},
		{"", "GET", "/v2/apps", false},
	} {
		if got := rights.allow(c.user, c.method, c.path); got != c.ok {
			t.Errorf("%s %s %s: %v", c.user, c.method, c.path, got)
		}
	}
	if !permissions(nil).allow("anybody", "DELETE", "/v2/leader") {
		t.Error("without a file not everything is allowed")
	}
	for _, bad := range []string{"a GET", "a get /x", "a GET x"} {
		if _, err := newPermissions(written(t, bad)); codeOf(err) != exitFlag {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Who, from where, what, which deployment; refused or not; never a body, a query or a password (S8).
func TestAuditAndRefusals(t *testing.T) { // S1, S5, S8
	core, seen := observer.New(zapcore.InfoLevel)
	users, err := newCredentials("u:geheim", "")
	if err != nil {
		t.Fatal(err)
	}
	leads := true
	g := &guard{users: users, realm: "Mesosphere", audit: zap.New(core), leads: func() bool { return leads },
		rights: permissions{{user: "u", methods: map[string]bool{"*": true}, path: "/v2/apps"}},
		next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Marathon-Deployment-Id", "d-1")
			w.WriteHeader(http.StatusCreated)
		})}
	do := func(method, path, password string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(`{"env":{"K":"geheim"}}`))
		r.SetBasicAuth("u", password)
		r.Header.Set("X-Forwarded-For", "10.1.2.3")
		g.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		method, path, password string
		leads                  bool
		status, entries        int
	}{
		{"POST", "/v2/apps?x=geheim", "geheim", true, 201, 1},
		{"GET", "/v2/apps", "geheim", true, 201, 0},
		{"POST", "/v2/apps", "geheim", false, 201, 0}, // the leader will say it
		{"DELETE", "/v2/leader", "geheim", true, 403, 1},
		{"PUT", "/v2/apps/a", "wrong", true, 401, 1},
		{"GET", "/ping", "wrong", true, 401, 0}, // http-api 1.1: every path
	} {
		leads = c.leads
		w := do(c.method, c.path, c.password)
		entries := seen.TakeAll()
		if w.Code != c.status || len(entries) != c.entries {
			t.Errorf("%s %s: status %d with %d entries, want %d with %d", c.method, c.path, w.Code, len(entries), c.status, c.entries)
		}
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") != `basic realm="Mesosphere"` {
			t.Errorf("challenge %q", w.Header().Get("WWW-Authenticate"))
		}
		for _, e := range entries {
			f := e.ContextMap()
			if f["user"] != "u" || f["from"] != "192.0.2.1:1234" || f["method"] != c.method || f["status"] != int64(c.status) || (f["deployment"] == "d-1") != (c.status == 201) {
				t.Errorf("entry %v", f)
			}
			for k, v := range f {
				if s, ok := v.(string); ok && strings.Contains(s, "geheim") {
					t.Errorf("%s tells a secret: %s", k, s)
				}
			}
		}
	}
}
