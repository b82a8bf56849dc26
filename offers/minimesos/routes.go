package minimesos

import (
	"net/http"
	"strings"
)

// routes is the HTTP side of the master. Most endpoints answer with and without
// the prefix /master.
func (c *Cluster) routes() http.Handler {
	mux := http.NewServeMux()
	handlers := map[string]http.HandlerFunc{
		"/api/v1/scheduler":     c.handleScheduler,
		"/api/v1/scheduler/{$}": c.handleScheduler,
		"/api/v1":               c.handleOperator,
		"/api/v1/{$}":           c.handleOperator,
		"/state":                c.endpoint(func(m *master, _ *http.Request) any { return m.state() }),
		"/state-summary":        c.endpoint(func(m *master, _ *http.Request) any { return m.summary() }),
		"/slaves":               c.endpoint(slavesEndpoint),
		"/frameworks":           c.endpoint(func(m *master, r *http.Request) any { return m.frameworksObject(r.FormValue("framework_id")) }),
		"/tasks":                c.endpoint((*master).tasksObject),
		"/roles":                c.endpoint(func(m *master, _ *http.Request) any { return m.rolesObject() }),
		"/weights":              c.endpoint(func(*master, *http.Request) any { return []any{} }),
		"/quota":                c.endpoint(func(*master, *http.Request) any { return object{} }),
		"/flags":                c.endpoint(func(m *master, _ *http.Request) any { return object{"flags": m.flagsObject()} }),
		"/version":              c.endpoint(func(*master, *http.Request) any { return object{"version": mesosVersion} }),
		"/metrics/snapshot":     c.endpoint(func(m *master, _ *http.Request) any { return metricsObject(m.metrics()) }),
		"/maintenance/schedule": c.endpoint(scheduleEndpoint),
		"/maintenance/status":   c.endpoint(machinesEndpoint),
		"/teardown":             c.handleTeardown,
		"/health":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"/files/read":           c.fileHandler(readFile),
		"/files/browse":         c.fileHandler(browseFiles),
		"/files/download":       c.fileHandler(downloadFile),
	}
	handlers["/state.json"] = handlers["/state"]
	for path, h := range handlers {
		mux.HandleFunc(path, h)
		mux.HandleFunc("/master"+path, h)
	}
	mux.HandleFunc("/", notFound)
	return mux
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusNotFound, "404 Not Found.")
}

func slavesEndpoint(m *master, r *http.Request) any {
	out, recovered := []any{}, []any{}
	wanted := r.FormValue("slave_id")
	for _, a := range m.agentOrder {
		if wanted == "" || wanted == a.id {
			out = append(out, m.agentObject(a, true))
		}
	}
	for _, id := range sortedKeys(m.absent) {
		recovered = append(recovered, object{"id": id})
	}
	return object{"slaves": out, "recovered_slaves": recovered}
}

func scheduleEndpoint(m *master, _ *http.Request) any {
	s := m.viewSchedule()
	return raw(&s)
}

func machinesEndpoint(m *master, _ *http.Request) any {
	s := m.viewMachines()
	return raw(&s)
}

// handleTeardown is POST /master/teardown with the form frameworkId=...
func (c *Cluster) handleTeardown(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.authenticated(r); !ok {
		unauthorized(w, "mesos-master-readwrite")
		return
	}
	if r.Method != http.MethodPost {
		onlyPost(w, r)
		return
	}
	body, err := readBody(r, nil)
	if err != nil {
		return // the client is gone
	}
	id := ""
	for _, pair := range strings.Split(string(body), "&") {
		if key, value, _ := strings.Cut(pair, "="); key == "frameworkId" {
			id = strings.TrimSpace(value)
		}
	}
	if id == "" {
		bad("Missing 'frameworkId' query parameter in the request body").write(w)
		return
	}
	c.mu.Lock()
	a := bad("No framework found with specified ID")
	if c.m != nil {
		a = c.m.teardownByOperator(id)
	}
	c.mu.Unlock()
	a.write(w)
}
