package mesos

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a connection to the master. Each ends the stream; the driver then subscribes again.
var (
	// ErrUnauthorized: 401, principal or secret are wrong or missing.
	ErrUnauthorized = errors.New("the master refuses principal and secret")
	// ErrNotSubscribed: 403, the master thinks that the framework is disconnected.
	ErrNotSubscribed = errors.New("the master holds the framework for disconnected")
	// ErrStaleStream: 400, another stream of this framework is current, or the framework is unknown.
	ErrStaleStream = errors.New("the stream is not the current one of the framework")
	// ErrNotFound: 404, what answers is no Mesos master.
	ErrNotFound = errors.New("no scheduler API at the master's address")
	// ErrNoLeader: 503, no master leads or the leader still recovers.
	ErrNoLeader = errors.New("the master is not ready")
	// ErrMoved: 307 to a call, another master leads.
	ErrMoved = errors.New("another master leads")
	// ErrRedirectLoop: the masters send each other's way.
	ErrRedirectLoop = errors.New("too many redirects between masters")
	// ErrSilent: no heartbeat came for too long.
	ErrSilent = errors.New("the stream is silent")
	// ErrQueueFull: the master takes calls more slowly than they are made.
	ErrQueueFull = errors.New("too many calls wait to be sent")
	// ErrLeaderChanged: ZooKeeper names another leading master.
	ErrLeaderChanged = errors.New("the leading master changed")
	// ErrNotUpdated: UPDATE_FRAMEWORK was refused, so that only a new SUBSCRIBE tells the master of the roles.
	ErrNotUpdated = errors.New("the master takes new roles only with a new subscription")

	errClosed = errors.New("the driver was closed")
)

// answerError is an answer of the master that is not 200 or 202.
type answerError struct {
	status int
	text   string
	named  error // one of the above; nil when only this call was refused
}

func (e *answerError) Error() string {
	s := fmt.Sprintf("the master answered %d", e.status)
	if e.text != "" {
		s += ": " + e.text
	}
	if e.named != nil {
		s += " (" + e.named.Error() + ")"
	}
	return s
}

func (e *answerError) Unwrap() error { return e.named }

// checkAnswer names what an answer to a call means; nil when the call was taken.
func checkAnswer(status int, text string) *answerError {
	e := &answerError{status: status, text: text}
	switch {
	case status == 200 || status == 202:
		return nil
	case status == 400 && (strings.Contains(text, "stream ID") || strings.Contains(text, "Mesos-Stream-Id") ||
		strings.Contains(text, "Framework cannot be found")):
		e.named = ErrStaleStream
	case status == 401:
		e.named = ErrUnauthorized
	case status == 403 && !strings.Contains(text, "Not authorized"):
		e.named = ErrNotSubscribed
	case status == 404:
		e.named = ErrNotFound
	case status == 307 || status == 302 || status == 301 || status == 308:
		e.named = ErrMoved
	case status >= 500 || status == 429:
		e.named = ErrNoLeader
	}
	return e
}

// roleRefusals are what the texts of masters contain that refuse roles: those that the framework may not use (up to
// Mesos 1.9 and from 1.10 on), that the master's --roles leaves out, or that are malformed (D-49).
var roleRefusals = []string{
	"Not authorized to use roles", "Not authorized to register framework", "Authorization failure", outsideRoles, "contains invalid role",
	"is not a valid role",
}

// outsideRoles ends a text that begins with exactly the refused roles: Roles { a, b } are not present in ...
const outsideRoles = " are not present in the master's --roles"

// roleRefusal reports whether a text of the master refuses roles.
func roleRefusal(text string) bool {
	for _, part := range roleRefusals {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// namedRoles are the wanted roles that a refusal names as the refused ones; most refusals name none.
func namedRoles(wanted []string, text string) []string {
	list, _, ok := strings.Cut(text, " }"+outsideRoles)
	if !ok {
		return nil
	}
	names := strings.Split(list[strings.LastIndex(list, "{ ")+1:], ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return filter(wanted, func(r string) bool { return contains(names, r) })
}

// malformedRole reports whether Mesos takes a role for invalid whatever the principal.
func malformedRole(role string) bool {
	if role == "" || strings.HasPrefix(role, "/") || strings.HasSuffix(role, "/") || strings.ContainsAny(role, " \t\n\v\f\r\b\x7f") {
		return true
	}
	for _, part := range strings.Split(role, "/") {
		if part == "" || part == "." || part == ".." || strings.HasPrefix(part, "-") || part == "*" && role != "*" {
			return true
		}
	}
	return false
}

// refusedRoles works out which of the wanted roles a refusal is about: those that it names; else the malformed ones;
// else those that are new since the master last took the roles; else all but the first, which is the framework's own;
// else the only one.
func refusedRoles(wanted, accepted []string, text string) []string {
	if named := namedRoles(wanted, text); len(named) > 0 {
		return named
	}
	if bad := filter(wanted, malformedRole); len(bad) > 0 {
		return bad
	}
	if added := filter(wanted, func(r string) bool { return !contains(accepted, r) }); len(added) > 0 && len(added) < len(wanted) {
		return added
	}
	if len(wanted) > 1 {
		return append([]string(nil), wanted[1:]...)
	}
	return append([]string(nil), wanted...)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func filter(list []string, keep func(string) bool) []string {
	var out []string
	for _, s := range list {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}

func without(list, gone []string) []string {
	return filter(list, func(s string) bool { return !contains(gone, s) })
}
