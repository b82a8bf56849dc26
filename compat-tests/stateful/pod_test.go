package stateful

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const podBackoff = 3 * time.Second

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

type container struct {
	Name, Status, ContainerID string
	Endpoints                 []struct{ AllocatedHostPort int }
}

type instance struct {
	ID, Status, SpecReference string
	Containers                []container
	LocalVolumes              []struct{ PersistenceID string }
}

type podStatus struct {
	Status             string
	Instances          []instance
	TerminationHistory []struct{ InstanceID string }
}

// group is a pod whose containers meet on localhost and in a volume.
func group(word string, instances int) object {
	resources := object{"cpus": 0.05, "mem": 32}
	mount := []any{object{"name": "shared", "mountPath": "shared"}}
	shell := func(text string) object { return object{"command": object{"shell": text}} }
	return object{"id": "/team/group", "networks": []any{object{"mode": "host"}}, "scaling": object{"kind": "fixed", "instances": instances},
		"environment": object{"WORD": word}, "volumes": []any{object{"name": "shared"}},
		"scheduling": object{"backoff": object{"backoff": podBackoff.Seconds(), "backoffFactor": 100, "maxLaunchDelay": 300}},
		"containers": []any{
			object{"name": "web", "resources": resources, "volumeMounts": mount, "endpoints": []any{object{"name": "http", "hostPort": 0}},
				"exec": shell("echo from-web-$WORD > shared/web; cd shared; exec python3 -S -m http.server --bind 127.0.0.1 $ENDPOINT_HTTP")},
			object{"name": "side", "resources": resources, "volumeMounts": mount, "exec": shell(`until python3 -S -c "import sys, urllib.request
sys.stdout.write(urllib.request.urlopen('http://127.0.0.1:$ENDPOINT_HTTP/web').read().decode())" > shared/side; do sleep 0.1; done; exec sleep 1000`)},
		}}
}

// stable waits for n stable instances whose containers all run, and no others; accept may ask for more. An instance is
// stable still while the first of its containers has ended, which then has no id.
func (w *world) stable(n int, what string, accept func(podStatus) bool) podStatus {
	w.Helper()
	var out podStatus
	harness.Await(w, limit, fmt.Sprintf("%d stable instances: %s", n, what), func() (bool, string) {
		out = podStatus{}
		w.Get("/v2/pods/team/group::status", &out)
		ok := out.Status == "STABLE" && len(out.Instances) == n
		for _, i := range out.Instances {
			ok = ok && i.Status == "STABLE" && len(i.Containers) == 2 &&
				!slices.ContainsFunc(i.Containers, func(c container) bool { return c.ContainerID == "" })
		}
		return ok && accept(out), fmt.Sprintf("%+v", out)
	})
	return out
}

func anyStatus(podStatus) bool { return true }

// met waits until the side container has read from the web container what that has written.
func (w *world) met(i instance, word string) {
	w.Helper()
	for _, c := range i.Containers {
		if c.Name != "side" {
			continue
		}
		at := filepath.Join(w.sandbox(c.ContainerID), "shared")
		harness.Await(w, limit, "the containers meet", func() (bool, string) {
			text, err := os.ReadFile(filepath.Join(at, "side"))
			return strings.TrimSpace(string(text)) == "from-web-"+word, fmt.Sprint(string(text), err)
		})
	}
}

func TestPod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Must("POST", "/v2/pods", group("one", 1), 201)
	w.quiet()
	one := w.stable(1, "created", anyStatus)
	w.met(one.Instances[0], "one")
	w.failOne(one.Instances[0])

	w.Must("PUT", "/v2/pods/team/group", group("one", 2), 200)
	w.quiet()
	two := w.stable(2, "scaled", anyStatus)
	victim := two.Instances[0]
	w.Must("DELETE", "/v2/pods/team/group::instances/"+victim.ID, nil, 200)
	w.stable(2, "one was killed", func(s podStatus) bool { return !mentions(s, victim.Containers[0].ContainerID) })

	w.Must("PUT", "/v2/pods/team/group", group("two", 2), 200)
	w.quiet()
	for _, i := range w.stable(2, "upgraded", func(s podStatus) bool { return !mentions(s, two.Instances[1].ID) }).Instances {
		w.met(i, "two")
	}
	var versions []string
	w.Get("/v2/pods/team/group::versions", &versions)
	if len(versions) != 3 {
		t.Errorf("::versions: %v, want 3", versions)
	}
	for _, v := range versions {
		w.Must("GET", "/v2/pods/team/group::versions/"+v, nil, 200)
	}
	w.Must("DELETE", "/v2/pods/team/group", nil, 202)
	w.quiet()
	w.Must("GET", "/v2/pods/team/group::status", nil, 404)
	harness.NoneLeft(t, w.dir, limit)
}

func mentions(s podStatus, id string) bool { return strings.Contains(fmt.Sprintf("%+v", s), id) }

// failOne kills one container: the whole group is replaced, once, after one backoff (behaviour 11.6).
func (w *world) failOne(i instance) {
	w.Helper()
	news := w.OpenEvents("?event_type=instance_changed_event", nil)
	var old []string
	for _, c := range i.Containers {
		old = append(old, c.ContainerID)
	}
	died := time.Now()
	harness.KillTask(w, w.dir, old[0])
	failures := 0
	_, before := news.Next(limit, "the group fails and runs again", func(e harness.Event) bool {
		if e.Data["condition"] == "Failed" {
			failures++
		}
		return failures > 0 && e.Data["condition"] == "Running"
	})
	if took := time.Since(died); failures != 1 || took < podBackoff-time.Second { // two backoffs would be longer than limit
		w.Errorf("%d failures, back after %s with a backoff of %s; events %v", failures, took, podBackoff, before)
	}
	now := w.stable(1, "replaced", func(s podStatus) bool { return !mentions(s, old[0]) && !mentions(s, old[1]) })
	w.met(now.Instances[0], "one")
	harness.Await(w, limit, "no container of the failed group runs", func() (bool, string) {
		pids := harness.TaskPids(w, w.dir)
		return len(pids[old[0]])+len(pids[old[1]]) == 0, fmt.Sprint(pids, old)
	})
}
