package marathonapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"stadion/core"
	"stadion/marathonapi/wire"
)

func redirectTo(target string) func(*Server, *request) error {
	return func(_ *Server, r *request) error {
		r.Response().Header().Set("Location", target)
		return r.NoContent(http.StatusFound)
	}
}

// ping answers in the form the client asks for; plain by default, because load balancers compare the body (3.2).
func (s *Server) ping(r *request) error {
	switch negotiate(r.Request().Header.Values("Accept"), []string{typeText, typeHTML, typeJSON}) {
	case typeText:
		return r.Blob(http.StatusOK, typeText, []byte("pong"))
	case typeHTML:
		return r.Blob(http.StatusOK, typeHTML, []byte("pong"))
	case typeJSON:
		return r.Blob(http.StatusOK, typeJSON, []byte(`"pong"`))
	}
	return r.NoContent(http.StatusNoContent)
}

// infoKeys are the keys of marathon_config in /v2/info, each a flag of the same name (http-api.md 10.1).
var infoKeys = []string{"access_control_allow_origin", "checkpoint", "decline_offer_duration", "default_network_name", "env_vars_prefix",
	"executor", "failover_timeout", "features", "framework_name", "ha", "hostname", "launch_token", "launch_token_refresh_interval",
	"leader_proxy_connection_timeout_ms", "leader_proxy_read_timeout_ms", "local_port_max", "local_port_min", "master",
	"max_instances_per_offer", "mesos_bridge_name", "mesos_heartbeat_failure_threshold", "mesos_heartbeat_interval",
	"mesos_leader_ui_url", "mesos_role", "mesos_user", "new_group_enforce_role", "min_revive_offers_interval",
	"offer_matching_timeout", "on_elected_prepare_timeout", "reconciliation_initial_delay", "reconciliation_interval",
	"scale_apps_initial_delay", "scale_apps_interval", "store_cache", "task_launch_confirm_timeout", "task_launch_timeout",
	"task_lost_expunge_initial_delay", "task_lost_expunge_interval", "task_reservation_timeout", "webui_url", "maintenance_mode"}

// storeKeys are the keys of zookeeper_config.
var storeKeys = []string{"zk", "zk_compression", "zk_compression_threshold", "zk_connection_timeout", "zk_max_node_size",
	"zk_max_versions", "zk_session_timeout", "zk_timeout"}

// flagOf names the flag behind a key where the two differ.
var flagOf = map[string]string{"features": "enable_features", "launch_token": "launch_tokens",
	"leader_proxy_connection_timeout_ms": "leader_proxy_connection_timeout", "leader_proxy_read_timeout_ms": "leader_proxy_read_timeout"}

var userInfo = regexp.MustCompile(`//[^/@]*@`)

// flagValue is the value of a flag with credentials of URLs hidden; nil when it is unset.
func (s *Server) flagValue(key string) any {
	if f, ok := flagOf[key]; ok {
		key = f
	}
	v, ok := s.cfg.Flags[key]
	if !ok || v == nil {
		return nil
	}
	if t, ok := v.(string); ok {
		if t == "" && key != "enable_features" {
			return nil
		}
		t = userInfo.ReplaceAllString(t, "//xxxxxxxx:xxxxxxxx@")
		if key == "enable_features" {
			return splitList(t)
		}
		return t
	}
	return v
}

func splitList(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(p string) bool { return strings.TrimSpace(p) == "" })
}

func (s *Server) flagObject(e *encoder, keys []string, known map[string]any) {
	e.raw("{")
	for i, k := range keys {
		if i > 0 {
			e.raw(",")
		}
		e.text(k)
		e.raw(":")
		if v, ok := known[k]; ok {
			e.json(v)
		} else {
			e.json(s.flagValue(k))
		}
	}
	e.raw("}")
}

func (s *Server) info(r *request) error {
	e := &encoder{}
	e.field(`{"name":`, "marathon")
	e.field(`,"version":`, s.cfg.Version)
	e.field(`,"buildref":`, s.cfg.BuildRef)
	e.raw(`,"elected":`)
	e.json(s.leader.Leading())
	e.raw(`,"leader":`)
	e.optional(s.leader.Leader())
	e.raw(`,"frameworkId":`)
	fid := r.snap.FrameworkID()
	e.optional(fid, fid != "")
	known := map[string]any{}
	if u := r.snap.Mesos().MasterURL; u != "" {
		known["mesos_leader_ui_url"] = u
	}
	e.raw(`,"marathon_config":`)
	s.flagObject(e, infoKeys, known)
	e.raw(`,"zookeeper_config":`)
	s.flagObject(e, storeKeys, nil)
	e.count(`,"http_config":{"http_port":`, s.cfg.HTTPPort)
	e.count(`,"https_port":`, s.cfg.HTTPSPort)
	e.raw("}}")
	if e.err != nil {
		return fmt.Errorf("encode info: %w", e.err)
	}
	return r.Blob(http.StatusOK, typeJSON, wire.PlainNumbers(e.b))
}

// optional is a text or null.
func (e *encoder) optional(s string, ok bool) {
	if !ok {
		e.raw("null")
		return
	}
	e.text(s)
}

// config shows the flags; whatever looks like a secret is hidden (D-65).
func (s *Server) config(r *request) error {
	out := map[string]any{}
	for k := range s.cfg.Flags {
		switch {
		case strings.Contains(k, "credentials"), strings.Contains(k, "password"), strings.Contains(k, "secret"):
			out[k] = "xxxxxxxx"
		default:
			out[k] = s.flagValue(k)
		}
	}
	return r.answer(http.StatusOK, out)
}

func (s *Server) getLeader(r *request) error {
	leader, ok := s.leader.Leader()
	if !ok {
		return noLeader()
	}
	return r.answer(http.StatusOK, map[string]string{"leader": leader})
}

func noLeader() error {
	return &core.Error{Kind: core.NotFound, Message: "There is no leader", Direct: true}
}

// abdicate answers first and leaves a moment later, so that the answer gets out (http-api.md 10.2).
func (s *Server) abdicate(r *request) error {
	if !s.leader.Leading() {
		return noLeader()
	}
	backup, restore := r.QueryParam("backup"), r.QueryParam("restore")
	for _, uri := range []string{backup, restore} {
		if err := storageURI(uri); err != nil {
			return err
		}
	}
	time.AfterFunc(abdicationDelay, func() {
		if err := s.leader.Abdicate(context.Background(), backup, restore); err != nil {
			s.log.Error("giving the leadership up failed", zap.Error(err))
		}
	})
	return r.answer(http.StatusOK, map[string]any{"message": "Leadership abdicated", "details": []string{}})
}

// storageURI checks where a backup lies: file:///path. Of Marathon's s3:// there is none.
func storageURI(uri string) error {
	if uri == "" {
		return nil
	}
	u, err := url.Parse(uri)
	text := ""
	switch {
	case err != nil:
		text = "URI has invalid syntax."
	case u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || len(u.Path) < len("/x"):
		text = "Invalid URI or unsupported scheme: " + uri
	default:
		return nil
	}
	return &core.Error{Kind: core.Invalid, Message: "Object is not valid", Details: []core.Detail{{Path: "/", Errors: []string{text}}}}
}

func (s *Server) plugins(r *request) error {
	return r.answer(http.StatusOK, map[string]any{"plugins": []string{}})
}

func (s *Server) plugin(r *request) error {
	return &core.Error{Kind: core.NotFound, Message: "No plugin with this pluginId: " + r.vars["id"], Direct: true}
}

func (s *Server) getLogging(r *request) error {
	if s.logging == nil {
		return r.answer(http.StatusNotImplemented, errorBody{Message: "log levels are fixed"})
	}
	return r.answer(http.StatusOK, s.logging.Levels())
}

// logChange is the body and the answer of POST /logging (http-api.md 3.5).
type logChange struct {
	Logger   string `json:"logger"`
	Level    string `json:"level"`
	Duration *int   `json:"durationSeconds,omitempty"`
}

var logLevels = []string{"trace", "debug", "info", "warn", "error"}

func (s *Server) setLogging(r *request) error {
	if s.logging == nil {
		return r.answer(http.StatusNotImplemented, errorBody{Message: "log levels are fixed"})
	}
	body, err := r.body()
	if err != nil {
		return err
	}
	var c logChange
	if err := decodeBody(body, &c); err != nil {
		return err
	}
	if !slices.Contains(logLevels, strings.ToLower(c.Level)) {
		return invalidJSON("/level", "error.unknown.enum.literal")
	}
	if c.Logger == "" {
		return &core.Error{Kind: core.Invalid, Message: "Object is not valid", Details: []core.Detail{{Path: "/logger", Errors: []string{"must not be empty"}}}}
	}
	var back time.Duration
	if c.Duration != nil && *c.Duration < 0 {
		return invalidJSON("/durationSeconds", "error.min")
	}
	if c.Duration != nil {
		back = time.Duration(*c.Duration) * time.Second
	}
	if err := s.logging.SetLevel(c.Logger, strings.ToLower(c.Level), back); err != nil {
		return fmt.Errorf("set level of %s: %w", c.Logger, err)
	}
	return r.answer(http.StatusOK, c)
}
