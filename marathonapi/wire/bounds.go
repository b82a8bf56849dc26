package wire

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"

	"stadion/core"
)

// The patterns of http-api.md 4.7.
var (
	pathPattern        = regexp.MustCompile(`^(\/?((\.\.)|(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9]))?($|\/))+$`)
	executorPattern    = regexp.MustCompile(`^(?:(//cmd)|(/?[^/]+(/[^/]+)*)|)$`)
	namePattern        = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	networkNamePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$`)
	envNamePattern     = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,253}?$`)
)

// form is a type of text: every constraint of it that a value breaks is told, not the first alone.
type form struct {
	pattern  *regexp.Regexp
	min, max int // length in characters; max 0: without bound
}

// forms are the validator's words for the types of http-api.md 4.7.
var forms = map[string]form{
	"pathid":      {pathPattern, 1, 0},
	"executor":    {executorPattern, 0, 0},
	"name":        {namePattern, 1, 63},
	"legacyname":  {namePattern, 1, 0},
	"networkname": {networkNamePattern, 1, 63},
}

// broken lists what is wrong with a text, in the order of Marathon.
func (f form) broken(text string) []string {
	var out []string
	n := utf8.RuneCountInString(text)
	if f.max > 0 && n > f.max {
		out = append(out, errMaxLength)
	}
	if n < f.min {
		out = append(out, errMinLength)
	}
	if !f.pattern.MatchString(text) {
		out = append(out, errPattern)
	}
	return out
}

const (
	anyPort   = "min=0,max=65535"
	portName  = "omitnil,legacyname"
	uriLength = "min=1,max=1024"
	seconds   = "min=0,max=9223372036" // what a duration in nanoseconds holds
)

// bounds is the one table of constraints on single fields, by Go type and field (http-api.md 4.7, 4.8, 7.3). Fractional
// minimums of the published schema are truncated: a documented 0.001 is really 0 (http-api.md 1.13).
var bounds = []struct {
	of    any
	rules map[string]string
}{
	{core.App{}, map[string]string{"BackoffFactor": "min=1", "BackoffSeconds": "min=0", "Cmd": "omitnil,min=1", "CPUs": "min=0", "Mem": "min=0",
		"Disk": "min=0", "GPUs": "min=0", "Instances": "min=0", "MaxLaunchDelaySeconds": "min=0", "TaskKillGracePeriodSeconds": "omitnil,min=0",
		"Executor": "executor", "Fetch": "dive", "HealthChecks": "dive", "Networks": "dive", "PortDefinitions": "dive", "ReadinessChecks": "dive"}},
	{core.UpgradeStrategy{}, map[string]string{"MaximumOverCapacity": "min=0,max=1", "MinimumHealthCapacity": "min=0,max=1"}},
	{core.UnreachableStrategy{}, map[string]string{"InactiveAfterSeconds": seconds, "ExpungeAfterSeconds": seconds}},
	{core.ExecutorResources{}, map[string]string{"CPUs": "min=0", "Mem": "min=32", "Disk": "min=10"}},
	{core.Artifact{}, map[string]string{"URI": uriLength, "DestPath": "omitnil," + uriLength}},
	{core.Container{}, map[string]string{"Volumes": "dive", "PortMappings": "dive"}},
	{core.Docker{}, map[string]string{"Image": "min=1", "Parameters": "dive"}},
	{core.Parameter{}, map[string]string{"Key": "min=1"}},
	{core.PullConfig{}, map[string]string{"Secret": "min=1"}},
	{core.CSIOptions{}, map[string]string{"PluginName": "min=1"}},
	{core.IPCInfo{}, map[string]string{"ShmSize": "omitnil,min=0"}},
	{core.PortMapping{}, map[string]string{"ContainerPort": anyPort, "HostPort": "omitnil," + anyPort, "ServicePort": anyPort, "Name": portName}},
	{core.PortDefinition{}, map[string]string{"Port": anyPort, "Name": portName}},
	{core.Network{}, map[string]string{"Name": "omitnil,networkname"}},
	{core.AppVolume{}, map[string]string{"ContainerPath": "min=1", "HostPath": "omitnil,min=1"}},
	{core.PersistentVolume{}, map[string]string{"Size": "min=0", "MaxSize": "omitnil,min=0"}},
	{core.ExternalVolume{}, map[string]string{"Size": "omitnil,min=0"}},
	{core.HealthCheck{}, map[string]string{"GracePeriodSeconds": "min=0", "IntervalSeconds": "min=0", "MaxConsecutiveFailures": "min=0",
		"TimeoutSeconds": "min=0", "DelaySeconds": "min=0", "Port": "omitnil," + anyPort, "PortIndex": "omitnil," + anyPort}},
	{core.Check{}, map[string]string{"IntervalSeconds": "min=0", "TimeoutSeconds": "min=0", "DelaySeconds": "min=0"}},
	{core.CheckHTTP{}, map[string]string{"Port": "omitnil," + anyPort, "PortIndex": "omitnil," + anyPort}},
	{core.CheckTCP{}, map[string]string{"Port": "omitnil," + anyPort, "PortIndex": "omitnil," + anyPort}},
	{core.ReadinessCheck{}, map[string]string{"Name": "min=1", "Path": uriLength, "PortName": "legacyname", "IntervalSeconds": "min=0", "TimeoutSeconds": "min=1", "HTTPStatusCodesForReady": "min=1,dive,min=100,max=999"}},
	{core.Pod{}, map[string]string{"Containers": "dive", "Volumes": "dive", "Networks": "dive"}},
	{core.PodContainer{}, map[string]string{"Name": "name", "Endpoints": "dive", "VolumeMounts": "dive", "Artifacts": "dive"}},
	{core.PodResources{}, map[string]string{"CPUs": "min=0", "Mem": "min=0", "Disk": "min=0", "GPUs": "min=0"}},
	{core.PodImage{}, map[string]string{"ID": uriLength}},
	{core.Endpoint{}, map[string]string{"Name": "name", "ContainerPort": "omitnil,min=1,max=65535", "HostPort": "omitnil," + anyPort}},
	{core.PodHealthCheck{}, map[string]string{"GracePeriodSeconds": "min=0", "IntervalSeconds": "min=0", "MaxConsecutiveFailures": "min=0",
		"TimeoutSeconds": "min=0", "DelaySeconds": "min=0"}},
	{core.PodHTTPCheck{}, map[string]string{"Endpoint": "name", "Path": "omitnil," + uriLength}},
	{core.PodTCPCheck{}, map[string]string{"Endpoint": "name"}},
	{core.VolumeMount{}, map[string]string{"Name": "name", "MountPath": uriLength}},
	{core.PodLifecycle{}, map[string]string{"KillGracePeriodSeconds": "omitnil,min=0"}},
	{core.PodVolume{}, map[string]string{"Name": "name", "Host": "omitnil," + uriLength}},
	{core.PodScaling{}, map[string]string{"Instances": "min=0", "MaxInstances": "omitnil,min=0"}},
	{core.PodBackoff{}, map[string]string{"Backoff": "min=0", "BackoffFactor": "min=0", "MaxLaunchDelay": "min=0"}},
	{core.PodUpgrade{}, map[string]string{"MinimumHealthCapacity": "min=0,max=1", "MaximumOverCapacity": "min=0,max=1"}},
}

var checker = newChecker()

func newChecker() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" { // types with a JSON form of their own have no tags
			name = strings.ToLower(f.Name[:1]) + f.Name[1:]
		}
		return name
	})
	for word, form := range forms {
		err := v.RegisterValidation(word, func(f validator.FieldLevel) bool { return len(form.broken(f.Field().String())) == 0 })
		if err != nil {
			panic("wire: form " + word + ": " + err.Error()) // only a misspelt table can cause this
		}
	}
	for _, b := range bounds {
		v.RegisterStructValidationMapRules(b.rules, b.of)
	}
	return v
}

// checkBounds adds the violated bounds of a decoded value to the reading of o. A field that already has a violation
// of its type is left out: its value is a stand-in.
func checkBounds(o object, value any) {
	err := checker.Struct(value)
	if err == nil {
		return
	}
	var list validator.ValidationErrors
	if !errors.As(err, &list) {
		panic("wire: " + err.Error()) // not a struct: a mistake of this package
	}
	prefix := strings.TrimSuffix(o.path.String(), "/")
	for _, e := range list {
		p := prefix + pathOf(e.Namespace())
		if !o.r.schema.has(p) {
			o.r.schema.add(p, boundKeys(e)...)
		}
	}
}

var toPath = strings.NewReplacer(".", "/", "[", "(", "]", ")")

// pathOf turns the validator's "App.container.volumes[0].size" into "/container/volumes(0)/size".
func pathOf(namespace string) string {
	_, rest, _ := strings.Cut(namespace, ".")
	return "/" + toPath.Replace(rest)
}

func boundKeys(e validator.FieldError) []string {
	if f, ok := forms[e.Tag()]; ok {
		return f.broken(reflect.Indirect(reflect.ValueOf(e.Value())).String())
	}
	long := e.Kind() == reflect.String || e.Kind() == reflect.Slice
	switch {
	case e.Tag() == "min" && long:
		return []string{errMinLength}
	case e.Tag() == "min":
		return []string{errMin}
	case long:
		return []string{errMaxLength}
	}
	return []string{errMax}
}
