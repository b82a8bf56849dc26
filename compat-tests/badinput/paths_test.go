package badinput

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// oddPaths are targets as no client library would send them.
var oddPaths = []string{
	"/v2/apps/..", "/v2/apps/../..", "/v2/apps/%2e%2e/x", "/v2/apps/%00", "/v2/apps/%ff%fe", "/v2/apps/%zz", "/v2/apps/%", "/v2/apps//", "/v2/apps///",
	"/v2/apps//a//b", "/v2/apps/a/tasks/", "/v2/apps/tasks", "/v2/apps/versions", "/v2/apps/restart", "/v2/apps/*", "/v2/apps/*/tasks", "/v2/apps/%2A",
	"/v2/apps/a/*/b", "/v2/apps/a/versions/", "/v2/apps/a/versions/%20", "/v2/apps?embed=", "/v2/apps?embed=%00&embed=moon", "/v2/apps?label=%", "/v2/apps?label=((",
	"/v2/apps?id=%ff", "/v2/apps?;", "/v2/groups//", "/v2/groups/../..", "/v2/groups/versions/x", "/v2/groups/a/versions", "/v2/groups/apps", "/v2/pods/::", "/v2/pods/::status",
	"/v2/pods/a::", "/v2/pods/a::moon", "/v2/pods/a::versions/", "/v2/pods/a::versions/x", "/v2/pods/a::instances/", "/v2/pods/a::instances/x", "/v2/pods/::instances",
	"/v2/tasks/", "/v2/tasks?status=moon", "/v2/tasks?status[]=running", "/v2/tasks/delete", "/v2/queue/", "/v2/queue/delay", "/v2/queue//delay", "/v2/deployments/",
	"/v2/deployments/%2f", "/v2/leader/x", "/v2/info/", "/v2/", "/v2", "//v2/apps", "/v2/events/", "/v2/plugins/x/y", "/metrics/", "/logging/", "/" + strings.Repeat("a", 9000),
	"/v2/apps/" + strings.Repeat("a/", 4000), "/v2/apps?id=" + strings.Repeat("x", 9000), "/ui/../../etc/passwd", "/public/../../etc/passwd",
}

// TestPaths sends every odd target with every method on the wire as it is: no 5xx
// but the 503 and 505 that say so, no file of the machine, and the server goes on.
func TestPaths(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t, "--agents", "0")
	srv.Must("POST", "/v2/apps", map[string]any{"id": "/a", "cmd": "sleep 1"}, http.StatusCreated)
	address := strings.TrimPrefix(srv.URL, "http://")
	for _, path := range oddPaths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MOON"} {
			if strings.HasPrefix(path, "/v2/leader") && method == "DELETE" {
				continue // a trailing part may be taken for the leader itself: that would end the server
			}
			status, body, err := raw(address, method, path)
			if err != nil || status/100 == 5 || strings.Contains(body, "root:") {
				t.Errorf("%s %.100s: %d %v %.300s", method, path, status, err, body)
			}
		}
	}
	if body := string(srv.Must("GET", "/ping", nil, http.StatusOK).Body); body != "pong" {
		t.Errorf("/ping answers %q", body)
	}
}

// raw sends one request line byte for byte.
func raw(address, method, path string) (int, string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(refuseLimit)); err != nil {
		return 0, "", err
	}
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", method, path); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body := make([]byte, 512)
	n, _ := res.Body.Read(body)
	return res.StatusCode, string(body[:n]), nil
}
