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
	if accepted == nil {
		return
	}
	if len(accepted) == 0 {
		v.add(at, textNotEmpty)
	}
	for i, name := range accepted {
		checkRoleName(name, fmt.Sprintf("%s(%d)", at, i), v)
	}
	if resident && !slices.Equal(accepted, []string{"*"}) {
		v.add(at, residentRoles(kind))
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
var forbiddenInRole = map[rune]string{'\t': `horizontal tab (\x09)`, '\n': `line feed (\x0a)`, '\v': `vertical tab (\x0b)`,
	'\f': `form feed (\x0c)`, '\r': `carriage return (\x0d)`, ' ': `space (\x20)`, '/': `slash (\x2f)`, 0x7f: `backspace (\x7f)`}

// checkRoleName checks the name of a role; what is wrong with one character is told at its position.
func checkRoleName(name, at string, v *violations) {
	if name == "" || name == "." || name == ".." {
		v.add(at, `A role name must not be "`+name+`".`)
	}
	if strings.HasPrefix(name, "-") {
		v.add(at, "A role name must not start with a '-'.")
	}
	n := 0
	for _, char := range name {
		if text, bad := forbiddenInRole[char]; bad {
			v.add(fmt.Sprintf("%s(%d)", at, n), "A role name must not include a "+text+" character.")
		}
		n++
	}
}

func residentRoles(kind string) string {
	return "A resident " + kind + " must have `acceptedResourceRoles = [\"*\"]`."
}
