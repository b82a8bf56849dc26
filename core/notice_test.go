package core

import "testing"

// TestPayloads pins the text of events (http-api.md 11.4): fields in Marathon's order, markup as it is, nothing for what
// is not known, null for the agent of an instance without one.
func TestPayloads(t *testing.T) {
	at, err := ParseTimestamp("2020-05-07T09:00:00.1Z")
	if err != nil {
		t.Fatal(err)
	}
	const tail = `,"timestamp":"2020-05-07T09:00:00.100Z"}`
	plan := Plan{"d", WireSteps([]Step{{Actions: []Action{{Kind: ActionStart, Spec: "/a"}}}}), at}
	const planText = `"plan":{"id":"d","steps":[{"actions":[{"action":"StartApplication","app":"/a"}]}],"version":"2020-05-07T09:00:00.100Z"}`
	for _, c := range []struct {
		kind string
		body any
		want string
	}{
		{"scheduler_disconnected_event", nil, `{"eventType":"scheduler_disconnected_event"` + tail},
		{"app_terminated_event", AppTerminated{"/a"}, `{"appId":"/a","eventType":"app_terminated_event"` + tail},
		{"deployment_success", DeploymentEnd{ID: "d", Plan: plan}, `{"id":"d",` + planText + `,"eventType":"deployment_success"` + tail},
		{"group_change_success", GroupChanged{GroupID: "/", Version: at}, `{"groupId":"/","version":"2020-05-07T09:00:00.100Z","eventType":"group_change_success"` + tail},
		{"group_change_failed", GroupChanged{"/", at, "a < b"}, `{"groupId":"/","version":"2020-05-07T09:00:00.100Z","reason":"a < b","eventType":"group_change_failed"` + tail},
		{"instance_changed_event", InstanceChanged{InstanceID: "a.instance-1", Condition: "Scheduled", RunSpecID: "/a", RunSpecVersion: at},
			`{"instanceId":"a.instance-1","condition":"Scheduled","runSpecId":"/a","agentId":null,"host":null,"runSpecVersion":"2020-05-07T09:00:00.100Z",` +
				`"timestamp":"2020-05-07T09:00:00.100Z","eventType":"instance_changed_event"}`},
		{"instance_health_changed_event", InstanceHealthChanged{InstanceID: "a.instance-1", RunSpecID: "/a", RunSpecVersion: at},
			`{"instanceId":"a.instance-1","runSpecId":"/a","healthy":null,"runSpecVersion":"2020-05-07T09:00:00.100Z",` +
				`"timestamp":"2020-05-07T09:00:00.100Z","eventType":"instance_health_changed_event"}`},
		{"framework_message_event", FrameworkMessage{"e", "s", []int8{-1, 65}}, `{"executorId":"e","slaveId":"s","message":[-1,65],"eventType":"framework_message_event"` + tail},
	} {
		n := Notice{Type: c.kind, At: at, Body: c.body}
		got, err := n.Payload()
		if err != nil || string(got) != c.want {
			t.Errorf("got  %s (%v)\nwant %s", got, err, c.want)
		}
	}
}
