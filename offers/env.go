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

// appContextEnv is the part of an app's environment that no launch changes: context and labels, and over them what
// the user set (behaviour.md 6.4).
func appContextEnv(a *core.App) []EnvVar {
	env := make(map[string]string, 16+len(a.Env)+2*len(a.Labels))
	env["MARATHON_APP_ID"] = string(a.ID)
	env["MARATHON_APP_VERSION"] = a.Version.String()
	if a.Container != nil && a.Container.Type == "DOCKER" && a.Container.Docker != nil {
		env["MARATHON_APP_DOCKER_IMAGE"] = a.Container.Docker.Image
	}
	env["MARATHON_APP_RESOURCE_CPUS"] = javaDouble(float64(a.CPUs))
	env["MARATHON_APP_RESOURCE_MEM"] = javaDouble(float64(a.Mem))
	env["MARATHON_APP_RESOURCE_DISK"] = javaDouble(float64(a.Disk))
	env["MARATHON_APP_RESOURCE_GPUS"] = strconv.Itoa(a.GPUs)
	labelEnv(env, a.Labels)
	userEnv(env, a.Env)
	return sortedEnv(env)
}

// appEnv is the environment of an app's task: context, then ports, then what the user set (behaviour.md 6.4).
func (t *attempt) appEnv(id core.TaskID, ports []appPort) []EnvVar {
	prefix := t.cfg.EnvPrefix
	own := make([]EnvVar, 0, 5+3*len(ports))
	own = append(own, EnvVar{Name: "MESOS_TASK_ID", Value: string(id)},
		EnvVar{Name: "MARATHON_APP_ENFORCE_GROUP_ROLE", Value: upperBool(t.need.EnforceRole)},
		EnvVar{Name: prefix + "HOST", Value: t.offer.Agent.Host})
	return mergeEnv(t.c.env, portEnv(own, prefix, ports, t.rnd), t.c.app.Env)
}

// mergeEnv joins the variables of one launch, of which later ones win, with the sorted ones of the spec. Of equal names
// the one the user set wins, else that of the launch.
func mergeEnv(spec, launch []EnvVar, user map[string]core.EnvValue) []EnvVar {
	slices.SortStableFunc(launch, func(a, b EnvVar) int { return strings.Compare(a.Name, b.Name) })
	out := make([]EnvVar, 0, len(spec)+len(launch))
	for i, v := range launch {
		if i+1 < len(launch) && launch[i+1].Name == v.Name {
			continue
		}
		for len(spec) > 0 && spec[0].Name < v.Name {
			out, spec = append(out, spec[0]), spec[1:]
		}
		if len(spec) > 0 && spec[0].Name == v.Name {
			if u, set := user[v.Name]; set && u.Secret == "" {
				continue
			}
			spec = spec[1:]
		}
		out = append(out, v)
	}
	return append(out, spec...)
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

// portEnv appends PORT, PORTS, PORT<i>, PORT_<p> and PORT_<NAME> (behaviour.md 6.4); of equal names the last counts.
func portEnv(env []EnvVar, prefix string, ports []appPort, rnd *rand.Rand) []EnvVar {
	if len(ports) == 0 {
		return env
	}
	var listed, generated []string
	var used map[int]bool
	for i := range ports {
		p := &ports[i]
		effective := p.host
		if effective == 0 {
			effective = p.container
		}
		if effective == 0 {
			if used == nil {
				used = usedPorts(ports)
			}
			effective = unusedPort(used, rnd)
			generated = append(generated, strconv.Itoa(effective))
		}
		value := strconv.Itoa(effective)
		if p.host != 0 {
			listed = append(listed, value)
		}
		asked := value
		if p.requested != 0 {
			asked = strconv.Itoa(p.requested)
		}
		env = append(env, EnvVar{Name: prefix + "PORT" + strconv.Itoa(i), Value: value}, EnvVar{Name: prefix + "PORT_" + asked, Value: value})
		if p.name != "" {
			env = append(env, EnvVar{Name: prefix + "PORT_" + strings.ToUpper(p.name), Value: value})
		}
	}
	listed = append(listed, generated...)
	env = append(env, EnvVar{Name: prefix + "PORTS", Value: strings.Join(listed, ",")})
	if len(listed) > 0 {
		env = append(env, EnvVar{Name: prefix + "PORT", Value: listed[0]})
	}
	return env
}

func usedPorts(ports []appPort) map[int]bool {
	used := make(map[int]bool, 2*len(ports))
	for i := range ports {
		used[ports[i].host], used[ports[i].container] = true, true
	}
	return used
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
