package marathonapi

import (
	"errors"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"stadion/core"
	"stadion/core/state"
	"stadion/marathonapi/access"
)

// request is one call of a route.
type request struct {
	echo.Context
	vars     map[string]string
	produces string // what the client wants of Route.Produces
	snap     *state.Snapshot
	dry      bool // only tell what would be (dryRun=true on a route that knows it)
	actor    *access.Actor
}

// router finds routes. It does what a router of prefix trees cannot: greedy ids before literal ends.
type router struct{ patterns []*pattern }

// pattern is all routes of one path.
type pattern struct {
	prefix  string // literal begin
	form    *regexp.Regexp
	names   []string
	methods map[string]*Route
	final   bool
}

func newRouter(table []Route) *router {
	r := &router{}
	known := map[string]*pattern{}
	for i := range table {
		t := &table[i]
		p := known[t.Pattern]
		if p == nil {
			p = compilePattern(t.Pattern)
			known[t.Pattern] = p
			r.patterns = append(r.patterns, p)
		}
		p.methods[t.Method] = t
		p.final = p.final || t.Final
	}
	return r
}

var variable = regexp.MustCompile(`\{(\w+)(\+?)\}`)

// compilePattern makes an expression of a pattern. Beside variables and "*" any number of slashes may stand, and any
// number at the end (http-api.md 1.7).
func compilePattern(text string) *pattern {
	p := &pattern{methods: map[string]*Route{}}
	var b strings.Builder
	b.WriteString("^")
	literal := func(s string, beforeVariable bool) {
		s = strings.ReplaceAll(s, "/*", "/+*")
		q := strings.ReplaceAll(regexp.QuoteMeta(s), `/\+\*`, `/+\*`)
		if beforeVariable {
			q = strings.TrimSuffix(q, "/") + "/+"
		}
		b.WriteString(q)
	}
	rest, first := text, true
	for rest != "" {
		m := variable.FindStringSubmatchIndex(rest)
		if m == nil {
			literal(rest, false)
			break
		}
		if m[0] > 0 {
			literal(rest[:m[0]], strings.HasSuffix(rest[:m[0]], "/"))
		}
		if first {
			p.prefix, first = strings.TrimSuffix(rest[:m[0]], "/"), false
		}
		p.names = append(p.names, rest[m[2]:m[3]])
		if m[4] < m[5] {
			b.WriteString("(.+)")
		} else {
			b.WriteString("([^/]+)")
		}
		rest = rest[m[1]:]
	}
	if first {
		p.prefix = strings.TrimRight(text, "/*")
		if i := strings.Index(text, "/*"); i >= 0 {
			p.prefix = text[:i]
		}
	}
	if text != "/" {
		b.WriteString("/*")
	}
	b.WriteString("$")
	p.form = regexp.MustCompile(b.String())
	return p
}

func (p *pattern) match(path string) (map[string]string, bool) {
	if !strings.HasPrefix(path, p.prefix) {
		return nil, false
	}
	m := p.form.FindStringSubmatch(path)
	if m == nil {
		return nil, false
	}
	if len(p.names) == 0 {
		return nil, true
	}
	vars := make(map[string]string, len(p.names))
	for i, n := range p.names {
		vars[n] = m[i+1]
	}
	return vars, true
}

// find returns the route of a call; without one, the methods that the path knows, none for an unknown path.
func (r *router) find(method, path string) (route *Route, vars map[string]string, allowed []string) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for _, p := range r.patterns {
		v, ok := p.match(path)
		if !ok {
			continue
		}
		if t := p.methods[method]; t != nil {
			return t, v, nil
		}
		for m := range p.methods {
			allowed = append(allowed, m)
			if m == http.MethodGet {
				allowed = append(allowed, http.MethodHead)
			}
		}
		if p.final {
			break
		}
	}
	if len(allowed) > 0 {
		allowed = append(allowed, http.MethodOptions)
		slices.Sort(allowed)
		allowed = slices.Compact(allowed)
	}
	return nil, nil, allowed
}

// dispatch is the only handler echo knows; the path is taken as decoded once and never cleaned (1.7).
func (s *Server) dispatch(c echo.Context) error {
	req := c.Request()
	route, vars, allowed := s.router.find(req.Method, req.URL.Path)
	if route == nil {
		if len(allowed) == 0 {
			return notFound("URI not found")
		}
		c.Response().Header().Set("Allow", strings.Join(allowed, ","))
		if req.Method == http.MethodOptions {
			return c.NoContent(http.StatusOK)
		}
		return echo.NewHTTPError(http.StatusMethodNotAllowed)
	}
	if err := readableQuery(req.URL); err != nil {
		return err
	}
	r := &request{Context: c, vars: vars, actor: access.ActorOf(req.Context())}
	if err := r.admit(route.Needs); err != nil {
		return err
	}
	r.dry = slices.Contains(route.Query, "dryRun") && r.flag("dryRun")
	if len(route.Produces) > 0 {
		if r.produces = negotiate(req.Header.Values("Accept"), route.Produces); r.produces == "" {
			return echo.NewHTTPError(http.StatusNotAcceptable)
		}
	}
	if route.Consumes != "" && !consumable(req, route.Consumes) {
		return echo.NewHTTPError(http.StatusUnsupportedMediaType)
	}
	if r.snap = s.loop.Snapshot(); r.snap == nil {
		return &core.Error{Kind: core.Unavailable, Message: "Could not determine the current leader"}
	}
	s.fitCaches(r.snap)
	if err := route.handle(s, r); err != nil && !errors.Is(err, errAnswered) {
		return err
	}
	return nil
}

// readableQuery refuses a query that only a part of would be understood: a selector or a host that is dropped would mean all.
// A semicolon is a character like others, not a separator.
func readableQuery(u *url.URL) error {
	u.RawQuery = strings.ReplaceAll(u.RawQuery, ";", "%3B")
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return badRequest("The query cannot be read: " + err.Error())
	}
	return nil
}

// consumable: a body without a content type is accepted (http-api.md 1.9).
func consumable(r *http.Request, want string) bool {
	given := r.Header.Get("Content-Type")
	if given == "" || r.ContentLength == 0 {
		return true
	}
	t, _, err := mime.ParseMediaType(given)
	return err == nil && t == want
}

// negotiate picks the offered type the client likes best; empty when it takes none. The first of equals wins, so
// what is offered first is the default.
func negotiate(accept []string, offered []string) string {
	if strings.Join(accept, "") == "" { // an empty line says as little as none
		return offered[0]
	}
	best, bestQ := "", 0.0
	for _, o := range offered {
		if q := quality(accept, o); q > bestQ {
			best, bestQ = o, q
		}
	}
	return best
}

// quality is the weight of a type in Accept lines: that of the most specific range that covers it.
func quality(accept []string, offered string) float64 {
	kind, _, _ := strings.Cut(offered, "/")
	q, rank := 0.0, 0
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(part, ";")
			r := 0
			switch strings.ToLower(strings.TrimSpace(name)) {
			case offered:
				r = 3
			case kind + "/*":
				r = 2
			case "*/*", "*":
				r = 1
			}
			if r > rank {
				rank, q = r, weight(params)
			}
		}
	}
	return q
}

func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			if f, err := strconv.ParseFloat(v, 64); err == nil {
				return f
			}
		}
	}
	return 1
}

// flag reads a boolean parameter: only the word true, in any case, is true (http-api.md 1.8).
func (r *request) flag(name string) bool { return strings.EqualFold(r.QueryParam(name), "true") }

// flagOr is flag with a default for a parameter that is absent or has no value.
func (r *request) flagOr(name string, absent bool) bool {
	if strings.TrimSpace(r.QueryParam(name)) == "" {
		return absent
	}
	return r.flag(name)
}

// id is the spec or group of the path; the root without one. ok is false for text that cannot be an id.
func (r *request) id() (id core.PathID, ok bool) {
	text := "/" + strings.Trim(r.vars["id"], "/")
	p, err := core.ParsePath(text, core.Root)
	if err != nil {
		return core.PathID(text), false
	}
	return p, true
}
