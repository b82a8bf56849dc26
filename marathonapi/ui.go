package marathonapi

import (
	_ "embed" // of the page
	"net/http"
	"strings"
)

// builtinUI is the page of /ui/: one file that needs nothing else.
//
//go:embed ui/index.html
var builtinUI []byte

// uiPolicy lets the page run what stands in it and talk to this server, and nothing else.
const uiPolicy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// uiRoot is GET /ui, which redirects to GET /ui/, the page (http-api.md 3.1).
func (s *Server) uiRoot(r *request) error {
	if !strings.HasSuffix(r.Request().URL.Path, "/") {
		return redirectTo("/ui/")(s, r)
	}
	return s.uiFile(r)
}

// uiFile serves the configured UI; without one, the built-in page.
func (s *Server) uiFile(r *request) error {
	if s.cfg.UI != nil {
		return s.static(r)
	}
	switch r.vars["file"] {
	case "", "index.html":
	default:
		return notFound("URI not found")
	}
	r.Response().Header().Set("Content-Security-Policy", uiPolicy)
	return r.Blob(http.StatusOK, typeHTML+"; charset=utf-8", builtinUI)
}

// static serves the files of the configured UI.
func (s *Server) static(r *request) error {
	if s.cfg.UI == nil {
		return notFound("URI not found")
	}
	s.cfg.UI.ServeHTTP(r.Response(), r.Request())
	return nil
}
