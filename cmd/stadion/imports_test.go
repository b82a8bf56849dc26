package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is who may import whom inside the module (design.md 3). "" stands for nothing of the module.
var mayImport = map[string][]string{
	"core":                         {},
	"core/state":                   {"core"},
	"core/machine":                 {"core", "core/state", "offers", "deployments"},
	"core/store":                   {"core", "core/state"},
	"core/store/etcdtest":          {},
	"core/loop":                    {"core", "core/state", "core/machine", "offers"},
	"core/probe":                   {"core", "core/machine"},
	"core/simulation":              {"core", "core/state", "core/machine", "core/store", "offers", "deployments"},
	"offers":                       {"core"},
	"offers/mesos":                 {"core", "offers"},
	"offers/minimesos":             {"offers/minimesos/agent"},
	"offers/minimesos/agent":       {},
	"deployments":                  {"core"},
	"leader":                       {},
	"marathonapi":                  {"core", "core/state", "core/machine", "core/loop", "marathonapi/wire", "marathonapi/metrics", "marathonapi/access", "deployments", "offers"},
	"marathonapi/access":           {"core"},
	"marathonapi/internal/fixture": {},
	"marathonapi/metrics":          {},
	"marathonapi/takeover":         {"core", "core/state", "marathonapi/wire"},
	"marathonapi/wire":             {"core"},
}

// onlyIn says where each dependency may be used (design.md 2.11).
var onlyIn = map[string][]string{
	"github.com/labstack/echo/v4":            {"marathonapi"},
	"github.com/go-playground/validator/v10": {"marathonapi", "marathonapi/wire"},
	"go.etcd.io/etcd/client/v3":              {"core/store", "core/store/etcdtest", "leader", "cmd/stadion"},
	"go.etcd.io/etcd/server/v3/embed":        {"cmd/stadion", "core/store/etcdtest"},
	"github.com/mesos/mesos-go":              {"offers/mesos", "offers/minimesos", "offers/minimesos/agent"},
	"google.golang.org/grpc":                 {"leader"}, // settings of the etcd client's connection
	"go.uber.org/zap":                        {"cmd/stadion", "core/loop", "core/store", "core/probe", "leader", "marathonapi", "marathonapi/access", "offers/mesos", "offers/minimesos", "core/store/etcdtest"},
}

// pure packages know no clock, no randomness of their own, no network and no context (design.md 2.1).
var pure = []string{"core", "core/state", "core/machine", "offers", "deployments"}

var impure = []string{"context", "net", "net/http", "os", "sync", "crypto/rand", "math/rand", "log", "log/slog", "go.uber.org/zap"}

type listed struct {
	ImportPath string
	Imports    []string
}

// TestImports holds the layout: who imports whom, where each dependency is used, and what the pure packages may know.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "stadion/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		check(t, strings.TrimPrefix(p.ImportPath, "stadion/"), p.Imports)
	}
}

func check(t *testing.T, pkg string, imports []string) {
	allowed, ruled := mayImport[pkg]
	if !ruled && !strings.HasPrefix(pkg, "cmd/") {
		t.Errorf("package %s has no rule: add it to mayImport", pkg)
	}
	for _, i := range imports {
		if own, ok := strings.CutPrefix(i, "stadion/"); ok && ruled && !slices.Contains(allowed, own) {
			t.Errorf("%s must not import %s", pkg, own)
		}
		for dep, places := range onlyIn {
			if (i == dep || strings.HasPrefix(i, dep+"/")) && !slices.Contains(places, pkg) {
				t.Errorf("%s must not use %s", pkg, dep)
			}
		}
		if slices.Contains(pure, pkg) && slices.Contains(impure, i) {
			t.Errorf("%s is pure and must not import %s", pkg, i)
		}
	}
}
