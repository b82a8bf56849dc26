package offers

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"stadion/core"
)

// The bounds of labels that become environment variables (behaviour.md 6.4).
const (
	maxLabelKey   = 493
	maxLabelValue = 512
)

// The range of generated ports for container ports nobody chose (behaviour.md 6.4).
const (
	firstRandomPort = 1025
	lastRandomPort  = 65535
)

// appEnv is the environment of an app's task: context, then ports, then what the user set (behaviour.md 6.4).
func (t *attempt) appEnv(a *core.App, id core.TaskID, ports []appPort) []EnvVar {
	env := make(map[string]string, 16+len(a.Env)+2*len(a.Labels)+3*len(ports))
	env["MESOS_TASK_ID"] = string(id)
	env["MARATHON_APP_ID"] = string(a.ID)
	env["MARATHON_APP_VERSION"] = a.Version.String()
	if a.Container != nil && a.Container.Type == "DOCKER" && a.Container.Docker != nil {
		env["MARATHON_APP_DOCKER_IMAGE"] = a.Container.Docker.Image
	}
	env["MARATHON_APP_RESOURCE_CPUS"] = javaDouble(float64(a.CPUs))
	env["MARATHON_APP_RESOURCE_MEM"] = javaDouble(float64(a.Mem))
	env["MARATHON_APP_RESOURCE_DISK"] = javaDouble(float64(a.Disk))
	env["MARATHON_APP_RESOURCE_GPUS"] = strconv.Itoa(a.GPUs)
	env["MARATHON_APP_ENFORCE_GROUP_ROLE"] = upperBool(t.need.EnforceRole)
	labelEnv(env, a.Labels)
	prefix := t.cfg.EnvPrefix
	env[prefix+"HOST"] = t.offer.Agent.Host
	portEnv(env, prefix, ports, t.rnd)
	userEnv(env, a.Env)
	return sortedEnv(env)
}

func upperBool(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// userEnv adds plain values; references to secrets need a secrets plugin and are dropped without one
// (behaviour.md 6.4).
func userEnv(env map[string]string, user map[string]core.EnvValue) {
	for k, v := range user {
		if v.Secret == "" {
			env[k] = v.Value
		}
	}
}

func sortedEnv(env map[string]string) []EnvVar {
	out := make([]EnvVar, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, EnvVar{Name: k, Value: env[k]})
	}
	return out
}

// labelEnv adds MARATHON_APP_LABELS and one variable per label that is short enough (behaviour.md 6.4).
func labelEnv(env map[string]string, labels map[string]string) {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if len(k) < maxLabelKey && len(labels[k]) < maxLabelValue {
			e := escapeLabel(k)
			keys = append(keys, e)
			env["MARATHON_APP_LABEL_"+e] = labels[k]
		}
	}
	env["MARATHON_APP_LABELS"] = strings.Join(keys, " ")
}

// escapeLabel replaces each run of characters outside [a-zA-Z0-9_] by one "_" and upper-cases the rest.
func escapeLabel(key string) string {
	var b strings.Builder
	run := false
	for _, r := range key {
		plain := r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		switch {
		case plain:
			b.WriteRune(r)
		case !run:
			b.WriteByte('_')
		}
		run = !plain
	}
	return strings.ToUpper(b.String())
}

// portEnv adds PORT, PORTS, PORT<i>, PORT_<p> and PORT_<NAME> (behaviour.md 6.4).
func portEnv(env map[string]string, prefix string, ports []appPort, rnd *rand.Rand) {
	if len(ports) == 0 {
		return
	}
	var listed, generated []string
	used := make(map[int]bool, len(ports))
	for i := range ports {
		used[ports[i].host], used[ports[i].container] = true, true
	}
	for i := range ports {
		p := &ports[i]
		effective := p.host
		if effective == 0 {
			effective = p.container
		}
		if effective == 0 {
			effective = unusedPort(used, rnd)
			generated = append(generated, strconv.Itoa(effective))
		}
		value := strconv.Itoa(effective)
		if p.host != 0 {
			listed = append(listed, value)
		}
		asked := p.requested
		if asked == 0 {
			asked = effective
		}
		env[prefix+"PORT"+strconv.Itoa(i)] = value
		env[prefix+"PORT_"+strconv.Itoa(asked)] = value
		if p.name != "" {
			env[prefix+"PORT_"+strings.ToUpper(p.name)] = value
		}
	}
	listed = append(listed, generated...)
	env[prefix+"PORTS"] = strings.Join(listed, ",")
	if len(listed) > 0 {
		env[prefix+"PORT"] = listed[0]
	}
}

// unusedPort invents a port for a container port that nobody chose and marks it used.
func unusedPort(used map[int]bool, rnd *rand.Rand) int {
	const n = lastRandomPort - firstRandomPort + 1
	at := 0
	if rnd != nil {
		at = rnd.IntN(n)
	}
	for used[firstRandomPort+at] {
		at = (at + 1) % n
	}
	used[firstRandomPort+at] = true
	return firstRandomPort + at
}
