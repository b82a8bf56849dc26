// Package clients calls every method of the public Marathon clients against the
// built binary and checks what comes back: go-marathon v0.7.1 (a table that must
// name every method of its interface) and marathon-python as Debian packages it
// (python3-marathon; installed when missing and possible).
//
// Where a client cannot work with Marathon 1.11 itself (callback subscriptions,
// KillTask's guess of the app's id, TaskEndpoints' old place of port mappings) the
// test expects what Marathon answers there. marathon-python hands every key of an
// answer to a constructor and so breaks on the few that came with Marathon 1.8 and
// 1.9; the script lets it pass over exactly those and no other.
package clients
