package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"stadion/core"
	"stadion/core/store"
	"stadion/marathonapi/takeover"
)

const (
	importTimeout = 60 * time.Second // for one answer of Marathon
	importLimit   = 1 << 30          // bytes of one
)

// importRows are the flags of stadion import.
func importRows() []flagRow {
	return []flagRow{
		{"from", "", text, kept, "import", "URL of the Marathon to take over, http(s)://[user:password@]host:port"},
		{"from_ca_file", "", text, kept, "import", "further authorities to trust when Marathon speaks HTTPS (PEM)"},
		{"mesos_url", "", text, kept, "import", "URL of the Mesos master, for the attributes of agents; default: what Marathon names"},
		{"mesos_authentication_principal", "", text, kept, "import", "principal that Marathon registered with; part of the reservations of persistent volumes"},
		{"force", "false", toggle, kept, "import", "overwrite the file; take over in spite of running deployments"},
		{"logging_level", "info", text, kept, "import", "debug, info, warn or error"},
	}
}

// runImport is stadion import FILE: what a running Marathon shows, as a backup that stadion restore writes into a store
// (U3). Nothing is changed at Marathon or Mesos.
func runImport(ctx context.Context, f *flagSet) error {
	if f.text("from") == "" {
		return exitWith(exitFlag, "flag --from is required: the URL of Marathon")
	}
	if _, err := os.Stat(f.operand); err == nil && !f.on("force") {
		return exitWith(exitFlag, "%s exists; overwrite it with --force", f.operand)
	}
	m, err := newMarathon(f)
	if err != nil {
		return err
	}
	src, err := m.source(ctx, f)
	if err != nil {
		return exitWith(exitStoreUnreachable, "%w", err)
	}
	st, report, err := takeover.Build(src, f.on("force"))
	if err != nil {
		return exitWith(exitFlag, "this Marathon cannot be taken over as it is:\n%w", err)
	}
	s := store.NewMemory().Open(store.Options{})
	if _, err = s.Load(ctx); err == nil {
		err = s.Commit(ctx, 1, st.Flush())
	}
	if err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	if _, _, err := backupTo(ctx, s, f.operand); err != nil {
		return exitWith(exitStoreLost, "%w", err)
	}
	for _, w := range report.Warnings {
		fmt.Fprintln(os.Stderr, "warning:", w)
	}
	for _, l := range report.Left {
		fmt.Fprintln(os.Stderr, "not taken over, will be replaced:", l)
	}
	fmt.Printf("%s: framework %s with %d groups, %d apps, %d pods, %d tasks\n", f.operand, report.FrameworkID, report.Groups, report.Apps, report.Pods, report.Tasks)
	return nil
}

// marathon is a client of the Marathon that is taken over.
type marathon struct {
	base   *url.URL
	client *http.Client
}

func newMarathon(f *flagSet) (*marathon, error) {
	base, err := url.Parse(strings.TrimSuffix(f.text("from"), "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, exitWith(exitFlag, "invalid value of --from: expected http(s)://host:port")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if file := f.text("from_ca_file"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, exitWith(exitFlag, "--from_ca_file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, exitWith(exitFlag, "--from_ca_file: %s holds no certificate", file)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	return &marathon{base, &http.Client{Timeout: importTimeout, Transport: transport}}, nil
}

// get reads one answer; nil for a 404.
func (m *marathon) get(ctx context.Context, path string) ([]byte, error) {
	return m.read(ctx, m.base.String()+path, m.base.Redacted()+path)
}

func (m *marathon) read(ctx context.Context, address, shown string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: malformed address", shown)
	}
	req.Header.Set("Accept", "application/json")
	res, err := m.client.Do(req)
	if err != nil {
		if u, ok := err.(*url.Error); ok { // it holds the password
			err = u.Err
		}
		return nil, fmt.Errorf("GET %s: %w", shown, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, importLimit))
	switch {
	case err != nil:
		return nil, fmt.Errorf("GET %s: %w", shown, err)
	case res.StatusCode == http.StatusNotFound:
		return nil, nil
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("GET %s: status %d: %.200s", shown, res.StatusCode, body)
	}
	return body, nil
}

// source reads everything. Tasks come after definitions, so that no task is of an app that was not seen.
func (m *marathon) source(ctx context.Context, f *flagSet) (src takeover.Source, err error) {
	for _, part := range []struct {
		path string
		into *[]byte
		must bool
	}{
		{"/v2/info", &src.Info, true}, {"/v2/deployments", &src.Deployments, true},
		{"/v2/groups?embed=group.groups&embed=group.apps", &src.Groups, true}, {"/v2/pods", &src.Pods, false},
		{"/v2/tasks", &src.Tasks, true}, {"/v2/pods/::status", &src.PodStatuses, false},
	} {
		if *part.into, err = m.get(ctx, part.path); err != nil {
			return src, err
		}
		if part.must && *part.into == nil {
			return src, fmt.Errorf("GET %s: status 404: is this a Marathon?", m.base.Redacted()+part.path)
		}
	}
	src.Principal = f.text("mesos_authentication_principal")
	src.Version = func(id core.PathID, pod bool, at core.Timestamp) ([]byte, error) {
		if pod {
			return m.get(ctx, "/v2/pods"+string(id)+"::versions/"+at.String())
		}
		return m.get(ctx, "/v2/apps"+string(id)+"/versions/"+at.String())
	}
	src.Agents = m.agents(ctx, f.text("mesos_url"), src.Info)
	return src, nil
}

// agents asks the Mesos master for its agents; empty when it cannot be reached, which the report says.
func (m *marathon) agents(ctx context.Context, mesos string, info []byte) []byte {
	var known struct {
		Config struct {
			URL string `json:"mesos_leader_ui_url"`
		} `json:"marathon_config"`
	}
	if mesos == "" && json.Unmarshal(info, &known) == nil {
		mesos = known.Config.URL
	}
	if mesos == "" {
		return nil
	}
	address := strings.TrimSuffix(mesos, "/") + "/master/slaves"
	if body, err := m.read(ctx, address, address); err == nil {
		return body
	}
	return nil
}
