package marathonapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/marathonapi/access"
)

// BenchmarkPost is what one POST of an app costs the server between the connection and the store, everything but these
// two: the part of P11 that is ours.
func BenchmarkPost(b *testing.B) {
	for _, apps := range []int{10, 1000} {
		b.Run(fmt.Sprintf("apps=%d", apps), func(b *testing.B) {
			mc := machine.DefaultConfig()
			publisher := &late{}
			l := loop.New(loop.Config{Machine: machine.New(mc, state.New()), Store: memoryStore{}, Publisher: publisher, Term: 7, Seed: 1, MaxRows: mc.MaxRows})
			s := New(Config{HostPort: "127.0.0.1:8080", Plan: mc.Plan, Version: "1.11.24"}, Deps{Loop: l, Leadership: alwaysLeader{make(chan string, 1)}})
			publisher.s = s
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- l.Run(ctx) }()
			defer func() { s.Close(); stop(); <-ended }()
			nowhere := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(nothing{}), zap.InfoLevel))
			guard := &access.Guard{Next: s.Handler(), Audit: nowhere, Leads: func() bool { return true }}
			n := 0
			post := func() {
				n++
				req := httptest.NewRequest(http.MethodPost, "/v2/apps", strings.NewReader(fmt.Sprintf(
					`{"id":"/extra/p-%d","cmd":"sleep 1000","cpus":0.1,"mem":32,"instances":0,"portDefinitions":[]}`, n)))
				req.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				guard.ServeHTTP(w, req)
				if w.Code != http.StatusCreated {
					b.Fatalf("status %d: %s", w.Code, w.Body)
				}
			}
			for n < apps {
				post()
			}
			b.ReportAllocs()
			for b.Loop() {
				post()
			}
		})
	}
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
