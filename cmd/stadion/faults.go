package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"stadion/offers/minimesos"
)

// accountPath tells, to a GET, the account that POST /keep_account has begun.
const accountPath = "/account"

// faultTable is what --faults_port offers: POST /<name>?parameter=value makes the miniature misbehave. For tests only; it
// listens on loopback.
var faultTable = map[string]func(*minimesos.Cluster, url.Values) error{
	"lose_agent":   func(c *minimesos.Cluster, q url.Values) error { return known(c.LoseAgent(q.Get("host"))) },
	"return_agent": func(c *minimesos.Cluster, q url.Values) error { return known(c.ReturnAgent(q.Get("host"))) },
	"expire_agent": func(c *minimesos.Cluster, q url.Values) error { return known(c.ExpireAgent(q.Get("host"))) },
	"unregister_agent": func(c *minimesos.Cluster, q url.Values) error {
		return known(c.UnregisterAgent(q.Get("host")))
	},
	"stop_agent":    func(c *minimesos.Cluster, q url.Values) error { return c.StopAgent(q.Get("host")) },
	"start_agent":   func(c *minimesos.Cluster, q url.Values) error { return c.StartAgent(q.Get("host")) },
	"restart_agent": func(c *minimesos.Cluster, q url.Values) error { return c.RestartAgent(q.Get("host")) },
	"gone_agent":    func(c *minimesos.Cluster, q url.Values) error { return known(c.MarkAgentGone(q.Get("host"))) },
	"restart_master": func(c *minimesos.Cluster, q url.Values) error {
		return c.RestartMaster(time.Duration(count(q, "ms")) * time.Millisecond)
	},
	"kill_master":  func(c *minimesos.Cluster, _ url.Values) error { return c.KillMaster() },
	"start_master": func(c *minimesos.Cluster, _ url.Values) error { return c.StartMaster() },
	"slow_recovery": func(c *minimesos.Cluster, q url.Values) error {
		c.SlowRecovery(time.Duration(count(q, "ms")) * time.Millisecond)
		return nil
	},
	"cut_streams": func(c *minimesos.Cluster, q url.Values) error { c.CutStreams(q.Get("inside") != ""); return nil },
	"delay_updates": func(c *minimesos.Cluster, q url.Values) error {
		c.DelayUpdates(count(q, "n"), time.Duration(count(q, "ms"))*time.Millisecond)
		return nil
	},
	"drop_updates": func(c *minimesos.Cluster, q url.Values) error { c.DropUpdates(count(q, "n")); return nil },
	"duplicate_updates": func(c *minimesos.Cluster, q url.Values) error {
		c.DuplicateUpdates(count(q, "n"), max(count(q, "times"), 1))
		return nil
	},
	"refuse_calls": func(c *minimesos.Cluster, q url.Values) error {
		c.RefuseCalls(count(q, "n"), count(q, "status"))
		return nil
	},
	"deafen":           func(c *minimesos.Cluster, q url.Values) error { c.Deafen(q.Get("off") == ""); return nil },
	"rescind_accepted": func(c *minimesos.Cluster, q url.Values) error { c.RescindAccepted(count(q, "n")); return nil },
	"rescind_fresh": func(c *minimesos.Cluster, q url.Values) error {
		c.RescindFresh(count(q, "n"), count(q, "step"))
		return nil
	},
	"keep_account": func(c *minimesos.Cluster, _ url.Values) error { c.KeepAccount(); return nil },
	"replay_updates": func(c *minimesos.Cluster, q url.Values) error {
		return some(c.ReplayUpdates(count(q, "times"), uint64(count(q, "seed"))))
	},
	"invent_update": func(c *minimesos.Cluster, q url.Values) error {
		return known(c.InventUpdate(q.Get("host"), q.Get("task"), q.Get("state")))
	},
	"smuggle_task": func(c *minimesos.Cluster, q url.Values) error { return known(c.Smuggle(q.Get("host"), q.Get("task"))) },
	"report_health": func(c *minimesos.Cluster, q url.Values) error {
		return some(c.ReportHealth(q.Get("healthy") == "true", count(q, "times")))
	},
}

func count(q url.Values, name string) int {
	n, _ := strconv.Atoi(q.Get(name))
	return n
}

func known(ok bool) error {
	if !ok {
		return fmt.Errorf("no such agent, or not in that state")
	}
	return nil
}

func some(n int) error {
	if n == 0 {
		return fmt.Errorf("there is none")
	}
	return nil
}

// serveFaults listens on loopback and returns the address and what ends it.
func serveFaults(port int, c *minimesos.Cluster) (string, func(), error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", nil, exitWith(exitBind, "cannot listen on --faults_port %d: %w", port, err)
	}
	s := &http.Server{ReadHeaderTimeout: headerTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := faultTable[strings.Trim(r.URL.Path, "/")]
		switch {
		case r.URL.Path == accountPath && r.Method == http.MethodGet:
			_ = json.NewEncoder(w).Encode(c.Account())
		case fault == nil:
			http.Error(w, "unknown fault", http.StatusNotFound)
		case r.Method != http.MethodPost:
			http.Error(w, "use POST", http.StatusMethodNotAllowed)
		default:
			if err := fault(c, r.URL.Query()); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		}
	})}
	go func() { _ = s.Serve(l) }()
	return l.Addr().String(), func() { _ = s.Close() }, nil
}

// readCredentials reads lines of "principal secret", as the Mesos master's --credentials does.
func readCredentials(file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, exitWith(exitFlag, "--credentials: %w", err)
	}
	out := make(map[string]string)
	for n, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Fields(line)
		if len(f) != 2 {
			return nil, exitWith(exitFlag, "--credentials: line %d is not \"principal secret\"", n+1)
		}
		out[f[0]] = f[1]
	}
	return out, nil
}
