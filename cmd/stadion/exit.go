package main

import (
	"errors"
	"fmt"
)

// The exit codes (behaviour.md 9.6).
const (
	exitStoreUnreachable = 100 // cannot connect to etcd
	exitStoreLost        = 101
	exitLeadershipLost   = 103
	exitFaulty           = 104 // leadership ended because its beginning failed
	exitAbdicated        = 105 // leadership was given up on request
	exitMesosError       = 106
	exitInternal         = 107
	exitNoFrameworkID    = 108
	exitRemoved          = 110
	exitBind             = 111
	exitFlag             = 112
)

// exitError ends the process with a code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exitWith makes an error that ends the process with code.
func exitWith(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// codeOf is the exit code an error asks for.
func codeOf(err error) int {
	if err == nil {
		return 0
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitInternal
}
