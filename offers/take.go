package offers

// The kinds of disk (behaviour.md 5.3.2).
type diskType int8

const (
	diskRoot diskType = iota
	diskPath
	diskMount
	diskOther // BLOCK and RAW are not used
)

func diskKind(r *Resource) diskType {
	if r.Disk == nil || r.Disk.Source == nil {
		return diskRoot
	}
	switch r.Disk.Source.Type {
	case "PATH":
		return diskPath
	case "MOUNT":
		return diskMount
	}
	return diskOther
}

// pieces are consumed scalar resources by kind, each in the order of the offer.
type pieces struct{ cpus, mem, disk, gpus []Resource }

func (p *pieces) all() []Resource {
	out := make([]Resource, 0, len(p.cpus)+len(p.mem)+len(p.disk)+len(p.gpus)+2)
	return append(append(append(append(out, p.cpus...), p.mem...), p.disk...), p.gpus...)
}

// take consumes the wanted scalars greedily in the order of the offer; each piece keeps role, reservation and
// provider (behaviour.md 5.3.1). check has made sure that there is enough.
func (t *attempt) take(f *filter) pieces {
	want := t.want
	var p pieces
	for i := range t.left {
		r := &t.left[i]
		if r.Type != Scalar || !f.accepts(r) {
			continue
		}
		switch r.Name {
		case "cpus":
			p.cpus = takeFrom(p.cpus, r, &want.cpus)
		case "mem":
			p.mem = takeFrom(p.mem, r, &want.mem)
		case "gpus":
			p.gpus = takeFrom(p.gpus, r, &want.gpus)
		case "disk":
			if diskKind(r) == diskRoot {
				p.disk = takeFrom(p.disk, r, &want.disk)
			}
		}
	}
	return p
}

func takeFrom(out []Resource, r *Resource, want *int64) []Resource {
	n := min(*want, milli(r.Value))
	if n <= 0 {
		return out
	}
	*want -= n
	piece := *r
	piece.Value = fromMilli(n)
	return append(out, piece)
}

// deal gives the next demand its share of the pieces and returns it; the pieces shrink (behaviour.md 11.4). Dealing
// the demands one after another always works out, because pieces can be split at thousandths and the demands
// add up to what was consumed.
func (p *pieces) deal(want scalars) []Resource {
	var out []Resource
	out = dealKind(out, &p.cpus, want.cpus)
	out = dealKind(out, &p.mem, want.mem)
	out = dealKind(out, &p.disk, want.disk)
	return dealKind(out, &p.gpus, want.gpus)
}

func dealKind(out []Resource, from *[]Resource, want int64) []Resource {
	for want > 0 && len(*from) > 0 {
		head := &(*from)[0]
		have := milli(head.Value)
		n := min(have, want)
		piece := *head
		piece.Value = fromMilli(n)
		out = append(out, piece)
		want -= n
		if n == have {
			*from = (*from)[1:]
		} else {
			head.Value = fromMilli(have - n)
		}
	}
	return out
}
