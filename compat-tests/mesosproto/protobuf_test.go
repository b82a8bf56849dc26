package mesosproto

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/backoff"
	"github.com/mesos/mesos-go/api/v1/lib/encoding"
	"github.com/mesos/mesos-go/api/v1/lib/encoding/codecs"
	"github.com/mesos/mesos-go/api/v1/lib/extras/scheduler/callrules"
	"github.com/mesos/mesos-go/api/v1/lib/extras/scheduler/controller"
	"github.com/mesos/mesos-go/api/v1/lib/extras/scheduler/eventrules"
	"github.com/mesos/mesos-go/api/v1/lib/extras/store"
	"github.com/mesos/mesos-go/api/v1/lib/httpcli"
	"github.com/mesos/mesos-go/api/v1/lib/httpcli/httpsched"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/calls"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler/events"
)

// protoStream is a stream of protobuf records.
type protoStream struct {
	t    *testing.T
	m    *master
	resp *http.Response
	r    *bufio.Reader
}

func (m *master) protoStream(t *testing.T, contentType string, body []byte) *protoStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+schedulerPath, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {contentType}, "Accept": {typeProtobuf}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != typeProtobuf || resp.Header.Get(streamHeader) == "" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return &protoStream{t, m, resp, bufio.NewReader(resp.Body)}
}

func (s *protoStream) next(t *testing.T) *scheduler.Event {
	t.Helper()
	data, err := readRecord(s.r)
	if err != nil {
		t.Fatal(err)
	}
	ev := &scheduler.Event{}
	if err := ev.Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	return ev
}

func (s *protoStream) until(t *testing.T, kind scheduler.Event_Type) *scheduler.Event {
	t.Helper()
	for {
		if ev := s.next(t); ev.Type == kind {
			return ev
		}
	}
}

// send is a call in protobuf.
func (s *protoStream) send(t *testing.T, call *scheduler.Call) {
	t.Helper()
	b, err := call.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r := s.m.request(http.MethodPost, schedulerPath, map[string]string{"Content-Type": typeProtobuf, "Accept": typeProtobuf,
		streamHeader: s.resp.Header.Get(streamHeader)}, string(b))
	if r.status != 202 || r.body != "" {
		t.Fatalf("%s: %d %q, want 202", call.Type, r.status, r.body)
	}
}

func protoFramework() *mesos.FrameworkInfo {
	timeout, checkpoint := 60.0, true
	return &mesos.FrameworkInfo{User: taskUser(), Name: "protobuf", Roles: []string{"web"}, FailoverTimeout: &timeout, Checkpoint: &checkpoint,
		Capabilities: []mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE}, {Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT},
			{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE}, {Type: mesos.FrameworkInfo_Capability_TASK_KILLING_STATE}}}
}

func protoTask(id, command string, o *mesos.Offer) mesos.TaskInfo {
	scalar := func(name string, v float64) mesos.Resource {
		return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}, AllocationInfo: o.AllocationInfo}
	}
	return mesos.TaskInfo{Name: id, TaskID: mesos.TaskID{Value: id}, AgentID: o.AgentID, Command: &mesos.CommandInfo{Value: &command},
		Resources: []mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)}}
}

// TestProtobuf is the other codec: same framing, same calls (REC 01).
func TestProtobuf(t *testing.T) {
	m := newMaster(t)
	t.Run("call in JSON, stream in protobuf", func(t *testing.T) {
		s := m.protoStream(t, typeJSON, []byte(encode(obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": frameworkInfo(nil)}})))
		ev := s.next(t)
		if ev.Type != scheduler.Event_SUBSCRIBED || ev.Subscribed.GetHeartbeatIntervalSeconds() != 15 || ev.Subscribed.MasterInfo.GetVersion() == "" {
			t.Fatalf("%v", ev)
		}
		if ev := s.next(t); ev.Type != scheduler.Event_HEARTBEAT {
			t.Errorf("second record %v", ev)
		}
		s.send(t, &scheduler.Call{Type: scheduler.Call_TEARDOWN, FrameworkID: ev.Subscribed.FrameworkID})
	})
	t.Run("subscribe, launch, acknowledge, kill, reconcile, decline", func(t *testing.T) {
		b, err := (&scheduler.Call{Type: scheduler.Call_SUBSCRIBE, Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: protoFramework()}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s := m.protoStream(t, typeProtobuf, b)
		id := s.until(t, scheduler.Event_SUBSCRIBED).Subscribed.FrameworkID
		offers := s.until(t, scheduler.Event_OFFERS).Offers.Offers
		o := &offers[0]
		s.send(t, &scheduler.Call{Type: scheduler.Call_ACCEPT, FrameworkID: id, Accept: &scheduler.Call_Accept{OfferIDs: []mesos.OfferID{o.ID},
			Operations: []mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH, Launch: &mesos.Offer_Operation_Launch{TaskInfos: []mesos.TaskInfo{protoTask("p1", "sleep 600", o)}}}}}})
		update := func(state mesos.TaskState) *mesos.TaskStatus {
			t.Helper()
			st := &s.until(t, scheduler.Event_UPDATE).Update.Status
			if st.GetState() != state || st.TaskID.Value != "p1" {
				t.Fatalf("%v, want %s", st, state)
			}
			if len(st.UUID) > 0 {
				s.send(t, &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE, FrameworkID: id, Acknowledge: &scheduler.Call_Acknowledge{AgentID: *st.AgentID, TaskID: st.TaskID, UUID: st.UUID}})
			}
			return st
		}
		if st := update(mesos.TASK_STARTING); len(st.UUID) != 16 || st.GetSource() != mesos.SOURCE_EXECUTOR {
			t.Errorf("%v", st)
		}
		update(mesos.TASK_RUNNING)
		s.send(t, &scheduler.Call{Type: scheduler.Call_RECONCILE, FrameworkID: id, Reconcile: &scheduler.Call_Reconcile{}})
		if st := update(mesos.TASK_RUNNING); len(st.UUID) != 0 || st.GetReason() != mesos.REASON_RECONCILIATION {
			t.Errorf("%v", st)
		}
		s.send(t, &scheduler.Call{Type: scheduler.Call_KILL, FrameworkID: id, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "p1"}}})
		update(mesos.TASK_KILLING)
		update(mesos.TASK_KILLED)
		s.send(t, &scheduler.Call{Type: scheduler.Call_DECLINE, FrameworkID: id, Decline: &scheduler.Call_Decline{OfferIDs: []mesos.OfferID{{Value: "nosuch"}}}})
		s.send(t, &scheduler.Call{Type: scheduler.Call_TEARDOWN, FrameworkID: id})
	})
}

// TestMesosGoScheduler is the flow of the example scheduler that mesos-go
// publishes, with command tasks: its controller subscribes, launches upon offers,
// acknowledges by rule and revives, until all tasks have finished.
// It does so in protobuf: the JSON codec of mesos-go 0.0.11 does not know the
// capability QUOTA_V2, which every Mesos 1.12 master sends.
func TestMesosGoScheduler(t *testing.T) {
	runExample(t, newMaster(t), codecs.ByMediaType[codecs.MediaTypeProtobuf])
}

const exampleTasks = 5

func runExample(t *testing.T, m *master, media encoding.Codec) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	ids := store.NewInMemorySingleton()
	cli := callrules.New(callrules.WithFrameworkID(store.GetIgnoreErrors(ids))).Caller(
		httpsched.NewCaller(httpcli.New(httpcli.Endpoint(m.url+schedulerPath), httpcli.Codec(media), httpcli.Do(httpcli.With(httpcli.Timeout(patience))))))
	launched, finished := 0, 0
	var failure error
	stop := func(err error) { failure = errors.Join(failure, err); cancel() }
	onOffers := func(ctx context.Context, e *scheduler.Event) error {
		offers := e.GetOffers().GetOffers()
		for i := range offers {
			var tasks []mesos.TaskInfo
			for range 3 {
				if launched < exampleTasks {
					launched++
					tasks = append(tasks, protoTask(fmt.Sprint(launched), "sleep 0.1", &offers[i]))
				}
			}
			accept := calls.Accept(calls.OfferOperations{calls.OpLaunch(tasks...)}.WithOffers(offers[i].ID)).With(calls.RefuseSeconds(time.Second))
			if err := calls.CallNoData(ctx, cli, accept); err != nil {
				stop(fmt.Errorf("accept: %w", err))
			}
		}
		return nil
	}
	onUpdate := func(ctx context.Context, e *scheduler.Event) error {
		st := e.GetUpdate().GetStatus()
		switch st.GetState() {
		case mesos.TASK_FINISHED:
			if finished++; finished == exampleTasks {
				cancel()
			} else if err := calls.CallNoData(ctx, cli, calls.Revive()); err != nil {
				stop(fmt.Errorf("revive: %w", err))
			}
		case mesos.TASK_LOST, mesos.TASK_KILLED, mesos.TASK_FAILED, mesos.TASK_ERROR:
			stop(fmt.Errorf("task %s is %s: %s", st.TaskID.Value, st.GetState(), st.GetMessage()))
		}
		return nil
	}
	handler := eventrules.New(controller.LiftErrors().DropOnError()).Handle(events.Handlers{
		scheduler.Event_OFFERS:     events.HandlerFunc(onOffers),
		scheduler.Event_UPDATE:     controller.AckStatusUpdates(cli).AndThen().HandleF(onUpdate),
		scheduler.Event_SUBSCRIBED: eventrules.New(controller.TrackSubscription(ids, time.Minute)),
	})
	err := controller.Run(ctx, protoFramework(), cli, controller.WithEventHandler(handler), controller.WithFrameworkID(store.GetIgnoreErrors(ids)),
		controller.WithRegistrationTokens(backoff.Notifier(time.Second, 15*time.Second, ctx.Done())),
		controller.WithSubscriptionTerminated(func(err error) {
			if err != nil && ctx.Err() == nil {
				stop(fmt.Errorf("subscription: %w", err))
			}
		}))
	if finished != exampleTasks {
		t.Errorf("%d of %d tasks finished: %v, %v", finished, exampleTasks, failure, err)
	}
	if id, err := ids.Get(); err != nil || !strings.Contains(id, "-") {
		t.Errorf("framework id %q: %v", id, err)
	} else {
		m.request(http.MethodPost, "/master/teardown", nil, "frameworkId="+id)
	}
}

// TestMesosGoCommand runs the program that mesos-go publishes for a command on a
// cluster, msh, as it is: it subscribes, launches a task or a group of one,
// acknowledges and ends with the status of the command.
func TestMesosGoCommand(t *testing.T) {
	m := newMaster(t)
	path := filepath.Join(t.TempDir(), "msh")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/mesos/mesos-go/api/v1/cmd/msh").CombinedOutput(); err != nil {
		t.Fatalf("build msh: %v\n%s", err, out)
	}
	for _, c := range []struct {
		name   string
		args   []string
		status int
	}{
		{"command", []string{"--", "true"}, 0},
		{"command that fails", []string{"--", "sh", "-c", "exit 3"}, 3},
		{"task group", []string{"-pod", "--", "true"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			args := append([]string{"-master", strings.TrimPrefix(m.url, "http://"), "-user", taskUser()}, c.args...)
			cmd := exec.CommandContext(ctx, path, args...)
			out, err := cmd.CombinedOutput()
			if status := cmd.ProcessState.ExitCode(); status != c.status {
				t.Errorf("msh ends with %d (%v), want %d:\n%s", status, err, c.status, out)
			}
		})
	}
}
