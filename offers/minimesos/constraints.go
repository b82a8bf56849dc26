package minimesos

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// constraints keep agents from being offered in a role: per role a list of
// groups, of which one has to hold whole. A role without entry takes all agents.
type constraints map[string][]constraintGroup

type constraintGroup []attributeConstraint

// attributeConstraint is one predicate about an attribute or pseudo-attribute.
type attributeConstraint struct {
	name   string // of an attribute, "" for a pseudo-attribute
	pseudo int    // 1 hostname, 2 region, 3 zone
	kind   predicate
	value  string
	regex  *regexp.Regexp
}

// predicate numbers are the field numbers of AttributeConstraint.Predicate.
type predicate int

const (
	exists         predicate = 1
	notExists      predicate = 2
	textEquals     predicate = 3
	textNotEquals  predicate = 4
	textMatches    predicate = 5
	textNotMatches predicate = 6
)

var predicateNames = map[string]predicate{
	"exists": exists, "not_exists": notExists, "text_equals": textEquals,
	"text_not_equals": textNotEquals, "text_matches": textMatches, "text_not_matches": textNotMatches,
}

var pseudoNames = map[string]int{"HOSTNAME": 1, "REGION": 2, "ZONE": 3}

// constraints is what a call sets, nil for none.
func (w *wideCall) constraints() constraints {
	if w == nil {
		return nil
	}
	return w.roles
}

// checkConstraints tells what is wrong with the constraints of a call.
func (w *wideCall) checkConstraints(roles []string) string {
	if w == nil {
		return ""
	}
	if w.bad != "" {
		return "Offer constraints are not valid: " + w.bad
	}
	for _, name := range w.names {
		if !slices.Contains(roles, name) {
			return "Offer constraints specify `role_constraints` for a role '" + name + "'not contained in the set of roles"
		}
	}
	return ""
}

func (w *wideCall) addRole(role string, groups []constraintGroup) {
	if w.roles == nil {
		w.roles = constraints{}
	}
	w.roles[role] = groups
	w.names = append(w.names, role)
	if len(groups) == 0 {
		w.bad = "A role " + role + " has an empty list of groups"
	}
	for _, g := range groups {
		for i := range g {
			if text := g[i].compile(); text != "" {
				w.bad = "A role " + role + " has an invalid 'AttributeConstraint': " + text
			}
		}
	}
}

func (a *attributeConstraint) compile() string {
	if a.kind == 0 {
		return "Exactly one predicate must be set"
	}
	if a.kind != textMatches && a.kind != textNotMatches {
		return ""
	}
	re, err := regexp.Compile("^(?:" + a.value + ")$")
	if err != nil {
		text := err.Error()
		if _, detail, ok := strings.Cut(text, "error parsing regexp: "); ok {
			text = strings.ReplaceAll(strings.SplitN(detail, ":", 2)[0], "closing ", "")
		}
		return fmt.Sprintf("Failed to construct regex from pattern '%s': %s: %s", a.value, text, a.value)
	}
	a.regex = re
	return ""
}

// constraintsFromProtobuf reads an OfferConstraints message.
func constraintsFromProtobuf(msg []byte) *wideCall {
	w := &wideCall{}
	within(msg, []int{1}, func(entry []byte) {
		role := ""
		var groups []constraintGroup
		eachField(entry, func(field int, p []byte, _ uint64) {
			if field == 1 {
				role = string(p)
				return
			}
			within(p, []int{1}, func(group []byte) {
				var g constraintGroup
				within(group, []int{1}, func(c []byte) { g = append(g, constraintFromProtobuf(c)) })
				groups = append(groups, g)
			})
		})
		w.addRole(role, groups)
	})
	return w
}

func constraintFromProtobuf(msg []byte) attributeConstraint {
	var a attributeConstraint
	eachField(msg, func(field int, p []byte, _ uint64) {
		switch field {
		case 1:
			eachField(p, func(f int, s []byte, v uint64) {
				if f == 1 {
					a.name = string(s)
				} else {
					a.pseudo = int(v)
				}
			})
		case 2:
			eachField(p, func(f int, body []byte, _ uint64) {
				a.kind = predicate(f)
				eachField(body, func(_ int, s []byte, _ uint64) { a.value = string(s) })
			})
		}
	})
	return a
}

// constraintsFromJSON reads an offer_constraints object.
func constraintsFromJSON(tree any) *wideCall {
	if tree == nil {
		return nil
	}
	w := &wideCall{}
	roles, _ := dig(tree, "role_constraints").(map[string]any)
	for role, body := range roles {
		var groups []constraintGroup
		list, _ := dig(body, "groups").([]any)
		for _, g := range list {
			var group constraintGroup
			items, _ := dig(g, "attribute_constraints").([]any)
			for _, item := range items {
				group = append(group, constraintFromJSON(item))
			}
			groups = append(groups, group)
		}
		w.addRole(role, groups)
	}
	return w
}

func constraintFromJSON(item any) attributeConstraint {
	var a attributeConstraint
	a.name, _ = dig(item, "selector", "attribute_name").(string)
	pseudo, _ := dig(item, "selector", "pseudoattribute_type").(string)
	a.pseudo = pseudoNames[pseudo]
	body, _ := dig(item, "predicate").(map[string]any)
	for name, kind := range predicateNames {
		value, set := body[name]
		if !set {
			continue
		}
		a.kind = kind
		for _, key := range []string{"value", "regex"} {
			if s, ok := dig(value, key).(string); ok {
				a.value = s
			}
		}
	}
	return a
}

// object is the JSON form of the constraints.
func (c constraints) object() object {
	if len(c) == 0 {
		return object{}
	}
	roles := object{}
	for role, groups := range c {
		list := []any{}
		for _, g := range groups {
			items := []any{}
			for i := range g {
				items = append(items, g[i].object())
			}
			list = append(list, object{"attribute_constraints": items})
		}
		roles[role] = object{"groups": list}
	}
	return object{"role_constraints": roles}
}

func (a *attributeConstraint) object() object {
	selector := object{"attribute_name": a.name}
	for name, pseudo := range pseudoNames {
		if a.pseudo == pseudo {
			selector = object{"pseudoattribute_type": name}
		}
	}
	body := object{}
	switch a.kind {
	case textEquals, textNotEquals:
		body["value"] = a.value
	case textMatches, textNotMatches:
		body["regex"] = a.value
	}
	for name, kind := range predicateNames {
		if a.kind == kind {
			return object{"selector": selector, "predicate": object{name: body}}
		}
	}
	return object{"selector": selector}
}

// allow tells whether agents like n may be offered in role.
func (c constraints) allow(role string, n *node) bool {
	groups, limited := c[role]
	if !limited {
		return true
	}
	for _, g := range groups {
		all := true
		for i := range g {
			all = all && g[i].holds(n)
		}
		if all {
			return true
		}
	}
	return false
}

// holds applies a predicate. Predicates about text hold for attributes of other
// types, which they cannot judge.
func (a *attributeConstraint) holds(n *node) bool {
	value, there, text := a.lookup(n)
	switch a.kind {
	case exists:
		return there
	case notExists:
		return !there
	case textEquals:
		return there && (!text || value == a.value)
	case textNotEquals:
		return !there || !text || value != a.value
	case textMatches:
		return there && (!text || a.regex.MatchString(value))
	case textNotMatches:
		return !there || !text || !a.regex.MatchString(value)
	}
	return false
}

func (a *attributeConstraint) lookup(n *node) (value string, there, text bool) {
	fault := n.cfg.Domain.GetFaultDomain()
	switch a.pseudo {
	case 1:
		return n.cfg.Hostname, true, true
	case 2:
		if fault == nil {
			return "", false, true
		}
		return fault.Region.Name, true, true
	case 3:
		if fault == nil {
			return "", false, true
		}
		return fault.Zone.Name, true, true
	}
	for i := range n.cfg.Attributes {
		attr := &n.cfg.Attributes[i]
		if attr.Name != a.name {
			continue
		}
		if attr.Type == mesos.TEXT {
			return attr.GetText().GetValue(), true, true
		}
		if attr.Type == mesos.SCALAR {
			return strconv.FormatFloat(attr.GetScalar().GetValue(), 'f', -1, 64), true, false
		}
		return "", true, false
	}
	return "", false, true
}
