package core

import (
	"fmt"
	"regexp"
	"strings"
)

// PathID is the absolute id of an app, pod or group: "/" or "/a/b" (http-api.md 1.11).
// The zero value is invalid.
type PathID string

// Root is the id of the root group.
const Root PathID = "/"

// MaxPathDepth bounds the number of segments of an id, so that no client can make trees of absurd depth (F30).
const MaxPathDepth = 256

var segment = regexp.MustCompile(`^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])$`)

// ParsePath makes an absolute id of text, resolving relative ids and "." and ".." against base. It reports an
// error when a segment is no valid name or the result climbs above the root.
func ParsePath(text string, base PathID) (PathID, error) {
	full := text
	if !strings.HasPrefix(text, "/") {
		full = string(base) + "/" + text
	}
	var out []string
	for _, s := range strings.Split(full, "/") {
		switch s {
		case "", ".":
		case "..":
			if len(out) == 0 {
				return "", fmt.Errorf("path %q climbs above the root", text)
			}
			out = out[:len(out)-1]
		default:
			if !segment.MatchString(s) {
				return "", fmt.Errorf("path %q has the invalid segment %q", text, s)
			}
			out = append(out, s)
		}
	}
	if len(out) > MaxPathDepth {
		return "", fmt.Errorf("path has %d segments, more than %d", len(out), MaxPathDepth)
	}
	return PathID("/" + strings.Join(out, "/")), nil
}

// Segments returns the names from the root down; none for the root.
func (p PathID) Segments() []string {
	if p == Root || p == "" {
		return nil
	}
	return strings.Split(string(p)[1:], "/")
}

// Parent is the id of the enclosing group; the root is its own parent.
func (p PathID) Parent() PathID {
	i := strings.LastIndexByte(string(p), '/')
	if i <= 0 {
		return Root
	}
	return p[:i]
}

// Name is the last segment, empty for the root.
func (p PathID) Name() string {
	return string(p[strings.LastIndexByte(string(p), '/')+1:])
}

// Top is the id of the top-level group or spec the id lies in; the root for the root.
func (p PathID) Top() PathID {
	if p == Root || p == "" {
		return Root
	}
	if i := strings.IndexByte(string(p)[1:], '/'); i >= 0 {
		return p[:i+1]
	}
	return p
}

// Within reports whether p is group itself or lies below it.
func (p PathID) Within(group PathID) bool {
	return p == group || p.Below(group)
}

// Below reports whether p lies strictly below group.
func (p PathID) Below(group PathID) bool {
	if group == Root {
		return p != Root
	}
	return len(p) > len(group) && p[len(group)] == '/' && p[:len(group)] == group
}

// Child is the id of a direct child.
func (p PathID) Child(name string) PathID {
	if p == Root {
		return PathID("/" + name)
	}
	return p + PathID("/"+name)
}

// SafePath is the id with "_" for "/", as it stands in instance and task ids (behaviour.md 6.1).
func (p PathID) SafePath() string {
	return strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", "_")
}

// FromSafePath is the reverse of SafePath; segments never contain "_".
func FromSafePath(s string) PathID {
	return PathID("/" + strings.ReplaceAll(s, "_", "/"))
}

// Hostname is the id as a DNS-like name: reversed segments joined by "." (behaviour.md 6.1).
func (p PathID) Hostname() string {
	s := p.Segments()
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
	return strings.Join(s, ".")
}
