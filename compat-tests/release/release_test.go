package release

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const root = "../.."

// TestBuildIsReproducible: two builds give the same bytes, with nothing of the machine in them (S9).
func TestBuildIsReproducible(t *testing.T) {
	t.Parallel()
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one := read(harness.Build(t, "main.buildVersion=v9"))
	if !bytes.Equal(one, read(harness.Build(t, "main.buildVersion=v9"))) {
		t.Error("two builds differ")
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{here + "/cmd/stadion", "/go/pkg/mod/"} {
		if bytes.Contains(one, []byte(path)) {
			t.Errorf("the binary names %s of the machine it was built on", path)
		}
	}
}

// TestModulesArePinned: each module of the binary has a version and a sum that go.sum holds, none comes from a directory,
// and the list that the binary prints is complete (S9).
func TestModulesArePinned(t *testing.T) {
	t.Parallel()
	info, err := buildinfo.ReadFile(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(root + "/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(harness.Binary(t), "version", "--sbom").Output()
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BomFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(out, &bom); err != nil || bom.BomFormat != "CycloneDX" {
		t.Fatalf("%v in %s", err, out)
	}
	listed := map[string]bool{}
	for _, c := range bom.Components {
		listed[c.Name+" "+c.Version] = true
	}
	if !listed["go "+info.GoVersion] {
		t.Error("the list does not name the compiler")
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			t.Errorf("%s is replaced by %s", m.Path, m.Replace.Path)
			continue
		}
		if m.Sum == "" || !bytes.Contains(sums, []byte(m.Path+" "+m.Version+" "+m.Sum+"\n")) {
			t.Errorf("%s %s is not pinned by go.sum", m.Path, m.Version)
		}
		if !listed[m.Path+" "+m.Version] {
			t.Errorf("%s %s is not in the list of the binary", m.Path, m.Version)
		}
		if m.Path == "github.com/mesos/mesos-go" && m.Version != "v0.0.11" {
			t.Errorf("mesos-go is %s", m.Version)
		}
	}
	if len(info.Deps) < 10 {
		t.Errorf("only %d modules", len(info.Deps))
	}
}

// unit reads the settings of the systemd unit.
func unit(t *testing.T) (text string, settings map[string]string) {
	t.Helper()
	b, err := os.ReadFile(root + "/cmd/stadion/packaging/stadion.service")
	if err != nil {
		t.Fatal(err)
	}
	settings = map[string]string{}
	for line := range strings.SplitSeq(string(b), "\n") {
		if k, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			settings[k] = v
		}
	}
	return string(b), settings
}

// TestUnit: the systemd unit gives no root, no place to write and no new rights, comes back after a lost lead, and does
// not after a wrong flag; systemd finds no fault in it where there is one to ask (S11).
func TestUnit(t *testing.T) {
	t.Parallel()
	text, settings := unit(t)
	for k, want := range map[string]string{"DynamicUser": "yes", "User": "stadion", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
		"PrivateTmp": "yes", "CapabilityBoundingSet": "", "Restart": "always", "RestartPreventExitStatus": "108 110 112",
		"StartLimitIntervalSec": "0"} {
		if got, there := settings[k]; !there || got != want {
			t.Errorf("%s=%s, want %s", k, got, want)
		}
	}
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("there is no systemd-analyze here: the unit is only read")
		return
	}
	file := filepath.Join(t.TempDir(), "stadion.service")
	text = strings.ReplaceAll(text, "/usr/local/bin/stadion", harness.Binary(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(verify, "verify", "--man=no", file).CombinedOutput()
	if told := regexp.MustCompile(`(?m)^.*stadion\.service.*$`).FindAllString(string(out), -1); len(told) > 0 {
		t.Errorf("systemd-analyze (%v) says %q", err, told)
	}
}

// TestContainerFile: the image holds the binary and runs it as nobody in particular (S11).
func TestContainerFile(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(root + "/cmd/stadion/packaging/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(b), "\nFROM gcr.io/distroless/static")
	if !strings.Contains(strings.SplitN(last, "\n", 2)[0], ":nonroot") || !strings.Contains(last, "\nUSER 65532") || strings.Contains(last, "\nRUN") || strings.Contains(last, "VOLUME") {
		t.Errorf("the image is not that of an ordinary user with nothing but the binary:\n%s", last)
	}
	info, err := buildinfo.ReadFile(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value == "1" && os.Getenv(harness.BinaryVariable) != "" {
			t.Error("the binary is not static, and the image has no libraries")
		}
	}
}

// TestRunsWithoutRoot: a server leads, deploys and hands over as a user that may write nowhere, and has no file open for
// writing (S11).
func TestRunsWithoutRoot(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, t.TempDir(), "--simulated")
	args := []string{"server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port", strconv.Itoa(ports.Next(t)), "--hostname", "127.0.0.1"}
	var srv *harness.Process
	if os.Getuid() == 0 {
		srv = harness.StartAs(t, readable(t), nobody, args...)
	} else {
		srv = harness.Start(t, args...)
	}
	api := harness.NewAPI(t, srv.Ready())
	api.Must(http.MethodPost, "/v2/apps", map[string]any{"id": "/a", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32}, http.StatusCreated)
	harness.Await(t, time.Minute, "the app runs", func() (bool, string) {
		body := string(api.Must(http.MethodGet, "/v2/apps/a", nil).Body)
		return strings.Contains(body, `"tasksRunning":1`), body
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", srv.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 && !strings.Contains(string(status), fmt.Sprintf("Uid:\t%d\t%d", nobody, nobody)) {
		t.Errorf("the server runs as\n%s", status)
	}
	for _, name := range writable(t, srv.Pid()) {
		t.Errorf("the server has %s open for writing", name)
	}
	if code := srv.Stop(); code != 0 {
		t.Errorf("it ends with %d", code)
	}
}

// readable is a copy of the binary that every user may run.
func readable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stadion-release-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(harness.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, "stadion"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// writable are the regular files that a process has open for writing.
func writable(t *testing.T, pid int) (names []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	list, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range list {
		name, err := os.Readlink(dir + "fd/" + fd.Name())
		if err != nil || !strings.HasPrefix(name, "/") || strings.HasPrefix(name, "/dev/") {
			continue // closed meanwhile, or a socket, a pipe
		}
		info, err := os.ReadFile(dir + "fdinfo/" + fd.Name())
		if err != nil {
			continue
		}
		if m := regexp.MustCompile(`flags:\t0*(\d+)`).FindSubmatch(info); m != nil {
			if flags, err := strconv.ParseInt(string(m[1]), 8, 64); err == nil && flags&3 != int64(os.O_RDONLY) {
				names = append(names, name)
			}
		}
	}
	return names
}
