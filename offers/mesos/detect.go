package mesos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// maxMasterFile bounds the file that a file:// address names.
const maxMasterFile = 64 << 10

// master is a parsed master address: either a list of base URLs or a ZooKeeper path.
type master struct {
	bases    []string // http://host:port
	servers  []string // ZooKeeper host:port
	path     string   // ZooKeeper node that the masters announce themselves under
	user     string
	password string
}

// parseMaster reads every form but file://. Errors never show credentials (S4).
func parseMaster(s string, secure bool) (master, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "http", s
		if secure {
			scheme = "https"
		}
	}
	switch scheme {
	case "http", "https":
		return parseList(scheme, rest)
	case "zk":
		return parseZooKeeper(rest)
	default:
		return master{}, fmt.Errorf("master address %q: unknown scheme %q", hideUserInfo(s), scheme)
	}
}

func parseList(scheme, rest string) (master, error) {
	var m master
	for _, part := range strings.Split(rest, ",") {
		part = strings.TrimSpace(part)
		for _, prefix := range []string{"http://", "https://"} { // each may repeat the scheme
			if after, ok := strings.CutPrefix(part, prefix); ok {
				part, scheme = after, strings.TrimSuffix(prefix, "://")
			}
		}
		part = strings.TrimSuffix(part, "/")
		if strings.ContainsAny(part, "/@?# ") {
			return m, fmt.Errorf("master address: %q is not host:port", hideUserInfo("x://" + part)[len("x://"):])
		}
		host, err := hostPort(part, defaultPort)
		if err != nil {
			return m, fmt.Errorf("master address: %w", err)
		}
		m.bases = append(m.bases, scheme+"://"+host)
	}
	return m, nil
}

// hostPort checks host[:port] and adds the default port.
func hostPort(s, port string) (string, error) {
	if s == "" {
		return "", errors.New("a host is missing")
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil { // no port
		host, p = strings.Trim(s, "[]"), port
	}
	if host == "" || p == "" || strings.ContainsAny(host, "[]") {
		return "", fmt.Errorf("%q is not host:port", s)
	}
	return net.JoinHostPort(host, p), nil
}

func parseZooKeeper(rest string) (master, error) {
	var m master
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, password, ok := strings.Cut(rest[:i], ":")
		if !ok || user == "" {
			return m, errors.New("master address: zk:// credentials are not user:password")
		}
		m.user, m.password, rest = user, password, rest[i+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	for _, h := range strings.Split(hosts, ",") {
		server, err := hostPort(strings.TrimSpace(h), "2181")
		if err != nil {
			return m, fmt.Errorf("master address: zk://: %w", err)
		}
		m.servers = append(m.servers, server)
	}
	m.path = "/" + strings.Trim(path, "/")
	if m.path == "/" {
		return m, errors.New("master address: zk:// has no path, for example zk://host:2181/mesos")
	}
	return m, nil
}

// detector finds masters to try.
type detector interface {
	// leader waits for a base URL to subscribe at. changed is closed when it leads no longer; nil if that is not known.
	leader(ctx context.Context) (base string, changed <-chan struct{}, err error)
	// failed says that the stream at the base ended or never began. It reports whether there is another master that was
	// not yet tried in this round.
	failed(base string) (another bool)
	close()
}

// newDetector makes the detector for the configured address. A file is read each time, so that it may change.
func newDetector(c *Config) (detector, error) {
	address := c.Master
	if path, ok := strings.CutPrefix(address, "file://"); ok {
		b, err := readSmall(path)
		if err != nil {
			return nil, fmt.Errorf("read the master address: %w", err)
		}
		if address = strings.TrimSpace(b); strings.HasPrefix(address, "file://") {
			return nil, fmt.Errorf("master address: %s names another file", path)
		}
	}
	m, err := parseMaster(address, c.TLS != nil)
	if err != nil {
		return nil, err
	}
	if len(m.bases) > 0 {
		return &staticList{bases: m.bases}, nil
	}
	return &zkDetector{master: m, open: c.OpenZooKeeper, secure: c.TLS != nil, log: c.Log}, nil
}

func readSmall(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxMasterFile {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxMasterFile)
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// staticList tries its masters in turn.
type staticList struct {
	bases []string
	at    int
	tried int // since the round began
}

func (l *staticList) leader(context.Context) (string, <-chan struct{}, error) {
	return l.bases[l.at], nil, nil
}

func (l *staticList) failed(string) bool {
	l.at = (l.at + 1) % len(l.bases)
	l.tried = (l.tried + 1) % len(l.bases)
	return l.tried != 0
}

func (l *staticList) close() {}

// follow resolves the Location of a redirect, which may lack scheme and path (//host:port).
func follow(from *url.URL, location string) (*url.URL, error) {
	if location == "" {
		return nil, errors.New("redirect without a Location")
	}
	to, err := from.Parse(location)
	if err != nil {
		return nil, errors.New("redirect to something that is no URL")
	}
	if to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, fmt.Errorf("redirect to scheme %q", to.Scheme)
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return nil, fmt.Errorf("redirect from https to %s://%s refused", to.Scheme, to.Host)
	}
	if to.Path == "" || to.Path == "/" {
		to.Path = schedulerPath
	}
	to.User, to.RawQuery, to.Fragment = nil, "", ""
	return to, nil
}
