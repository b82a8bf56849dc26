package wire

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"stadion/core"
)

const (
	textSecretVolume = "volume.secret must refer to an existing secret"
	textNotDefined   = "not defined"
	textBadURI       = "URI has invalid syntax."
	textNotRW        = "does not equal RW"
	textNotEmpty     = "must not be empty"
	optionDriver     = "dvdi/driver"
)

// checkArtifacts checks the addresses of what is fetched.
func checkArtifacts(list []core.Artifact, at string, v *violations) {
	for i, f := range list {
		if !validURI(f.URI) {
			v.add(fmt.Sprintf("%s(%d)/uri", at, i), textBadURI)
		}
	}
}

// validURI is as strict about characters as the URI rules Marathon uses (RFC 2396): no blanks, controls or any of
// the characters that need escaping.
func validURI(s string) bool {
	if strings.ContainsAny(s, " \"<>\\^`{|}") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	_, err := url.Parse(s)
	return err == nil
}

// checkSecretRefs checks references from an environment to secrets.
func (c *Config) checkSecretRefs(env map[string]core.EnvValue, secrets map[string]core.Secret, at string, v *violations) {
	keys := sortedKeys(env)
	for i, k := range keys {
		if k == "" {
			v.add(fmt.Sprintf("%s/keys(%d)", at, i), textNotEmpty)
		}
		ref := env[k].Secret
		if ref == "" {
			continue
		}
		if !c.Features[FeatureSecrets] {
			if text := "use of secret-references in the environment requires the secrets feature to be enabled"; !v.has(at) {
				v.add(at, text)
			}
		}
		if _, ok := secrets[ref]; !ok {
			v.add(at+"/"+k+"/secret", "references an undefined secret")
		}
	}
}

func (c *Config) checkSecrets(secrets map[string]core.Secret, v *violations) {
	if len(secrets) > 0 && !c.Features[FeatureSecrets] {
		v.add("/secrets", featureText(FeatureSecrets))
		return
	}
	for i, k := range sortedKeys(secrets) {
		if k == "" {
			v.add(fmt.Sprintf("/secrets/keys(%d)", i), textNotEmpty)
		}
	}
}

func ruleAppSecrets(c *Config, a *core.App, v *violations) {
	c.checkSecrets(a.Secrets, v)
	c.checkSecretRefs(a.Env, a.Secrets, "/env", v)
}

func rulePullConfig(c *Config, a *core.App, v *violations) {
	if a.Container == nil || a.Container.Docker == nil || a.Container.Docker.PullConfig == nil {
		return
	}
	const at = "/container/docker/pullConfig"
	if a.Container.Type == "DOCKER" {
		v.add(at, "pullConfig is not supported with Docker containerizer")
		return
	}
	c.checkPullConfig(a.Container.Docker.PullConfig, a.Secrets, at, v)
}

func (c *Config) checkPullConfig(p *core.PullConfig, secrets map[string]core.Secret, at string, v *violations) {
	if p == nil {
		return
	}
	if !c.Features[FeatureSecrets] {
		v.add(at, "must be empty", featureText(FeatureSecrets))
	}
	if _, ok := secrets[p.Secret]; !ok {
		v.add(at, "pullConfig.secret must refer to an existing secret")
	}
}

func ruleAppLinuxInfo(_ *Config, a *core.App, v *violations) {
	if a.Container != nil {
		checkLinuxInfo(a.Container.LinuxInfo, "/container/linuxInfo", v)
	}
}

func checkLinuxInfo(l *core.LinuxInfo, at string, v *violations) {
	if l == nil {
		return
	}
	if s := l.Seccomp; s != nil {
		switch profile := s.ProfileName != nil; {
		case profile && s.Unconfined:
			v.add(at+"/seccomp", "Seccomp unconfined can NOT be true when Profile is defined")
		case !profile && !s.Unconfined:
			v.add(at+"/seccomp", "Seccomp unconfined must be true when Profile is NOT defined")
		}
	}
	if i := l.IPCInfo; i != nil && i.Mode == "SHARE_PARENT" && i.ShmSize != nil {
		v.add(at+"/ipcInfo", "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT")
	}
}

// ruleVolumes checks the volumes of an app (http-api.md 4.11.7).
func ruleVolumes(c *Config, a *core.App, v *violations) {
	if a.Container == nil {
		return
	}
	names := map[string]bool{}
	for i, vol := range a.Container.Volumes {
		at := fmt.Sprintf("/container/volumes(%d)", i)
		switch {
		case vol.Persistent != nil:
			checkPersistentPath(vol.ContainerPath, at, v)
			checkWritable(vol.Mode, at, v)
			checkPersistent(vol.Persistent, at+"/persistent", v)
		case vol.External != nil:
			c.checkExternal(a, vol, at, v)
			if n := vol.External.Name; n != "" && names[n] {
				v.add("/container/volumes", "Volume names must be unique")
				if own := vol.External; own.Provider == providerDVDI && !own.IsShared() {
					v.add("/", fmt.Sprintf("Requested DVDI volume '%s' is declared more than once within app %s", n, a.ID))
				}
			}
			names[vol.External.Name] = true
		case vol.Secret != nil:
			if !c.Features[FeatureSecrets] {
				v.add(at, featureText(FeatureSecrets))
			}
			if _, ok := a.Secrets[*vol.Secret]; !ok {
				v.add(at, textSecretVolume)
			}
		}
	}
}

func checkPersistentPath(p, at string, v *violations) {
	if strings.Contains(p, "/") {
		v.add(at+"/containerPath", `value must not contain "/"`)
	}
	checkDots(p, at, v)
}

func checkDots(p, at string, v *violations) {
	if p == "." || p == ".." {
		v.add(at+"/containerPath", "can not be one of (.,..)")
	}
}

func checkWritable(mode, at string, v *violations) {
	if mode != "RW" {
		v.add(at+"/mode", textNotRW)
	}
}

func checkPersistent(p *core.PersistentVolume, at string, v *violations) {
	if p.Size <= 0 {
		v.add(at+"/size", fmt.Sprintf("got %d, expected more than 0", p.Size))
	}
	checkDisk(p, at, v)
	if p.MaxSize != nil && *p.MaxSize <= p.Size {
		v.add(at, "Max size must be larger than size")
	}
}

// checkDisk checks what a type of disk allows.
func checkDisk(p *core.PersistentVolume, at string, v *violations) {
	if p.Type == "root" && len(p.Constraints) > 0 {
		v.add(at, "Constraints on root volumes are not supported")
	}
	if p.Type != "mount" && p.MaxSize != nil {
		v.add(at, "Only mount volumes can have maxSize")
	}
}

func (c *Config) checkExternal(a *core.App, vol core.AppVolume, at string, v *violations) {
	if !c.Features[FeatureExternalVolumes] {
		v.add(at, featureText(FeatureExternalVolumes))
		return
	}
	e := vol.External
	if e.Name == "" {
		v.add(at+"/external/name", textNotDefined)
	}
	switch e.Provider {
	case providerDVDI:
		checkDots(vol.ContainerPath, at, v)
		if a.Container.Type == "MESOS" {
			checkWritable(vol.Mode, at, v)
		}
		checkDVDI(a, e, at+"/external", v)
	case providerCSI:
		checkCSI(a, vol, at, v)
	case "":
		v.add(at+"/external/provider", textNotDefined)
	default:
		v.add(at+"/external/provider", "is unknown provider")
	}
}

// checkCSI checks a CSI volume (1.11): what its access mode allows, and that it can be built.
func checkCSI(a *core.App, vol core.AppVolume, at string, v *violations) {
	c := vol.External.Options.CSI
	if c == nil {
		return
	}
	mode := c.Capability.AccessMode
	if c.Capability.AccessType == csiMount && c.Capability.FSType == nil {
		v.add(at+"/external/options/capability/fsType", "fsType must be specified with mount access type CSI volumes.")
	}
	if vol.Mode != "RO" && (mode == "SINGLE_NODE_READER_ONLY" || mode == "MULTI_NODE_READER_ONLY") {
		v.add(at, "CSI volume must be mounted readonly with a read-only access mode")
	}
	if a.Instances <= 1 || v.has("/instances") {
		return
	}
	text := fmt.Sprintf("got %d, expected 1 or less ", a.Instances)
	switch {
	case strings.HasPrefix(mode, "SINGLE_NODE_"):
		v.add("/instances", text+"while non-shareable CSI volumes are defined")
	case mode == "MULTI_NODE_SINGLE_WRITER" && vol.Mode != "RO":
		v.add("/instances", text+"while a multi-node single-writer volume is defined mounted as read/write")
	}
}

func checkDVDI(a *core.App, e *core.ExternalVolume, at string, v *violations) {
	if e.Options.DVDI[optionDriver] == "" {
		v.add(at+`/options("dvdi/driver")`, textNotDefined)
	}
	if a.Container.Type == "DOCKER" {
		if e.Size != nil {
			v.add(at+"/size", "must be undefined for Docker containers")
		}
		for k := range e.Options.DVDI {
			if k != optionDriver && !v.has(at+"/options") {
				v.add(at+"/options", "must only contain dvdi/driver")
			}
		}
	}
	if e.Options.DVDI[optionDriver] == "rexray" {
		checkRexray(e.Options.DVDI, at, v)
	}
	expectZeroOnce(a.UpgradeStrategy.MaximumOverCapacity, "/upgradeStrategy/maximumOverCapacity", v)
	if a.Instances > 1 && !e.IsShared() && !v.has("/instances") {
		v.add("/instances", fmt.Sprintf("Number of instances is limited to 1 when declaring DVDI volumes in app [%s]", a.ID))
	}
}

// rexrayOptions are the options of that driver whose values have a form.
var rexrayOptions = map[string]struct {
	ok   func(string) bool
	text string
}{
	"dvdi/volumetype":  {notEmpty, textNotEmpty},
	"dvdi/newfstype":   {notEmpty, textNotEmpty},
	"dvdi/iops":        {isNatural, "Expected a valid, positive integer instead of %s"},
	"dvdi/overwritefs": {isBoolean, "Expected a valid boolean"},
}

func notEmpty(s string) bool { return s != "" }

func isNatural(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0
}

func isBoolean(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }

func checkRexray(options map[string]string, at string, v *violations) {
	for _, k := range sortedKeys(rexrayOptions) {
		if val, ok := options[k]; ok && !rexrayOptions[k].ok(val) {
			v.add(at+"/options/"+strconv.Quote(k), strings.ReplaceAll(rexrayOptions[k].text, "%s", val))
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
