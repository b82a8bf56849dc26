package access

import (
	"os"
	"strings"
	"testing"

	"stadion/core"
)

func TestRules(t *testing.T) { // S5
	rules, err := ReadRules(written(t, `
		# who  rights                      where
		@ops: olga, otto
		admin  *                           /
		team   view,create,update,delete   /team
		team   force                       /team/web
		@ops   view,update                 /
		@ops   leader,logging
		*      view                        /public
		lead   *                           /team
	`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user  string
		right Right
		id    core.PathID
		may   bool
		sees  bool
	}{
		{"admin", Delete, "/", true, true},
		{"team", Update, "/team", true, true},
		{"team", Create, "/team/a/b", true, true},
		{"team", Update, "/teamster", false, false},
		{"team", Update, "/", false, true},
		{"team", Force, "/team/web/x", true, true},
		{"team", Force, "/team/db", false, false},
		{"team", Force, "/team", false, true},
		{"otto", Update, "/x", true, true},
		{"otto", Create, "/x", false, false},
		{"nobody", View, "/public/x", true, true},
		{"nobody", View, "/x", false, false},
		{"nobody", Update, "/public", false, false},
		{"lead", Force, "/team/db", true, true},
	} {
		a := rules.Of(c.user)
		if a.May(c.right, c.id) != c.may || a.Sees(c.right, c.id) != c.sees {
			t.Errorf("%s %d on %s: may %v, sees %v", c.user, c.right, c.id, a.May(c.right, c.id), a.Sees(c.right, c.id))
		}
	}
	for user, want := range map[string]Right{"admin": All, "olga": Leader | Logging, "team": 0, "lead": 0} {
		for _, r := range []Right{System, Leader, Logging} {
			if got := rules.Of(user).Has(r); got != (want&r != 0) {
				t.Errorf("%s has %d: %v", user, r, got)
			}
		}
	}
	var open *Rules
	if a := open.Of("anybody"); !a.May(Delete, "/") || !a.Has(Leader) || !a.Known() {
		t.Error("without a file not everything is allowed")
	}
	var nobody *Actor
	if !nobody.May(Delete, "/") || !nobody.Sees(View, "/") || !nobody.Has(Logging) {
		t.Error("without a guard not everything is allowed")
	}
}

// TestReadmeExample: the example of README.md is accepted and means what the text says.
func TestReadmeExample(t *testing.T) { // S5
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(text), "\n```\n@ops: ")
	example, _, ended := strings.Cut(example, "```")
	if !found || !ended {
		t.Fatal("README.md has no example")
	}
	rules, err := ReadRules(written(t, "@ops: "+example))
	if err != nil {
		t.Fatal(err)
	}
	if a := rules.Of("alice"); !a.May(Delete, "/team/x") || a.May(Force, "/team/x") {
		t.Error("alice")
	}
	if a := rules.Of("otto"); !a.May(Force, "/x") || a.May(Delete, "/x") || !a.Has(Leader) {
		t.Error("otto")
	}
}

func TestMalformedRules(t *testing.T) { // S5
	for _, c := range [][2]string{
		{"a GET /v2/apps", "is no right"}, {"a view", "needs the id"}, {"a *", "needs the id"}, {"a", "expected"}, {"a view team", "is no id"},
		{"a view /Team", "is no id"}, {"a leader /team", "without an id"}, {"@x view /", "has no line"}, {"@x: a\n@x: b", "twice"}, {"a view / /b", "expected"}} {
		if _, err := ReadRules(written(t, c[0])); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%q: %v", c[0], err)
		}
	}
	if _, err := ReadRules("/no/such/file"); err == nil {
		t.Error("a missing file is accepted")
	}
}
