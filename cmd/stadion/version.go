package main

import (
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
