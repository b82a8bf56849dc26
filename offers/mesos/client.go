package mesos

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	protobuf       = "application/x-protobuf"
	streamIDHeader = "Mesos-Stream-Id"
)

// client speaks HTTP with masters: net/http for streams, raw connections for calls (pipeline).
type client struct {
	authorization string
	tls           *tls.Config
	dialer        *net.Dialer
	streams       *http.Client
	timeout       time.Duration
}

func newClient(c *Config) *client {
	out := &client{tls: c.TLS, dialer: &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}, timeout: c.CallTimeout}
	if c.Secret != "" {
		out.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Framework.Principal+":"+c.Secret))
	}
	noFollow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	out.streams = &http.Client{CheckRedirect: noFollow, Transport: &http.Transport{
		DialContext: out.dialer.DialContext, TLSClientConfig: c.TLS.Clone(), DisableCompression: true,
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: c.CallTimeout,
		DisableKeepAlives: true, // the end of a stream is the end of its connection
		// HTTP/2 would need other handling of lost streams; Mesos speaks 1.1.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}
	return out
}

func (c *client) close() {
	c.streams.CloseIdleConnections()
}

func (c *client) request(ctx context.Context, to *url.URL, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", protobuf)
	req.Header.Set("Accept", protobuf)
	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	return req, nil
}

// subscribe opens a stream at the leading master, following redirects from other ones. The caller closes the body.
func (c *client) subscribe(ctx context.Context, base string, body []byte) (*http.Response, *url.URL, error) {
	to, err := url.Parse(base + schedulerPath)
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe: the master address is no URL")
	}
	for hops := 0; ; hops++ {
		req, err := c.request(ctx, to, body)
		if err != nil {
			return nil, nil, fmt.Errorf("subscribe at %s: %w", to.Host, err)
		}
		resp, err := c.streams.Do(req)
		if err != nil {
			return nil, nil, fmt.Errorf("subscribe at %s: %w", to.Host, err)
		}
		if resp.StatusCode == http.StatusOK {
			if resp.Header.Get(streamIDHeader) == "" || !strings.HasPrefix(resp.Header.Get("Content-Type"), protobuf) {
				closeBody(resp)
				return nil, nil, fmt.Errorf("subscribe at %s: %w: the answer is no protobuf stream", to.Host, ErrNotFound)
			}
			return resp, to, nil
		}
		answer := checkAnswer(resp.StatusCode, errorText(resp))
		if answer == nil { // 202 makes no sense here
			return nil, nil, fmt.Errorf("subscribe at %s: the master answered %d without a stream", to.Host, resp.StatusCode)
		}
		if answer.named != ErrMoved {
			return nil, nil, fmt.Errorf("subscribe at %s: %w", to.Host, answer)
		}
		if hops == maxRedirects {
			return nil, nil, fmt.Errorf("subscribe at %s: %w", to.Host, ErrRedirectLoop)
		}
		from := to
		if to, err = follow(from, resp.Header.Get("Location")); err != nil {
			return nil, nil, fmt.Errorf("subscribe at %s: %w", from.Host, err)
		}
	}
}

// errorText reads the body of an answer to its end, within a bound, so that the connection can be used again.
func errorText(resp *http.Response) string {
	defer closeBody(resp)
	if resp.StatusCode == http.StatusOK && resp.ContentLength == 0 {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	if err != nil && len(b) == 0 {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// closeBody ends a response; there is nothing to do about an error of closing.
func closeBody(resp *http.Response) { _ = resp.Body.Close() }

// callHead is the head of the request of a call, up to the value of Content-Length.
func (c *client) callHead(to *url.URL, streamID string) []byte {
	var b strings.Builder
	b.WriteString("POST " + to.RequestURI() + " HTTP/1.1\r\nHost: " + to.Host + "\r\nContent-Type: " + protobuf +
		"\r\nAccept: " + protobuf + "\r\n" + streamIDHeader + ": " + streamID + "\r\n")
	if c.authorization != "" {
		b.WriteString("Authorization: " + c.authorization + "\r\n")
	}
	b.WriteString("Content-Length: ")
	return []byte(b.String())
}

// dial opens a raw connection to a master, for pipelined calls.
func (c *client) dial(ctx context.Context, to *url.URL) (net.Conn, error) {
	address := to.Host
	if to.Port() == "" {
		port := 80
		if to.Scheme == "https" {
			port = 443
		}
		address = net.JoinHostPort(to.Hostname(), strconv.Itoa(port))
	}
	if to.Scheme != "https" {
		return c.dialer.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: c.dialer, Config: c.tls.Clone()}).DialContext(ctx, "tcp", address)
}
