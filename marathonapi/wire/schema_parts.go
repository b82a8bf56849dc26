package wire

import (
	"encoding/json"
	"slices"
	"strings"

	"stadion/core"
)

// The words of enumerations (http-api.md 4.7, 4.8).
var (
	healthProtocols    = []string{"HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"}
	ipProtocols        = []string{"IPv4", "IPv6"}
	readinessProtocols = []string{"HTTP", "HTTPS"}
	killSelections     = []string{string(core.YoungestFirst), string(core.OldestFirst)}
	taskLostBehaviors  = []string{"WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT"}
)

const (
	defaultGrace     = 300
	defaultInterval  = 60
	defaultTimeout   = 20
	defaultFailures  = 3
	defaultDelay     = 15
	unlimited        = "unlimited"
	protocolCommand  = "COMMAND"
	defaultPortName  = "default"
	defaultReadyPort = "http-api"

	unreachableDisabled = "disabled"
)

func readHealthCheck(o object) core.HealthCheck {
	h := core.HealthCheck{GracePeriodSeconds: o.integer("gracePeriodSeconds", defaultGrace),
		IntervalSeconds: o.integer("intervalSeconds", defaultInterval), MaxConsecutiveFailures: o.integer("maxConsecutiveFailures", defaultFailures),
		Path: o.optText("path"), Port: o.optInteger("port"), PortIndex: o.optInteger("portIndex"),
		Protocol: o.enum("protocol", "HTTP", healthProtocols), TimeoutSeconds: o.integer("timeoutSeconds", defaultTimeout),
		DelaySeconds: o.integer("delaySeconds", defaultDelay)}
	ip := o.enum("ipProtocol", "IPv4", ipProtocols)
	o.boolean("ignoreHttp1xx", false) // its type counts, its value is dropped
	if c, ok := o.child("command"); ok {
		h.Command = &core.CommandValue{Value: c.requiredText("value")}
	}
	if h.Protocol == "HTTP" || h.Protocol == "HTTPS" {
		h.IgnoreHTTP1xx = ptr(false)
	}
	if h.ServerRun() && h.DelaySeconds >= 0 {
		h.DelaySeconds = defaultDelay // a delay is for the executor only; a negative one is still a violation
	}
	h.IPProtocol = ip
	return h
}

// trimHealthCheck drops the fields that the protocol has no use for, as Marathon's model does. An empty path with a
// command says nothing either: go-marathon's NewDefaultHealthCheck and the Terraform provider send one.
func trimHealthCheck(h *core.HealthCheck) {
	switch h.Protocol {
	case protocolCommand:
		h.PortIndex = nil
		if h.Path != nil && *h.Path == "" {
			h.Path = nil
		}
	case "TCP", "MESOS_TCP":
		h.Path = nil
	}
}

// readCheck reads a general check. That exactly one kind is given is a rule (http-api.md 4.11.9, 18).
func readCheck(o object) *core.Check {
	c, ok := o.child("check")
	if !ok {
		return nil
	}
	out := &core.Check{IntervalSeconds: c.integer("intervalSeconds", defaultInterval),
		TimeoutSeconds: c.integer("timeoutSeconds", defaultTimeout), DelaySeconds: c.integer("delaySeconds", defaultDelay)}
	if e, ok := c.child("exec"); ok {
		out.Exec = readExecCheck(e)
	}
	if h, ok := c.child("http"); ok {
		out.HTTP = &core.CheckHTTP{PortIndex: h.optInteger("portIndex"), Port: h.optInteger("port"), Path: h.text("path", ""),
			Scheme: h.enum("scheme", "HTTP", readinessProtocols)}
	}
	if t, ok := c.child("tcp"); ok {
		out.TCP = &core.CheckTCP{PortIndex: t.optInteger("portIndex"), Port: t.optInteger("port")}
	}
	return out
}

func readExecCheck(o object) *core.CheckExec {
	out := &core.CheckExec{}
	if o.require("command") {
		if c, ok := o.child("command"); ok {
			out.Command = readShellOrArgv(c)
		}
	}
	return out
}

// readShellOrArgv tries the shell form first and reports the violation of the other form last.
func readShellOrArgv(o object) core.ShellOrArgv {
	if shell, ok := o.m["shell"].(string); ok && shell != "" {
		return core.ShellOrArgv{Shell: &shell}
	}
	if !o.require("argv") {
		return core.ShellOrArgv{}
	}
	argv := o.texts("argv")
	if l, ok := o.m["argv"].([]any); ok && len(l) == 0 {
		o.fail("argv", errMinLength)
	}
	return core.ShellOrArgv{Argv: argv}
}

func readReadinessCheck(o object) core.ReadinessCheck {
	r := core.ReadinessCheck{Name: o.text("name", "readinessCheck"), Protocol: o.enum("protocol", "HTTP", readinessProtocols),
		Path: o.text("path", "/"), PortName: o.text("portName", defaultReadyPort), IntervalSeconds: o.integer("intervalSeconds", 30),
		TimeoutSeconds: o.integer("timeoutSeconds", 10), HTTPStatusCodesForReady: o.integers("httpStatusCodesForReady"),
		PreserveLastResponse: o.boolean("preserveLastResponse", false)}
	if r.HTTPStatusCodesForReady == nil {
		r.HTTPStatusCodesForReady = []int{200}
	}
	return r
}

func readArtifact(o object) core.Artifact {
	return core.Artifact{URI: o.requiredText("uri"), Extract: o.boolean("extract", true), Executable: o.boolean("executable", false),
		Cache: o.boolean("cache", false), DestPath: o.optText("destPath")}
}

// readConstraints reads an array of arrays of strings; what they mean is a rule.
func readConstraints(o object, name string) [][]string {
	if !o.has(name) {
		return nil
	}
	l := o.list(name)
	p := o.path.field(name)
	out := make([][]string, 0, len(l))
	for i, v := range l {
		e, ok := v.([]any)
		if !ok {
			o.r.schema.add(p.at(i).String(), errArray)
			continue
		}
		out = append(out, o.r.strings(e, p.at(i)))
	}
	return out
}

// readEnv reads values and references to secrets; of a value that is neither, the violation of the second form is
// reported (http-api.md 1.13).
func readEnv(o object, name string) map[string]core.EnvValue {
	c, ok := o.child(name)
	if !ok {
		return nil
	}
	out := make(map[string]core.EnvValue, len(c.m))
	for _, k := range c.keys() {
		switch v := c.m[k].(type) {
		case string:
			out[k] = core.EnvValue{Value: v}
		case map[string]any:
			e := object{c.r, c.path.field(k), v}
			out[k] = core.EnvValue{Secret: e.requiredText("secret")}
		default:
			text, _ := json.Marshal(v)
			c.r.schema.add(c.path.field(k).field("secret").String(), "'secret' is undefined on object: "+string(text))
		}
	}
	return out
}

func readSecrets(o object) map[string]core.Secret {
	c, ok := o.child("secrets")
	if !ok {
		return nil
	}
	out := make(map[string]core.Secret, len(c.m))
	for _, k := range c.keys() {
		s, ok := c.r.object(c.m[k], c.path.field(k))
		if !ok {
			continue
		}
		v := s.requiredText("source")
		if s.m["source"] == "" {
			s.fail("source", errMinLength)
		}
		out[k] = core.Secret{Source: v}
	}
	return out
}

func readExecutorResources(o object) *core.ExecutorResources {
	e, ok := o.child("executorResources")
	if !ok {
		return nil
	}
	return &core.ExecutorResources{CPUs: e.number("cpus", 0.1), Mem: e.number("mem", 32), Disk: e.number("disk", 10)}
}

func readLimits(o object) *core.ResourceLimits {
	l, ok := o.child("resourceLimits")
	if !ok {
		return nil
	}
	return &core.ResourceLimits{CPUs: readLimit(l, "cpus"), Mem: readLimit(l, "mem")}
}

func readLimit(o object, name string) *core.Limit {
	if s, ok := o.m[name].(string); ok {
		if s != unlimited {
			o.r.late.add(o.path.field(name).String(), "'"+s+"' is an invalid resource limit. It must be 'unlimited' or a number")
		}
		return &core.Limit{Unlimited: true}
	}
	if !o.has(name) {
		return nil
	}
	l := &core.Limit{Value: o.number(name, 0)}
	if l.Value < 0 {
		o.fail(name, errMin)
	}
	return l
}

func readUpgradeStrategy(o object) core.UpgradeStrategy {
	u, ok := o.child("upgradeStrategy")
	if !ok {
		return core.UpgradeStrategy{}
	}
	u.require("maximumOverCapacity")
	u.require("minimumHealthCapacity")
	return core.UpgradeStrategy{MaximumOverCapacity: u.number("maximumOverCapacity", 0), MinimumHealthCapacity: u.number("minimumHealthCapacity", 0)}
}

func readKillSelection(o object) core.KillSelection {
	return core.KillSelection(o.enum("killSelection", string(core.YoungestFirst), killSelections))
}

func readUnreachable(o object) core.UnreachableStrategy {
	if s, ok := o.m["unreachableStrategy"].(string); ok && strings.EqualFold(s, unreachableDisabled) {
		return core.UnreachableStrategy{Disabled: true}
	}
	u, ok := o.child("unreachableStrategy")
	if !ok {
		return core.UnreachableStrategy{}
	}
	return core.UnreachableStrategy{InactiveAfterSeconds: int(u.long("inactiveAfterSeconds", 0)), ExpungeAfterSeconds: int(u.long("expungeAfterSeconds", 0))}
}

// readResidency only checks the shape: what is shown is fixed (http-api.md 4.7).
func readResidency(o object, _ *draft) {
	r, ok := o.child("residency")
	if !ok {
		return
	}
	if r.long("relaunchEscalationTimeoutSeconds", 0) < 0 {
		r.fail("relaunchEscalationTimeoutSeconds", errMin)
	}
	r.enum("taskLostBehavior", "WAIT_FOREVER", taskLostBehaviors)
	if !hasPersistent(o) {
		checkWishedResidency(o)
	}
}

// hasPersistent tells whether the body of an app gives it a persistent volume.
func hasPersistent(o object) bool {
	k, _ := o.m["container"].(map[string]any)
	list, _ := k["volumes"].([]any)
	return slices.ContainsFunc(list, func(v any) bool {
		m, _ := v.(map[string]any)
		return m["persistent"] != nil
	})
}

// checkWishedResidency holds an app that asks for residency to its rules even when it has no persistent volume, without
// which the wish has no other effect (http-api.md 4.12). With one, the rules on resident apps say the same.
func checkWishedResidency(o object) {
	late := &o.r.late
	if u, ok := o.m["upgradeStrategy"].(map[string]any); ok {
		over := object{&reading{}, o.path, u}.number("maximumOverCapacity", 0)
		expectZero(over, o.path.field("upgradeStrategy").field("maximumOverCapacity").String(), late)
	}
	if v, ok := o.get("unreachableStrategy"); ok && v != unreachableDisabled {
		late.add(o.path.String(), textResidentUnreachable)
	}
	if l, ok := o.m["acceptedResourceRoles"].([]any); ok && (len(l) != 1 || l[0] != "*") {
		late.add(o.path.field("acceptedResourceRoles").String(), residentRoles("app"))
	}
}
