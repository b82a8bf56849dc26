package access

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"stadion/core"
)

// guarded is a guard in front of a handler, and what it writes down.
func guarded(t *testing.T, next http.HandlerFunc) (*Guard, *observer.ObservedLogs) {
	t.Helper()
	core, seen := observer.New(zapcore.InfoLevel)
	users, err := ReadUsers("u:geheim", written(t, "v:"+hashed(t, "other")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &Guard{Users: users, Realm: "Mesosphere", Audit: zap.New(core), Leads: func() bool { return true }, Mask: regexp.MustCompile(DefaultMask), Next: next}, seen
}

func ask(g *Guard, method, path, user, password string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(`{"env":{"K":"geheim"}}`))
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	r.Header.Set("X-Forwarded-For", "10.1.2.3")
	g.ServeHTTP(w, r)
	return w
}

// Who, from where, what, which deployment; refused or not; never a body, a query or a password (S8).
func TestAudit(t *testing.T) { // S1, S8, http-api 1.1
	leads := true
	g, seen := guarded(t, func(w http.ResponseWriter, r *http.Request) {
		if ActorOf(r.Context()).Name != "u" {
			t.Error("the API does not learn who asks")
		}
		w.Header().Set("Marathon-Deployment-Id", "d-1")
		w.WriteHeader(http.StatusCreated)
	})
	g.Leads = func() bool { return leads }
	for _, c := range []struct {
		method, path, password string
		leads                  bool
		status, entries        int
	}{
		{"POST", "/v2/apps?x=geheim", "geheim", true, 201, 1},
		{"GET", "/v2/apps", "geheim", true, 201, 0},
		{"POST", "/v2/apps", "geheim", false, 201, 0}, // the leader will say it
		{"PUT", "/v2/apps/a", "wrong", true, 401, 1},
		{"GET", "/ping", "wrong", true, 401, 0}, // http-api 1.1: every path
	} {
		leads = c.leads
		w := ask(g, c.method, c.path, "u", c.password)
		entries := seen.TakeAll()
		if w.Code != c.status || len(entries) != c.entries {
			t.Errorf("%s %s: status %d with %d entries, want %d with %d", c.method, c.path, w.Code, len(entries), c.status, c.entries)
		}
		if w.Code == 401 && (w.Header().Get("WWW-Authenticate") != `basic realm="Mesosphere"` || w.Header().Get("X-Marathon-Leader") != "") {
			t.Errorf("challenge %v", w.Header())
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

// What the API writes down of a change goes through the guard's mask.
func TestAuditMasksChanges(t *testing.T) { // S7
	g, seen := guarded(t, func(_ http.ResponseWriter, r *http.Request) {
		RecordOf(r.Context()).Add(Entry{Diff: map[string]Change{"env": {To: json.RawMessage(`{"PASSWORD":"geheim","A":"seen"}`)}}})
	})
	ask(g, "PUT", "/v2/apps/a", "u", "geheim")
	raw, err := json.Marshal(seen.TakeAll()[0].ContextMap())
	if text := string(raw); err != nil || strings.Contains(text, "geheim") || !strings.Contains(text, "seen") {
		t.Errorf("the entry tells a secret, or not what is none: %s %v", text, err)
	}
}

// A wrong password, an unknown user and nobody get one answer (S1); /ping is open if that is wanted.
func TestRefusalsAreAlike(t *testing.T) { // S1
	g, _ := guarded(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	first := ask(g, "GET", "/v2/apps", "v", "wrong")
	for _, c := range [][2]string{{"v", ""}, {"nobody", "other"}, {"u", "wrong"}, {"", ""}} {
		w := ask(g, "GET", "/v2/apps", c[0], c[1])
		if w.Code != 401 || w.Body.String() != first.Body.String() || w.Header().Get("WWW-Authenticate") != first.Header().Get("WWW-Authenticate") {
			t.Errorf("%v: %d %s", c, w.Code, w.Body)
		}
	}
	g.Open = map[string]bool{"/ping": true}
	if w := ask(g, "GET", "/ping", "", ""); w.Code != 200 {
		t.Errorf("open ping: %d", w.Code)
	}
	if w := ask(g, "GET", "/ping/", "", ""); w.Code != 401 {
		t.Errorf("beside open ping: %d", w.Code)
	}
}

// A browser on a page of another site changes nothing with the password it remembers; anybody else may say what they like.
func TestForeignPages(t *testing.T) { // S10
	reached := false
	g, _ := guarded(t, func(http.ResponseWriter, *http.Request) { reached = true })
	for _, c := range []struct {
		method, site, origin string
		passes               bool
	}{
		{"POST", "", "", true},
		{"POST", "same-origin", "http://here", true},
		{"POST", "none", "", true},
		{"POST", "cross-site", "http://evil", false},
		{"POST", "cross-site", "http://friend", true},
		{"GET", "cross-site", "http://evil", true}, // reading is up to CORS
	} {
		reached, g.Origins = false, []string{"http://friend"}
		w, r := httptest.NewRecorder(), httptest.NewRequest(c.method, "/v2/groups", nil)
		r.SetBasicAuth("u", "geheim")
		r.Header.Set("Sec-Fetch-Site", c.site)
		r.Header.Set("Origin", c.origin)
		if g.ServeHTTP(w, r); reached != c.passes || !c.passes && w.Code != http.StatusForbidden {
			t.Errorf("%s from %s (%s): %d", c.method, c.origin, c.site, w.Code)
		}
	}
}

// A standby asks who is there and leaves what they may do to the leader: rules of its own raise and lower nothing.
func TestStandbyJudgesNoRights(t *testing.T) { // S6
	passed := 0
	g, seen := guarded(t, func(_ http.ResponseWriter, r *http.Request) {
		passed++
		if user, password, _ := r.BasicAuth(); user != "u" || password != "geheim" {
			t.Error("the identity does not travel")
		}
	})
	g.Rules, g.Leads = &Rules{}, func() bool { return false }
	if ask(g, "DELETE", "/v2/leader", "u", "geheim"); passed != 1 || seen.Len() != 0 {
		t.Errorf("passed %d, entries %d", passed, seen.Len())
	}
	if w := ask(g, "DELETE", "/v2/leader", "u", "wrong"); passed != 1 || w.Code != 401 {
		t.Errorf("passed %d, status %d", passed, w.Code)
	}
}

// The entry says what differs, without secrets, and does not grow with the change.
func TestRecord(t *testing.T) { // S7, S8
	r := &Record{mask: regexp.MustCompile(DefaultMask)}
	r.Add(Entry{ID: "/a", Change: "update", Diff: map[string]Change{
		"env":       {json.RawMessage(`{"DB_PASSWORD":"one","LANG":"de","S":{"secret":"ref"}}`), json.RawMessage(`{"DB_PASSWORD":"two","LANG":"en"}`)},
		"container": {To: json.RawMessage(`{"docker":{"parameters":[{"key":"env","value":"API_TOKEN=three"},{"key":"hostname","value":"h"}]}}`)},
		"cmd":       {To: json.RawMessage(`"` + strings.Repeat("x", 2*maxValue) + `"`)},
		"instances": {json.RawMessage(`1`), json.RawMessage(`2`)},
	}})
	text, err := json.Marshal(r.entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"one", "two", "three"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is told: %s", secret, text)
		}
	}
	for _, told := range []string{`"LANG":"de"`, `"LANG":"en"`, `"hostname"`, `"instances":{"from":1,"to":2}`} {
		if !strings.Contains(string(text), told) {
			t.Errorf("%s is not told: %s", told, text)
		}
	}
	if len(text) > 2*maxValue {
		t.Errorf("%d bytes", len(text))
	}
	for range 3 * maxEntries {
		r.Add(Entry{ID: core.PathID("/x"), Change: "remove"})
	}
	if list, more := r.Taken(); len(list) != maxEntries || more != 2*maxEntries+1 {
		t.Errorf("%d entries and %d more", len(list), more)
	}
	var none *Record
	none.Add(Entry{})
	none.Later(func() { t.Error("nobody asks") })
}

// The answer does not wait for its entry: telling what changed takes as long as all the rest of a small request (P11).
func TestAnswerBeforeEntry(t *testing.T) {
	answered, asked := make(chan struct{}), make(chan bool, 1)
	g := &Guard{Leads: func() bool { return true }, Audit: zap.New(zapcore.NewNopCore()), Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		RecordOf(r.Context()).Later(func() { t.Error("an attempt that was made again is told") })
		RecordOf(r.Context()).Later(func() {
			select {
			case <-answered:
				asked <- true
			case <-time.After(time.Minute):
				asked <- false
			}
		})
		w.Header().Set("Content-Length", "2")
		_, _ = w.Write([]byte("{}"))
	})}
	web := httptest.NewServer(g)
	defer web.Close()
	res, err := http.Post(web.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	close(answered)
	if err != nil || string(text) != "{}" || len(res.TransferEncoding) > 0 {
		t.Errorf("answer %q, framed %v: %v", text, res.TransferEncoding, err)
	}
	if !<-asked {
		t.Error("the entry was made before the client had its answer")
	}
}
