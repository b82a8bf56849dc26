package wire

import (
	"cmp"
	"strings"

	"stadion/core"
)

// fieldSet says which fields of an app a body gave, by their position in appFields.
type fieldSet uint64

func (s fieldSet) has(f field) bool { return s&(1<<f) != 0 }
func (s *fieldSet) set(f field)     { *s |= 1 << f }

// field is the position of a field in appFields.
type field int

// The fields that other rules ask about by name; their order is that of appFields.
const (
	fAcceptedRoles field = iota
	fArgs
	fBackoffFactor
	fBackoffSeconds
	fCmd
	fConstraints
	fContainer
	fCPUs
	fDependencies
	fDisk
	fEnv
	fExecutor
	fExecutorResources
	fFetch
	fHealthChecks
	fCheck
	fInstances
	fLabels
	fMaxLaunchDelay
	fMem
	fGPUs
	fNetworks
	fPortDefinitions
	fReadinessChecks
	fResidency
	fResourceLimits
	fRequirePorts
	fSecrets
	fTaskKillGrace
	fUpgradeStrategy
	fUser
	fKillSelection
	fUnreachable
	fTTY
	fRole
)

// appField is one field of an app: how it is read from a body into a draft and how it moves from a draft into the
// app that the body creates or changes.
type appField struct {
	name string
	read func(object, *draft)
	move func(to, from *core.App)
}

// appFields is the one list of what a body may say about an app (http-api.md 4.7). The id and the legacy forms are
// read beside it.
var appFields = [...]appField{
	fAcceptedRoles: {"acceptedResourceRoles", func(o object, d *draft) { d.app.AcceptedResourceRoles = unique(o.texts("acceptedResourceRoles")) },
		func(a, b *core.App) { a.AcceptedResourceRoles = b.AcceptedResourceRoles }},
	fArgs: {"args", func(o object, d *draft) { d.app.Args = o.texts("args") },
		func(a, b *core.App) { a.Args = b.Args }},
	fBackoffFactor: {"backoffFactor", func(o object, d *draft) { d.app.BackoffFactor = o.number("backoffFactor", 1.15) },
		func(a, b *core.App) { a.BackoffFactor = b.BackoffFactor }},
	fBackoffSeconds: {"backoffSeconds", func(o object, d *draft) { d.app.BackoffSeconds = o.integer("backoffSeconds", 1) },
		func(a, b *core.App) { a.BackoffSeconds = b.BackoffSeconds }},
	fCmd: {"cmd", func(o object, d *draft) { d.app.Cmd = o.optText("cmd") },
		func(a, b *core.App) { a.Cmd = b.Cmd }},
	fConstraints: {"constraints", func(o object, d *draft) { d.constraints = readConstraints(o, "constraints") },
		func(a, b *core.App) { a.Constraints = b.Constraints }},
	fContainer: {"container", readContainer,
		func(a, b *core.App) { a.Container = b.Container }},
	fCPUs: {"cpus", func(o object, d *draft) { d.app.CPUs = o.number("cpus", 1) },
		func(a, b *core.App) { a.CPUs = b.CPUs }},
	fDependencies: {"dependencies", func(o object, d *draft) { d.legacy.Dependencies = o.texts("dependencies") },
		func(a, b *core.App) { a.Dependencies = b.Dependencies }},
	fDisk: {"disk", func(o object, d *draft) { d.app.Disk = o.number("disk", 0) },
		func(a, b *core.App) { a.Disk = b.Disk }},
	fEnv: {"env", func(o object, d *draft) { d.app.Env = readEnv(o, "env") },
		func(a, b *core.App) { a.Env = b.Env }},
	fExecutor: {"executor", func(o object, d *draft) { d.app.Executor = o.text("executor", "") },
		func(a, b *core.App) { a.Executor = b.Executor }},
	fExecutorResources: {"executorResources", func(o object, d *draft) { d.app.ExecutorResources = readExecutorResources(o) },
		func(a, b *core.App) { a.ExecutorResources = b.ExecutorResources }},
	fFetch: {"fetch", func(o object, d *draft) { d.app.Fetch = objects(o, "fetch", readArtifact) },
		func(a, b *core.App) { a.Fetch = b.Fetch }},
	fHealthChecks: {"healthChecks", func(o object, d *draft) { d.app.HealthChecks = objects(o, "healthChecks", readHealthCheck) },
		func(a, b *core.App) { a.HealthChecks = b.HealthChecks }},
	fCheck: {"check", func(o object, d *draft) { d.app.Check = readCheck(o) },
		func(a, b *core.App) { a.Check = b.Check }},
	fInstances: {"instances", func(o object, d *draft) { d.app.Instances = o.integer("instances", 1) },
		func(a, b *core.App) { a.Instances = b.Instances }},
	fLabels: {"labels", func(o object, d *draft) { d.app.Labels = o.textMap("labels") },
		func(a, b *core.App) { a.Labels = b.Labels }},
	fMaxLaunchDelay: {"maxLaunchDelaySeconds", func(o object, d *draft) { d.app.MaxLaunchDelaySeconds = o.integer("maxLaunchDelaySeconds", 300) },
		func(a, b *core.App) { a.MaxLaunchDelaySeconds = b.MaxLaunchDelaySeconds }},
	fMem: {"mem", func(o object, d *draft) { d.app.Mem = o.number("mem", 128) },
		func(a, b *core.App) { a.Mem = b.Mem }},
	fGPUs: {"gpus", func(o object, d *draft) { d.app.GPUs = o.integer("gpus", 0) },
		func(a, b *core.App) { a.GPUs = b.GPUs }},
	fNetworks: {"networks", func(o object, d *draft) { d.app.Networks = objects(o, "networks", readNetwork) },
		func(a, b *core.App) { a.Networks = b.Networks }},
	fPortDefinitions: {"portDefinitions", func(o object, d *draft) {
		d.app.PortDefinitions = objects(o, "portDefinitions", readPortDefinition)
	}, func(a, b *core.App) { a.PortDefinitions = b.PortDefinitions }},
	fReadinessChecks: {"readinessChecks", func(o object, d *draft) {
		d.app.ReadinessChecks = objects(o, "readinessChecks", readReadinessCheck)
	}, func(a, b *core.App) { a.ReadinessChecks = b.ReadinessChecks }},
	fResidency: {"residency", readResidency,
		func(a, b *core.App) { a.Residency = b.Residency }},
	fResourceLimits: {"resourceLimits", func(o object, d *draft) { d.app.ResourceLimits = readLimits(o) },
		func(a, b *core.App) { a.ResourceLimits = b.ResourceLimits }},
	fRequirePorts: {"requirePorts", func(o object, d *draft) { d.app.RequirePorts = o.boolean("requirePorts", false) },
		func(a, b *core.App) { a.RequirePorts = b.RequirePorts }},
	fSecrets: {"secrets", func(o object, d *draft) { d.app.Secrets = readSecrets(o) },
		func(a, b *core.App) { a.Secrets = b.Secrets }},
	fTaskKillGrace: {"taskKillGracePeriodSeconds", func(o object, d *draft) {
		d.app.TaskKillGracePeriodSeconds = o.optInteger("taskKillGracePeriodSeconds")
	}, func(a, b *core.App) { a.TaskKillGracePeriodSeconds = b.TaskKillGracePeriodSeconds }},
	fUpgradeStrategy: {"upgradeStrategy", func(o object, d *draft) { d.app.UpgradeStrategy = readUpgradeStrategy(o) },
		func(a, b *core.App) { a.UpgradeStrategy = b.UpgradeStrategy }},
	fUser: {"user", func(o object, d *draft) { d.app.User = o.optText("user") },
		func(a, b *core.App) { a.User = b.User }},
	fKillSelection: {"killSelection", func(o object, d *draft) { d.app.KillSelection = readKillSelection(o) },
		func(a, b *core.App) { a.KillSelection = b.KillSelection }},
	fUnreachable: {"unreachableStrategy", func(o object, d *draft) { d.app.UnreachableStrategy = readUnreachable(o) },
		func(a, b *core.App) { a.UnreachableStrategy = b.UnreachableStrategy }},
	fTTY: {"tty", func(o object, d *draft) { d.app.TTY = o.optBoolean("tty") },
		func(a, b *core.App) { a.TTY = b.TTY }},
	fRole: {"role", readRole,
		func(a, b *core.App) { a.Role = b.Role }},
}

// draft is what one body says about one app: the given fields, the legacy forms, and nothing more.
type draft struct {
	given       fieldSet
	app         core.App // fields not in given hold defaults
	constraints [][]string
	legacy      legacyForms
	idGiven     bool
	version     *core.Timestamp
	place       *path // where the app stands in the body
	late        violations
}

// legacyForms are the inputs of Marathon 1.4 and older (http-api.md 4.9), and the paths still in text form.
type legacyForms struct {
	ID             string             `json:"id" validate:"omitempty,pathid"`
	Dependencies   []string           `json:"-"`
	URIs           []string           `json:"uris" validate:"dive,min=1,max=1024"`
	Ports          []int              `json:"ports" validate:"dive,min=0,max=65535"` // nil: absent
	IPAddress      *ipAddress         `json:"ipAddress"`
	DockerNetwork  string             `json:"-"`                                             // HOST, BRIDGE, USER, NONE; empty: absent
	DockerMappings []core.PortMapping `json:"container.docker.portMappings" validate:"dive"` // nil: absent
}

// ipAddress is the network form before networks.
type ipAddress struct {
	NetworkName *string            `json:"networkName" validate:"omitnil,min=1"`
	Labels      map[string]string  `json:"-"`
	Discovery   []core.PortMapping `json:"discovery.ports" validate:"dive"` // container port and labels
	HasPorts    bool               `json:"-"`                               // discovery was given
}

// defaultApp is what an app is when its body says nothing (http-api.md 4.7).
func defaultApp() core.App {
	return core.App{BackoffFactor: 1.15, BackoffSeconds: 1, CPUs: 1, Instances: 1, MaxLaunchDelaySeconds: 300, Mem: 128,
		UpgradeStrategy: core.UpgradeStrategy{MaximumOverCapacity: 1, MinimumHealthCapacity: 1}, KillSelection: core.YoungestFirst}
}

// readDraft reads one app of a body. The schema violations go to o's reading.
func readDraft(o object) *draft {
	d := &draft{app: defaultApp(), place: o.path}
	before := len(o.r.late)
	for f := range appFields {
		if _, ok := o.get(appFields[f].name); ok {
			d.given.set(field(f))
			appFields[f].read(o, d)
		}
	}
	if _, ok := o.get("id"); ok {
		d.idGiven = true
		d.legacy.ID = o.text("id", "")
		if id, ok := o.m["id"].(string); ok && id == "" {
			o.fail("id", errMinLength)
		}
	}
	readLegacy(o, &d.legacy)
	d.version = readVersion(o)
	checkBounds(o, &d.app)
	checkBounds(o, &d.legacy)
	for _, l := range o.r.late[before:] {
		// Violations of rules are told relative to the app, wherever it stands in the body (http-api.md 6.4).
		at := strings.TrimPrefix(l.Path, strings.TrimSuffix(o.path.String(), "/"))
		d.late.add(cmp.Or(at, "/"), l.Errors...)
	}
	return d
}

func readLegacy(o object, l *legacyForms) {
	l.URIs, l.Ports = o.texts("uris"), o.integers("ports")
	ip, ok := o.child("ipAddress")
	if !ok {
		return
	}
	l.IPAddress = &ipAddress{NetworkName: ip.optText("networkName"), Labels: ip.textMap("labels")}
	if disc, ok := ip.child("discovery"); ok {
		l.IPAddress.HasPorts = true
		l.IPAddress.Discovery = objects(disc, "ports", readDiscoveryPort)
	}
}

func readRole(o object, d *draft) {
	d.app.Role = o.text("role", "")
	if o.m["role"] == "" {
		o.fail("role", errMinLength)
	}
}

func readVersion(o object) *core.Timestamp {
	if _, ok := o.get("version"); !ok {
		return nil
	}
	s, ok := o.m["version"].(string)
	if !ok {
		o.fail("version", errDate)
		return nil
	}
	v, err := core.ParseTimestamp(s)
	if err != nil {
		o.fail("version", errDateForm)
		return nil
	}
	return &v
}

// unique drops later duplicates, for lists that are sets.
func unique[T comparable](in []T) []T {
	out := in[:0:0]
	seen := make(map[T]bool, len(in))
	for _, v := range in {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	if in != nil && out == nil {
		out = []T{}
	}
	return out
}
