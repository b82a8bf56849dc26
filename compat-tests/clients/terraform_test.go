package clients

import (
	"errors"
	"time"

	marathon "github.com/gambol99/go-marathon"
)

// terraform does what the Terraform provider for Marathon does: for each change it listens for the events of deployments
// first, makes the change, waits for the event that names its deployment, and reads the app back.
func terraform() client {
	return client{name: "Terraform provider", group: "tf", features: []feature{
		{"apps", (*caller).tfCreate}, {"updates", (*caller).tfUpdate}, {"scaling", (*caller).tfScale}, {"delete", (*caller).tfDelete}}}
}

const tfMask = marathon.EventIDDeploymentSuccess | marathon.EventIDDeploymentFailed

// tfApply makes a change and waits for the success of the deployments it returns.
func (c *caller) tfApply(change func(m marathon.Marathon) []string) {
	c.Helper()
	m := c.traefikClient()
	events, err := m.AddEventsListener(tfMask)
	if err != nil {
		c.Fatal(err)
	}
	defer m.RemoveEventsListener(events)
	waiting := map[string]bool{}
	for _, id := range change(m) {
		waiting[id] = true
	}
	if len(waiting) == 0 {
		c.Fatal("the change has no deployment")
	}
	limit := time.After(waitLimit)
	for len(waiting) > 0 {
		select {
		case e := <-events:
			switch body := e.Event.(type) {
			case *marathon.EventDeploymentSuccess:
				delete(waiting, body.ID)
			case *marathon.EventDeploymentFailed:
				if waiting[body.ID] {
					c.Fatalf("the deployment %s failed", body.ID)
				}
			}
		case <-limit:
			c.Fatalf("no event about the deployments %v", waiting)
		}
	}
}

// tfApp is the resource as the provider sends it: everything, each time.
func (c *caller) tfApp(colour string, instances int) *marathon.Application {
	app := sleeper(c.id("resource")).Count(instances).AddEnv("COLOUR", colour).AddLabel("managed-by", "terraform")
	app.SetUpgradeStrategy(marathon.UpgradeStrategy{MinimumHealthCapacity: ptr(0.5), MaximumOverCapacity: ptr(0.5)})
	app.RequirePorts = ptr(false)
	app.BackoffSeconds, app.BackoffFactor = ptr(1.0), ptr(1.5)
	return app
}

func ptr[V any](v V) *V { return &v }

func (c *caller) tfCreate() {
	c.tfApply(func(m marathon.Marathon) (ids []string) {
		made, err := m.CreateApplication(c.tfApp("red", 1))
		if err != nil {
			c.Fatal(err)
		}
		for _, d := range made.DeploymentIDs() {
			ids = append(ids, d.DeploymentID)
		}
		return ids
	})
	c.tfSame("red", 1)
}

func (c *caller) tfUpdate() {
	c.tfApply(c.tfPut("green", 1))
	c.tfSame("green", 1)
}

func (c *caller) tfScale() {
	c.tfApply(c.tfPut("green", 3))
	c.tfSame("green", 3)
}

func (c *caller) tfPut(colour string, instances int) func(marathon.Marathon) []string {
	return func(m marathon.Marathon) []string {
		id, err := m.UpdateApplication(c.tfApp(colour, instances), false)
		if err != nil {
			c.Fatal(err)
		}
		return []string{id.DeploymentID}
	}
}

// tfSame reads the app back: a plan made now must find no difference.
func (c *caller) tfSame(colour string, instances int) {
	c.Helper()
	got, err := c.traefikClient().Application(c.id("resource"))
	if err != nil {
		c.Fatal(err)
	}
	want := c.tfApp(colour, instances)
	c.equal("instances", *got.Instances, *want.Instances)
	c.equal("env", *got.Env, *want.Env)
	c.equal("labels", *got.Labels, *want.Labels)
	c.equal("cmd", *got.Cmd, *want.Cmd)
	c.equal("cpus and mem", []float64{got.CPUs, *got.Mem}, []float64{want.CPUs, *want.Mem})
	c.equal("minimumHealthCapacity", *got.UpgradeStrategy.MinimumHealthCapacity, 0.5)
	c.equal("backoff", []float64{*got.BackoffSeconds, *got.BackoffFactor}, []float64{1, 1.5})
	c.equal("requirePorts", *got.RequirePorts, false)
}

func (c *caller) tfDelete() {
	m := c.traefikClient()
	id, err := m.DeleteApplication(c.id("resource"), false)
	if err != nil {
		c.Fatal(err)
	}
	if err := m.WaitOnDeployment(id.DeploymentID, waitLimit); err != nil {
		c.Fatal(err)
	}
	var api *marathon.APIError
	if _, err := m.Application(c.id("resource")); !errors.As(err, &api) || api.ErrCode != marathon.ErrCodeNotFound {
		c.Errorf("a deleted app: %v", err)
	}
}
