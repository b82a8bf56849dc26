package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

const (
	mediaType     = "application/x-protobuf"
	streamHeader  = "Mesos-Stream-Id"
	perOffer      = 100 // tasks launched on one offer, the server's own default
	schedulerPath = "/api/v1/scheduler"
	plainForm     = "-noop"
	pipedForm     = "-noop-piped"
	stormForm     = "-noop-storm"
	ackSenders    = 8   // connections for acknowledgements
	ackWindow     = 256 // acknowledgements in one write of the pipelined form
	ackQueue      = 1 << 16
	recordsBuffer = 1 << 20
)

// noop is a framework that does nothing but launch: the most that this machine and this codec allow. It remembers no
// task, stores nothing and decides nothing. It comes in two forms: with an HTTP client as any Go program has it, and
// pipelined, where a connection carries many acknowledgements in one write before their answers are read.
type noop struct {
	url     string
	host    string
	piped   bool
	storm   bool // ready is when all are launched, and the end is when all run
	wanted  int
	client  *http.Client
	id      *mesos.FrameworkID
	stream  string
	started int // tasks launched
	body    mesos.TaskInfo
	acked   atomic.Int64 // acknowledgements of them that were taken
	acks    chan *mesos.TaskStatus
	failed  chan error
	ended   chan struct{}
}

// runNoop launches the wanted number of tasks and says how many seconds that took, from the subscription to the last
// acknowledgement.
func runNoop(form, url, wanted string) error {
	n, err := strconv.Atoi(wanted)
	if err != nil {
		return err
	}
	f := &noop{url: url + schedulerPath, host: strings.TrimPrefix(url, "http://"), piped: form == pipedForm, storm: form == stormForm, wanted: n, acks: make(chan *mesos.TaskStatus, ackQueue), failed: make(chan error, ackSenders+1), ended: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: ackSenders + 1, DisableCompression: true}}}
	began := time.Now()
	res, err := f.subscribe()
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var senders sync.WaitGroup
	for range ackSenders {
		if f.piped {
			senders.Go(f.pipe)
		} else {
			senders.Go(f.acknowledge)
		}
	}
	go func() { f.failed <- f.listen(res.Body) }()
	select {
	case err = <-f.failed:
	case <-f.ended:
	}
	if err != nil || f.storm {
		return err
	}
	fmt.Printf("ready: %f\n", time.Since(began).Seconds())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop // until then its CPU time can be read
	return nil
}

func (f *noop) subscribe() (*http.Response, error) {
	timeout := 60.0
	command := "sleep 1000"
	f.body = mesos.TaskInfo{Name: "noop", Command: &mesos.CommandInfo{Value: &command}}
	res, err := f.post(&scheduler.Call{Type: scheduler.Call_SUBSCRIBE, Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: "root", Name: "noop",
		Roles: []string{"*"}, FailoverTimeout: &timeout, Capabilities: []mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE},
			{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE}, {Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT}}}}})
	if err != nil {
		return nil, err
	}
	if f.stream = res.Header.Get(streamHeader); res.StatusCode != http.StatusOK || f.stream == "" {
		return nil, fmt.Errorf("SUBSCRIBE: status %s", res.Status)
	}
	return res, nil
}

func (f *noop) post(c *scheduler.Call) (*http.Response, error) {
	c.FrameworkID = f.id
	b, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, f.url, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header["Content-Type"], req.Header["Accept"] = []string{mediaType}, []string{mediaType}
	if f.stream != "" {
		req.Header[streamHeader] = []string{f.stream}
	}
	return f.client.Do(req)
}

func (f *noop) call(c *scheduler.Call) error {
	res, err := f.post(c)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: status %s", c.Type, res.Status)
	}
	return nil
}

// listen takes the records of the stream.
func (f *noop) listen(body io.Reader) error {
	r := bufio.NewReaderSize(body, recordsBuffer)
	var buf []byte
	for {
		head, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		size, err := strconv.Atoi(strings.TrimSuffix(head, "\n"))
		if err != nil {
			return err
		}
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		buf = buf[:size]
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		var e scheduler.Event
		if err := e.Unmarshal(buf); err != nil {
			return err
		}
		if err := f.hear(&e); err != nil {
			return err
		}
	}
}

func (f *noop) hear(e *scheduler.Event) error {
	switch e.Type {
	case scheduler.Event_SUBSCRIBED:
		f.id = e.Subscribed.FrameworkID
	case scheduler.Event_ERROR:
		return errors.New(e.Error.Message)
	case scheduler.Event_UPDATE:
		f.acks <- &e.Update.Status
	case scheduler.Event_OFFERS:
		for i := range e.Offers.Offers {
			if f.started == f.wanted {
				break
			}
			if err := f.launch(&e.Offers.Offers[i]); err != nil {
				return err
			}
			if f.storm && f.started == f.wanted {
				fmt.Println("ready: all are launched")
			}
		}
	}
	return nil
}

// launch fills one offer.
func (f *noop) launch(o *mesos.Offer) error {
	tasks := make([]mesos.TaskInfo, 0, perOffer)
	f.body.AgentID = o.AgentID
	f.body.Resources = []mesos.Resource{scalar("cpus", 0.1, o), scalar("mem", 32, o)}
	for len(tasks) < perOffer && f.started < f.wanted {
		f.started++
		t := f.body
		t.TaskID.Value = "noop." + strconv.Itoa(f.started)
		tasks = append(tasks, t)
	}
	return f.call(&scheduler.Call{Type: scheduler.Call_ACCEPT, Accept: &scheduler.Call_Accept{OfferIDs: []mesos.OfferID{o.ID},
		Operations: []mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH, Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}}}})
}

func scalar(name string, v float64, o *mesos.Offer) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}, AllocationInfo: o.AllocationInfo}
}

// acknowledge sends acknowledgements, one at a time, until all tasks are known to run.
func (f *noop) acknowledge() {
	for {
		var st *mesos.TaskStatus
		select {
		case st = <-f.acks:
		case <-f.ended:
			return
		}
		err := f.call(f.ackOf(st))
		if err == nil {
			err = f.taken(st)
		}
		if err != nil {
			f.failed <- err
			return
		}
	}
}

func (f *noop) ackOf(st *mesos.TaskStatus) *scheduler.Call {
	return &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE, FrameworkID: f.id,
		Acknowledge: &scheduler.Call_Acknowledge{AgentID: *st.AgentID, TaskID: st.TaskID, UUID: st.UUID}}
}

// taken counts an acknowledgement that the master took.
func (f *noop) taken(st *mesos.TaskStatus) error {
	switch st.GetState() {
	case mesos.TASK_STAGING, mesos.TASK_STARTING:
	case mesos.TASK_RUNNING:
		if f.acked.Add(1) == int64(f.wanted) {
			close(f.ended)
		}
	default:
		return fmt.Errorf("task %s is %s: %s", st.TaskID.Value, st.GetState(), st.GetMessage())
	}
	return nil
}

// pipe sends what waits in one write, then reads the answers.
func (f *noop) pipe() {
	conn, err := net.Dial("tcp", f.host)
	if err != nil {
		f.failed <- err
		return
	}
	defer conn.Close()
	answers, window, buf := bufio.NewReaderSize(conn, recordsBuffer), []*mesos.TaskStatus(nil), []byte(nil)
	head := "POST " + schedulerPath + " HTTP/1.1\r\nHost: " + f.host + "\r\nContent-Type: " + mediaType + "\r\n" + streamHeader + ": " + f.stream + "\r\nContent-Length: "
	for {
		window, buf = window[:0], buf[:0]
		select {
		case st := <-f.acks:
			window = append(window, st)
		case <-f.ended:
			return
		}
		for len(window) < ackWindow && len(f.acks) > 0 {
			select {
			case st := <-f.acks:
				window = append(window, st)
			default:
			}
		}
		for _, st := range window {
			b, err := f.ackOf(st).Marshal()
			if err != nil {
				f.failed <- err
				return
			}
			buf = append(buf, head...)
			buf = strconv.AppendInt(buf, int64(len(b)), 10)
			buf = append(append(buf, "\r\n\r\n"...), b...)
		}
		if _, err = conn.Write(buf); err == nil {
			err = f.answered(answers, window)
		}
		if err != nil {
			f.failed <- err
			return
		}
	}
}

// answered reads the answers of a window: empty ones of status 202.
func (f *noop) answered(r *bufio.Reader, window []*mesos.TaskStatus) error {
	for _, st := range window {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode != http.StatusAccepted {
			return fmt.Errorf("ACKNOWLEDGE: status %s", res.Status)
		}
		if err := f.taken(st); err != nil {
			return err
		}
	}
	return nil
}
