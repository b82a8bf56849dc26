package stateful

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// leaseTTL is in seconds. Nobody waits for its end, and a server whose machine is busy must not lose it.
const leaseTTL = "60"

const limit = 2 * time.Minute

func TestMain(m *testing.M) { harness.Main(m) }

type object = map[string]any

// world is a cluster and a server that can both be killed; their tasks stay.
type world struct {
	*testing.T
	*harness.API
	dir          string
	master       string
	mesos        *harness.Process
	server       *harness.Process
	mesosArgs    []string
	serverArgs   []string
	serverStarts int
	executorDisk int // MiB that an instance reserves beside its volume
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	harness.KillLeftovers(t, w.dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	port := strconv.Itoa(ports.Next(t))
	w.master = "127.0.0.1:" + port
	w.mesosArgs = []string{"minimesos", "--port", port, "--work_dir", w.dir, "--resources", ports.Resources()}
	w.serverArgs = []string{"server", "--master", w.master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port",
		strconv.Itoa(ports.Next(t)), "--hostname", "127.0.0.1", "--etcd_lease_ttl", leaseTTL, "--mesos_role", "dev", "--mesos_authentication_principal", "p"}
	w.startMesos()
	w.startServer()
	return w
}

func (w *world) startMesos() {
	w.Helper()
	w.mesos = harness.Start(w, w.mesosArgs...)
	w.mesos.Ready()
}

func (w *world) startServer() {
	w.Helper()
	w.server = harness.Start(w, w.serverArgs...)
	w.API = harness.NewAPI(w, w.server.Ready())
	w.serverStarts++
}

// script puts a program where tasks find it.
func (w *world) script(name string) string {
	w.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		w.Fatal(err)
	}
	at := filepath.Join(w.dir, name)
	if err := os.WriteFile(at, text, 0o600); err != nil {
		w.Fatal(err)
	}
	return at
}

// volume is an app's container with one persistent volume at data.
func volume() object {
	return object{"type": "MESOS", "volumes": []any{object{"containerPath": "data", "mode": "RW", "persistent": object{"size": 16}}}}
}

func (w *world) quiet() {
	w.Helper()
	harness.Await(w, limit, "no deployment runs", func() (bool, string) {
		body := string(w.Must("GET", "/v2/deployments", nil).Body)
		return body == "[]", body + string(w.Must("GET", "/v2/queue", nil).Body)
	})
}

type task struct {
	ID, State    string
	LocalVolumes []struct{ PersistenceID string }
}

// running waits until exactly n tasks of the app run.
func (w *world) running(id string, n int) []task {
	w.Helper()
	var list struct{ Tasks []task }
	harness.Await(w, limit, fmt.Sprintf("%d tasks of %s run", n, id), func() (bool, string) {
		list.Tasks = nil
		w.Get("/v2/apps"+id+"/tasks", &list)
		ok := len(list.Tasks) == n
		for _, t := range list.Tasks {
			ok = ok && t.State == "TASK_RUNNING"
		}
		return ok, fmt.Sprintf("%+v", list.Tasks)
	})
	return list.Tasks
}

// sandbox is the working directory of a running task.
func (w *world) sandbox(id string) string {
	w.Helper()
	return harness.Sandbox(w, w.dir, id, limit)
}

// reserved is what the master says is reserved on its agents, in MiB of disk; a
// volume is part of it.
func (w *world) reserved() (disk float64, volumes []string) {
	w.Helper()
	res, err := harness.NewAPI(w, "http://"+w.master).Try("GET", "/slaves", nil)
	if err != nil || res.Status != http.StatusOK {
		w.Fatalf("GET /slaves: %d %v", res.Status, err)
	}
	var out struct {
		Slaves []struct {
			ReservedResourcesFull map[string][]struct {
				Name   string
				Scalar struct{ Value float64 }
				Disk   *struct{ Persistence struct{ ID string } }
			} `json:"reserved_resources_full"`
		}
	}
	if err := json.Unmarshal(res.Body, &out); err != nil {
		w.Fatal(err)
	}
	for _, s := range out.Slaves {
		for _, list := range s.ReservedResourcesFull {
			for _, r := range list {
				disk += map[bool]float64{true: r.Scalar.Value}[r.Name == "disk"]
				if r.Disk != nil {
					volumes = append(volumes, r.Disk.Persistence.ID)
				}
			}
		}
	}
	return disk, volumes
}

// holds waits until the master knows n volumes and disk of their size is reserved.
func (w *world) holds(n int) []string {
	w.Helper()
	var out []string
	harness.Await(w, limit, fmt.Sprintf("%d volumes at the master", n), func() (bool, string) {
		disk, volumes := w.reserved()
		out = volumes
		return len(volumes) == n && disk == float64((16+w.executorDisk)*n), fmt.Sprint(disk, " MiB reserved, volumes ", volumes)
	})
	return out
}
