package stateful

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

const podPath = "/v2/pods/team/group"

// residentPod is a pod whose one container counts on a persistent volume that the other may read.
func residentPod(script, word string, instances int) object {
	resources := object{"cpus": 0.05, "mem": 32}
	mount := func(readOnly bool) []any {
		return []any{object{"name": "data", "mountPath": "data", "readOnly": readOnly}}
	}
	shell := func(text string) object { return object{"command": object{"shell": text}} }
	return object{"id": "/team/group", "scaling": object{"kind": "fixed", "instances": instances}, "environment": object{"WORD": word},
		"volumes":    []any{object{"name": "data", "persistent": object{"size": 16}}},
		"scheduling": object{"backoff": object{"backoff": 1, "backoffFactor": 1, "maxLaunchDelay": 10}},
		"containers": []any{
			object{"name": "counter", "resources": resources, "volumeMounts": mount(false), "exec": shell("exec bash " + script)},
			object{"name": "reader", "resources": resources, "volumeMounts": mount(true), "exec": shell("until test -s data/count; do sleep 0.1; done; touch seen; exec sleep 1000")},
		}}
}

func (w *world) containerOf(i instance, name string) string {
	for _, c := range i.Containers {
		if c.Name == name {
			return c.ContainerID
		}
	}
	w.Fatalf("instance %+v has no container %s", i, name)
	return ""
}

// TestResidentPod: a pod returns to its volume after failures, kills, upgrades and the deaths of server and agent, and
// loses it by wipe and deletion alone (behaviour 1.8, 5.6, 11.6). The instance keeps its id, the tasks do not.
func TestResidentPod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.executorDisk = 10
	c := &counter{world: w, script: w.script("counter.sh")}
	now := func(what string) instance { return w.stable(1, what, anyStatus).Instances[0] }
	c.at = func() (string, string) {
		i := now("the pod counts")
		if len(i.LocalVolumes) != 1 {
			w.Fatalf("instance %+v has no volume", i)
		}
		return w.containerOf(i, "counter"), i.LocalVolumes[0].PersistenceID
	}
	w.Must("POST", "/v2/pods", residentPod(c.script, "one", 1), 201)
	w.quiet()
	c.goesOn("it counts", anyLine)
	first := now("created")
	reader := w.containerOf(first, "reader")
	at := w.sandbox(reader)
	harness.Await(t, limit, "the other container sees the volume", func() (bool, string) {
		_, err := os.Stat(filepath.Join(at, "seen"))
		return err == nil, fmt.Sprint(err)
	})

	change := func(what string, do func()) {
		t.Helper()
		old := now(what)
		do()
		harness.Await(t, limit, what+": other tasks", func() (bool, string) {
			i := now(what)
			return w.containerOf(i, "counter") != w.containerOf(old, "counter"), fmt.Sprintf("%+v", i)
		})
		c.goesOn(what+": it counts", anyLine)
		if i := now(what); i.ID != first.ID {
			t.Errorf("%s: instance %s became %s", what, first.ID, i.ID)
		}
		w.holds(1)
	}
	change("a container fails", func() { harness.KillTask(w, w.dir, reader) })
	change("killed", func() { w.Must("DELETE", podPath+"::instances/"+first.ID, nil, 200) })
	change("upgraded while the server dies", func() {
		w.Must("PUT", podPath, residentPod(c.script, "two", 1), 200)
		w.server.Kill()
		w.startServer()
		w.quiet()
	})
	w.mesos.Kill()
	w.startMesos()
	change("upgraded after the agent's return", func() {
		w.Must("PUT", podPath, residentPod(c.script, "three", 1), 200)
		w.quiet()
	})

	w.Must("PUT", podPath, residentPod(c.script, "three", 0), 200)
	w.quiet()
	w.holds(1)
	w.Must("PUT", podPath, residentPod(c.script, "three", 1), 200)
	w.quiet()
	c.goesOn("it wakes on its volume", anyLine)

	kept := c.volume
	w.Must("DELETE", podPath+"::instances/"+first.ID+"?wipe=true", nil, 200)
	w.forgotten(podPath+"::status", first.ID)
	harness.Await(t, limit, "a wiped volume is replaced", func() (bool, string) {
		_, volumes := w.reserved()
		return len(volumes) == 1 && !strings.Contains(fmt.Sprint(volumes), kept), fmt.Sprint(volumes)
	})
	c.volume = ""
	c.goesOn("it counts on another volume", anyLine)
	w.Must("DELETE", podPath, nil, 202)
	w.quiet()
	w.holds(0)
	harness.NoneLeft(t, w.dir, limit)
}
