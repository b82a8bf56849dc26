package mesosproto

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

const unknownUUID = "1837c077-c177-4ff4-81cd-7959ba16a506"

// check compares the answer to a call that is refused with a text.
func (r reply) check(t *testing.T, status int, text string) {
	t.Helper()
	if r.status != status || r.body != text {
		t.Errorf("%d %q, want %d %q", r.status, r.body, status, text)
	}
	if got := r.header.Get("Content-Type"); text != "" && got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %q, want text/plain; charset=utf-8", got)
	}
}

// TestRequest is the table "HTTP and calls" as far as it needs no framework (REC 01).
func TestRequest(t *testing.T) {
	m := newMaster(t)
	subscribe := obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": frameworkInfo(nil)}}
	without := func(field string) string {
		return encode(obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": frameworkInfo(obj{field: nil})}})
	}
	good := encode(subscribe)
	noType := "Failed to validate scheduler::Call: Expecting 'type' to be present"
	noFramework := "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"
	mediaType := "Expecting 'Content-Type' of application/json or application/x-protobuf"
	notAcceptable := "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
	brokenJSON := "Failed to parse body into JSON: syntax error at line 1 near: "
	missing := "Failed to convert JSON into Call protobuf: Missing required fields: "
	revive := `{"type":"REVIVE","framework_id":{"value":"nosuch"}}`
	js := func(more ...string) map[string]string {
		h := map[string]string{"Content-Type": typeJSON, "Accept": typeJSON}
		for i := 0; i < len(more); i += 2 {
			if h[more[i]] = more[i+1]; more[i+1] == "" {
				delete(h, more[i])
			}
		}
		return h
	}
	for _, c := range []struct {
		name, method, path string
		header             map[string]string
		body               string
		status             int
		text               string
	}{
		{"GET is 405", "GET", "", js(), "", 405, "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'."},
		{"PUT is 405", "PUT", "", js(), good, 405, "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'PUT'."},
		{"no Content-Type", "", "", js("Content-Type", ""), good, 400, "Expecting 'Content-Type' to be present"},
		{"another Content-Type", "", "", js("Content-Type", "text/plain"), good, 415, mediaType},
		{"Content-Type with charset", "", "", js("Content-Type", "application/json; charset=utf-8"), good, 415, mediaType},
		{"Accept allows neither", "", "", js("Accept", "text/html"), good, 406, notAcceptable},
		{"Accept recordio", "", "", js("Accept", "application/recordio"), good, 406, notAcceptable},
		{"Accept recordio with Message-Accept", "", "", js("Accept", "application/recordio", "Message-Accept", typeJSON), good, 406, notAcceptable},
		{"broken JSON", "", "", js(), `{"type":"SUBSCRIBE"`, 400, brokenJSON},
		{"empty body", "", "", js(), "", 400, brokenJSON},
		{"array", "", "", js(), "[]", 400, "Failed to convert JSON into Call protobuf: Expecting a JSON object"},
		{"JSON as protobuf", "", "", js("Content-Type", typeProtobuf), good, 400, "Failed to parse body into Call protobuf"},
		{"unknown type", "", "", js(), `{"type":"NOSUCH"}`, 400, noType},
		{"unknown type with framework id", "", "", js(), `{"type":"NOSUCH","framework_id":{"value":"x"}}`, 400, noType},
		{"no type", "", "", js(), `{}`, 400, noType},
		{"no type with framework id", "", "", js(), `{"framework_id":{"value":"x"}}`, 400, noType},
		{"no subscribe", "", "", js(), `{"type":"SUBSCRIBE"}`, 400, "Failed to validate scheduler::Call: Expecting 'subscribe' to be present"},
		{"no framework_info", "", "", js(), `{"type":"SUBSCRIBE","subscribe":{}}`, 400, missing + "subscribe.framework_info"},
		{"no name", "", "", js(), without("name"), 400, missing + "subscribe.framework_info.name"},
		{"no user", "", "", js(), without("user"), 400, missing + "subscribe.framework_info.user"},
		{"DECLINE without framework_id", "", "", js(), `{"type":"DECLINE","decline":{"offer_ids":[]}}`, 400, noFramework},
		{"REVIVE without framework_id", "", "", js(), `{"type":"REVIVE"}`, 400, noFramework},
		{"unknown framework_id", "", "", js(), revive, 400, "Framework cannot be found"},
		{"unknown framework_id before stream id", "", "", js(streamHeader, unknownUUID), revive, 400, "Framework cannot be found"},
		{"missing sub-message before framework id", "", "", js(streamHeader, unknownUUID), `{"type":"DECLINE","framework_id":{"value":"nosuch"}}`, 400,
			"Failed to validate scheduler::Call: Expecting 'decline' to be present"},
		{"SUBSCRIBE with stream id", "", "", js(streamHeader, unknownUUID), good, 400, "Subscribe calls should not include the 'Mesos-Stream-Id' header"},
		{"path with master", "", "/master" + schedulerPath, js(), revive, 400, "Framework cannot be found"},
		{"path with slash", "", schedulerPath + "/", js(), revive, 400, "Framework cannot be found"},
		{"path of version 2", "", "/api/v2/scheduler", js(), revive, 404, "404 Not Found."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.method == "" {
				c.method = http.MethodPost
			}
			if c.path == "" {
				c.path = schedulerPath
			}
			r := m.request(c.method, c.path, c.header, c.body)
			r.check(t, c.status, c.text)
			if c.status == 405 && r.header.Get("Allow") != "POST" {
				t.Errorf("Allow %q, want POST", r.header.Get("Allow"))
			}
		})
	}
}

// TestFrameworkIDsOfSubscribe: both ids are there and equal, or none is (REC 01).
func TestFrameworkIDsOfSubscribe(t *testing.T) {
	m := newMaster(t)
	const differs = "Failed to validate scheduler::Call: 'framework_id' differs from 'subscribe.framework_info.id'"
	for _, c := range []struct{ name, outer, inner string }{{"outer only", "aaa", ""}, {"inner only", "", "bbb"}, {"different", "aaa", "bbb"}} {
		t.Run(c.name, func(t *testing.T) {
			info := frameworkInfo(nil)
			call := obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": info}}
			if c.outer != "" {
				call["framework_id"] = obj{"value": c.outer}
			}
			if c.inner != "" {
				info["id"] = obj{"value": c.inner}
			}
			m.call(call, "").check(t, 400, differs)
		})
	}
	t.Run("never seen id is accepted as it is", func(t *testing.T) {
		f := m.framework(nil)
		f.id = "never-seen-" + unknownUUID
		f.open(typeJSON)
		ev := f.awaitIn(t, "SUBSCRIBED", patience, func(e *event) bool { return e.Type == "SUBSCRIBED" })
		if ev.Subscribed.FrameworkID.Value != f.id {
			t.Errorf("framework id %q, want %q", ev.Subscribed.FrameworkID.Value, f.id)
		}
		f.must(t, "TEARDOWN", nil)
	})
}

// TestContentOfFrameworkInfo: what is wrong in it is no 400 but a stream of one
// ERROR; JSON is read leniently (REC 01).
func TestContentOfFrameworkInfo(t *testing.T) {
	m := newMaster(t)
	const invalidRole = "'FrameworkInfo.roles' contains invalid role: "
	const rolesUnasked = "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
	for _, c := range []struct {
		name    string
		changes obj
		extra   obj
		err     string // empty: SUBSCRIBED
	}{
		{"role with a space", obj{"roles": list{"a b"}}, nil, invalidRole + "Role component 'a b' is invalid because it contains backspace or whitespace"},
		{"role with a slash inside", obj{"roles": list{"a/b"}}, nil, ""},
		{"role starting with a slash", obj{"roles": list{"/a"}}, nil, invalidRole + "Role '/a' cannot start with a slash"},
		{"role starting with a dash", obj{"roles": list{"-a"}}, nil, invalidRole + "Role component '-a' is invalid because it starts with a dash"},
		{"role is a dot", obj{"roles": list{"."}}, nil, invalidRole + "Role '.' cannot include '.' as a component"},
		{"role is empty", obj{"roles": list{""}}, nil, invalidRole + "Role names cannot be the empty string"},
		{"role is a star", obj{"roles": list{"*"}}, nil, ""},
		{"role twice", obj{"roles": list{"a", "a"}}, nil, "'FrameworkInfo.roles' contains duplicate items: { a }"},
		{"no roles with MULTI_ROLE", obj{"roles": list{}}, nil, ""},
		{"role with MULTI_ROLE", obj{"role": "web"}, nil, "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"},
		{"role without capabilities", obj{"capabilities": list{}, "role": "web", "roles": nil}, nil, ""},
		{"roles without MULTI_ROLE", obj{"capabilities": list{}}, nil, rolesUnasked},
		{"no role at all", obj{"capabilities": list{}, "roles": nil}, nil, ""},
		{"unknown capability is none", obj{"capabilities": capabilities("NOSUCH")}, nil, rolesUnasked},
		{"user empty", obj{"user": ""}, nil, ""},
		{"name empty", obj{"name": ""}, nil, ""},
		{"failover_timeout negative", obj{"failover_timeout": -1}, nil, ""},
		{"failover_timeout too large", obj{"failover_timeout": 1e300}, nil, "The framework failover_timeout (1e+300) is invalid"},
		{"suppressed role that is not in roles", nil, obj{"suppressed_roles": list{"other"}}, "Suppressed roles { other } are not contained in the set of roles"},
		{"principal while nothing authenticates", obj{"principal": "someone"}, nil, ""},
		{"unknown field", obj{"nonsense": 1}, nil, ""},
		{"offer_filters", obj{"offer_filters": obj{"web": obj{"min_allocatable_resources": obj{"quantities": list{
			obj{"quantities": obj{"cpus": obj{"value": 1}}}}}}}}, nil, ""},
		{"offer_filters of a role not subscribed", obj{"offer_filters": obj{"other": obj{}}}, nil, ""},
		{"list given as one string", obj{"roles": "web"}, nil, ""},
		{"number given as string", obj{"failover_timeout": "60"}, nil, ""},
		{"boolean given as string", obj{"checkpoint": "true"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := m.framework(c.changes)
			f.extra = c.extra
			f.open(typeJSON)
			defer f.close()
			if f.streamID() == "" {
				t.Error("no stream id")
			}
			ev := f.awaitIn(t, "first event", patience, func(*event) bool { return true })
			if c.err == "" {
				if ev.Type != "SUBSCRIBED" {
					t.Fatalf("first event %s, want SUBSCRIBED", ev.raw)
				}
				f.id = ev.Subscribed.FrameworkID.Value
				f.must(t, "TEARDOWN", nil)
				return
			}
			if ev.Type != "ERROR" || ev.Error.Message != c.err {
				t.Fatalf("first event %s, want ERROR %q", ev.raw, c.err)
			}
			if err := f.awaitEnd(t, patience); err != nil {
				t.Errorf("end of the stream: %v, want a clean one", err)
			}
		})
	}
	t.Run("number without a digit before the point is no JSON", func(t *testing.T) {
		body := strings.Replace(encode(obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": frameworkInfo(obj{"failover_timeout": 0.5})}}), ":0.5", ":.5", 1)
		r := m.request(http.MethodPost, schedulerPath, map[string]string{"Content-Type": typeJSON, "Accept": typeJSON}, body)
		if r.status != 400 || !strings.HasPrefix(r.body, "Failed to parse body into JSON: syntax error at line 1 near: ") {
			t.Errorf("%d %q", r.status, r.body)
		}
	})
	t.Run("boolean yes is 400", func(t *testing.T) {
		m.call(obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": frameworkInfo(obj{"checkpoint": "yes"})}}, "").check(t, 400,
			"Failed to convert JSON into Call protobuf: Failed to parse 'yes' as a JSON boolean for field 'checkpoint': syntax error at line 1 near: yes")
	})
}

// TestContentNegotiation: who allows JSON gets JSON (REC 01).
func TestContentNegotiation(t *testing.T) {
	m := newMaster(t)
	for _, c := range []struct{ name, accept, kind string }{
		{"json", typeJSON, typeJSON},
		{"anything", "*/*", typeJSON},
		{"nothing", "", typeJSON},
		{"both, json preferred", "application/x-protobuf;q=0.5, application/json", typeJSON},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := m.framework(nil)
			f.open(c.accept)
			defer f.close()
			if got := f.header.Get("Content-Type"); got != c.kind {
				t.Errorf("Content-Type %q, want %q", got, c.kind)
			}
			f.id = f.awaitIn(t, "SUBSCRIBED", patience, func(e *event) bool { return e.Type == "SUBSCRIBED" }).Subscribed.FrameworkID.Value
			f.must(t, "TEARDOWN", nil)
		})
	}
}

// TestCallsOfAFramework is the table "HTTP and calls" for a known framework (REC 02).
func TestCallsOfAFramework(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	other := m.framework(obj{"failover_timeout": 0}).subscribe()
	revive := func(id, stream string) reply {
		return m.call(obj{"type": "REVIVE", "framework_id": obj{"value": id}}, stream)
	}
	t.Run("call accepted is 202 without body", func(t *testing.T) {
		r := revive(f.id, f.streamID())
		if r.status != 202 || r.body != "" || r.header.Get("Content-Length") != "0" || r.header.Get("Content-Type") != "" {
			t.Errorf("%d %q %v, want 202, Content-Length 0 and no Content-Type", r.status, r.body, r.header)
		}
	})
	t.Run("no stream id", func(t *testing.T) {
		revive(f.id, "").check(t, 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header")
	})
	for _, c := range []struct{ name, id string }{{"stale stream id", unknownUUID}, {"stream id of another", other.streamID()}, {"stream id is no uuid", "not a uuid"}} {
		t.Run(c.name, func(t *testing.T) {
			revive(f.id, c.id).check(t, 400, "The stream ID '"+c.id+"' included in this request didn't match the stream ID currently associated with framework ID "+f.id)
		})
	}
	for _, kind := range []string{"ACCEPT", "DECLINE", "KILL", "ACKNOWLEDGE", "RECONCILE", "MESSAGE", "REQUEST", "SHUTDOWN", "UPDATE_FRAMEWORK",
		"ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS", "RECONCILE_OPERATIONS", "ACKNOWLEDGE_OPERATION_STATUS"} {
		t.Run(kind+" without sub-message", func(t *testing.T) {
			f.send(kind, nil).check(t, 400, "Failed to validate scheduler::Call: Expecting '"+strings.ToLower(kind)+"' to be present")
		})
	}
	for _, kind := range []string{"SUPPRESS", "REVIVE"} {
		t.Run(kind+" needs no sub-message", func(t *testing.T) { f.must(t, kind, nil) })
	}
	t.Run("REQUEST does nothing", func(t *testing.T) { f.must(t, "REQUEST", obj{"requests": list{}}) })
	t.Run("KILL without task id", func(t *testing.T) {
		f.send("KILL", obj{}).check(t, 400, "Failed to convert JSON into Call protobuf: Missing required fields: kill.task_id")
	})
	acknowledge := func(uuid string) reply {
		return f.send("ACKNOWLEDGE", obj{"task_id": obj{"value": "x"}, "agent_id": obj{"value": "nosuch"}, "uuid": uuid})
	}
	t.Run("ACKNOWLEDGE of what is unknown is 202", func(t *testing.T) {
		if r := acknowledge(base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))); r.status != 202 {
			t.Errorf("%d %q, want 202", r.status, r.body)
		}
	})
	t.Run("ACKNOWLEDGE with a uuid that is no base64", func(t *testing.T) {
		acknowledge("!!!").check(t, 400, "Failed to convert JSON into Call protobuf: Failed to base64 decode bytes field 'uuid': Invalid character '!'")
	})
	t.Run("ACKNOWLEDGE with a uuid of another length", func(t *testing.T) {
		acknowledge("c2hvcnQ=").check(t, 400, "Failed to validate scheduler::Call: Not a valid UUID")
	})
	t.Run("ACKNOWLEDGE names all missing fields", func(t *testing.T) {
		f.send("ACKNOWLEDGE", obj{"task_id": obj{"value": "x"}}).check(t, 400,
			"Failed to convert JSON into Call protobuf: Missing required fields: acknowledge.agent_id, acknowledge.uuid")
	})
}

// TestRedirect: the leader names itself, without a scheme (REC 33).
func TestRedirect(t *testing.T) {
	m := newMaster(t)
	for _, path := range []string{"/redirect", "/master/redirect"} {
		t.Run(path, func(t *testing.T) {
			r := m.request(http.MethodGet, path, nil, "")
			if loc := r.header.Get("Location"); r.status != 307 || !strings.HasPrefix(loc, "//") || r.body != "" {
				t.Errorf("%d Location %q body %q, want 307 to //host:port", r.status, loc, r.body)
			}
		})
	}
}
