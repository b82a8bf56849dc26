package marathonapi

import (
	"fmt"
	"slices"
	"strings"

	"stadion/core"
)

// maxSelector bounds the text of a label selector.
const maxSelector = 16 << 10

// selector is a parsed label selector: all terms must hold (http-api.md 4.3).
type selector []labelTerm

type labelTerm struct {
	key    string
	negate bool
	values []string // nil: the label only has to exist
}

// matches reports whether labels satisfy the selector. Negative operators ask for the label to exist, too.
func (s selector) matches(labels map[string]string) bool {
	for _, t := range s {
		v, ok := labels[t.key]
		if !ok || t.values != nil && slices.Contains(t.values, v) == t.negate {
			return false
		}
	}
	return true
}

// parseSelector reads a label selector; the error is Invalid and names the text.
func parseSelector(text string) (selector, error) {
	p := &selectorParser{rest: text}
	var out selector
	p.blanks()
	for p.rest != "" && len(text) <= maxSelector {
		t, err := p.term()
		if err == nil && p.rest != "" && !p.take(",") {
			err = fmt.Errorf("',' expected but %q found", p.rest)
		} else if err == nil && p.last == "," && p.rest == "" {
			err = fmt.Errorf("label expected after ','")
		}
		if err != nil {
			return nil, selectorError(text, err.Error())
		}
		out = append(out, t)
	}
	if len(text) > maxSelector {
		return nil, selectorError(text[:32]+"…", "the selector is too long")
	}
	return out, nil
}

func selectorError(text, reason string) error {
	return &core.Error{Kind: core.Invalid, Message: fmt.Sprintf("Can not parse label selector %s. Reason: %s", text, reason)}
}

type selectorParser struct {
	rest string
	last string // last operator taken
}

func (p *selectorParser) blanks() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take consumes an operator and the blanks behind it.
func (p *selectorParser) take(op string) bool {
	rest, ok := strings.CutPrefix(p.rest, op)
	if ok {
		p.rest, p.last = rest, op
		p.blanks()
	} else {
		p.last = ""
	}
	return ok
}

// term reads key, key==value, key!=value, key in (…) or key notin (…).
func (p *selectorParser) term() (labelTerm, error) {
	key, err := p.word()
	if err != nil {
		return labelTerm{}, err
	}
	t := labelTerm{key: key}
	switch {
	case p.take("=="), p.take("!="):
		t.negate = p.last == "!="
		v, err := p.word()
		t.values = []string{v}
		return t, err
	case p.rest == "" || p.rest[0] == ',':
		return t, nil
	}
	op, err := p.word()
	if err != nil {
		return t, err
	}
	if op != "in" && op != "notin" {
		return t, fmt.Errorf("operator expected but %q found", op)
	}
	t.negate = op == "notin"
	t.values, err = p.list()
	return t, err
}

// list reads (word, word, …); an empty list is one, too.
func (p *selectorParser) list() ([]string, error) {
	if !p.take("(") {
		return nil, fmt.Errorf("'(' expected but %q found", p.rest)
	}
	values := []string{}
	for !p.take(")") {
		v, err := p.word()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if p.take(")") {
			break
		}
		if !p.take(",") || strings.HasPrefix(p.rest, ")") {
			return nil, fmt.Errorf("')' expected but %q found", p.rest)
		}
	}
	return values, nil
}

// word reads letters, digits, - _ . and whatever follows a backslash.
func (p *selectorParser) word() (string, error) {
	var b strings.Builder
	i := 0
	for i < len(p.rest) {
		c := p.rest[i]
		if c == '\\' && i+1 < len(p.rest) {
			b.WriteByte(p.rest[i+1])
			i += 2
			continue
		}
		if !wordByte(c) {
			break
		}
		b.WriteByte(c)
		i++
	}
	if i == 0 {
		return "", fmt.Errorf("word expected but %q found", p.rest)
	}
	p.rest = p.rest[i:]
	p.blanks()
	return b.String(), nil
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}
