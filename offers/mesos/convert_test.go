package mesos

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

// slowUpdate converts what mesos-go's decoder makes of an update; the hand-made decoder must agree with it.
func slowUpdate(s *mesos.TaskStatus) offers.StatusUpdate {
	u := offers.StatusUpdate{
		TaskID: core.TaskID(s.TaskID.Value), AgentID: s.GetAgentID().GetValue(), State: s.GetState().String(),
		Message: s.GetMessage(), Timestamp: fromSeconds(s.GetTimestamp()), UUID: s.UUID, ExecutorID: s.GetExecutorID().GetValue(),
	}
	if len(u.UUID) == 0 {
		u.UUID = nil
	}
	if s.Source != nil {
		u.Source = strings.TrimPrefix(s.Source.String(), "SOURCE_")
	}
	if s.Reason != nil {
		u.Reason = strings.TrimPrefix(s.Reason.String(), "REASON_")
	}
	if s.Healthy != nil {
		u.Healthy = core.Unhealthy
		if *s.Healthy {
			u.Healthy = core.Healthy
		}
	}
	for _, n := range s.GetContainerStatus().GetNetworkInfos() {
		for _, ip := range n.IPAddresses {
			if ip.GetIPAddress() != "" {
				u.IPs = append(u.IPs, core.IPAddress{Address: ip.GetIPAddress(), Protocol: ip.GetProtocol().String()})
			}
		}
	}
	if s.UnreachableTime != nil {
		u.UnreachableSince = core.Timestamp(s.UnreachableTime.Nanoseconds / 1e6)
	}
	switch c := s.CheckStatus; {
	case c == nil:
	case c.Command != nil && c.Command.ExitCode != nil:
		n := int(*c.Command.ExitCode)
		u.Check = &core.CheckResult{ExitCode: &n}
	case c.HTTP != nil && c.HTTP.StatusCode != nil:
		n := int(*c.HTTP.StatusCode)
		u.Check = &core.CheckResult{StatusCode: &n}
	case c.TCP != nil && c.TCP.Succeeded != nil:
		u.Check = &core.CheckResult{Succeeded: c.TCP.Succeeded}
	}
	return u
}

func newDecoder() *decoder {
	return &decoder{in: newInterned(), now: func() core.Timestamp { return 7 }}
}

func decodeOne(t testing.TB, d *decoder, e *scheduler.Event) decoded {
	t.Helper()
	b, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	what, err := d.decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return what
}

func TestUpdatesAsMesosGoReadsThem(t *testing.T) {
	d := newDecoder()
	with := map[string]int{}
	compare := func(e *scheduler.Event) {
		got, wanted := decodeOne(t, d, e).event.(offers.StatusUpdate), slowUpdate(&e.Update.Status)
		if !reflect.DeepEqual(got, wanted) {
			t.Fatalf("got  %+v\nwant %+v", got, wanted)
		}
		for name, set := range map[string]bool{"check": got.Check != nil, "healthy": got.Healthy != 0, "ip": got.IPs != nil,
			"unreachable": got.UnreachableSince != 0, "uuid": got.UUID != nil, "executor": got.ExecutorID != ""} {
			if set {
				with[name]++
			}
		}
	}
	for _, e := range recorded(t, "UPDATE") {
		compare(e)
	}
	for _, name := range []string{"check", "healthy", "ip", "unreachable", "uuid", "executor"} {
		if with[name] == 0 {
			t.Errorf("no recorded update has %s", name)
		}
	}
	// Any message that mesos-go can make.
	random := populate{rand.New(rand.NewPCG(1, 2))}
	for range 2000 {
		status := mesos.NewPopulatedTaskStatus(random, false)
		status.State = mesos.TASK_RUNNING.Enum()
		if status.CheckStatus != nil { // only one of them is ever set
			status.CheckStatus.HTTP, status.CheckStatus.TCP = nil, nil
		}
		if status.Timestamp != nil {
			*status.Timestamp = math.Abs(*status.Timestamp)
		}
		if status.UnreachableTime != nil {
			status.UnreachableTime.Nanoseconds &= math.MaxInt64
		}
		compare(&scheduler.Event{Type: scheduler.Event_UPDATE, Update: &scheduler.Event_Update{Status: *status}})
	}
}

// populate gives mesos-go's generators their randomness.
type populate struct{ *rand.Rand }

func (p populate) Int63() int64   { return p.Int64() }
func (p populate) Int31() int32   { return p.Int32() }
func (p populate) Intn(n int) int { return p.IntN(n) }

// No bytes make the decoder panic, or read beyond them.
func FuzzDecode(f *testing.F) {
	for _, kind := range []string{"UPDATE", "OFFERS", "SUBSCRIBED", "FAILURE"} {
		for _, e := range recorded(f, kind) {
			b, err := e.Marshal()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if what, err := newDecoder().decode(b); err != nil && what.event != nil {
			t.Fatal("an event with an error")
		}
		_, _ = placeCSI(b)
	})
}

// Cutting a recorded update anywhere is an error or leaves a shorter message, never a panic (F18).
func TestF18CutUpdates(t *testing.T) {
	for _, e := range recorded(t, "UPDATE") {
		b, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		whole := 0
		for n := range b {
			if _, err := newDecoder().decode(b[:n]); err == nil {
				whole++
			}
		}
		if whole > 3 { // nothing, the type alone
			t.Fatalf("%d of %d cuts went unnoticed", whole, len(b))
		}
	}
}

// behaviour 7.2: messages are cut to 10,000 characters.
func TestMessageIsTruncated(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{{strings.Repeat("a", 10_000), 10_000}, {strings.Repeat("a", 10_001), 10_000}, {strings.Repeat("ü", 10_000), 20_000}, {strings.Repeat("ü", 10_001), 20_000}, {strings.Repeat("\xff", 10_001), 10_000}} {
		if got := truncate([]byte(c.in)); len(got) != c.want || !strings.HasPrefix(c.in, got) {
			t.Errorf("%d bytes become %d, want %d", len(c.in), len(got), c.want)
		}
	}
}

// An enum value that is newer than mesos-go shows as its number.
func TestUnknownEnumValues(t *testing.T) {
	status := appendVarint(appendBytes(nil, 1, appendBytes(nil, 1, "t")), 2, 1)
	status = appendVarint(status, 10, 99)
	u, err := decodeUpdate(appendBytes(nil, 1, status), newInterned())
	if err != nil || u.Reason != "99" || u.State != "TASK_RUNNING" || u.TaskID != "t" {
		t.Fatalf("%+v %v", u, err)
	}
}

func TestRecordedOffers(t *testing.T) {
	d := newDecoder()
	var attributes []string
	agents := map[string]*core.AgentInfo{}
	var roles, windows, volumes int
	for _, e := range recorded(t, "OFFERS") {
		got := decodeOne(t, d, e).event.(offers.Received)
		for i, o := range got.Offers {
			raw := e.Offers.Offers[i]
			if o.ID != raw.ID.Value || o.Agent.ID != raw.AgentID.Value || o.Agent.Host != raw.Hostname || o.Role != raw.GetAllocationInfo().GetRole() ||
				len(o.Resources) != len(raw.Resources) || o.ReceivedAt != 7 || len(o.ExecutorIDs) != len(raw.ExecutorIDs) {
				t.Fatalf("offer %+v of %+v", o, raw)
			}
			if before := agents[o.Agent.ID]; before != nil && sameAgent(before, o.Agent) && before != o.Agent {
				t.Fatalf("agent %s is not shared", o.Agent.ID)
			}
			agents[o.Agent.ID] = o.Agent
			for _, a := range o.Agent.Attributes {
				attributes = append(attributes, a.Name+"="+a.Value)
			}
			for j := range o.Resources {
				if o.Resources[j].Role() != "*" {
					roles++
				}
				if o.Resources[j].Disk != nil && o.Resources[j].Disk.PersistenceID != "" {
					volumes++
				}
			}
			if o.Unavailability != nil {
				windows++
			}
		}
	}
	all := strings.Join(attributes, " ")
	for _, a := range []string{"rack=r1", "level=3.5", "slots=[1-10,20-30]"} {
		if !strings.Contains(all, a) {
			t.Errorf("no attribute %s in %s", a, all)
		}
	}
	if roles == 0 || windows == 0 || volumes == 0 {
		t.Errorf("%d reserved resources, %d windows, %d volumes", roles, windows, volumes)
	}
}

func TestOtherRecordedEvents(t *testing.T) {
	d := newDecoder()
	for _, e := range recorded(t, "FAILURE") {
		f := decodeOne(t, d, e).event.(offers.Failure)
		if f.AgentID != e.Failure.GetAgentID().GetValue() || f.ExecutorID != e.Failure.GetExecutorID().GetValue() || !reflect.DeepEqual(f.Status, e.Failure.Status) {
			t.Errorf("failure %+v", f)
		}
	}
	message := &scheduler.Event{Type: scheduler.Event_MESSAGE, Message: &scheduler.Event_Message{
		AgentID: mesos.AgentID{Value: "S0"}, ExecutorID: mesos.ExecutorID{Value: "e"}, Data: []byte("data"),
	}}
	if m := decodeOne(t, d, message).event.(offers.Message); string(m.Data) != "data" || m.AgentID != "S0" || m.ExecutorID != "e" {
		t.Errorf("message %+v", m)
	}
	for _, e := range recorded(t, "RESCIND") {
		if r := decodeOne(t, d, e).event.(offers.Rescinded); r.OfferID == "" {
			t.Errorf("rescind %+v", r)
		}
	}
	for _, e := range recorded(t, "INVERSE_OFFERS") {
		if o := decodeOne(t, d, e).event.(offers.InverseOffers); len(o.IDs) == 0 || o.IDs[0] == "" {
			t.Errorf("inverse offers %+v", o)
		}
	}
	if what := decodeOne(t, d, recorded(t, "HEARTBEAT")[0]); what != (decoded{}) {
		t.Errorf("heartbeat is %+v", what)
	}
}

// behaviour 5.5.1: attributes as text.
func TestAttributeText(t *testing.T) {
	for v, want := range map[float64]string{1: "1", 0.8001: "0.8", 3.5: "3.5", 0.0625: "0.062", 0.1875: "0.188", 100: "100", -1.5: "-1.5"} {
		if got := attributeText(&mesos.Attribute{Type: mesos.SCALAR, Scalar: &mesos.Value_Scalar{Value: v}}); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	set := mesos.Attribute{Type: mesos.SET, Set: &mesos.Value_Set{Item: []string{"b", "a"}}}
	if got := attributeText(&set); got != "{a,b}" || set.Set.Item[0] != "b" {
		t.Errorf("set is %q", got)
	}
	ranges := mesos.Attribute{Type: mesos.RANGES, Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 20, End: 30}, {Begin: 1, End: 10}}}}
	if got := attributeText(&ranges); got != "[1-10,20-30]" {
		t.Errorf("ranges are %q", got)
	}
	text := mesos.Attribute{Type: mesos.TEXT, Text: &mesos.Value_Text{Value: "x y"}}
	if got := attributeText(&text); got != "x y" {
		t.Errorf("text is %q", got)
	}
}

// http-api 9.1: attributes keep their types for those who look at offers, and are shared until something of them changes.
func TestAttributeTypes(t *testing.T) {
	list := func(kind mesos.Value_Type) []mesos.Attribute {
		one := mesos.Attribute{Name: "n", Type: kind, Text: &mesos.Value_Text{Value: "1"}, Scalar: &mesos.Value_Scalar{Value: 1}}
		return []mesos.Attribute{one,
			{Name: "r", Type: mesos.RANGES, Ranges: &mesos.Value_Ranges{Range: []mesos.Value_Range{{Begin: 20, End: 30}, {Begin: 1, End: 2}}}},
			{Name: "s", Type: mesos.SET, Set: &mesos.Value_Set{Item: []string{"b", "a"}}}}
	}
	d := newDecoder()
	read := func(kind mesos.Value_Type) offers.Offer {
		return d.offer(&mesos.Offer{AgentID: mesos.AgentID{Value: "S"}, Attributes: list(kind)})
	}
	text, again, number := read(mesos.TEXT), read(mesos.TEXT), read(mesos.SCALAR)
	if &text.Attributes[0] != &again.Attributes[0] {
		t.Error("not shared")
	}
	one, value := "1", 1.0
	rest := []offers.Attribute{{Name: "r", Ranges: []offers.Range{{Begin: 20, End: 30}, {Begin: 1, End: 2}}}, {Name: "s", Items: []string{"b", "a"}}}
	if want := append([]offers.Attribute{{Name: "n", Text: &one}}, rest...); !reflect.DeepEqual(text.Attributes, want) {
		t.Errorf("text: %+v", text.Attributes)
	}
	if want := append([]offers.Attribute{{Name: "n", Scalar: &value}}, rest...); !reflect.DeepEqual(number.Attributes, want) {
		t.Errorf("the text has become a number: %+v", number.Attributes)
	}
}

// Every resource comes back as it was, in the form of the framework (with RESERVATION_REFINEMENT and without).
func TestResourcesRoundTrip(t *testing.T) {
	plain := []offers.Resource{
		{Name: "cpus", Value: 1.5, AllocationRole: "web"},
		{Name: "ports", Type: offers.Ranges, Ranges: []offers.Range{{Begin: 1, End: 2}, {Begin: 5, End: 5}}},
		{Name: "tags", Type: offers.Set, Items: []string{"x", "y"}, Revocable: true},
		{Name: "mem", Value: 5, Reservations: []offers.ReservationInfo{{Role: "web"}}},
		{Name: "mem", Value: 5, Reservations: []offers.ReservationInfo{{Dynamic: true, Role: "web", Principal: "p", Labels: []offers.Label{{Key: "k", Value: "v"}}}}},
		{Name: "mem", Value: 5, Reservations: []offers.ReservationInfo{{Dynamic: true, Role: "web", Labels: []offers.Label{}}}}, // an empty list is not none
		{Name: "disk", Value: 5, Shared: true, ProviderID: "rp", Disk: &offers.DiskInfo{PersistenceID: "id", Principal: "p", ContainerPath: "data", Mode: "RO"}},
		{Name: "disk", Value: 5, Disk: &offers.DiskInfo{Source: &offers.DiskSource{Type: "MOUNT", Root: "/x", ID: "i", Profile: "fast"}}},
		{Name: "disk", Value: 5, Disk: &offers.DiskInfo{Source: &offers.DiskSource{Type: "PATH", Root: "/y"}}},
		{Name: "disk", Value: 5, Disk: &offers.DiskInfo{Source: &offers.DiskSource{Type: "RAW"}}},
		// Disks of storage resource providers, which set a vendor since Mesos 1.8, and the volume context if there is one.
		{Name: "disk", Value: 5, ProviderID: "rp", Disk: &offers.DiskInfo{Source: &offers.DiskSource{Type: "MOUNT", Root: "./csi/v", ID: "i", Profile: "fast",
			Vendor: "org.apache.mesos.csi.test.local", Metadata: []offers.Label{{Key: "path", Value: "/v"}, {Key: "empty"}}}}},
		{Name: "disk", Value: 5, ProviderID: "rp", Disk: &offers.DiskInfo{Source: &offers.DiskSource{Type: "MOUNT", Vendor: "v", Metadata: []offers.Label{}}}},
	}
	refined := append([]offers.Resource{{Name: "mem", Value: 1, Reservations: []offers.ReservationInfo{{Role: "a"}, {Dynamic: true, Role: "a/b", Principal: "p"}}}}, plain...)
	for _, refinement := range []bool{false, true} {
		list := plain
		if refinement {
			list = refined
		}
		encoded, err := toResources(list, refinement)
		if err != nil {
			t.Fatal(err)
		}
		for i := range encoded {
			b, err := encoded[i].Marshal()
			if err != nil {
				t.Fatal(err)
			}
			var r mesos.Resource
			if err := r.Unmarshal(b); err != nil {
				t.Fatal(err)
			}
			got, ok := fromResource(&r)
			if !ok || !reflect.DeepEqual(got, list[i]) {
				t.Errorf("refinement %v: %+v becomes %+v", refinement, list[i], got)
			}
			if refinement && (r.Role != nil || r.Reservation != nil) || !refinement && (len(r.Reservations) > 0 || r.Role == nil) {
				t.Errorf("refinement %v: wrong form %+v", refinement, r)
			}
		}
	}
	for _, bad := range []offers.Resource{{Name: "x", Type: 9}, {Name: "disk", Disk: &offers.DiskInfo{ContainerPath: "x", Mode: "WO"}}, {Name: "disk", Disk: &offers.DiskInfo{Source: &offers.DiskSource{Type: "NFS"}}}} {
		if _, err := toResource(&bad, true); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// F23: resources that cannot be given back as they were are not offered on; the odd but known ones are marked.
func TestF23OddResources(t *testing.T) {
	noValue := &mesos.Labels{Labels: []mesos.Label{{Key: "k"}}} // another label to the master than one with an empty value
	o := mesos.Offer{ID: mesos.OfferID{Value: "o"}, Resources: []mesos.Resource{
		{Name: "disk", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Disk: &mesos.Resource_DiskInfo{Source: &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_RAW, Metadata: noValue}}},
		{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Reservations: []mesos.Resource_ReservationInfo{{Role: text("a"), Labels: noValue}}},
		{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Role: text("a"), Reservation: &mesos.Resource_ReservationInfo{Labels: noValue}},
		{Name: "disk", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Disk: &mesos.Resource_DiskInfo{Volume: &mesos.Volume{Mode: mesos.RW.Enum(), ContainerPath: "x", HostPath: text("/")}}},
		{Name: "text", Type: mesos.TEXT.Enum()},
		{Name: "disk", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Shared: &mesos.Resource_SharedInfo{}},
		{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Revocable: &mesos.Resource_RevocableInfo{}},
		{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 1}, Role: text("others")},
		{Name: "ports", Type: mesos.RANGES.Enum()},
	}}
	got := newDecoder().offer(&o).Resources
	if len(got) != 4 || !got[0].Shared || !got[1].Revocable || got[2].Role() != "others" || len(got[3].Ranges) != 0 {
		t.Fatalf("resources %+v", got)
	}
}

// ACKNOWLEDGE by hand is byte for byte a call that mesos-go reads as meant, and its size is foretold.
func TestAcknowledgeByHand(t *testing.T) {
	for _, n := range []int{0, 1, 100, 126, 127, 128, 200, 16384} {
		a := offers.Acknowledge{TaskID: core.TaskID(strings.Repeat("t", n)), AgentID: strings.Repeat("a", n), UUID: bytes.Repeat([]byte{7}, n)}
		prefix := ackPrefix("f1")
		b := appendAck(nil, prefix, &a)
		if len(b) != ackSize(prefix, &a) {
			t.Errorf("%d: size %d, said %d", n, len(b), ackSize(prefix, &a))
		}
		var call scheduler.Call
		if err := call.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		want := scheduler.Call{FrameworkID: &mesos.FrameworkID{Value: "f1"}, Type: scheduler.Call_ACKNOWLEDGE, Acknowledge: &scheduler.Call_Acknowledge{
			TaskID: mesos.TaskID{Value: string(a.TaskID)}, AgentID: mesos.AgentID{Value: a.AgentID}, UUID: a.UUID}}
		if !call.Equal(&want) {
			t.Errorf("%d: %+v", n, call)
		}
		if other, err := want.Marshal(); err != nil || !bytes.Equal(other, b) {
			t.Errorf("%d: mesos-go writes other bytes, %v", n, err)
		}
	}
}

// The hot path: an acknowledgement takes no memory of its own, an update only what its values need (task id, message,
// executor id, uuid, addresses, the event itself).
func TestHotPathAllocations(t *testing.T) {
	prefix, a, buf := ackPrefix("f1"), ack("t1"), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = appendAck(buf[:0], prefix, &a) }); n != 0 {
		t.Errorf("%v allocations for an acknowledgement", n)
	}
	d := newDecoder()
	for _, e := range recorded(t, "UPDATE") {
		record, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(100, func() {
			if _, err := d.decode(record); err != nil {
				t.Error(err)
			}
		})
		if n > 8 {
			t.Errorf("%v allocations for %s", n, e.Update.Status.GetState())
		}
	}
}

func benchmarkUpdate(b *testing.B, read func([]byte) error) {
	e := recorded(b, "UPDATE")[1]
	record, err := e.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	for b.Loop() {
		if err := read(record); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	d := newDecoder()
	benchmarkUpdate(b, func(r []byte) error { _, err := d.decode(r); return err })
}

// BenchmarkUpdateStock is what the stock library takes for the same bytes, without any conversion.
func BenchmarkUpdateStock(b *testing.B) {
	benchmarkUpdate(b, func(r []byte) error {
		var e scheduler.Event
		return e.Unmarshal(r)
	})
}

func BenchmarkAcknowledge(b *testing.B) {
	prefix := ackPrefix("b1713aeb-1e3a-4a9f-a29c-ddf839f9f6c4-0000")
	a := ack("app.instance-7b2a1c0e-6f5b-11ee-b962-0242ac120002._app.1")
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendAck(buf[:0], prefix, &a)
	}
}

func BenchmarkOffer(b *testing.B) {
	e := recorded(b, "OFFERS")[0]
	record, err := e.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	d := newDecoder()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.decode(record); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(e.Offers.Offers)), "offers/op")
}
