package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// balancer is a running HAProxy with what keeps its configuration up to date.
type balancer struct {
	c        *caller
	dir      string
	host     string // a loopback address that is ours alone, for any service ports
	frontend string // host:port where services are told apart by name
	output   outputLog
	running  sync.WaitGroup // of all HAProxy processes

	mu      sync.Mutex
	addrs   []string // backends of the running configuration
	ports   []int    // service ports of it
	text    string
	reloads int
	pid     int           // of the process that takes connections
	ended   chan struct{} // closed when that has ended
	served  []string      // backends it may have sent requests to
	all     []*os.Process
}

// lbEvents are the events that marathon-lb asks for.
const lbEvents = "?plan-format=light&event_type=api_post_event&event_type=health_status_changed_event&event_type=status_update_event"

// startBalancer runs until the end of the feature.
func startBalancer(c *caller) *balancer {
	c.Helper()
	dir, err := os.MkdirTemp("", "lb") // the path of a socket must be short
	if err != nil {
		c.Fatal(err)
	}
	b := &balancer{c: c, dir: dir, host: loopback(c.base)}
	b.frontend = b.host + ":8000"
	c.Cleanup(func() { _ = os.RemoveAll(dir) })
	events := c.api.OpenEvents(lbEvents, nil).Events // before the first look, so that nothing is missed
	b.look()
	c.Cleanup(b.stop)
	if err := b.reload(); err != nil {
		c.Fatalf("start HAProxy: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	c.Cleanup(func() {
		cancel()
		loop.Wait()
	})
	loop.Go(func() { b.follow(ctx, events) })
	return b
}

// outputLog keeps what HAProxy says.
type outputLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *outputLog) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *outputLog) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// loopback is an address of this machine that belongs to name.
func loopback(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	n := h.Sum32()
	return fmt.Sprintf("127.%d.%d.%d", 1+n>>16%250, n>>8&255, 1+n%250)
}

func (b *balancer) file() string { return filepath.Join(b.dir, "haproxy.cfg") }

// follow looks again after each event; events that come together make one look.
func (b *balancer) follow(ctx context.Context, events <-chan harness.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-events:
			if !open {
				b.c.Errorf("the event stream of the proxy has ended")
				return
			}
		}
		for pending := true; pending; {
			select {
			case _, pending = <-events:
			default:
				pending = false
			}
		}
		if !b.look() {
			continue
		}
		if err := b.reload(); err != nil {
			b.c.Errorf("reload HAProxy: %v", err)
			return
		}
	}
}

// look reads all apps and writes the configuration; it tells whether it has changed.
func (b *balancer) look() bool {
	res, err := b.c.api.Try(http.MethodGet, "/v2/apps?embed=apps.tasks", nil)
	var list struct{ Apps []lbApp }
	if err == nil {
		err = json.Unmarshal(res.Body, &list)
	}
	if err != nil {
		b.c.Errorf("the list of apps: %v", err)
		return false
	}
	text, addrs := haproxyConfig(list.Apps, b.c.base, filepath.Join(b.dir, "s"), b.host)
	slices.Sort(addrs)
	for _, addr := range addrs {
		harness.SayHello(&proxied, addr) // one that goes already is found ill by HAProxy
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if text == b.text {
		return false
	}
	if err := os.WriteFile(b.file(), []byte(text), 0o600); err != nil {
		b.c.Errorf("%v", err)
		return false
	}
	if out, err := exec.Command("haproxy", "-c", "-f", b.file()).CombinedOutput(); err != nil {
		b.c.Errorf("HAProxy refuses the configuration: %s\n%s", out, text)
		return false
	}
	b.text, b.addrs, b.ports = text, addrs, nil
	for _, a := range list.Apps {
		if strings.HasPrefix(a.ID, b.c.base+"/") && len(a.PortDefinitions) > 0 {
			b.ports = append(b.ports, a.PortDefinitions[0].Port)
		}
	}
	return true
}

// reload starts a process with the new configuration, which takes the sockets over and then tells the old one to finish what
// it has, so that no connection is refused. When the new one answers and the old one has ended it says good-bye to the
// backends that only the old one used.
func (b *balancer) reload() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	socket := filepath.Join(b.dir, "s")
	args := []string{"-db", "-f", b.file()}
	if b.pid != 0 {
		args = append(args, "-x", socket, "-sf", strconv.Itoa(b.pid))
		b.reloads++
	}
	cmd := exec.Command("haproxy", args...)
	cmd.Stdout, cmd.Stderr = &b.output, &b.output
	if err := cmd.Start(); err != nil {
		return err
	}
	old, ended := b.ended, make(chan struct{})
	b.running.Go(func() { _ = cmd.Wait(); close(ended) })
	b.pid, b.ended, b.all = cmd.Process.Pid, ended, append(b.all, cmd.Process)
	for end := time.Now().Add(waitLimit); time.Now().Before(end); {
		if answersAs(socket, b.pid) {
			if old != nil {
				<-old
			}
			b.leave(b.addrs)
			return nil
		}
		select {
		case <-ended:
			return errors.New("it has ended")
		case <-time.After(pollInterval):
		}
	}
	return errors.New("it does not answer")
}

// leave tells the backends that are not among the others that nothing more will come.
func (b *balancer) leave(others []string) {
	for _, addr := range b.served {
		if !slices.Contains(others, addr) {
			harness.SayGoodbye(&proxied, addr)
		}
	}
	b.served = slices.Clone(others)
}

// answersAs asks who takes commands at the socket.
func answersAs(socket string, pid int) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(waitLimit))
	if _, err := conn.Write([]byte("show info\n")); err != nil {
		return false
	}
	info, err := io.ReadAll(conn)
	return err == nil && strings.Contains(string(info), fmt.Sprintf("\nPid: %d\n", pid))
}

// stop ends all processes; most of the old ones have ended by themselves.
func (b *balancer) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.all {
		_ = p.Signal(syscall.SIGTERM) // an error where it has been waited for
	}
	b.running.Wait()
	b.leave(nil)
	if b.c.Failed() {
		b.c.Logf("HAProxy: %s\nits configuration:\n%s", &b.output, b.text)
	}
}

// backends are the addresses of the running configuration.
func (b *balancer) backends() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addrs
}

// servicePort is the address of the only service's port.
func (b *balancer) servicePort() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ports) == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", b.host, b.ports[0])
}

// answers waits until the service answers word under its name and under its port.
func (b *balancer) answers(c *caller, word string) {
	c.Helper()
	for _, where := range []func() string{func() string { return b.frontend }, b.servicePort} {
		harness.Await(c, waitLimit, "the service answers "+word, func() (bool, string) {
			res := get(c, where(), vhost)
			return res.Status == http.StatusOK && strings.HasPrefix(string(res.Body), word+" "), fmt.Sprintf("%d %s", res.Status, res.Body)
		})
	}
}

// proxied sends each request over a connection of its own, as many clients would.
var proxied = http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}

// get asks the proxy at addr for the service of that name; no answer is status 0.
func get(t testing.TB, addr, name string) harness.Answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return harness.Answer{Body: []byte(err.Error())}
	}
	req.Host = name
	res, err := proxied.Do(req)
	if err != nil {
		return harness.Answer{Body: []byte(err.Error())}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return harness.Answer{Body: []byte(err.Error())}
	}
	return harness.Answer{Status: res.StatusCode, Body: body}
}

// load are clients of the service, through the proxy.
type load struct {
	b      *balancer
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	asked  int
	words  map[string]int
	failed []string
}

const loadPace = 20 * time.Millisecond // between two requests

func startLoad(b *balancer) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{b: b, cancel: cancel, words: map[string]int{}}
	b.c.Cleanup(cancel)
	for _, where := range []string{b.frontend, b.servicePort()} {
		l.done.Go(func() {
			pace := time.NewTicker(loadPace)
			defer pace.Stop()
			for ctx.Err() == nil {
				<-pace.C
				l.note(get(b.c, where, vhost))
			}
		})
	}
	return l
}

func (l *load) note(res harness.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if res.Status != http.StatusOK {
		l.failed = append(l.failed, fmt.Sprintf("%s %d %s", time.Now().Format("15:04:05.000"), res.Status, res.Body))
		return
	}
	word, _, _ := strings.Cut(string(res.Body), " ")
	l.words[word]++
}

// until waits for an answer of a version.
func (l *load) until(c *caller, word string) {
	c.Helper()
	harness.Await(c, waitLimit, word+" has answered", func() (bool, string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.words[word] > 0, fmt.Sprint(l.words)
	})
}

// judge ends the load: no request may have failed.
func (l *load) judge(c *caller) {
	c.Helper()
	l.cancel()
	l.done.Wait()
	c.Logf("%d requests, %d failed, answers by version %v", l.asked, len(l.failed), l.words)
	if len(l.failed) > 0 {
		c.Errorf("%d of %d requests failed, the first: %s", len(l.failed), l.asked, l.failed[0])
	}
}
