package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestCommandMistakes: what the command line says wrong outside of the flags of a server is exit code 112 too (behaviour 9.6).
func TestCommandMistakes(t *testing.T) {
	for line, names := range map[string]string{
		"sever":             `unknown command "sever"; did you mean server? stadion --help`,
		"frobnicate server": `unknown command "frobnicate"; stadion --help`,
		"--master a:1":      "unknown flag: --master",
		"version --long":    "unknown flag: --long",
		"version 2":         `unexpected argument "2"`,
		"backup":            "FILE",
	} {
		root := rootCommand()
		root.SetArgs(strings.Fields(line))
		if err := root.ExecuteContext(t.Context()); codeOf(err) != exitFlag || !strings.Contains(err.Error(), names) {
			t.Errorf("stadion %s: code %d, %v; want %s", line, codeOf(err), err, names)
		}
	}
}

// TestFlagMistakes: an unknown flag, a bad value, a flag given twice and a stray word are named, with exit code 112
// (behaviour 9.6, Appendix A).
func TestFlagMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		args, env []string
		names     string
	}{
		"unknown":        {args: []string{"--no_such_flag", "1"}, names: "no_such_flag"},
		"misspelt":       {args: []string{"--http_prt", "1"}, names: "did you mean --http_port? stadion server --help"},
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
		{"--local_port_min", "5", "--local_port_max", "4"}, {"--new_group_enforce_role", "maybe"}, {"--etcd_username", "alone"}} {
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

// TestMarathonsFlags: every flag of Marathon 1.11 is accepted on the command line and as MARATHON_<NAME>, and one that
// does not do what it does there says what to do instead (http-api.md 12).
func TestMarathonsFlags(t *testing.T) {
	list, err := os.ReadFile("testdata/marathon-1.11-flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(list)) {
		row, known := newFlagSet("server", serverRows()).rows[strings.TrimPrefix(name, "disable_")]
		if !known {
			t.Errorf("--%s is unknown", name)
			continue
		}
		value := cmp.Or(row.def, "1")
		arg, env := "--"+name+"="+value, "MARATHON_"+strings.ToUpper(name)+"="+value
		if row.kind == toggle {
			arg, env = "--"+name, "MARATHON_"+strings.ToUpper(name)+"="
		}
		for form, in := range map[string][2][]string{"flag": {{arg}, nil}, "environment": {nil, {env}}} {
			f := newFlagSet("server", serverRows())
			if err := f.parse(in[0], in[1]); err != nil {
				t.Errorf("--%s as %s: %v", name, form, err)
			}
			if form == "environment" && (name != strings.ToLower(name) || strings.HasPrefix(name, "app_")) {
				continue // MARATHON_APP_ variables are of apps; two names are in mixed case, which variables cannot tell
			}
			if warned := len(f.warnings()) == 1; warned != (row.use != kept) {
				t.Errorf("--%s as %s: warnings %q, its use is %d", name, form, f.warnings(), row.use)
			}
		}
		if row.use != kept && row.help == "" {
			t.Errorf("--%s does not say what to do instead", name)
		}
	}
}

// TestFlagGroups: the rows of a group stand together, so that the help shows each group once.
func TestFlagGroups(t *testing.T) {
	seen, last := map[string]bool{}, ""
	for _, row := range serverRows() {
		if row.group != last && seen[row.group] {
			t.Errorf("--%s stands apart from its group %q", row.name, row.group)
		}
		seen[row.group], last = true, row.group
		if row.help == "" {
			t.Errorf("--%s has no help", row.name)
		}
	}
}

// TestPackagingFlags: the flags and variables in the compose file, the unit and the guide are ours.
func TestPackagingFlags(t *testing.T) {
	rows := newFlagSet("server", serverRows()).rows
	maps.Copy(rows, newFlagSet("import", importRows()).rows)
	for _, file := range []string{"compose.yaml", "stadion.service", "MOVING.md"} {
		text, err := os.ReadFile("packaging/" + file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range regexp.MustCompile(`--([a-z_]+)(?:[= ]|\x60)|MARATHON_([A-Z_]+)=`).FindAllStringSubmatch(string(text), -1) {
			name := cmp.Or(m[1], strings.ToLower(m[2]))
			if name == "name" || name == "marathon" { // of etcd, of marathon-lb
				continue
			}
			found++
			if _, known := rows[strings.TrimPrefix(name, "disable_")]; !known {
				t.Errorf("%s names %s, which is no flag", file, name)
			}
		}
		if found == 0 {
			t.Errorf("%s names no flag", file)
		}
	}
}
