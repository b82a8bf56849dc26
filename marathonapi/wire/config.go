package wire

import "stadion/core"

// DefaultMaxDefinitionBytes bounds the stored JSON of one app or pod (D-38).
const DefaultMaxDefinitionBytes = 512 << 10

// The features that --enable_features may name and that rules of this package ask for.
const (
	FeatureSecrets         = "secrets"
	FeatureExternalVolumes = "external_volumes"
	FeatureGPUs            = "gpu_resources"
)

// Config is what the command line says about definitions. The zero value is usable: role "*", no features.
type Config struct {
	MesosRole           string          // --mesos_role; empty means "*"
	DefaultNetworkName  string          // --default_network_name; empty: container networks need a name
	MesosBridgeName     string          // --mesos_bridge_name; empty means "mesos-bridge"
	Features            map[string]bool // --enable_features
	NewGroupEnforceRole bool            // --new_group_enforce_role=top
	MaxDefinitionBytes  int             // largest definition in bytes of JSON; 0 means DefaultMaxDefinitionBytes (D-38)
	MaxApps             int             // --max_apps; 0 means no limit
}

func (c *Config) mesosRole() string {
	if c.MesosRole == "" {
		return "*"
	}
	return c.MesosRole
}

func (c *Config) mesosBridge() string {
	if c.MesosBridgeName == "" {
		return "mesos-bridge"
	}
	return c.MesosBridgeName
}

func (c *Config) maxBytes() int {
	if c.MaxDefinitionBytes <= 0 {
		return DefaultMaxDefinitionBytes
	}
	return c.MaxDefinitionBytes
}

// featureText is what a rule says when it needs a feature that is off. The parenthesis without a partner is Marathon's.
func featureText(f string) string {
	return "Feature " + f + " is not enabled. Enable with --enable_features " + f + ")"
}

// roles says which role a spec gets when it names none and which it may name (http-api.md 4.10.5).
type roles struct {
	fallback string
	allowed  []string
}

// rolesFor computes the roles of a spec. enforce overrides what the tree says about the top-level group, for groups
// that the same request makes or changes.
func (c *Config) rolesFor(id core.PathID, tree core.Tree, enforce *bool) roles {
	r := roles{fallback: c.mesosRole(), allowed: []string{c.mesosRole()}}
	top := id.Top()
	if id != top {
		name := top.Name()
		if c.enforced(top, tree, enforce) {
			r = roles{fallback: name, allowed: []string{name}}
		} else {
			r.allow(name)
		}
	}
	if s, ok := tree.Spec(id); ok {
		r.allow(s.SpecRole())
	}
	return r
}

func (r *roles) allow(role string) {
	for _, a := range r.allowed {
		if a == role {
			return
		}
	}
	r.allowed = append(r.allowed, role)
}

// enforced reports whether a top-level group makes its name the role of what lies below.
func (c *Config) enforced(top core.PathID, tree core.Tree, override *bool) bool {
	if override != nil {
		return *override
	}
	if g, ok := tree.Group(top); ok {
		return g.EnforceRole != nil && *g.EnforceRole
	}
	return c.NewGroupEnforceRole
}
