package wire

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"stadion/core"
)

// hostileBodies are texts that no client sends by accident (F24).
func hostileBodies() map[string]string {
	const app = `{"id":"/a","cmd":"sleep 1"`
	deep := func(n int, open, inner, shut string) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
	}
	digits := strings.Repeat("9", 100_000)
	return map[string]string{
		"10,000 arrays":                deep(10_000, "[", "", "]"),
		"10,000 arrays, open":          deep(10_000, "[", "", ""),
		"9,990 arrays in a field":      app + `,"labels":` + deep(9_990, "[", "", "]") + `}`,
		"9,990 objects in a field":     app + `,"labels":` + deep(9_990, `{"a":`, "1", "}") + `}`,
		"9,990 objects unknown":        app + `,"whatever":` + deep(9_990, `{"a":`, "1", "}") + `}`,
		"9,990 objects as env":         app + `,"env":{"A":` + deep(9_990, `{"a":`, "1", "}") + `}}`,
		"10,001 objects":               deep(10_001, `{"groups":[`, "{}", "]}"),
		"3,000 groups":                 deep(3_000, `{"id":"g","groups":[`, "{}", "]}"),
		"a number of 100,000 digits":   app + `,"instances":` + digits + `}`,
		"a fraction of 100,000 digits": app + `,"cpus":0.` + digits + `}`,
		"an exponent beyond floats":    app + `,"mem":1e999999999}`,
		"a vanishing exponent":         app + `,"cpus":1e-999999999}`,
		"a negative exponent":          app + `,"instances":-1e999999999}`,
		"a port of 2^63":               app + `,"ports":[9223372036854775808]}`,
		"a backoff of 1e308":           app + `,"backoffSeconds":1e308,"backoffFactor":1e308,"maxLaunchDelaySeconds":1e308}`,
		"a version of 2^64":            app + `,"version":18446744073709551616}`,
		"repeated keys":                `{"id":"/a","id":"/b","cmd":"sleep 1","cmd":"sleep 2","instances":1,"instances":-1}`,
		"repeated keys, 20,000":        app + strings.Repeat(`,"labels":{"a":"b","a":"c"}`, 20_000) + `}`,
		"NUL in a text":                `{"id":"/a","cmd":"sleep\u0000 1"}`,
		"NUL in an id":                 `{"id":"/a\u0000b","cmd":"sleep 1"}`,
		"NUL in a key":                 app + `,"env":{"A\u0000B":"c"},"labels":{"\u0000":"\u0000"}}`,
		"NUL between tokens":           "{\x00\"id\":\"/a\"}",
		"NUL raw in a text":            "{\"id\":\"/a\",\"cmd\":\"sle\x00ep\"}",
		"bad UTF-8 in a text":          "{\"id\":\"/a\",\"cmd\":\"sleep \xff\xfe\xc0\x80\"}",
		"bad UTF-8 in an id":           "{\"id\":\"/a\xc3\x28\",\"cmd\":\"sleep 1\"}",
		"bad UTF-8 in a key":           app + ",\"env\":{\"A\xff\":\"\xff\"},\"labels\":{\"\xc0\xaf\":\"\xed\xa0\x80\"}}",
		"bad UTF-8 outside texts":      "\xff\xfe{}",
		"lone surrogates":              app + `,"labels":{"\ud800":"\udfff\ud800"}}`,
		"a byte order mark":            "\xef\xbb\xbf" + app + "}",
		"nothing but blanks":           strings.Repeat(" \n\t", 100_000),
		"nothing but NUL":              strings.Repeat("\x00", 1000),
		"an id of 100,000 segments":    `{"id":"` + strings.Repeat("/a", 100_000) + `","cmd":"sleep 1"}`,
		"an id of 1 MiB":               `{"id":"/` + strings.Repeat("a", 1<<20) + `","cmd":"sleep 1"}`,
		"100,000 constraints":          app + `,"constraints":[` + strings.TrimSuffix(strings.Repeat(`["a","LIKE","(((((a*)*)*)*)*)*b"],`, 100_000), ",") + `]}`,
		"an expression that explodes":  app + `,"constraints":[["a","LIKE","` + strings.Repeat("(a{1,1000}){1,1000}", 100) + `"]]}`,
	}
}

// TestHostileBodies: each gets an answer that names a place or the parser's words, at once, and what is accepted can be
// stored and read again (F24).
func TestHostileBodies(t *testing.T) {
	c := all()
	calls := map[string]func([]byte) (any, error){
		"app":   func(b []byte) (any, error) { return c.CreateApp(b, newTree()) },
		"apps":  func(b []byte) (any, error) { return c.PutApps([]byte("["+string(b)+"]"), true, true, newTree()) },
		"pod":   func(b []byte) (any, error) { return c.CreatePod(b, newTree()) },
		"group": func(b []byte) (any, error) { return c.PutGroup(core.Root, b, false, newTree()) },
		"update": func(b []byte) (any, error) {
			a, _, err := c.PutApp("/prod/shop/web", b, true, with(t, c, benchApp))
			return a, err
		},
	}
	for name, body := range hostileBodies() {
		for kind, call := range calls {
			began := time.Now()
			v, err := call([]byte(body))
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("%s as %s takes %s", name, kind, d)
			}
			var e *core.Error
			switch {
			case err == nil:
				if a, ok := v.(*core.App); ok {
					text := mustJSON(a)
					checkDecodes(t, a, text)
					if !utf8.Valid(text) {
						t.Errorf("%s as %s is stored as no text: %q", name, kind, text)
					}
				}
			case !errors.As(err, &e), e.Kind == core.Internal, e.Message == "":
				t.Errorf("%s as %s: no answer for a client: %.200v", name, kind, err)
			case e.Kind == core.Invalid && len(e.Details) == 0, e.Kind == core.BadRequest && e.DetailText == "":
				t.Errorf("%s as %s: the answer names no place: %.200v", name, kind, err)
			case e.Kind != core.Invalid && e.Kind != core.BadRequest && e.Kind != core.TooLarge:
				t.Errorf("%s as %s: %v %.200v", name, kind, e.Kind, err)
			}
		}
	}
}

// What two parsers could read differently is read one way, and shown as it was read (F24).
func TestHostileBodiesAreReadOneWay(t *testing.T) {
	c := all()
	a, err := c.CreateApp([]byte(`{"id":"/a","cmd":"sleep 1","cmd":"sleep 2","labels":{"x":"1"},"labels":{"y":"2"}}`), newTree())
	if err != nil || *a.Cmd != "sleep 2" || len(a.Labels) != 1 || a.Labels["y"] != "2" {
		t.Errorf("repeated keys: %+v %v", a, err)
	}
	var e *core.Error // a command with other characters than were sent is another command
	if a, err = c.CreateApp([]byte("{\"id\":\"/a\",\"cmd\":\"sleep \xff\"}"), newTree()); !errors.As(err, &e) || e.DetailText != "invalid UTF-8 at offset 24" {
		t.Errorf("bad UTF-8: %+v %v", a, err)
	}
}
