package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// apiVersion is the Marathon version whose API is served; clients switch features by it.
const apiVersion = "1.11.24"

// buildVersion is set by the linker.
var buildVersion = "dev"

func versionText() string {
	return fmt.Sprintf("stadion %s (%s, Marathon API %s, %s)", buildVersion, revision(), apiVersion, runtime.Version())
}

// sbom is the list of modules that are built in, in the form of CycloneDX 1.5 (S9). It is read from the binary itself.
func sbom() ([]byte, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, errors.New("this binary does not know what it was built from")
	}
	type property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	type component struct {
		Type       string     `json:"type"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	out := struct {
		Format     string      `json:"bomFormat"`
		Spec       string      `json:"specVersion"`
		Version    int         `json:"version"`
		Metadata   any         `json:"metadata"`
		Components []component `json:"components"`
	}{Format: "CycloneDX", Spec: "1.5", Version: 1, Metadata: map[string]any{"component": component{Type: "application", Name: "stadion", Version: buildVersion}},
		Components: []component{{Type: "application", Name: "go", Version: info.GoVersion}}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + m.Version}
		if m.Sum != "" {
			c.Properties = []property{{"go.sum", m.Sum}}
		}
		out.Components = append(out.Components, c)
	}
	return json.MarshalIndent(out, "", "  ")
}

// revision is the commit the binary was built from, as far as it is known.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return s.Value[:12]
			}
		}
	}
	return "unknown"
}
