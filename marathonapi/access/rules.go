package access

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"stadion/core"
)

// Right is a set of things a user may do.
type Right uint16

// The rights. The first five are about apps, pods and groups and hold below an id; the others are about the server.
const (
	View    Right = 1 << iota
	Create        // new apps, pods and groups
	Update        // change, scale, restart, kill tasks, steer deployments, reset delays
	Delete        // remove
	Force         // override a running deployment
	System        // /config, /metrics and GET /logging
	Leader        // make the leader resign, with backup and restore
	Logging       // change log levels

	OfTree = View | Create | Update | Delete | Force
	All    = OfTree | System | Leader | Logging
)

var rightNames = map[string]Right{"view": View, "create": Create, "update": Update, "delete": Delete, "force": Force,
	"system": System, "leader": Leader, "logging": Logging, "*": All}

// rule gives rights on an id and everything below it.
type rule struct {
	who    string
	rights Right
	below  core.PathID
}

// Rules are the lines of --http_permissions_file (S5). Without rules whoever may enter may do everything.
type Rules struct {
	rules  []rule
	groups map[string][]string // names of users by group
}

// ReadRules reads a file of lines "who right[,right…] [/id]". Who is a user, * for every user, or @name for a group of
// users that an earlier line "@name: user, user" made. Rights on apps, pods and groups need the id of an app, pod or
// group, below which they hold. nil for no file.
func ReadRules(file string) (*Rules, error) {
	if file == "" {
		return nil, nil
	}
	rs := &Rules{groups: map[string][]string{}}
	if err := eachLine(file, rs.line); err != nil {
		return nil, err
	}
	return rs, nil
}

func (rs *Rules) line(line string) error {
	line, _, _ = strings.Cut(line, " #")
	if name, users, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "@") {
		name = strings.TrimSpace(name)
		if _, twice := rs.groups[name]; twice {
			return fmt.Errorf("group %s is there twice", name)
		}
		rs.groups[name] = strings.FieldsFunc(users, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
		return nil
	}
	f := strings.Fields(line)
	if len(f) < 2 || len(f) > 3 {
		return fmt.Errorf("expected: user right[,right] [/id]")
	}
	r := rule{who: f[0]}
	if _, known := rs.groups[r.who]; strings.HasPrefix(r.who, "@") && !known {
		return fmt.Errorf("group %s has no line %q before this one", r.who, r.who+": user, user")
	}
	for name := range strings.SplitSeq(f[1], ",") {
		right, ok := rightNames[name]
		if !ok {
			return fmt.Errorf("%q is no right: known are view, create, update, delete, force, system, leader, logging and *", name)
		}
		r.rights |= right
	}
	if len(f) == 2 {
		if r.rights&OfTree != 0 {
			return fmt.Errorf("%s needs the id it holds for, / for all", f[1])
		}
		rs.rules = append(rs.rules, r)
		return nil
	}
	id, err := core.ParsePath(f[2], core.Root)
	if err != nil || !strings.HasPrefix(f[2], "/") {
		return fmt.Errorf("%q is no id of an app, pod or group", f[2])
	}
	r.below = id
	if id != core.Root && f[1] == "*" {
		r.rights = OfTree // of one part of the tree, not of the server
	} else if id != core.Root && r.rights&^OfTree != 0 {
		return fmt.Errorf("%s: system, leader and logging are rights on the server: give them without an id", f[1])
	}
	rs.rules = append(rs.rules, r)
	return nil
}

// Of is what a user may do. Without rules that is everything.
func (rs *Rules) Of(user string) *Actor {
	a := &Actor{Name: user}
	if rs == nil {
		return a
	}
	a.bound = true
	for _, r := range rs.rules {
		if r.who == "*" || r.who == user || slices.Contains(rs.groups[r.who], user) {
			a.rules = append(a.rules, r)
		}
	}
	return a
}

// Actor is who makes a request. The nil actor, and one without rules, may do everything.
type Actor struct {
	Name  string
	bound bool // by rules
	rules []rule
}

// Bound reports whether there is anything the actor may not do.
func (a *Actor) Bound() bool { return a != nil && a.bound }

// Known reports whether the actor has any right at all.
func (a *Actor) Known() bool { return !a.Bound() || len(a.rules) > 0 }

// May reports whether the actor has one of these rights on an id.
func (a *Actor) May(right Right, id core.PathID) bool {
	if !a.Bound() {
		return true
	}
	for _, r := range a.rules {
		if r.rights&right != 0 && r.below != "" && id.Within(r.below) {
			return true
		}
	}
	return false
}

// Sees reports whether the actor has one of these rights on an id or on something below it: a group is shown to whoever
// may see a part of it.
func (a *Actor) Sees(right Right, id core.PathID) bool {
	if a.May(right, id) {
		return true
	}
	for _, r := range a.rules {
		if r.rights&right != 0 && r.below != "" && r.below.Within(id) {
			return true
		}
	}
	return false
}

// Has reports whether the actor has a right on the server.
func (a *Actor) Has(right Right) bool {
	if !a.Bound() {
		return true
	}
	for _, r := range a.rules {
		if r.rights&right != 0 {
			return true
		}
	}
	return false
}

type contextKey struct{}

// carried is what a request's context carries.
type carried struct {
	actor  *Actor
	record *Record
}

// With puts an actor and the record of the request into a context.
func With(ctx context.Context, a *Actor, r *Record) context.Context {
	return context.WithValue(ctx, contextKey{}, carried{a, r})
}

// ActorOf is the actor of a request, nil without a guard.
func ActorOf(ctx context.Context) *Actor {
	c, _ := ctx.Value(contextKey{}).(carried)
	return c.actor
}

// RecordOf is the record of a request; nil where nothing is recorded.
func RecordOf(ctx context.Context) *Record {
	c, _ := ctx.Value(contextKey{}).(carried)
	return c.record
}

// eachLine calls f for the lines of a file that are neither empty nor comments.
func eachLine(file string, f func(string) error) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%s, line %d: %w", file, n, err)
		}
	}
	return lines.Err()
}
