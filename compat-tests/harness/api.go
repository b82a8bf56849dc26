package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	requestTimeout = time.Minute
	askAgain       = 25 * time.Millisecond // between two looks at the same thing
)

// API is a plain HTTP client of one server.
type API struct {
	URL    string
	t      testing.TB
	client *http.Client
}

// NewAPI makes a client for the server at url.
func NewAPI(t testing.TB, url string) *API {
	return &API{URL: url, t: t, client: &http.Client{Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Answer is an HTTP answer with its whole body.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON is the body as decoded JSON; nil when it is none.
func (a Answer) JSON() any {
	var v any
	if json.Unmarshal(a.Body, &v) != nil {
		return nil
	}
	return v
}

// Try sends a request; a nil body sends none, a string or bytes go as they are,
// anything else as JSON.
func (a *API) Try(method, path string, body any) (Answer, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return Answer{}, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, a.URL+path, reader)
	if err != nil {
		return Answer{}, err
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := a.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: text}, nil
}

// Do is Try where no answer is a failure of the test.
func (a *API) Do(method, path string, body any) Answer {
	a.t.Helper()
	res, err := a.Try(method, path, body)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

// Must is Do where every status but those in want is a failure; no want stands
// for any 2xx.
func (a *API) Must(method, path string, body any, want ...int) Answer {
	a.t.Helper()
	res := a.Do(method, path, body)
	ok := len(want) == 0 && res.Status/100 == 2
	for _, w := range want {
		ok = ok || res.Status == w
	}
	if !ok {
		a.t.Fatalf("%s %s: status %d, want %v: %s", method, path, res.Status, want, res.Body)
	}
	return res
}

// Get decodes the answer of a GET into out; any other status than 200 fails.
func (a *API) Get(path string, out any) {
	a.t.Helper()
	res := a.Must(http.MethodGet, path, nil, http.StatusOK)
	if err := json.Unmarshal(res.Body, out); err != nil {
		a.t.Fatalf("GET %s: %v in %s", path, err, res.Body)
	}
}

// tryGet is Get where the failure is for the caller.
func (a *API) tryGet(path string, out any) error {
	res, err := a.Try(http.MethodGet, path, nil)
	if err == nil && res.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.Status, res.Body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(res.Body, out)
}

// Await asks until done says yes, and fails with done's last word when limit is over.
func Await(t testing.TB, limit time.Duration, what string, done func() (ok bool, seen string)) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		ok, seen := done()
		if ok {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s; last seen: %s", what, limit, seen)
		}
		time.Sleep(askAgain)
	}
}
