package clients

import (
	_ "embed"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"stadion/compat-tests/harness"
)

// debianPython is the interpreter that Debian's packages are for.
const debianPython = "/usr/bin/python3"

//go:embed marathon_python.py
var pythonScript string

// pythonSteps are the functions of marathon_python.py in the order in which they build on each other.
var pythonSteps = []struct{ column, name string }{
	{"system", "system"}, {"apps", "create"}, {"health", "health_checks"}, {"updates", "update"}, {"scaling", "scale"}, {"tasks", "kill"},
	{"deployments", "waiting"}, {"groups", "groups"}, {"events", "events"}, {"callbacks", "callbacks"}, {"delete", "delete"}, {leaderColumn, "abdicate"},
}

// marathonPython runs marathon_python.py: once for all features, and once more for the end of the leader.
func marathonPython() client {
	cl := client{name: "marathon-python", group: "py", ready: func(t *testing.T) string {
		return harness.Need(t, "python3-marathon", func() bool { return exec.Command(debianPython, "-c", "import marathon").Run() == nil })
	}}
	var once sync.Once
	said := map[string]string{} // by step: PASS, or FAIL and why
	run := func(c *caller, steps ...string) {
		script := exec.Command(debianPython, append([]string{"-", c.url, c.base}, steps...)...)
		script.Stdin = strings.NewReader(pythonScript)
		out, err := script.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			name, trace, _ := strings.Cut(rest, " ")
			if slices.Contains(steps, name) {
				said[name] = strings.TrimSpace(word + " " + lastLine(trace))
			}
		}
		if err != nil {
			c.Logf("%v:\n%s", err, strings.ReplaceAll(string(out), "\t", "\n"))
		}
	}
	for _, step := range pythonSteps {
		cl.features = append(cl.features, feature{step.column, func(c *caller) {
			if step.column == leaderColumn {
				c.mayAbdicate()
				run(c, step.name)
			} else {
				once.Do(func() { run(c, quietSteps()...) })
			}
			if said[step.name] != "PASS" {
				c.Errorf("%s: %q", step.name, said[step.name])
			}
			if step.column == leaderColumn {
				c.abdicated()
			}
		}})
	}
	return cl
}

// quietSteps are all steps that leave the leader alone.
func quietSteps() []string {
	var out []string
	for _, step := range pythonSteps {
		if step.column != leaderColumn {
			out = append(out, step.name)
		}
	}
	return out
}

// lastLine is the end of a Python trace, whose lines are separated by tabs: what went wrong.
func lastLine(trace string) string {
	lines := strings.Split(strings.TrimSpace(trace), "\t")
	return lines[len(lines)-1]
}
