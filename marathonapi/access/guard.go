package access

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"go.uber.org/zap"
)

// Guard stands before everything a server answers, as leader and as standby (http-api.md 1.2): it asks who is there and
// writes down what they changed (S1, S8). What they may do is judged further in, by ids (S5).
type Guard struct {
	Users *Users // nil: everybody
	Rules *Rules // nil: everything is allowed
	Realm string
	Audit *zap.Logger
	Mask  *regexp.Regexp // keys whose values stay out of the audit log; nil: none
	// Leads tells whether changes are made here; a standby leaves the entry to the leader.
	Leads func() bool
	// Open are paths that everybody may ask.
	Open map[string]bool
	// Origins are those of --access_control_allow_origin: pages of theirs may change things with their user's password.
	Origins []string
	Next    http.Handler
}

func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.foreign(r) {
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `{"message":"Changes are not taken from pages of other sites"}`)
		return
	}
	user := ""
	if g.Users != nil && !g.Open[r.URL.Path] {
		name, password, ok := r.BasicAuth()
		if !ok || !g.Users.Check(name, password) {
			g.refuse(w, r, name)
			return
		}
		user = name
	}
	actor := g.Rules.Of(user)
	if !changes(r.Method) || !g.Leads() {
		g.Next.ServeHTTP(w, r.WithContext(With(r.Context(), actor, nil)))
		return
	}
	record := &Record{mask: g.Mask}
	a := &statusWriter{ResponseWriter: w}
	defer func() { g.note(r, user, a.code(), w.Header().Get("Marathon-Deployment-Id"), record) }()
	g.Next.ServeHTTP(a, r.WithContext(With(r.Context(), actor, record)))
	if w.Header().Get("Content-Length") != "" { // without a length a flush would change how the answer is framed
		_ = http.NewResponseController(w).Flush() // the client need not wait for the entry; recorders in tests cannot
	}
}

// foreign reports a change that a browser sends on behalf of a page of another site, with the password it remembers for
// this one (S10). Only browsers say so, and no page can make them say otherwise.
func (g *Guard) foreign(r *http.Request) bool {
	return changes(r.Method) && r.Header.Get("Sec-Fetch-Site") == "cross-site" &&
		!slices.Contains(g.Origins, "*") && !slices.Contains(g.Origins, r.Header.Get("Origin"))
}

// refuse answers alike to a wrong password and to an unknown user (S1).
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("WWW-Authenticate", fmt.Sprintf("basic realm=%q", g.Realm))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = fmt.Fprint(w, `{"message":"Unauthorized"}`)
	if changes(r.Method) {
		g.note(r, name, http.StatusUnauthorized, "", &Record{})
	}
}

// note writes the entry of one request. Bodies and query values stay out of it: they may hold secrets.
func (g *Guard) note(r *http.Request, user string, status int, deployment string, record *Record) {
	fields := []zap.Field{zap.String("user", user), zap.String("from", r.RemoteAddr), zap.String("method", r.Method),
		zap.String("path", r.URL.Path), zap.Int("status", status)}
	if via := r.Header.Values("X-Forwarded-For"); len(via) > 0 {
		fields = append(fields, zap.Strings("for", via))
	}
	if deployment != "" {
		fields = append(fields, zap.String("deployment", deployment))
	}
	entries, more := record.Taken()
	if len(entries) > 0 {
		fields = append(fields, zap.Reflect("changes", entries))
	}
	if more > 0 {
		fields = append(fields, zap.Int("moreChanges", more))
	}
	g.Audit.Info("change", fields...)
}

// changes tells whether a method may change anything.
func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
