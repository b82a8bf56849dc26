package minimesos

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// listen serves the HTTP side of an agent that runs real processes, on its own
// address or, when the machine does not have that, on 127.0.0.1. Offers carry the port.
func (n *node) listen() error {
	l, err := net.Listen("tcp", net.JoinHostPort(n.cfg.IP, "0"))
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return fmt.Errorf("minimesos: address of agent %s: %w", n.cfg.Hostname, err)
		}
	}
	n.port = int32(l.Addr().(*net.TCPAddr).Port)
	n.server = &http.Server{Handler: n.routes(), ReadHeaderTimeout: time.Minute}
	go func() {
		if err := n.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.c.log("minimesos: serving agent %s ended: %v", n.cfg.Hostname, err)
		}
	}()
	return nil
}

func (n *node) routes() http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{
		"/health":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"/version":            func(w http.ResponseWriter, r *http.Request) { writeJSON(w, r, object{"version": mesosVersion}) },
		"/state":              n.handleState,
		"/api/v1":             n.handleV1,
		"/monitor/statistics": n.handleStatistics,
		"/files/read":         n.c.fileHandler(readFile),
		"/files/browse":       n.c.fileHandler(browseFiles),
		"/files/download":     n.c.fileHandler(downloadFile),
	} {
		mux.HandleFunc(path, h)
		mux.HandleFunc("/slave(1)"+path, h)
	}
	mux.HandleFunc("/", notFound)
	return mux
}

// handleState is /state of an agent: its frameworks with executors and tasks, each
// with the directory of its sandbox.
func (n *node) handleState(w http.ResponseWriter, r *http.Request) {
	n.c.mu.Lock()
	out := object{
		"id": n.id, "hostname": n.cfg.Hostname, "pid": n.pid(), "version": mesosVersion,
		"resources": n.total.compact(true), "reserved_resources": n.total.byRole(),
		"unreserved_resources": n.total.filter(unreserved).compact(true), "attributes": attributesObject(n.cfg.Attributes),
		"capabilities": capabilityNames(agentCapabilities), "completed_frameworks": []any{},
	}
	if n.c.m != nil {
		out["master_hostname"] = n.c.m.info.GetHostname()
	}
	type place struct {
		entry object
		key   taskKey
	}
	var places []place
	frameworks := []any{}
	for _, fid := range sortedKeys(n.frameworks) {
		info := n.frameworks[fid].info
		executors := []any{}
		for _, key := range n.tasksOf(fid) {
			t := n.tasks[key]
			id := key.task
			if t.executor != nil {
				id = t.executor.ExecutorID.Value
			}
			e := object{"id": id, "resources": t.uses.compact(true), "role": t.role, "source": key.task,
				"tasks": []object{{"id": key.task, "name": t.info.Name, "framework_id": fid, "slave_id": n.id,
					"state": t.state.String(), "resources": t.uses.compact(true), "role": t.role}}}
			if t.last != nil && t.last.ContainerStatus != nil {
				e["container"] = t.last.ContainerStatus.ContainerID.GetValue()
			}
			executors = append(executors, e)
			places = append(places, place{e, key})
		}
		frameworks = append(frameworks, object{"id": fid, "name": info.Name, "user": info.User, "executors": executors,
			"checkpoint": info.GetCheckpoint(), "failover_timeout": info.GetFailoverTimeout()})
	}
	out["frameworks"] = frameworks
	n.c.mu.Unlock()
	for _, p := range places { // the agent has a lock of its own, never taken under ours
		p.entry["directory"] = n.runner.sandbox(p.key.framework, p.key.task)
	}
	writeJSON(w, r, out)
}
