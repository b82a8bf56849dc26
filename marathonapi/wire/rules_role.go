package wire

import (
	"fmt"
	"slices"
	"strings"
)

// checkRole checks that a spec may have its role (http-api.md 4.10.5).
func checkRole(role string, r roles, v *violations) {
	if !slices.Contains(r.allowed, role) {
		v.add("/role", fmt.Sprintf("got %s, expected one of: [%s]", role, strings.Join(r.allowed, ", ")))
	}
}

// checkAcceptedRoles checks acceptedResourceRoles of an app or pod; nil means not given.
func checkAcceptedRoles(accepted []string, role string, resident bool, kind string, v *violations) {
	const at = "/acceptedResourceRoles"
	switch {
	case accepted == nil:
		return
	case len(accepted) == 0:
		v.add(at, "must not be empty")
		return
	case resident && !slices.Equal(accepted, []string{"*"}):
		v.add(at, "A resident "+kind+" must have `acceptedResourceRoles = [\"*\"]`.")
		return
	}
	for _, name := range accepted {
		if text := roleSyntax(name); text != "" {
			v.add(at, text)
		}
	}
	if slices.ContainsFunc(accepted, func(n string) bool { return n != "*" && n != role }) {
		text := "acceptedResourceRoles can only contain *"
		if role != "*" {
			text += " and " + role
		}
		v.add(at, text)
	}
}

// forbiddenInRole names the characters that no role may contain, in Mesos's words.
var forbiddenInRole = []struct{ char, text string }{
	{"\t", `a horizontal tab (\x09)`}, {"\n", `a line feed (\x0a)`}, {"\v", `a vertical tab (\x0b)`}, {"\f", `a form feed (\x0c)`},
	{"\r", `a carriage return (\x0d)`}, {" ", `a space (\x20)`}, {"/", `a slash (\x2f)`}, {"\b", `a backspace (\x08)`},
}

func roleSyntax(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return `A role name must not be "` + name + `".`
	case strings.HasPrefix(name, "-"):
		return "A role name must not start with a '-'."
	}
	for _, f := range forbiddenInRole {
		if strings.Contains(name, f.char) {
			return "A role name must not include " + f.text + " character."
		}
	}
	return ""
}
