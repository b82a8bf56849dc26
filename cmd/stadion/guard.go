package main

import (
	"fmt"
	"net/http"

	"go.uber.org/zap"
)

// guard stands before everything a server answers, as leader and as standby (http-api.md 1.2): it asks who is there,
// what they may do, and writes down what they changed (S1, S5, S8).
type guard struct {
	users  *credentials // nil: everybody
	rights permissions
	realm  string
	audit  *zap.Logger
	// leads tells whether changes are made here; a standby leaves the entry to the leader.
	leads func() bool
	next  http.Handler
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := ""
	if g.users != nil {
		name, password, ok := r.BasicAuth()
		if !ok || !g.users.check(name, password) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("basic realm=%q", g.realm))
			g.refuse(w, r, name, http.StatusUnauthorized, "Unauthorized")
			return
		}
		user = name
	}
	if !g.rights.allow(user, r.Method, r.URL.Path) {
		g.refuse(w, r, user, http.StatusForbidden, "Not Authorized to perform this action!")
		return
	}
	if !changes(r.Method) || !g.leads() {
		g.next.ServeHTTP(w, r)
		return
	}
	a := &statusWriter{ResponseWriter: w}
	defer func() { g.note(r, user, a.code(), w.Header().Get("Marathon-Deployment-Id")) }()
	g.next.ServeHTTP(a, r)
}

func (g *guard) refuse(w http.ResponseWriter, r *http.Request, user string, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":%q}`, text)
	if changes(r.Method) {
		g.note(r, user, status, "")
	}
}

// note writes the entry of one change. Bodies and query values stay out of it: they may hold secrets.
func (g *guard) note(r *http.Request, user string, status int, deployment string) {
	fields := []zap.Field{zap.String("user", user), zap.String("from", r.RemoteAddr), zap.String("method", r.Method),
		zap.String("path", r.URL.Path), zap.Int("status", status)}
	if via := r.Header.Values("X-Forwarded-For"); len(via) > 0 {
		fields = append(fields, zap.Strings("for", via))
	}
	if deployment != "" {
		fields = append(fields, zap.String("deployment", deployment))
	}
	g.audit.Info("change", fields...)
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
