package marathonapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// sink is a ResponseWriter that only counts.
type sink struct {
	h http.Header
	n int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(b []byte) (int, error) { s.n += len(b); return len(b), nil }

// BenchmarkList is P15: GET /v2/apps with 5,000 apps of 10 tasks over a real connection, against a plain handler that
// writes the same bytes.
func BenchmarkList(b *testing.B) {
	s, _ := stillServer(filled(5000, 10))
	for _, path := range []string{"/v2/apps", "/v2/apps?embed=apps.tasks", "/v2/tasks", "/v2/groups?embed=group.groups&embed=group.apps"} {
		body := get(s, "GET", path).Body.Bytes()
		plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typeJSON)
			if _, err := w.Write(body); err != nil {
				b.Error(err)
			}
		})
		for _, side := range []struct {
			name string
			h    http.Handler
		}{{"server", s.Handler()}, {"plain", plain}} {
			b.Run(fmt.Sprintf("%s/%s", path[len("/v2/"):], side.name), func(b *testing.B) {
				web := httptest.NewServer(side.h)
				defer web.Close()
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					req, err := http.NewRequest("GET", web.URL+path, nil)
					if err != nil {
						b.Fatal(err)
					}
					req.Header.Set("Accept-Encoding", "identity")
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						b.Fatal(err)
					}
					n, err := discard(res)
					if err != nil || n != len(body) {
						b.Fatalf("%d bytes, want %d: %v", n, len(body), err)
					}
				}
			})
		}
	}
}

// BenchmarkUnchanged is P18: a conditional GET of a list that did not change.
func BenchmarkUnchanged(b *testing.B) {
	s, _ := stillServer(filled(5000, 10))
	req := httptest.NewRequest("GET", "/v2/apps?embed=apps.tasks", nil)
	req.Header.Set("If-None-Match", `W/"3-17"`)
	b.ReportAllocs()
	for b.Loop() {
		w := &sink{h: http.Header{}}
		s.Handler().ServeHTTP(w, req)
		if w.n != 0 {
			b.Fatal("a body was sent")
		}
	}
}

func discard(res *http.Response) (n int, err error) {
	defer res.Body.Close()
	buf := make([]byte, 256<<10)
	for {
		k, err := res.Body.Read(buf)
		n += k
		if err != nil {
			if err.Error() == "EOF" {
				return n, nil
			}
			return n, err
		}
	}
}
