package wire

import (
	"strings"

	"stadion/core"
)

// podDraft is what a body says about a pod: the pod with its defaults, and what normalisation must know beyond.
type podDraft struct {
	pod              core.Pod
	idText           string
	upgradeGiven     bool
	unreachableGiven bool
	late             violations
}

// decodePod reads a pod and stops at violations of the schema (http-api.md 7.3, 7.4).
func decodePod(v any) (*podDraft, error) {
	r := &reading{}
	o, ok := r.rootObject(v)
	if !ok {
		return nil, r.err()
	}
	d := &podDraft{}
	d.readID(o)
	p := &d.pod
	p.Labels, p.User = omitEmpty(o.textMap("labels")), o.optText("user")
	p.Environment = readPodEnv(o)
	if o.require("containers") {
		p.Containers = objects(o, "containers", readPodContainer)
		if l, ok := o.m["containers"].([]any); ok && len(l) == 0 {
			o.fail("containers", errMinLength)
		}
	}
	p.Secrets, p.Volumes = omitEmpty(readSecrets(o)), nonEmpty(objects(o, "volumes", readPodVolume))
	p.Networks = nonEmpty(objects(o, "networks", readNetwork))
	p.Scaling = readScaling(o)
	d.readScheduling(o)
	p.ExecutorResources = core.ExecutorResources{CPUs: 0.1, Mem: 32, Disk: 10}
	if e := readExecutorResources(o); e != nil {
		p.ExecutorResources = *e
	}
	p.Role, p.LinuxInfo = o.text("role", ""), readLinuxInfo(o)
	p.LegacySharedCgroups = o.boolean("legacySharedCgroups", false)
	checkBounds(o, p)
	d.late = r.late
	return d, r.schema.err(msgInvalidJSON)
}

func (d *podDraft) readID(o object) {
	d.idText = o.requiredText("id")
	text, isText := o.m["id"].(string)
	switch {
	case isText && text == "":
		o.fail("id", errMinLength)
	case isText && !pathPattern.MatchString(text):
		o.fail("id", errPattern)
	}
	if v, ok := o.get("version"); ok {
		if _, isText := v.(string); !isText {
			o.fail("version", errDate)
		}
	}
}

func omitEmpty[V any](m map[string]V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	return m
}

// readPodEnv reads an environment whose names have a form, other than those of apps.
func readPodEnv(o object) map[string]core.EnvValue {
	env := readEnv(o, "environment")
	for _, k := range sortedKeys(env) {
		if !envNamePattern.MatchString(k) {
			o.r.schema.add(o.path.field("environment").field(k).String(), errPattern)
		}
	}
	return omitEmpty(env)
}

func readPodContainer(o object) core.PodContainer {
	c := core.PodContainer{Name: o.requiredText("name"), ResourceLimits: readLimits(o), Endpoints: nonEmpty(objects(o, "endpoints", readEndpoint)),
		LinuxInfo: readLinuxInfo(o), Environment: readPodEnv(o), User: o.optText("user"), HealthCheck: readPodHealthCheck(o),
		VolumeMounts: nonEmpty(objects(o, "volumeMounts", readVolumeMount)), Artifacts: nonEmpty(objects(o, "artifacts", readArtifact)),
		Labels: omitEmpty(o.textMap("labels")), TTY: o.optBoolean("tty")}
	if e, ok := o.child("exec"); ok {
		c.Exec = &core.PodExec{Command: readExecCheck(e).Command, OverrideEntrypoint: e.optBoolean("overrideEntrypoint")}
	}
	if o.require("resources") {
		if r, ok := o.child("resources"); ok {
			r.require("cpus")
			r.require("mem")
			c.Resources = core.PodResources{CPUs: r.number("cpus", 0), Mem: r.number("mem", 0), Disk: r.number("disk", 0), GPUs: r.integer("gpus", 0)}
		}
	}
	if i, ok := o.child("image"); ok {
		i.require("kind")
		c.Image = &core.PodImage{Kind: i.enum("kind", "DOCKER", []string{"DOCKER"}), ID: i.requiredText("id"), PullConfig: readPullConfig(i),
			ForcePull: i.optBoolean("forcePull"), Labels: omitEmpty(i.textMap("labels"))}
	}
	if l, ok := o.child("lifecycle"); ok {
		c.Lifecycle = &core.PodLifecycle{}
		if l.has("killGracePeriodSeconds") {
			c.Lifecycle.KillGracePeriodSeconds = ptr(l.number("killGracePeriodSeconds", 0))
		}
	}
	discardCheck(o)
	return c
}

// discardCheck looks at a general check of a container, which Marathon reads and drops; a scheme it cannot convert
// is refused (http-api.md 7.3, 18).
func discardCheck(o object) {
	k, ok := o.child("check")
	if !ok {
		return
	}
	h, ok := k.child("http")
	if ok && strings.EqualFold(h.text("scheme", "HTTP"), "HTTPS") {
		o.r.late.add(h.path.field("scheme").String(), "a check must use the scheme HTTP")
	}
}

// readEndpoint reads an endpoint. Its protocols may be any words, as in Marathon, whose own examples say http.
func readEndpoint(o object) core.Endpoint {
	e := core.Endpoint{Name: o.requiredText("name"), ContainerPort: o.optInteger("containerPort"), HostPort: o.optInteger("hostPort"),
		Protocol: nonEmpty(o.texts("protocol")), Labels: omitEmpty(o.textMap("labels")), NetworkNames: nonEmpty(o.texts("networkNames"))}
	if l, ok := o.m["protocol"].([]any); ok && len(l) == 0 {
		o.fail("protocol", errMinLength)
	}
	return e
}

func readVolumeMount(o object) core.VolumeMount {
	return core.VolumeMount{Name: o.requiredText("name"), MountPath: o.requiredText("mountPath"), ReadOnly: o.boolean("readOnly", false)}
}

func readPodHealthCheck(o object) *core.PodHealthCheck {
	h, ok := o.child("healthCheck")
	if !ok {
		return nil
	}
	out := &core.PodHealthCheck{GracePeriodSeconds: h.integer("gracePeriodSeconds", defaultGrace),
		IntervalSeconds: h.integer("intervalSeconds", defaultInterval), MaxConsecutiveFailures: h.integer("maxConsecutiveFailures", defaultFailures),
		TimeoutSeconds: h.integer("timeoutSeconds", defaultTimeout), DelaySeconds: h.integer("delaySeconds", defaultDelay)}
	if c, ok := h.child("http"); ok {
		out.HTTP = &core.PodHTTPCheck{Endpoint: c.requiredText("endpoint"), Path: c.optText("path")}
		if c.has("scheme") {
			out.HTTP.Scheme = ptr(c.enum("scheme", "HTTP", readinessProtocols))
		}
	}
	if c, ok := h.child("tcp"); ok {
		out.TCP = &core.PodTCPCheck{Endpoint: c.requiredText("endpoint")}
	}
	if c, ok := h.child("exec"); ok {
		out.Exec = readExecCheck(c)
	}
	return out
}

func readPodVolume(o object) core.PodVolume {
	v := core.PodVolume{Name: o.requiredText("name")}
	switch {
	case o.has("persistent"):
		if p, ok := o.child("persistent"); ok {
			v.Persistent = readPersistent(p)
		}
	case o.has("secret"):
		v.Secret = o.optText("secret")
	case o.has("host"):
		v.Host = o.optText("host")
	}
	return v
}

// readScaling reads the count. A missing or unknown kind is told at the object, a wrong type of instances falls back
// to the default (http-api.md 1.13, both as Marathon does).
func readScaling(o object) core.PodScaling {
	out := core.PodScaling{Kind: "fixed", Instances: 1}
	s, ok := o.child("scaling")
	if !ok {
		return out
	}
	if kind, ok := s.m["kind"].(string); !ok || !strings.EqualFold(kind, "fixed") {
		o.fail("scaling", errString)
		return out
	}
	if n, ok := whole(s.m["instances"]); ok && n == int64(int32(n)) {
		out.Instances = int(n)
	}
	out.MaxInstances = s.optInteger("maxInstances")
	return out
}

func (d *podDraft) readScheduling(o object) {
	s := &d.pod.Scheduling
	*s = core.PodScheduling{Backoff: core.PodBackoff{Backoff: 1, BackoffFactor: 1.15, MaxLaunchDelay: 300},
		Upgrade: core.PodUpgrade{MinimumHealthCapacity: 1, MaximumOverCapacity: 1}, KillSelection: core.YoungestFirst}
	c, ok := o.child("scheduling")
	if !ok {
		return
	}
	if b, ok := c.child("backoff"); ok {
		s.Backoff = core.PodBackoff{Backoff: b.number("backoff", 1), BackoffFactor: b.number("backoffFactor", 1.15), MaxLaunchDelay: b.number("maxLaunchDelay", 300)}
	}
	if u, ok := c.child("upgrade"); ok {
		d.upgradeGiven = true
		s.Upgrade = core.PodUpgrade{MinimumHealthCapacity: u.number("minimumHealthCapacity", 1), MaximumOverCapacity: u.number("maximumOverCapacity", 1)}
	}
	if p, ok := c.child("placement"); ok {
		s.Placement.Constraints = nonEmpty(objects(p, "constraints", readPodConstraint))
		s.Placement.AcceptedResourceRoles = nonEmpty(unique(p.texts("acceptedResourceRoles")))
	}
	s.KillSelection = readKillSelection(c)
	d.unreachableGiven = c.has("unreachableStrategy")
	s.UnreachableStrategy = readUnreachable(c)
}

func readPodConstraint(o object) core.PodConstraint {
	o.require("operator")
	return core.PodConstraint{FieldName: o.requiredText("fieldName"), Operator: o.enum("operator", "", operatorWords), Value: o.optText("value")}
}
