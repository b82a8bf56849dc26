package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"stadion/core/machine"
)

// maxBody bounds what is read of an answer that is kept (preserveLastResponse).
const maxBody = 64 << 10

const (
	noAddress = "UnsupportedOperationException: Health check failed: unable to get the task's effective IP address"
	noPort    = "UnsupportedOperationException: Health check failed: unable to get the task's effectivePort"
)

// ask runs one probe and words its verdict.
func (p *Prober) ask(ctx context.Context, x *machine.Probe) machine.Event {
	if x.Readiness {
		return p.askReady(ctx, x)
	}
	rep := machine.HealthReport{Instance: x.Instance, Task: x.Task, Check: x.Check, Outcome: machine.ProbeFailed}
	switch {
	case x.Host == "":
		rep.Cause = noAddress
	case x.Port == 0:
		rep.Cause = noPort
	case x.Protocol == "TCP":
		rep.Outcome, rep.Cause = askTCP(ctx, x)
	default:
		rep.Outcome, rep.Cause = p.askHTTP(ctx, x)
	}
	return rep
}

func askTCP(ctx context.Context, x *machine.Probe) (machine.Outcome, string) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(x.Host, strconv.Itoa(x.Port)))
	if err != nil {
		return machine.ProbeFailed, "ConnectException: " + err.Error()
	}
	_ = c.Close()
	return machine.ProbeHealthy, ""
}

func (p *Prober) get(ctx context.Context, x *machine.Probe) (*http.Response, string, error) {
	path := x.Path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	url := strings.ToLower(x.Protocol) + "://" + net.JoinHostPort(x.Host, strconv.Itoa(x.Port)) + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, url, err
	}
	res, err := p.client.Do(req)
	return res, url, err
}

// askHTTP: 200 to 399 is healthy; the body must arrive within the timeout too (D-27).
func (p *Prober) askHTTP(ctx context.Context, x *machine.Probe) (machine.Outcome, string) {
	res, _, err := p.get(ctx, x)
	if err != nil {
		return machine.ProbeFailed, err.Error()
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxBody)); err != nil {
		return machine.ProbeFailed, err.Error()
	}
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 400:
		return machine.ProbeHealthy, ""
	case res.StatusCode < 200 && x.Ignore1xx:
		return machine.ProbeIgnored, ""
	}
	return machine.ProbeFailed, fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
}

// askReady: ready when the status is one of the wanted; an error counts as a synthetic 504 (behaviour.md 8.8).
func (p *Prober) askReady(ctx context.Context, x *machine.Probe) machine.Event {
	rep := machine.ReadinessReport{Instance: x.Instance, Task: x.Task, Name: x.Name}
	fail := func(url, why string) machine.Event {
		if x.Preserve {
			rep.Status, rep.ContentType, rep.Body = http.StatusGatewayTimeout, "text/plain", fmt.Sprintf("Marathon could not query %s: %s", url, why)
		}
		return rep
	}
	if x.Host == "" || x.Port == 0 {
		return fail(strings.ToLower(x.Protocol)+"://?"+x.Path, "the task has no such port or no address")
	}
	res, url, err := p.get(ctx, x)
	if err != nil {
		return fail(url, err.Error())
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return fail(url, err.Error())
	}
	rep.Ready = slices.Contains(x.Ready, res.StatusCode)
	if x.Preserve {
		rep.Status, rep.ContentType, rep.Body = res.StatusCode, res.Header.Get("Content-Type"), string(body)
	}
	return rep
}
