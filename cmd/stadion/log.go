package main

import (
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logLevel is the level of the whole process; POST /logging changes it.
var logLevel = zap.NewAtomicLevel()

// newLogger makes the logger of the process: one line per entry on standard error.
func newLogger(level string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(strings.ToLower(level))
	if err != nil {
		return nil, exitWith(exitFlag, "invalid value %q of --logging_level: expected debug, info, warn or error", level)
	}
	logLevel.SetLevel(l)
	cfg := zap.NewProductionConfig()
	cfg.Encoding = "console"
	cfg.Level = logLevel
	cfg.DisableStacktrace = true
	cfg.DisableCaller = true
	cfg.Sampling = nil
	cfg.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	cfg.OutputPaths = []string{"stderr"}
	return cfg.Build()
}
