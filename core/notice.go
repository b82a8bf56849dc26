package core

// Notice is an event for /v2/events (behaviour.md Appendix C, http-api.md 11). Type is the SSE event name and the
// payload's eventType; the payload adds eventType and timestamp to the fields of Body.
type Notice struct {
	Type       string
	At         Timestamp
	Body       any    // one of the bodies below or a pointer to one (those of each status update), or nil
	Deployment string // id of the deployment it belongs to, if any: such notices are totally ordered
	Spec       PathID // spec it is about, if any: for authorisation and filters
}

// APIPost is the body of api_post_event.
type APIPost struct {
	ClientIP      string  `json:"clientIp"`
	URI           string  `json:"uri"`
	AppDefinition RunSpec `json:"appDefinition"`
}

// PodChange is the body of pod_created_event, pod_updated_event and pod_deleted_event.
type PodChange struct {
	ClientIP string `json:"clientIp"`
	URI      string `json:"uri"`
}

// GroupChanged is the body of group_change_success and, with a reason, of group_change_failed.
type GroupChanged struct {
	GroupID PathID    `json:"groupId"`
	Version Timestamp `json:"version"`
	Reason  string    `json:"reason,omitempty"`
}

// WireAction is an action in its API form: {"action": "ScaleApplication", "app": "/x"}.
type WireAction struct {
	Action string `json:"action"`
	App    PathID `json:"app,omitempty"`
	Pod    PathID `json:"pod,omitempty"`
}

// Wire is the API form of an action.
func (a Action) Wire() WireAction {
	if a.Pod {
		return WireAction{Action: a.WireName(), Pod: a.Spec}
	}
	return WireAction{Action: a.WireName(), App: a.Spec}
}

// WireStep is a step in its API form.
type WireStep struct {
	Actions []WireAction `json:"actions"`
}

// WireSteps are the steps in their API form, never nil.
func WireSteps(steps []Step) []WireStep {
	out := make([]WireStep, 0, len(steps))
	for _, s := range steps {
		w := WireStep{Actions: make([]WireAction, 0, len(s.Actions))}
		for _, a := range s.Actions {
			w.Actions = append(w.Actions, a.Wire())
		}
		out = append(out, w)
	}
	return out
}

// Plan is the light form of a deployment plan in events.
type Plan struct {
	ID      string     `json:"id"`
	Steps   []WireStep `json:"steps"`
	Version Timestamp  `json:"version"`
}

// PlanOf is the light form of a deployment.
func PlanOf(d *Deployment) Plan { return Plan{d.ID, WireSteps(d.Steps), d.Version} }

// DeploymentStep is the body of deployment_info, deployment_step_success and deployment_step_failure.
type DeploymentStep struct {
	Plan        Plan     `json:"plan"`
	CurrentStep WireStep `json:"currentStep"`
}

// DeploymentEnd is the body of deployment_success and deployment_failed.
type DeploymentEnd struct {
	ID     string `json:"id"`
	Plan   Plan   `json:"plan"`
	Reason string `json:"reason,omitempty"`
}

// AppTerminated is the body of app_terminated_event.
type AppTerminated struct {
	AppID PathID `json:"appId"`
}

// StatusUpdated is the body of status_update_event.
type StatusUpdated struct {
	SlaveID     string      `json:"slaveId"`
	TaskID      TaskID      `json:"taskId"`
	TaskStatus  string      `json:"taskStatus"`
	Message     string      `json:"message"`
	AppID       PathID      `json:"appId"`
	Host        string      `json:"host"`
	IPAddresses []IPAddress `json:"ipAddresses"`
	Ports       []int       `json:"ports"`
	Version     Timestamp   `json:"version"`
}

// InstanceChanged is the body of instance_changed_event; AgentID and Host are null without an agent.
type InstanceChanged struct {
	InstanceID     InstanceID `json:"instanceId"`
	Condition      string     `json:"condition"`
	RunSpecID      PathID     `json:"runSpecId"`
	AgentID        *string    `json:"agentId"`
	Host           *string    `json:"host"`
	RunSpecVersion Timestamp  `json:"runSpecVersion"`
}

// InstanceHealthChanged is the body of instance_health_changed_event; Healthy is null when unknown.
type InstanceHealthChanged struct {
	InstanceID     InstanceID `json:"instanceId"`
	RunSpecID      PathID     `json:"runSpecId"`
	Healthy        *bool      `json:"healthy"`
	RunSpecVersion Timestamp  `json:"runSpecVersion"`
}

// UnknownInstanceTerminated is the body of unknown_instance_terminated_event.
type UnknownInstanceTerminated struct {
	InstanceID InstanceID `json:"instanceId"`
	RunSpecID  PathID     `json:"runSpecId"`
	Condition  string     `json:"condition"`
}

// HealthCheckAdded is the body of add_health_check_event.
type HealthCheckAdded struct {
	AppID       PathID      `json:"appId"`
	HealthCheck HealthCheck `json:"healthCheck"`
	Version     Timestamp   `json:"version"`
}

// HealthCheckRemoved is the body of remove_health_check_event.
type HealthCheckRemoved struct {
	AppID PathID `json:"appId"`
}

// HealthCheckFailed is the body of failed_health_check_event; TaskID holds the instance id.
type HealthCheckFailed struct {
	AppID       PathID      `json:"appId"`
	TaskID      InstanceID  `json:"taskId"`
	HealthCheck HealthCheck `json:"healthCheck"`
}

// HealthStatusChanged is the body of health_status_changed_event.
type HealthStatusChanged struct {
	AppID      PathID     `json:"appId"`
	InstanceID InstanceID `json:"instanceId"`
	Version    Timestamp  `json:"version"`
	Alive      bool       `json:"alive"`
}

// UnhealthyKill is the body of unhealthy_instance_kill_event.
type UnhealthyKill struct {
	AppID      PathID     `json:"appId"`
	TaskID     TaskID     `json:"taskId"`
	InstanceID InstanceID `json:"instanceId"`
	Version    Timestamp  `json:"version"`
	Reason     string     `json:"reason"`
	Host       string     `json:"host"`
	SlaveID    string     `json:"slaveId,omitempty"`
}

// SchedulerRegistered is the body of scheduler_registered_event; scheduler_reregistered_event has only Master.
type SchedulerRegistered struct {
	FrameworkID string `json:"frameworkId,omitempty"`
	Master      string `json:"master"`
}

// FrameworkMessage is the body of framework_message_event; Message is an array of signed bytes.
type FrameworkMessage struct {
	ExecutorID string `json:"executorId"`
	SlaveID    string `json:"slaveId"`
	Message    []int8 `json:"message"`
}

// stampFirst are the events whose timestamp stands before their type.
var stampFirst = map[string]bool{"instance_changed_event": true, "instance_health_changed_event": true, "unknown_instance_terminated_event": true}

// Payload is the one-line JSON of the notice: the body's fields, then eventType and timestamp.
func (n *Notice) Payload() ([]byte, error) {
	out := []byte("{")
	if n.Body != nil {
		b, err := EncodeJSON(n.Body)
		if err != nil {
			return nil, err
		}
		if len(b) > 2 {
			out = append(b[:len(b)-1], ',')
		}
	}
	at, err := n.At.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if stampFirst[n.Type] {
		return append(append(append(append(append(out, `"timestamp":`...), at...), `,"eventType":"`...), n.Type...), `"}`...), nil
	}
	out = append(append(append(out, `"eventType":"`...), n.Type...), `","timestamp":`...)
	return append(append(out, at...), '}'), nil
}
