package minimesos

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

const (
	typeJSON     = "application/json"
	typeProtobuf = "application/x-protobuf"
	streamHeader = "Mesos-Stream-Id"
)

// answer is the end of a call: a status and, for errors, a text.
type answer struct {
	status int
	text   string
}

var accepted = answer{status: http.StatusAccepted}

func bad(format string, args ...any) answer {
	return answer{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func (a answer) write(w http.ResponseWriter) {
	if a.text == "" {
		w.WriteHeader(a.status)
		return
	}
	writeText(w, a.status, a.text)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text) //nolint:errcheck // the client is gone, nobody is left to tell
}

// acceptsType tells whether an Accept header allows media type t.
func acceptsType(header []string, t string) bool {
	if len(header) == 0 {
		return true
	}
	for _, line := range header {
		for _, part := range strings.Split(line, ",") {
			name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
			name = strings.TrimSpace(name)
			if strings.ReplaceAll(params, " ", "") == "q=0" {
				continue
			}
			if name == t || name == "*/*" || name == "application/*" {
				return true
			}
		}
	}
	return false
}

// authenticated checks basic credentials and returns the principal.
func (c *Cluster) authenticated(r *http.Request) (string, bool) {
	if c.cfg.Credentials == nil {
		return "", true
	}
	kind, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if kind != "Basic" {
		return "", false
	}
	plain, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", false
	}
	principal, secret, _ := strings.Cut(string(plain), ":")
	want, known := c.cfg.Credentials[principal]
	if !known || want != secret {
		return "", false
	}
	return principal, true
}

func unauthorized(w http.ResponseWriter, realm string) {
	w.Header().Set("Www-Authenticate", `Basic realm="`+realm+`"`)
	writeText(w, http.StatusUnauthorized, "401 Unauthorized.")
}

var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// readBody reads a request's body into buf.
func readBody(r *http.Request, buf []byte) ([]byte, error) {
	body := io.LimitReader(r.Body, maxBodyBytes)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// handleScheduler is POST /api/v1/scheduler.
func (c *Cluster) handleScheduler(w http.ResponseWriter, r *http.Request) {
	principal, ok := c.authenticated(r)
	if !ok {
		unauthorized(w, "mesos-master-scheduler")
		return
	}
	if c.notReady(w) {
		return
	}
	if a, refused := c.refuse(); refused {
		a.write(w)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		writeText(w, http.StatusMethodNotAllowed,
			"405 Method Not Allowed. Expecting one of { 'POST' }, but received '"+r.Method+"'.")
		return
	}
	contentType, ok := contentTypeOf(w, r)
	if !ok {
		return
	}
	pooled := bodies.Get().(*[]byte)
	body, err := readBody(r, (*pooled)[:0])
	if err != nil {
		return // the client is gone
	}
	call, wide, problem := decodeCall(body, contentType)
	*pooled = body
	bodies.Put(pooled)
	if problem != "" {
		bad("%s", problem).write(w)
		return
	}
	if problem := validateCall(call); problem != "" {
		bad("Failed to validate scheduler::Call: %s", problem).write(w)
		return
	}
	asJSON, ok := acceptedCodec(w, r)
	if !ok {
		return
	}
	sent := r.Header.Get(streamHeader)
	if call.Type == scheduler.Call_SUBSCRIBE {
		if len(r.Header.Values(streamHeader)) > 0 {
			bad("Subscribe calls should not include the 'Mesos-Stream-Id' header").write(w)
			return
		}
		c.serveStream(w, r, call, wide, principal, asJSON)
		return
	}
	a := c.answerCall(call, wide, principal, sent)
	if !c.takeOver(w, r, contentType, a) {
		a.write(w)
	}
}

func contentTypeOf(w http.ResponseWriter, r *http.Request) (string, bool) {
	t := r.Header.Get("Content-Type")
	switch {
	case len(r.Header.Values("Content-Type")) == 0:
		bad("Expecting 'Content-Type' to be present").write(w)
		return "", false
	case t != typeJSON && t != typeProtobuf:
		writeText(w, http.StatusUnsupportedMediaType, "Expecting 'Content-Type' of application/json or application/x-protobuf")
		return "", false
	}
	return t, true
}

// acceptedCodec picks the codec of the answer; JSON wins when both are allowed.
func acceptedCodec(w http.ResponseWriter, r *http.Request) (asJSON, ok bool) {
	header := r.Header.Values("Accept")
	if acceptsType(header, typeJSON) {
		return true, true
	}
	if acceptsType(header, typeProtobuf) {
		return false, true
	}
	writeText(w, http.StatusNotAcceptable, "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'")
	return false, false
}

// decodeCall reads a call; wide holds what mesos-go has no fields for. The text is
// empty unless the body is refused.
func decodeCall(body []byte, contentType string) (*scheduler.Call, *wideCall, string) {
	call := &scheduler.Call{}
	if contentType == typeProtobuf {
		if err := call.Unmarshal(body); err != nil {
			return nil, nil, "Failed to parse body into Call protobuf"
		}
		return call, wideFromProtobuf(call, body), ""
	}
	tree, err := parseJSON(body, call, "Call")
	if err != nil {
		return nil, nil, err.Error()
	}
	return call, wideFromJSON(call, tree), ""
}

// validateCall checks what Mesos checks before it looks at its tables.
func validateCall(call *scheduler.Call) string {
	if call.Type == scheduler.Call_UNKNOWN || scheduler.Call_Type_name[int32(call.Type)] == "" {
		return "Expecting 'type' to be present"
	}
	if call.Type == scheduler.Call_SUBSCRIBE {
		if call.Subscribe == nil {
			return "Expecting 'subscribe' to be present"
		}
		if call.FrameworkID.GetValue() != call.Subscribe.FrameworkInfo.GetID().GetValue() ||
			(call.FrameworkID == nil) != (call.Subscribe.FrameworkInfo.GetID() == nil) {
			return "'framework_id' differs from 'subscribe.framework_info.id'"
		}
		return ""
	}
	if call.FrameworkID == nil {
		return "Expecting 'framework_id' to be present"
	}
	if u := call.UpdateFramework; call.Type == scheduler.Call_UPDATE_FRAMEWORK && u != nil &&
		(u.FrameworkInfo.ID == nil || u.FrameworkInfo.ID.Value != call.FrameworkID.Value) {
		return "'framework_id' differs from 'update_framework.framework_info.id'"
	}
	return validateBody(call)
}

// validateBody checks that the part of the call that belongs to its type is there.
func validateBody(call *scheduler.Call) string {
	var name string
	var there bool
	switch call.Type {
	case scheduler.Call_ACCEPT:
		name, there = "accept", call.Accept != nil
	case scheduler.Call_DECLINE:
		name, there = "decline", call.Decline != nil
	case scheduler.Call_ACCEPT_INVERSE_OFFERS:
		name, there = "accept_inverse_offers", call.AcceptInverseOffers != nil
	case scheduler.Call_DECLINE_INVERSE_OFFERS:
		name, there = "decline_inverse_offers", call.DeclineInverseOffers != nil
	case scheduler.Call_KILL:
		name, there = "kill", call.Kill != nil
	case scheduler.Call_SHUTDOWN:
		name, there = "shutdown", call.Shutdown != nil
	case scheduler.Call_ACKNOWLEDGE:
		name, there = "acknowledge", call.Acknowledge != nil
		if there && len(call.Acknowledge.UUID) != 16 {
			return "Not a valid UUID"
		}
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		name, there = "acknowledge_operation_status", call.AcknowledgeOperationStatus != nil
		if there && len(call.AcknowledgeOperationStatus.UUID) != 16 {
			return "Not a valid UUID"
		}
	case scheduler.Call_RECONCILE:
		name, there = "reconcile", call.Reconcile != nil
	case scheduler.Call_RECONCILE_OPERATIONS:
		name, there = "reconcile_operations", call.ReconcileOperations != nil
	case scheduler.Call_MESSAGE:
		name, there = "message", call.Message != nil
	case scheduler.Call_REQUEST:
		name, there = "request", call.Request != nil
	case scheduler.Call_UPDATE_FRAMEWORK:
		name, there = "update_framework", call.UpdateFramework != nil
	default: // REVIVE, SUPPRESS and TEARDOWN need nothing
		return ""
	}
	if !there {
		return "Expecting '" + name + "' to be present"
	}
	return ""
}

// serveStream answers a SUBSCRIBE: the stream stays open for as long as the
// framework is subscribed through it.
func (c *Cluster) serveStream(w http.ResponseWriter, r *http.Request, call *scheduler.Call, wide *wideCall, principal string, asJSON bool) {
	c.mu.Lock()
	if c.m == nil {
		c.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	if text := principalMismatch(principal, call.Subscribe.FrameworkInfo.Principal); text != "" {
		c.mu.Unlock()
		bad("Failed to validate scheduler::Call: %s", text).write(w)
		return
	}
	m := c.m
	s := newStream(c.uuidText(), asJSON)
	fw := m.subscribe(s, call, wide, principal)
	c.mu.Unlock()

	if asJSON {
		w.Header().Set("Content-Type", typeJSON)
	} else {
		w.Header().Set("Content-Type", typeProtobuf)
	}
	w.Header().Set(streamHeader, s.id)
	w.WriteHeader(http.StatusOK)
	clean := s.run(w, r.Context().Done(), c.cfg.HeartbeatInterval, &scheduler.Event{Type: scheduler.Event_HEARTBEAT})
	if fw != nil {
		c.mu.Lock()
		m.disconnected(fw, s)
		c.mu.Unlock()
	}
	if !clean {
		panic(http.ErrAbortHandler)
	}
}

func principalMismatch(authenticated string, claimed *string) string {
	if authenticated == "" || claimed == nil || *claimed == authenticated {
		return ""
	}
	return "Authenticated principal '" + authenticated + "' does not match principal '" + *claimed +
		"' set in `FrameworkInfo`"
}
