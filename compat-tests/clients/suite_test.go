package clients

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	waitLimit    = 60 * time.Second
	pollInterval = 20 * time.Millisecond
	exitGraceful = 105 // behaviour.md 9.6: leadership ended gracefully
)

const (
	urlVariable      = "MARATHON_URL"    // the server to test instead of servers of our own
	abdicateVariable = "COMPAT_ABDICATE" // "yes": the leader of that server may be deposed
)

// TestMain prints the table after the tests.
func TestMain(m *testing.M) { harness.MainWith(m, table.print) }

// target is a server that clients are pointed at.
type target struct {
	name  string
	url   string // the entry
	own   bool   // nobody else uses it
	alone bool   // the entry is the leader and there is no other server
	base  string // group of everything that is made, for example /compat-1f3a
	ended func() // waits until the leader's process has ended; nil where that cannot be seen
	again func() // starts a server after its end, under another URL; nil where another takes over
}

// id is the id of an app or group below the base.
func (tg *target) id(rest string) string { return tg.base + "/" + rest }

// client is a row of the table: its features run in this order, one client beside the other.
type client struct {
	name     string
	group    string                  // of its apps, below the base
	ready    func(*testing.T) string // why the client cannot run here; nil: it always can
	features []feature
}

// feature is a cell of the table. column groups the features of different clients.
type feature struct {
	column string
	run    func(*caller)
}

// suite are all clients. What disturbs others comes after all of them have run.
func suite() []client {
	return []client{goMarathon(), marathonPython(), marathonLB(), traefik(), prometheusSD(), terraform(), dcos(), scripts(),
		marathonctl(), marathonConsul(), bamboo(), nixy(), marathonAcme(), zdd(), exporter(), bridge()}
}

// caller is one run of one feature.
type caller struct {
	*testing.T
	*target
	api *harness.API
	row *row
	why string // the first failure or the reason to skip
}

// Errorf keeps the first failure for the table; the other ways to fail do the same.
func (c *caller) Errorf(format string, args ...any) {
	c.Helper()
	c.keep(fmt.Sprintf(format, args...))
	c.T.Errorf(format, args...)
}

// Error is Errorf without a format.
func (c *caller) Error(args ...any) {
	c.Helper()
	c.keep(fmt.Sprint(args...))
	c.T.Error(args...)
}

// Fatalf is Errorf that ends the feature.
func (c *caller) Fatalf(format string, args ...any) {
	c.Helper()
	c.keep(fmt.Sprintf(format, args...))
	c.T.Fatalf(format, args...)
}

// Fatal is Error that ends the feature.
func (c *caller) Fatal(args ...any) {
	c.Helper()
	c.keep(fmt.Sprint(args...))
	c.T.Fatal(args...)
}

// Skipf ends the feature without a verdict.
func (c *caller) Skipf(format string, args ...any) {
	c.Helper()
	c.keep(fmt.Sprintf(format, args...))
	c.T.Skipf(format, args...)
}

func (c *caller) keep(why string) {
	if c.why == "" {
		c.why = why
	}
}

// TestClients runs every client against every target: the server of MARATHON_URL alone, else stadion dev and three
// servers entered through a standby.
func TestClients(t *testing.T) {
	if url := os.Getenv(urlVariable); url != "" {
		runSuite(t, &target{name: url, url: strings.TrimRight(url, "/")})
		return
	}
	for name, start := range map[string]func(*testing.T) *target{"stadion dev": devTarget, "3 servers, entered through a standby": clusterTarget} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tg := start(t)
			tg.name, tg.own = name, true
			runSuite(t, tg)
		})
	}
}

// runSuite runs the clients side by side, and then, one after the other, what disturbs others.
func runSuite(t *testing.T, tg *target) {
	tg.base = freshBase()
	t.Cleanup(func() { cleanUp(t, tg) })
	late := map[string][]func(*testing.T){} // by column
	t.Run("clients", func(t *testing.T) {
		for _, cl := range suite() {
			r := table.row(tg.name, cl)
			mine := *tg
			mine.base += "/" + cl.group
			why := ""
			if cl.ready != nil {
				why = cl.ready(t)
			}
			t.Run(cl.name, func(t *testing.T) {
				t.Parallel()
				for _, f := range cl.features {
					switch {
					case why != "":
						r.set(f.column, skipped, why)
					case !slices.Contains(lateColumns, f.column):
						runFeature(t, &mine, r, f)
					}
				}
				if why != "" {
					t.Skip(why)
				}
			})
			for _, f := range cl.features {
				if slices.Contains(lateColumns, f.column) && why == "" {
					late[f.column] = append(late[f.column], func(t *testing.T) {
						mine.url, mine.ended = tg.url, tg.ended
						runFeature(t, &mine, r, f)
					})
				}
			}
		}
	})
	for _, run := range late[podsColumn] {
		run(t)
	}
	for n, run := range late[leaderColumn] {
		if n > 0 && tg.again != nil {
			tg.again()
		}
		run(t)
	}
}

// freshBase is a group that is nobody else's.
func freshBase() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return "/compat-" + hex.EncodeToString(b[:])
}

func runFeature(t *testing.T, tg *target, r *row, f feature) {
	t.Run(r.client+" "+f.column, func(t *testing.T) {
		c := &caller{T: t, target: tg, row: r}
		c.api = harness.NewAPI(c, tg.url)
		defer func() {
			switch {
			case t.Failed():
				r.set(f.column, red, c.why)
			case t.Skipped():
				r.set(f.column, skipped, c.why)
			default:
				r.set(f.column, green, "")
			}
		}()
		f.run(c)
	})
}

// mayAbdicate skips the feature where the leader is not ours to depose.
func (c *caller) mayAbdicate() {
	c.Helper()
	if !c.own && os.Getenv(abdicateVariable) != "yes" {
		c.Skipf("deposes the leader: allow it with %s=yes", abdicateVariable)
	}
}

// abdicated waits for the end of the deposed leader, where it can be seen, and for another to answer, where there is one.
func (c *caller) abdicated() {
	c.Helper()
	if c.ended != nil {
		c.ended()
	}
	if c.alone {
		return
	}
	harness.Await(c, waitLimit, "another leader answers", func() (bool, string) {
		res, err := c.api.Try("GET", "/v2/leader", nil)
		return err == nil && res.Status == 200, fmt.Sprintf("%s %v", res.Body, err)
	})
}

// cleanUp removes what the clients made, without waiting where the server has ended.
func cleanUp(t *testing.T, tg *target) {
	if tg.own {
		return // it ends with the test
	}
	api := harness.NewAPI(t, tg.url)
	res, err := api.Try("DELETE", "/v2/groups"+tg.base+"?force=true", nil)
	if err != nil || res.Status != 200 && res.Status != 404 {
		t.Logf("the group %s may be left: %v %s", tg.base, err, res.Body)
	}
}

// equal compares what a client got with what it should have got.
func (c *caller) equal(what string, got, want any) {
	c.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		c.Errorf("%s is %v, want %v", what, got, want)
	}
}
