package main

import (
	"os"
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

// newAudit is where changes are written down: the process's log, whatever its level, or a file of JSON lines that is only
// ever appended to (S8).
func newAudit(file string, log *zap.Logger) (*zap.Logger, func(), error) {
	if file == "" {
		return log.Named("audit"), func() {}, nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, exitWith(exitFlag, "--audit_log_file: %w", err)
	}
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime, cfg.LevelKey, cfg.MessageKey = zapcore.ISO8601TimeEncoder, "", ""
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.Lock(f), zapcore.InfoLevel)), func() { _ = f.Close() }, nil
}
