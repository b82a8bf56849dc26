package wire

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"stadion/core"
	"stadion/marathonapi/internal/fixture"
)

// seed adds every fixture body, every definition and the two complete bodies to a corpus.
func seed(f *testing.F, prefix string) {
	f.Helper()
	all, err := fixture.Load("../testdata")
	if err != nil {
		f.Fatal(err)
	}
	for name, fx := range all {
		if len(fx.Request) > 0 && (strings.HasPrefix(name, prefix+"-") || strings.HasPrefix(fx.Path, "/v2/"+prefix)) {
			f.Add([]byte(fx.Request))
		}
	}
	for _, d := range loadDefinitions(f) {
		if d.Kind == prefix {
			f.Add([]byte(d.Request))
		}
	}
	if text, err := os.ReadFile("testdata/every_" + prefix + ".json"); err == nil {
		f.Add(text)
	}
	for _, body := range hostileBodies() { // F24
		if len(body) < 4<<10 {
			f.Add([]byte(body))
		}
	}
}

// known fails unless an error is one that the API can tell a client.
func known(t *testing.T, err error) {
	t.Helper()
	var e *core.Error
	if err != nil && (!errors.As(err, &e) || e.Kind == core.Internal || e.Message == "") {
		t.Fatalf("no answer for a client: %v", err)
	}
}

// oldNetworkName tells of names that only the old form lets pass, as in Marathon: ipAddress.networkName is any text.
func oldNetworkName(a *core.App) bool {
	return slices.ContainsFunc(a.Networks, func(n core.Network) bool { return n.Name != nil && !networkNamePattern.MatchString(*n.Name) })
}

// FuzzApp: no body makes decode, normalise, validate or encode panic or fail otherwise than with an answer; what is
// accepted decodes from the store to the same value, and is accepted again as a replacement and as an update.
func FuzzApp(f *testing.F) {
	seed(f, "app")
	f.Fuzz(func(t *testing.T, body []byte) {
		c := all()
		a, err := c.CreateApp(body, newTree())
		if err != nil {
			known(t, err)
			_, err = c.PutApps(body, true, true, newTree())
			known(t, err)
			return
		}
		text := mustJSON(a)
		checkDecodes(t, a, text)
		tree := newTree()
		known(t, c.ValidateTree(tree, c.SpecChange(tree, a)))
		tree.apply(c.SpecChange(tree, a))
		if _, _, err := c.PutApp(a.ID, text, false, tree); err != nil && !oldNetworkName(a) {
			t.Fatalf("replaced by itself: %v\n%s", err, text)
		}
		same, existed, err := c.PutApp(a.ID, []byte(`{}`), true, tree)
		if err != nil || !existed || !same.SameAll(a) {
			t.Fatalf("empty update: %v %v\nbefore %s\nafter  %s", existed, err, text, mustJSON(same))
		}
	})
}

// FuzzUpdate: no update of a stored app panics or changes the stored value.
func FuzzUpdate(f *testing.F) {
	seed(f, "app")
	f.Fuzz(func(t *testing.T, body []byte) {
		c := all()
		tree := with(t, c, benchApp)
		before := string(mustJSON(tree.specs["/prod/shop/web"]))
		a, _, err := c.PutApp("/prod/shop/web", body, true, tree)
		known(t, err)
		if err == nil {
			checkDecodes(t, a, mustJSON(a))
			known(t, c.ValidateTree(tree, c.SpecChange(tree, a)))
		}
		if after := string(mustJSON(tree.specs["/prod/shop/web"])); after != before {
			t.Fatalf("stored value changed\nbefore %s\nafter  %s", before, after)
		}
	})
}

// FuzzPod: as FuzzApp, for pods.
func FuzzPod(f *testing.F) {
	seed(f, "pod")
	f.Fuzz(func(t *testing.T, body []byte) {
		c := all()
		p, err := c.CreatePod(body, newTree())
		if err != nil {
			known(t, err)
			return
		}
		text := mustJSON(p)
		checkDecodes(t, p, text)
		again, err := c.CreatePod(text, newTree())
		if err != nil || !again.SameAll(p) {
			t.Fatalf("posted again: %v\nbefore %s\nafter  %s", err, text, mustJSON(again))
		}
	})
}

// FuzzGroup: no group body panics, and an accepted one can be applied and then changes nothing more.
func FuzzGroup(f *testing.F) {
	seed(f, "group")
	f.Fuzz(func(t *testing.T, body []byte) {
		c, tree := all(), newTree()
		ch, err := c.PutGroup(core.Root, body, false, tree)
		known(t, err)
		if err != nil {
			return
		}
		if err := c.ValidateTree(tree, ch); err != nil {
			known(t, err)
			return
		}
		tree.apply(ch)
		again, err := c.PutGroup(core.Root, body, false, tree)
		known(t, err)
		if n := len(again.Put) + len(again.Remove) + len(again.PutGroups) + len(again.RemoveGroups); err == nil && n != 0 {
			t.Fatalf("the same body changed the tree twice: %s", summary(again))
		}
	})
}
