package deployments

import (
	"fmt"
	"slices"

	"stadion/core"
)

// portBook knows which service ports are taken. A tree that keeps count itself says so by FreeServicePort; for any
// other one the ports of all apps are collected once, when the first free port is looked for.
type portBook struct {
	now  core.Tree
	from func(port int) int // the lowest free port of the tree, not below port
	mine map[int]bool       // named or assigned by the change itself
	next int                // no port below it is free: the search only ever goes up
	max  int
}

// assignPorts replaces service port 0 by a free one (behaviour.md 1.6, http-api.md 4.13). The definitions handed in
// are not changed. All explicit ports of the change count as taken before the first one is chosen.
func (p *preparer) assignPorts(puts []core.RunSpec) ([]core.RunSpec, error) {
	var book *portBook
	out := puts
	for i, s := range puts {
		app, ok := s.(*core.App)
		if !ok || !slices.Contains(app.ServicePorts(), 0) {
			continue
		}
		if book == nil {
			book = p.openPortBook(puts)
			out = slices.Clone(puts)
		}
		var old []int
		if was, ok := p.now.Spec(app.ID); ok {
			if a, ok := was.(*core.App); ok {
				old = a.ServicePorts()
			}
		}
		filled, err := book.fill(app, old, p.flags)
		if err != nil {
			return nil, err
		}
		out[i] = filled
	}
	return out, nil
}

func (p *preparer) openPortBook(puts []core.RunSpec) *portBook {
	b := &portBook{now: p.now, mine: make(map[int]bool), next: max(1, p.flags.PortMin), max: p.flags.PortMax}
	if t, ok := p.now.(interface{ FreeServicePort(from int) int }); ok {
		b.from = t.FreeServicePort
	}
	for _, s := range puts {
		if a, ok := s.(*core.App); ok {
			for _, port := range a.ServicePorts() {
				b.mine[port] = true
			}
		}
	}
	return b
}

// fill copies the app with every 0 replaced: first by ports its old version held inside the range and the new one
// does not name, in their old order, then by the lowest free ones.
func (b *portBook) fill(app *core.App, old []int, f Flags) (*core.App, error) {
	now := app.ServicePorts()
	kept := slices.DeleteFunc(slices.Clone(old), func(port int) bool {
		return port <= 0 || port < f.PortMin || port > f.PortMax || slices.Contains(now, port)
	})
	take := func() (int, bool) {
		if len(kept) > 0 {
			port := kept[0]
			kept = kept[1:]
			b.mine[port] = true
			return port, true
		}
		return b.free()
	}
	c := *app
	if app.HostNetworking() {
		c.PortDefinitions = slices.Clone(app.PortDefinitions)
		for i := range c.PortDefinitions {
			if err := replaceZero(&c.PortDefinitions[i].Port, take, f); err != nil {
				return nil, err
			}
		}
		return &c, nil
	}
	box := *app.Container
	box.PortMappings = slices.Clone(box.PortMappings)
	c.Container = &box
	for i := range box.PortMappings {
		if err := replaceZero(&box.PortMappings[i].ServicePort, take, f); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

func replaceZero(port *int, take func() (int, bool), f Flags) error {
	if *port != 0 {
		return nil
	}
	got, ok := take()
	if !ok {
		return &core.Error{Kind: core.Internal, Message: fmt.Sprintf("All ports in the range [%d-%d) are already in use", f.PortMin, f.PortMax)}
	}
	*port = got
	return nil
}

func (b *portBook) free() (int, bool) {
	if b.from == nil {
		taken := make(map[int]bool)
		for s := range b.now.SpecsBelow(core.Root) {
			if a, ok := s.(*core.App); ok {
				for _, port := range a.ServicePorts() {
					taken[port] = true
				}
			}
		}
		b.from = func(port int) int {
			for taken[port] {
				port++
			}
			return port
		}
	}
	for b.next = b.from(b.next); b.next <= b.max; b.next = b.from(b.next + 1) {
		if port := b.next; !b.mine[port] {
			b.mine[port] = true
			return port, true
		}
	}
	return 0, false
}
