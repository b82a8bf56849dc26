package wire

import (
	"fmt"
	"strconv"
	"strings"

	"stadion/core"
)

// The messages of a body that cannot be used (http-api.md 1.14).
const (
	msgInvalidJSON = "Invalid JSON"
	msgNotValid    = "Object is not valid"
	msgNoBody      = "Please specify data in JSON format"
)

// The keys of schema violations (http-api.md 1.13).
const (
	errString    = "error.expected.jsstring"
	errNumber    = "error.expected.jsnumber"
	errBoolean   = "error.expected.jsboolean"
	errArray     = "error.expected.jsarray"
	errObject    = "error.expected.jsobject"
	errPattern   = "error.pattern"
	errMinLength = "error.minLength"
	errMaxLength = "error.maxLength"
	errMin       = "error.min"
	errMax       = "error.max"
	errEnum      = "error.unknown.enum.literal"
	errInt       = "error.expected.int"
	errLong      = "error.expected.long"
	errDate      = "error.expected.date"
	errDateForm  = "error.expected.date.isoformat"
)

// path is the place of a value in a body. It is a list from the leaf up, because only violations need the text.
type path struct {
	up    *path
	name  string
	index int // used when name is empty and up is not nil
}

func (p *path) field(name string) *path { return &path{up: p, name: name} }
func (p *path) at(i int) *path          { return &path{up: p, index: i} }

// String is the form of http-api.md 1.14: "/a/b(0)/c", and "/" for the whole body.
func (p *path) String() string {
	if p == nil || p.up == nil {
		return "/"
	}
	var b strings.Builder
	p.write(&b)
	return b.String()
}

func (p *path) write(b *strings.Builder) {
	if p.up == nil {
		return
	}
	p.up.write(b)
	if p.name == "" {
		b.WriteString("(" + strconv.Itoa(p.index) + ")")
		return
	}
	b.WriteString("/" + p.name)
}

// maxViolations bounds an answer: whoever sends a body with more mistakes than this learns of the first ones.
const maxViolations = 500

// violations collects what is wrong with a body, one entry per path in order of appearance.
type violations []core.Detail

func (v *violations) add(path string, text ...string) {
	for i := range *v {
		if (*v)[i].Path == path {
			(*v)[i].Errors = append((*v)[i].Errors, text...)
			return
		}
	}
	if len(*v) < maxViolations {
		*v = append(*v, core.Detail{Path: path, Errors: text})
	}
}

func (v violations) has(path string) bool {
	for _, d := range v {
		if d.Path == path {
			return true
		}
	}
	return false
}

func (v violations) err(message string) error {
	if len(v) == 0 {
		return nil
	}
	return &core.Error{Kind: core.Invalid, Message: message, Details: v}
}

// notValid is a single violated rule.
func notValid(path, text string) error {
	return violations{{Path: path, Errors: []string{text}}}.err(msgNotValid)
}

func notFound(kind string, id core.PathID) error {
	return &core.Error{Kind: core.NotFound, Message: fmt.Sprintf("%s '%s' does not exist", kind, id)}
}
