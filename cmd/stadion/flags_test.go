package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestFlagMistakes: an unknown flag, a bad value, a flag given twice and a stray word are named, with exit code 112
// (behaviour 9.6, Appendix A).
func TestFlagMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		args, env []string
		names     string
	}{
		"unknown":        {args: []string{"--no_such_flag", "1"}, names: "no_such_flag"},
		"not a number":   {args: []string{"--http_port", "eighty"}, names: "--http_port"},
		"negative":       {args: []string{"--failover_timeout=-1"}, names: "--failover_timeout"},
		"in environment": {env: []string{"MARATHON_HTTP_PORT=x"}, names: "http_port"},
		"twice":          {args: []string{"--http_port", "1"}, env: []string{"MARATHON_HTTP_PORT=2"}, names: "MARATHON_HTTP_PORT"},
		"stray word":     {args: []string{"start"}, names: "start"},
	} {
		f := newFlagSet("server", serverRows())
		err := f.parse(c.args, c.env)
		if codeOf(err) != exitFlag || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: code %d, %v", name, codeOf(err), err)
		}
	}
	for _, args := range [][]string{{"--enable_features", "flying"}, {"--gpu_scheduling_behavior", "free"}, {"--etcd_prefix", "relative"}, {"--http_credentials", "nocolon"},
		{"--local_port_min", "5", "--local_port_max", "4"}, {"--new_group_enforce_role", "maybe"}} {
		f := newFlagSet("server", serverRows())
		if err := f.parse(args, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := readOptions(f); codeOf(err) != exitFlag || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%v: code %d, %v", args, codeOf(err), err)
		}
	}
}

// TestFlagForms: --name value, --name=value, toggles in both forms, the environment, an empty value that turns a toggle
// on, and MARATHON_APP_ variables that are none of ours (Appendix A).
func TestFlagForms(t *testing.T) {
	f := newFlagSet("server", serverRows())
	err := f.parse([]string{"--http_port=81", "--hostname", "h", "--disable_checkpoint", "--mesos_authentication"},
		[]string{"MARATHON_MASTER=m:5050", "MARATHON_HTTP_COMPRESSION=", "MARATHON_APP_ID=/x", "OTHER=1", "MARATHON_UNKNOWN_THING=1"})
	if err != nil {
		t.Fatal(err)
	}
	if f.int("http_port") != 81 || f.text("hostname") != "h" || f.on("checkpoint") || !f.on("mesos_authentication") || f.text("master") != "m:5050" || !f.on("http_compression") {
		t.Error("a flag has another value than it was given")
	}
	f = newFlagSet("server", serverRows())
	if err := f.parse([]string{"--zk", "zk://h:2181/marathon", "--assets_path", "/x"}, nil); err != nil {
		t.Fatal(err)
	}
	if w := strings.Join(f.warnings(), "\n"); !strings.Contains(w, "--zk") || !strings.Contains(w, "etcd") || !strings.Contains(w, "--assets_path") {
		t.Errorf("warnings: %s", w)
	}
}

// TestSecretsStay: what /v2/info and /config echo holds no secret (S4, D-65).
func TestSecretsStay(t *testing.T) {
	f := newFlagSet("server", serverRows())
	if err := f.parse([]string{"--http_credentials", "user:hunter2", "--mesos_authentication_secret", "hunter2", "--metrics_datadog_api_key", "hunter2"}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(flagValues(f))
	if err != nil || strings.Contains(string(b), "hunter2") {
		t.Errorf("%v: %s", err, b)
	}
}
