package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func serverFlags(t *testing.T, args ...string) *flagSet {
	t.Helper()
	f := newFlagSet("server", serverRows())
	if err := f.parse(append([]string{"--http_address", "127.0.0.1", "--http_port", "0", "--https_address", "127.0.0.1", "--https_port", "0"}, args...), nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// webOf serves a handler as a server would, until the test ends.
func webOf(t *testing.T, h http.HandlerFunc, args ...string) *web {
	t.Helper()
	f := serverFlags(t, args...)
	w, err := listen(f, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	w.serve(f, h, zap.NewNop())
	t.Cleanup(func() { w.stop(time.Second) })
	return w
}

func (w *web) addr(n int) string { return w.listeners[n].Addr().String() }

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// secureGet asks over TLS and returns the certificate's serial number.
func secureGet(t *testing.T, a *authority, addr string, edit ...func(*tls.Config)) (serial string, err error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := &tls.Config{RootCAs: roots}
	for _, f := range edit {
		f(c)
	}
	conn, err := tls.Dial("tcp", addr, c)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	b, err := io.ReadAll(conn)
	if err == nil && !strings.HasSuffix(string(b), "hello") {
		err = fmt.Errorf("answer %q", b)
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String(), err
}

func TestHTTPS(t *testing.T) { // S2, http-api 1.1
	a := newAuthority(t)
	file := a.issue("localhost", time.Hour, "127.0.0.1")
	w := webOf(t, hello, "--ssl_cert_file", file)
	if w.scheme != "http" || len(w.listeners) != 2 {
		t.Errorf("scheme %s with %d listeners", w.scheme, len(w.listeners))
	}
	first, err := secureGet(t, a, w.addr(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secureGet(t, a, w.addr(1), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 }); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	if status, _, text := callURL("GET", "http://"+w.addr(0)+"/", ""); status != 200 || text != "hello" {
		t.Errorf("plain: %d %s", status, text)
	}
	// A changed certificate is used without a restart; a broken one leaves the last in use.
	a.issue("localhost", time.Hour, "127.0.0.1")
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	second := first
	within(t, 3*certCheck, "the new certificate is in use", func() bool {
		second, err = secureGet(t, a, w.addr(1))
		return err == nil && second != first
	})
	if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(certCheck + 100*time.Millisecond)
	if last, err := secureGet(t, a, w.addr(1)); err != nil || last != second {
		t.Errorf("after a broken certificate: %s %v, want %s", last, err, second)
	}

	only := webOf(t, hello, "--disable_http", "--ssl_keystore_path", a.issue("other", time.Hour, "127.0.0.1"))
	if only.scheme != "https" || len(only.listeners) != 1 {
		t.Errorf("without http: scheme %s with %d listeners", only.scheme, len(only.listeners))
	}
	if _, err := secureGet(t, a, only.addr(0)); err != nil {
		t.Error(err)
	}
}

// S2: with --ssl_client_ca_file only clients with a certificate of these authorities are heard, standbys among them.
func TestClientCertificates(t *testing.T) {
	servers, clients, strangers := newAuthority(t), newAuthority(t), newAuthority(t)
	w := webOf(t, hello, "--ssl_cert_file", servers.issue("localhost", time.Hour, "127.0.0.1"), "--ssl_client_ca_file", clients.file)
	show := func(file string) func(*tls.Config) {
		pair, err := tls.LoadX509KeyPair(file, file)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *tls.Config) { // shown even where the server has not named its authority
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
	}
	if _, err := secureGet(t, servers, w.addr(1), show(clients.issue("ci", time.Hour))); err != nil {
		t.Errorf("with a good certificate: %v", err)
	}
	for name, edit := range map[string]func(*tls.Config){
		"no certificate":                func(*tls.Config) {},
		"one of another authority":      show(strangers.issue("ci", time.Hour)),
		"one of the servers' authority": show(servers.issue("ci", time.Hour)),
		"one that has expired":          show(clients.issue("old", -time.Hour)),
	} {
		if _, err := secureGet(t, servers, w.addr(1), edit); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	own := clients.issue("standby", time.Hour)
	standby, err := leaderTLS(own, own, servers.file, false)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: standby}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + w.addr(1) + "/")
	if err != nil {
		t.Fatalf("a standby: %v", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a standby: %s", resp.Status)
	}
}

func TestListenRefusals(t *testing.T) { // S2, behaviour 9.6
	a := newAuthority(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	cert := a.issue("localhost", time.Hour)
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"--disable_http"}, exitFlag, "--disable_http"},
		{[]string{"--ssl_cert_file", "/no/such.pem"}, exitFlag, "/no/such.pem"},
		{[]string{"--ssl_keystore_path", written(t, "\xfe\xed\xfe\xed\x00\x00")}, exitFlag, "Java keystore"},
		{[]string{"--ssl_keystore_path", written(t, "\x30\x82\x0a\x00")}, exitFlag, "PKCS #12"},
		{[]string{"--ssl_cert_file", written(t, "nothing")}, exitFlag, "certificate of this server"},
		{[]string{"--http_port", port}, exitBind, port},
		{[]string{"--ssl_cert_file", cert, "--https_port", port}, exitBind, "https_port"},
	} {
		f := newFlagSet("server", serverRows())
		if err := f.parse(append([]string{"--http_address", "127.0.0.1", "--https_address", "127.0.0.1", "--https_port", "0"}, c.args...), []string{}); err != nil {
			t.Fatal(err)
		}
		if !f.given("http_port") {
			_ = f.fs.Set("http_port", "0")
		}
		w, err := listen(f, zap.NewNop())
		if codeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v: %v, want code %d with %q", c.args, err, c.code, c.text)
		}
		if err == nil {
			w.close()
		}
	}
}

func TestFallbackVariables(t *testing.T) { // http-api 1.1
	f := newFlagSet("server", serverRows())
	if err := f.parse([]string{"--ssl_keystore_path", "given"}, []string{"MESOSPHERE_HTTP_CREDENTIALS=a:b", "MESOSPHERE_KEYSTORE_PATH=not"}); err != nil {
		t.Fatal(err)
	}
	if f.text("http_credentials") != "a:b" || f.text("ssl_keystore_path") != "given" {
		t.Errorf("%s, %s", f.text("http_credentials"), f.text("ssl_keystore_path"))
	}
	if v, there := flagValues(f)["http_credentials"]; there { // S4
		t.Errorf("the password is shown: %v", v)
	}
}

// Slow headers, slow bodies and slow readers are cut; patient ones that make progress are served.
func TestSlowClients(t *testing.T) { // F26
	big := strings.Repeat("x", 1<<20)
	w := webOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, "slow", http.StatusRequestTimeout)
				return
			}
			time.Sleep(300 * time.Millisecond) // longer than bodies have: the limit ends with the body
			_, _ = fmt.Fprint(w, len(b), r.Context().Err())
			return
		}
		for range 64 {
			if _, err := io.WriteString(w, big); err != nil {
				return
			}
		}
	}, "--http_body_timeout", "200", "--http_write_timeout", "200")
	dial := func() net.Conn {
		c, err := net.Dial("tcp", w.addr(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	began := time.Now()
	headers, body, reader, patient := dial(), dial(), dial(), dial()
	_, _ = io.WriteString(headers, "GET / HT")
	_, _ = io.WriteString(body, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab")
	_, _ = io.WriteString(reader, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, _ = io.WriteString(patient, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8192\r\n\r\n")
	for range 8 {
		_, _ = io.WriteString(patient, strings.Repeat("y", 1024))
		time.Sleep(50 * time.Millisecond) // 400 ms in all, faster than 4 KiB a second
	}
	res, err := http.ReadResponse(bufio.NewReader(patient), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != "8192 <nil>" {
		t.Errorf("patient: %d %s", res.StatusCode, b)
	}
	if res, err = http.ReadResponse(bufio.NewReader(body), nil); err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("slow body: %v %v", res, err)
	}
	if n, err := io.Copy(io.Discard, reader); err != nil || n >= 64<<20 { // it was cut long ago; what remains is what lay in buffers
		t.Logf("slow reader: %d bytes, %v", n, err)
		if n >= 64<<20 {
			t.Error("a slow reader got everything")
		}
	}
	if b, _ := io.ReadAll(headers); time.Since(began) > headerTimeout+2*time.Second {
		t.Errorf("slow headers were waited for %s: %q", time.Since(began), b)
	}
}

func TestHeaderAndConnectionBounds(t *testing.T) { // F25, F26
	hold := make(chan struct{})
	entered := make(chan struct{}, 8)
	w := webOf(t, func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-hold
		hello(w, nil)
	}, "--http_max_connections", "2", "--http_max_header_bytes", "8192")
	answers := make(chan int, 3)
	for range 3 {
		go func() {
			status, _, _ := callURL("GET", "http://"+w.addr(0)+"/", "")
			answers <- status
		}()
	}
	<-entered
	<-entered
	select {
	case <-entered:
		t.Error("a third connection is served")
	case <-time.After(100 * time.Millisecond):
	}
	close(hold)
	for range 3 {
		if s := <-answers; s != 200 {
			t.Errorf("status %d", s)
		}
	}
	req, err := http.NewRequest("GET", "http://"+w.addr(0)+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		req.Header.Set(fmt.Sprintf("X-%d", n), "0123456789")
	}
	res, err := testTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("many headers: %d", res.StatusCode)
	}
}
