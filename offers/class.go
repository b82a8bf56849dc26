package offers

import (
	"fmt"
	"strings"
)

// Class is equal for specs that ask the same of an offer: a no to one is a no to all of them, with the same reasons, as
// long as what is left of the offer only shrinks. It lets a caller with many waiting specs ask once per class.
// Specs whose answer also depends on where instances stand or what they hold (counting constraints, persistent
// volumes) have no class: it is empty.
func (c *Compiled) Class() string { return c.class }

// Counting reports whether the answer depends on where other instances of the spec are.
func (c *Compiled) Counting() bool { return c.counting }

// classify makes the text of the class from everything check looks at.
func (c *Compiled) classify() string {
	if c.counting || len(c.volumes) > 0 {
		return ""
	}
	var b strings.Builder
	executor := ""
	if c.app != nil {
		executor = c.app.Executor
	}
	fmt.Fprintf(&b, "%q %v %v %q %v %v %q %q %v", c.spec.SpecRole(), c.total, c.executor, executor, c.ports, c.impossible, c.roles, c.gpuBehavior, c.domains)
	for _, l := range c.spec.PlacementConstraints() {
		fmt.Fprintf(&b, " [%q %q %q]", l.Field, l.Operator, l.Value)
	}
	return b.String()
}
