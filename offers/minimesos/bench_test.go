package minimesos

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// benchCluster has simulated agents only; the numbers are those of the miniature
// and of the plain test client together.
func benchCluster(b *testing.B, agents int) *Cluster {
	rs, err := ParseResources("cpus:64;mem:262144;disk:1000000;ports:[31000-32000]", "*")
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{Simulated: &Simulation{}, AllocationInterval: 50 * time.Millisecond}
	for i := range agents {
		cfg.Agents = append(cfg.Agents, AgentConfig{Hostname: fmt.Sprintf("a%d", i), Resources: rs})
	}
	c, err := Start(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(true) }) //nolint:errcheck // nothing to lose
	return c
}

// BenchmarkAllocation is one round with everything free and one framework.
func BenchmarkAllocation5000Agents(b *testing.B) {
	c := benchCluster(b, 5000)
	c.mu.Lock()
	defer c.mu.Unlock()
	fw := c.m.addFramework(&mesos.FrameworkInfo{Roles: []string{"web"}, Capabilities: allCapabilities()})
	fw.suppressed = map[string]bool{}
	fw.stream = newStream("bench", false)
	for b.Loop() {
		c.m.allocate(nil)
		c.m.voidOffers(fw)
		fw.stream.take(nil)
	}
}

func BenchmarkLaunches1000Agents(b *testing.B) { benchmarkLaunches(b, 1000) }
func BenchmarkLaunches5000Agents(b *testing.B) { benchmarkLaunches(b, 5000) }

// benchmarkLaunches goes over real HTTP: ACCEPT of 20 tasks, two statuses and two
// acknowledgements each, pipelined as the adapter does.
func benchmarkLaunches(b *testing.B, agents int) {
	c := benchCluster(b, agents)
	t := &testing.T{}
	f := newFramework(t, c, "web").subscribe()
	free := make(chan mesos.Offer, 1<<20)
	running := make(chan struct{}, 1<<20)
	acks := make(chan *mesos.TaskStatus, 1<<20)
	for range 2 {
		go pipelineAcks(b, f, acks)
	}
	go func() {
		for ev := range f.events {
			switch ev.Type {
			case scheduler.Event_OFFERS:
				for _, o := range ev.Offers.Offers {
					free <- o
				}
			case scheduler.Event_UPDATE:
				acks <- &ev.Update.Status
				if ev.Update.Status.GetState() == mesos.TASK_RUNNING {
					running <- struct{}{}
				}
			}
		}
	}()
	const batch = 20
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		o := <-free
		tasks := make([]mesos.TaskInfo, batch)
		for i := range tasks {
			tasks[i] = testTask(fmt.Sprintf("t%d-%d", b.N, n+i), &o, 0.01)
		}
		f.accept([]mesos.Offer{o}, launchOp(tasks...))
	}
	for n := 0; n < b.N; n++ {
		<-running
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// pipelineAcks sends what there is to acknowledge in one write and reads the answers.
func pipelineAcks(b *testing.B, f *testFramework, acks <-chan *mesos.TaskStatus) {
	conn, err := net.Dial("tcp", f.c.Addr())
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	var buf []byte
	for st := range acks {
		buf = buf[:0]
		n := 0
		for more := true; more; {
			_, body := f.encode(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE, FrameworkID: &mesos.FrameworkID{Value: f.id},
				Acknowledge: &scheduler.Call_Acknowledge{AgentID: *st.AgentID, TaskID: st.TaskID, UUID: st.UUID}})
			buf = fmt.Appendf(buf, "POST /api/v1/scheduler HTTP/1.1\r\nHost: m\r\nContent-Type: %s\r\nAccept: %s\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
				typeProtobuf, typeProtobuf, streamHeader, f.stream, len(body), body)
			n++
			more = false
			if n < 128 {
				select {
				case st = <-acks:
					more = true
				default:
				}
			}
		}
		if _, err := conn.Write(buf); err != nil {
			b.Error(err)
			return
		}
		for n > 0 {
			line, err := r.ReadString('\n')
			if err != nil {
				return // the cluster is closed
			}
			if strings.HasPrefix(line, "HTTP/1.1 ") && !strings.HasPrefix(line, "HTTP/1.1 202 ") {
				b.Error(line)
			}
			if line == "\r\n" {
				n--
			}
		}
	}
}
