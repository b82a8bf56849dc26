package minimesos

import (
	"bytes"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// What tasks and executors are made of; the texts are Mesos's, as in validate.go.

func validateCheck(c *mesos.CheckInfo) string {
	switch c.Type {
	case mesos.CheckInfo_COMMAND:
		if c.Command == nil {
			return "Expecting 'command' to be set for COMMAND check"
		}
		if c.Command.Command.Value == nil {
			return "Command check must contain " + commandKind(&c.Command.Command)
		}
		if text := validateCommand(&c.Command.Command); text != "" {
			return "Check's `CommandInfo` is invalid: " + text
		}
	case mesos.CheckInfo_HTTP:
		if c.HTTP == nil {
			return "Expecting 'http' to be set for HTTP check"
		}
		if p := c.HTTP.Path; p != nil && !strings.HasPrefix(*p, "/") {
			return "The path '" + *p + "' of HTTP check must start with '/'"
		}
	case mesos.CheckInfo_TCP:
		if c.TCP == nil {
			return "Expecting 'tcp' to be set for TCP check"
		}
	default:
		return "CheckInfo must specify 'type'"
	}
	return nonNegative(c.DelaySeconds, c.IntervalSeconds, c.TimeoutSeconds, nil)
}

func validateHealthCheck(h *mesos.HealthCheck) string {
	switch h.Type {
	case mesos.HealthCheck_COMMAND:
		if h.Command == nil {
			return "Expecting 'command' to be set for COMMAND health check"
		}
		if h.Command.Value == nil {
			return "Command health check must contain " + commandKind(h.Command)
		}
		if text := validateCommand(h.Command); text != "" {
			return "Health check's `CommandInfo` is invalid: " + text
		}
	case mesos.HealthCheck_HTTP:
		if h.HTTP == nil {
			return "Expecting 'http' to be set for HTTP health check"
		}
		if s := h.HTTP.Scheme; s != nil && *s != "http" && *s != "https" {
			return "Unsupported HTTP health check scheme: '" + *s + "'"
		}
		if p := h.HTTP.Path; p != nil && !strings.HasPrefix(*p, "/") {
			return "The path '" + *p + "' of HTTP health check must start with '/'"
		}
	case mesos.HealthCheck_TCP:
		if h.TCP == nil {
			return "Expecting 'tcp' to be set for TCP health check"
		}
	default:
		// A health check without type but with a body is taken as an old one.
		if h.HTTP == nil && h.TCP == nil && h.Command == nil {
			return "HealthCheck must specify 'type'"
		}
	}
	return nonNegative(h.DelaySeconds, h.IntervalSeconds, h.TimeoutSeconds, h.GracePeriodSeconds)
}

func commandKind(c *mesos.CommandInfo) string {
	if c.GetShell() {
		return "'shell command'"
	}
	return "'executable path'"
}

func nonNegative(delay, interval, timeout, grace *float64) string {
	for _, x := range []struct {
		name  string
		value *float64
	}{{"delay_seconds", delay}, {"grace_period_seconds", grace}, {"interval_seconds", interval}, {"timeout_seconds", timeout}} {
		if x.value != nil && *x.value < 0 {
			return "Expecting '" + x.name + "' to be non-negative"
		}
	}
	return ""
}

func validateCommand(c *mesos.CommandInfo) string {
	for _, v := range c.GetEnvironment().GetVariables() {
		secret := v.Type != nil && *v.Type == mesos.Environment_Variable_SECRET
		switch {
		case v.Type != nil && *v.Type == mesos.Environment_Variable_UNKNOWN:
			return "Environment variable of type 'UNKNOWN' is not allowed"
		case secret && v.Secret == nil:
			return "Environment variable '" + v.Name + "' of type 'SECRET' must have a secret set"
		case secret && v.Value != nil:
			return "Environment variable '" + v.Name + "' of type 'SECRET' must not have a value set"
		case secret && secretText(v.Secret) != "":
			return "Environment variable '" + v.Name + "' specifies an invalid secret: " + secretText(v.Secret)
		case secret && bytes.IndexByte(v.Secret.GetValue().GetData(), 0) >= 0:
			return "Environment variable '" + v.Name + "' specifies a secret containing null bytes, which is not allowed in the environment"
		case !secret && v.Value == nil:
			return "Environment variable '" + v.Name + "' of type 'VALUE' must have a value set"
		case !secret && v.Secret != nil:
			return "Environment variable '" + v.Name + "' of type 'VALUE' must not have a secret set"
		}
	}
	return ""
}

// secretText tells what is wrong with a secret.
func secretText(s *mesos.Secret) string {
	switch {
	case s.Type == mesos.Secret_REFERENCE && s.Reference == nil:
		return "Secret of type REFERENCE must have the 'reference' field set"
	case s.Type == mesos.Secret_REFERENCE && s.Value != nil:
		return "Secret '" + s.Reference.Name + "' of type REFERENCE must not have the 'value' field set"
	case s.Type == mesos.Secret_VALUE && s.Value == nil:
		return "Secret of type VALUE must have the 'value' field set"
	case s.Type == mesos.Secret_VALUE && s.Reference != nil:
		return "Secret of type VALUE must not have the 'reference' field set"
	}
	return ""
}

func validateContainer(c *mesos.ContainerInfo) string {
	for i := range c.Volumes {
		v := &c.Volumes[i]
		set := 0
		if v.HostPath != nil {
			set++
		}
		if v.Image != nil {
			set++
		}
		if v.Source != nil {
			set++
		}
		if set != 1 {
			return "Invalid volume: Only one of them should be set: 'host_path', 'image' and 'source'"
		}
		if text := volumeSourceText(v.Source); text != "" {
			return "Invalid volume: " + text
		}
	}
	if c.GetType() != mesos.ContainerInfo_DOCKER {
		return ""
	}
	if c.Docker == nil {
		return "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"
	}
	for i := range c.Docker.Parameters {
		if c.Docker.Parameters[i].Key == "name" {
			return "Parameter in DockerInfo must not be 'name'"
		}
	}
	return ""
}

// volumeSourceText tells what is wrong with the source of a volume; CSI volumes are
// newer than mesos-go and pass.
func volumeSourceText(s *mesos.Volume_Source) string {
	if s == nil {
		return ""
	}
	switch {
	case s.Type == mesos.Volume_Source_DOCKER_VOLUME && s.DockerVolume == nil:
		return "'source.docker_volume' is not set for DOCKER_VOLUME volume"
	case s.Type == mesos.Volume_Source_HOST_PATH && s.HostPath == nil:
		return "'source.host_path' is not set for HOST_PATH volume"
	case s.Type == mesos.Volume_Source_SANDBOX_PATH && s.SandboxPath == nil:
		return "'source.sandbox_path' is not set for SANDBOX_PATH volume"
	case s.Type == mesos.Volume_Source_SECRET && s.Secret == nil:
		return "'source.secret' is not set for SECRET volume"
	case s.Type == mesos.Volume_Source_UNKNOWN:
		return "'source.type' is unknown"
	}
	return ""
}
