package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"stadion/offers/minimesos"
)

// minimesosRows are the flags of stadion minimesos.
func minimesosRows() []flagRow {
	return []flagRow{
		{"port", "5050", number, kept, "miniature", "port of the master on 127.0.0.1; 0: any"},
		{"masters", "1", number, kept, "miniature", "number of masters; the others redirect to the leading one, on the next ports"},
		{"agents", "1", number, kept, "miniature", "number of agents; 0: a cluster without offers"},
		{"work_dir", "", text, kept, "miniature", "directory of the master's state and the sandboxes; required"},
		{"resources", "", text, kept, "miniature", "resources of each agent, as for the Mesos agent: cpus:4;mem:4096;disk:10000;ports:[31000-31999]; default: this machine's, divided"},
		{"attributes", "", text, kept, "miniature", "attributes of each agent, as for the Mesos agent; %d becomes the agent's number"},
		{"simulated", "false", toggle, kept, "miniature", "tasks are rows, no processes are started"},
		{"simulation", "", text, kept, "miniature", "how simulated tasks behave: start=10ms,run=1s,health=1s,kill=1s,duration=5m,launch_failures=0.01,task_failures=0.01,seed=7"},
		{"allocation_interval", "1000", millis, kept, "miniature", "between two rounds of offers"},
		{"offer_timeout", "0", millis, kept, "miniature", "an offer that is held so long is rescinded; 0: never"},
		{"agent_ping_timeout", "75000", millis, kept, "miniature", "an agent that is silent so long is unreachable"},
		{"agent_return_spread", "0", millis, kept, "miniature", "the agents come back to a new master over this time"},
		{"credentials", "", text, kept, "miniature", "file of lines \"principal secret\": frameworks must authenticate"},
		{"domain", "", text, kept, "miniature", "region/zone of the master and all agents; %d in it becomes the agent's number"},
		{"http_command_executor", "false", toggle, kept, "miniature", "command tasks obey the kill policy of a KILL and the grace period of a drain"},
		{"faults_port", "0", number, kept, "miniature", "for tests: loopback port that makes the miniature misbehave on request; 0: any"},
		{"logging_level", "info", text, kept, "miniature", "debug, info, warn or error"},
	}
}

// runMinimesos runs the miniature until it is told to stop. Its tasks go on running, as those of a Mesos agent do, and
// are found again by the next one with the same work_dir.
func runMinimesos(ctx context.Context, f *flagSet) error {
	log, err := newLogger(f.text("logging_level"))
	if err != nil {
		return err
	}
	dir := f.text("work_dir")
	if dir == "" {
		return exitWith(exitFlag, "flag --work_dir is required")
	}
	c, err := startMinimesos(miniature{port: f.int("port"), agents: f.int("agents"), dir: dir, resources: f.text("resources"),
		attributes: f.text("attributes"), simulated: f.on("simulated"), log: log, credentials: f.text("credentials"), domain: f.text("domain"),
		masters: f.int("masters"), httpExecutor: f.on("http_command_executor"), simulation: f.text("simulation"),
		round: time.Duration(f.int64("allocation_interval")) * time.Millisecond, ping: time.Duration(f.int64("agent_ping_timeout")) * time.Millisecond,
		offers: time.Duration(f.int64("offer_timeout")) * time.Millisecond,
		spread: time.Duration(f.int64("agent_return_spread")) * time.Millisecond})
	if err != nil {
		return err
	}
	if f.given("faults_port") {
		addr, stop, err := serveFaults(f.int("faults_port"), c)
		if err != nil {
			return err
		}
		defer stop()
		fmt.Printf("faults: http://%s\n", addr)
	}
	fmt.Printf("ready: http://%s\n", strings.Join(c.Masters(), ","))
	<-ctx.Done()
	return c.Close(false)
}

// miniature says how to start a miniature Mesos.
type miniature struct {
	port, agents          int
	dir                   string
	resources, attributes string
	simulated             bool
	credentials, domain   string
	masters               int  // 0: one
	httpExecutor          bool // --http_command_executor of the agents
	simulation            string
	round, ping, spread   time.Duration // 0: the default
	offers                time.Duration // 0: they may be held for ever
	log                   *zap.Logger
}

func startMinimesos(p miniature) (*minimesos.Cluster, error) {
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, exitWith(exitFlag, "--work_dir: %w", err)
	}
	dir, err := filepath.Abs(p.dir)
	if err != nil {
		return nil, exitWith(exitFlag, "--work_dir: %w", err)
	}
	agents, err := agentConfigs(p, dir)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	sugar := p.log.Named("minimesos").Sugar()
	cfg := minimesos.Config{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)), Agents: agents, WorkDir: dir,
		AllocationInterval: p.round, AgentPingTimeout: p.ping, AgentReregisterSpread: p.spread, OfferTimeout: p.offers,
		Masters: p.masters, HTTPCommandExecutor: p.httpExecutor, Helper: []string{self, shimCommand}, Log: sugar.Debugf}
	if cfg.Credentials, err = readCredentials(p.credentials); err != nil {
		return nil, err
	}
	if cfg.Domain, err = minimesos.ParseDomain(strings.ReplaceAll(p.domain, "%d", "0")); err != nil {
		return nil, exitWith(exitFlag, "invalid value of --domain: %w", err)
	}
	if p.simulated {
		if cfg.Simulated, err = parseSimulation(p.simulation); err != nil {
			return nil, exitWith(exitFlag, "invalid value of --simulation: %w", err)
		}
	}
	c, err := minimesos.Start(cfg)
	if err != nil {
		return nil, exitWith(exitBind, "start the miniature Mesos: %w", err)
	}
	return c, nil
}

// parseSimulation reads key=value pairs; what is not named happens at once, or not at all.
func parseSimulation(text string) (*minimesos.Simulation, error) {
	s := &minimesos.Simulation{}
	spans := map[string]*time.Duration{"start": &s.StartDelay, "run": &s.RunDelay, "health": &s.HealthDelay, "kill": &s.KillDelay, "duration": &s.TaskDuration}
	shares := map[string]*float64{"launch_failures": &s.LaunchFailures, "task_failures": &s.TaskFailures}
	for _, pair := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		key, value, _ := strings.Cut(pair, "=")
		var err error
		switch {
		case spans[key] != nil:
			*spans[key], err = time.ParseDuration(value)
		case shares[key] != nil:
			*shares[key], err = strconv.ParseFloat(value, 64)
		case key == "seed":
			s.Seed, err = strconv.ParseUint(value, 10, 64)
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pair, err)
		}
	}
	return s, nil
}

// agentConfigs divides this machine, or gives each agent what --resources says.
func agentConfigs(p miniature, dir string) ([]minimesos.AgentConfig, error) {
	var out []minimesos.AgentConfig
	for n := range p.agents {
		text := p.resources
		if text == "" {
			text = shareOfMachine(dir, n, p.agents)
		}
		res, err := minimesos.ParseResources(text, "*")
		if err != nil {
			return nil, exitWith(exitFlag, "invalid value of --resources: %w", err)
		}
		attrs, err := minimesos.ParseAttributes(strings.ReplaceAll(p.attributes, "%d", strconv.Itoa(n)))
		if err != nil {
			return nil, exitWith(exitFlag, "invalid value of --attributes: %w", err)
		}
		domain, err := minimesos.ParseDomain(strings.ReplaceAll(p.domain, "%d", strconv.Itoa(n)))
		if err != nil {
			return nil, exitWith(exitFlag, "invalid value of --domain: %w", err)
		}
		out = append(out, minimesos.AgentConfig{Domain: domain, Hostname: "127.0.0.1", IP: "127.0.0.1", Resources: res, Attributes: attrs})
	}
	if len(out) > 1 { // loopback addresses stand for hosts, so that constraints on host names can be tried
		for n := range out {
			out[n].Hostname = fmt.Sprintf("127.0.%d.%d", n/250, n%250+1)
			out[n].IP = out[n].Hostname
		}
	}
	return out, nil
}

const (
	portsFirst, portsLast = 31000, 32999 // host ports that all agents of the machine share
	keepMemory            = 512          // MiB left to this process
	portsLeast            = 10
)

// shareOfMachine is agent n's part of this machine in the syntax of --resources.
func shareOfMachine(dir string, n, of int) string {
	var fs syscall.Statfs_t
	disk := uint64(10000)
	if syscall.Statfs(dir, &fs) == nil {
		disk = fs.Bavail * uint64(fs.Bsize) >> 20
	}
	var si syscall.Sysinfo_t
	mem := uint64(4096)
	if syscall.Sysinfo(&si) == nil {
		mem = uint64(si.Totalram) * uint64(si.Unit) >> 20
	}
	if mem > 2*keepMemory {
		mem -= keepMemory
	}
	ports := max((portsLast-portsFirst+1)/of, portsLeast)
	first := portsFirst + n*ports
	cpus := math.Floor(float64(runtime.NumCPU())/float64(of)*1000) / 1000
	return fmt.Sprintf("cpus:%g;mem:%d;disk:%d;ports:[%d-%d]", cpus, mem/uint64(of), disk/uint64(of), first, min(first+ports-1, 65535))
}
