package wire

import (
	"fmt"
	"slices"

	"stadion/core"
)

// appRule checks one rule between fields of a normalised app; paths are relative to the app (http-api.md 4.11).
type appRule func(c *Config, a *core.App, v *violations)

// appRules are all of them; tree-wide rules stand in tree.go, rules on old forms in legacy.go.
var appRules = []appRule{
	ruleID, ruleWhatToRun, ruleFetch, ruleNetworks, rulePortDefinitions, rulePortMappings,
	ruleHealthChecks, ruleCheck, ruleReadiness,
	ruleGPUs, ruleAppLimits, ruleUnreachable, ruleSingleInstance, ruleMigrationLabels,
	ruleAppSecrets, rulePullConfig, ruleAppLinuxInfo, ruleVolumes, ruleResident,
}

// checkApp runs all rules on a normalised app.
func (c *Config) checkApp(a *core.App, r roles) error {
	var v violations
	for _, rule := range appRules {
		rule(c, a, &v)
	}
	checkRole(a.Role, r, &v)
	checkAcceptedRoles(a.AcceptedResourceRoles, a.Role, a.Resident(), "app", &v)
	return v.err(msgNotValid)
}

var reservedNames = []string{"restart", "tasks", "versions"}

func checkReserved(id core.PathID, at string, v *violations) {
	if slices.Contains(reservedNames, id.Name()) {
		v.add(at, "must not end with any of the following reserved keywords: restart, tasks, versions, ., ..")
	}
}

func ruleID(_ *Config, a *core.App, v *violations) { checkReserved(a.ID, "/id", v) }

func ruleWhatToRun(_ *Config, a *core.App, v *violations) {
	cmd, args := a.Cmd != nil, len(a.Args) > 0
	if cmd && args || !cmd && !args && (a.Container == nil || a.Container.Docker == nil) {
		v.add("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.")
	}
	// Marathon's check demands more than one character (bug-compatible, http-api.md 4.11.2).
	if cmd && len(*a.Cmd) == 1 {
		v.add("/", "must not be an empty string")
	}
}

func ruleFetch(_ *Config, a *core.App, v *violations) { checkArtifacts(a.Fetch, "/fetch", v) }

func ruleGPUs(c *Config, a *core.App, v *violations) {
	if a.GPUs == 0 {
		return
	}
	if a.Container != nil && a.Container.Type == "DOCKER" {
		v.add("/", "GPU resources only work with the Mesos containerizer")
	}
	if !c.Features[FeatureGPUs] {
		v.add("/", featureText(FeatureGPUs))
	}
}

func ruleAppLimits(_ *Config, a *core.App, v *violations) {
	checkLimits(a.ResourceLimits, a.CPUs, a.Mem, "/resourceLimits", v)
}

func checkLimits(l *core.ResourceLimits, cpus, mem core.Num, at string, v *violations) {
	if l == nil {
		return
	}
	check := func(name string, l *core.Limit, request core.Num) {
		if l != nil && !l.Unlimited && l.Value < request {
			v.add(at+"/"+name, "resource limit must be greater than or equal to requested resource ("+string(request.Append(nil))+")")
		}
	}
	check("cpus", l.CPUs, cpus)
	check("mem", l.Mem, mem)
}

func ruleUnreachable(_ *Config, a *core.App, v *violations) {
	checkUnreachable(a.UnreachableStrategy, "/unreachableStrategy", v)
}

func checkUnreachable(u core.UnreachableStrategy, at string, v *violations) {
	if !u.Disabled && u.InactiveAfterSeconds > u.ExpungeAfterSeconds {
		v.add(at+"/inactiveAfterSeconds", fmt.Sprintf("inactiveAfterSeconds (%d) must be less or equal to expungeAfterSeconds, which is %d",
			u.InactiveAfterSeconds, u.ExpungeAfterSeconds))
	}
}

const labelSingleInstance = "MARATHON_SINGLE_INSTANCE_APP"

func ruleSingleInstance(_ *Config, a *core.App, v *violations) {
	if a.Labels[labelSingleInstance] != "true" {
		return
	}
	if a.Instances > 1 {
		v.add("/", "Single instance app may only have one instance")
	}
	expectZero(a.UpgradeStrategy.MaximumOverCapacity, "/upgradeStrategy/maximumOverCapacity", v)
	expectZero(a.UpgradeStrategy.MinimumHealthCapacity, "/upgradeStrategy/minimumHealthCapacity", v)
}

func expectZero(n core.Num, path string, v *violations) {
	if n != 0 {
		v.add(path, "got "+string(n.Append(nil))+", expected 0.0")
	}
}

// expectZeroOnce is expectZero for rules that several parts of an app may break.
func expectZeroOnce(n core.Num, path string, v *violations) {
	if !v.has(path) {
		expectZero(n, path, v)
	}
}

func ruleMigrationLabels(_ *Config, a *core.App, v *violations) {
	version := a.Labels["DCOS_MIGRATION_API_VERSION"]
	if version != "" && (version != "v1" || a.Labels["DCOS_PACKAGE_FRAMEWORK_NAME"] == "" || a.Labels["DCOS_MIGRATION_API_PATH"] == "") {
		v.add("/", "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined when using DCOS_MIGRATION_API_VERSION")
	}
}

const textResidentUnreachable = "unreachableStrategy must be disabled for resident tasks"

// ruleResident checks an app with persistent volumes (http-api.md 4.12).
func ruleResident(_ *Config, a *core.App, v *violations) {
	if !a.Resident() {
		return
	}
	if a.Role == "*" {
		v.add("/role", "Resident apps cannot have the role *")
	}
	expectZeroOnce(a.UpgradeStrategy.MaximumOverCapacity, "/upgradeStrategy/maximumOverCapacity", v)
	if !a.UnreachableStrategy.Disabled {
		v.add("/", textResidentUnreachable)
	}
}
