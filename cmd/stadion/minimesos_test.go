package main

import (
	"testing"
	"time"

	"stadion/offers/minimesos"
)

// --simulation sets how the tasks of simulated agents behave.
func TestParseSimulation(t *testing.T) {
	got, err := parseSimulation("start=10ms,run=1s,health=2s,kill=3s,duration=5m,launch_failures=0.01,task_failures=0.5,seed=7")
	want := minimesos.Simulation{StartDelay: 10 * time.Millisecond, RunDelay: time.Second, HealthDelay: 2 * time.Second, KillDelay: 3 * time.Second,
		TaskDuration: 5 * time.Minute, LaunchFailures: 0.01, TaskFailures: 0.5, Seed: 7}
	if err != nil || *got != want {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := parseSimulation(""); err != nil || *got != (minimesos.Simulation{}) {
		t.Errorf("nothing: %+v %v", got, err)
	}
	for _, bad := range []string{"start", "start=x", "seed=-1", "speed=1", "task_failures=most"} {
		if _, err := parseSimulation(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
