package clients

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// columns of the table, in this order.
var columns = []string{"system", "apps", "updates", "scaling", "tasks", "deployments", "groups", podsColumn, "events", "callbacks", "health", "discovery", "traffic", "delete", leaderColumn}

// Features of these columns disturb other clients. They run alone, after all others and in this order.
const (
	podsColumn   = "pods"   // marathon-python reads no queue with a pod in it, of any server
	leaderColumn = "leader" // ends a leader
)

var lateColumns = []string{podsColumn, leaderColumn}

// verdict is the state of a cell.
type verdict string

const (
	green   verdict = "green"
	red     verdict = "RED"
	skipped verdict = "skip"
	absent  verdict = "-" // the client has no such feature
	notRun  verdict = "?" // an earlier failure, or -test.run, left it out
)

// cell is what came of one feature, with the reason where it is not green.
type cell struct {
	verdict verdict
	why     string
}

// row is one client on one target.
type row struct {
	target, client string
	mu             sync.Mutex
	cells          map[string]cell
}

// set notes a verdict. Of two features in one column the worse stands.
func (r *row) set(column string, v verdict, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	order := []verdict{notRun, green, skipped, red}
	if old, there := r.cells[column]; there && slices.Index(order, old.verdict) > slices.Index(order, v) {
		return
	}
	r.cells[column] = cell{v, why}
}

// results are all rows of a run.
type results struct {
	mu   sync.Mutex
	rows []*row
}

var table results

func (s *results) row(target string, cl client) *row {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &row{target: target, client: cl.name, cells: map[string]cell{}}
	for _, f := range cl.features {
		r.cells[f.column] = cell{verdict: notRun}
	}
	s.rows = append(s.rows, r)
	return r
}

func (s *results) print() { s.write(os.Stdout) }

// write prints a table for each target and, below it, why a cell is not green.
func (s *results) write(w io.Writer) {
	var targets []string
	for _, r := range s.rows {
		if !slices.Contains(targets, r.target) {
			targets = append(targets, r.target)
		}
	}
	slices.Sort(targets)
	for _, target := range targets {
		fmt.Fprintf(w, "\n%s\n\n", target)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(tw, "client\t%s\n", strings.Join(columns, "\t"))
		var notes []string
		for _, r := range s.rows {
			if r.target != target {
				continue
			}
			line := []string{r.client}
			for _, column := range columns {
				c, there := r.cells[column]
				if !there {
					c.verdict = absent
				}
				line = append(line, string(c.verdict))
				if c.why != "" {
					notes = append(notes, fmt.Sprintf("%s, %s: %s: %s", r.client, column, c.verdict, firstLine(c.why)))
				}
			}
			fmt.Fprintln(tw, strings.Join(line, "\t"))
		}
		_ = tw.Flush()
		if len(notes) > 0 {
			fmt.Fprintf(w, "\n%s\n", strings.Join(notes, "\n"))
		}
	}
}

func firstLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line += " …"
	}
	return line
}

// TestTable: every cell of every client is there, and what is not green says why.
func TestTable(t *testing.T) {
	var s results
	r := s.row("here", client{name: "one", features: []feature{{column: "apps"}, {column: "events"}, {column: "tasks"}, {column: "delete"}}})
	r.set("apps", green, "")
	r.set("events", red, "no frame\nat all")
	r.set("events", green, "")
	r.set("tasks", skipped, "no agent")
	var b strings.Builder
	s.write(&b)
	lines := strings.Split(b.String(), "\n")
	want := []string{"one", "-", "green", "-", "-", "skip", "-", "-", "-", "RED", "-", "-", "-", "-", "?", "-"}
	if got := strings.Fields(lines[4]); !slices.Equal(got, want) {
		t.Errorf("the row is %q, want %q", got, want)
	}
	for _, note := range []string{"one, events: RED: no frame …", "one, tasks: skip: no agent"} {
		if !slices.Contains(lines, note) {
			t.Errorf("%q is missing in\n%s", note, b.String())
		}
	}
}

// TestColumns: every feature of every client has a column.
func TestColumns(t *testing.T) {
	for _, cl := range suite() {
		for _, f := range cl.features {
			if !slices.Contains(columns, f.column) {
				t.Errorf("%s has a feature in column %q, which the table does not have", cl.name, f.column)
			}
		}
	}
}
