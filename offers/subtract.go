package offers

import "slices"

// Subtract returns what is left of resources after consumed was taken from them; neither argument is changed.
// Pieces are matched by all that makes a resource distinct to Mesos: name, reservations with their labels, disk,
// provider and allocation role. What is not there to take is ignored, so no amount ever becomes negative (I7).
func Subtract(left, consumed []Resource) []Resource {
	out := slices.Clone(left)
	for i := range consumed {
		take := &consumed[i]
		switch take.Type {
		case Scalar:
			subtractScalar(out, take)
		case Ranges:
			subtractRanges(out, take)
		case Set:
			subtractSet(out, take)
		}
	}
	return slices.DeleteFunc(out, func(r Resource) bool {
		return r.Type == Scalar && milli(r.Value) == 0 || r.Type == Ranges && len(r.Ranges) == 0 || r.Type == Set && len(r.Items) == 0
	})
}

func subtractScalar(from []Resource, take *Resource) {
	want := milli(take.Value)
	for i := range from {
		r := &from[i]
		if want == 0 {
			return
		}
		if !sameKind(r, take) {
			continue
		}
		have := milli(r.Value)
		n := min(have, want)
		want -= n
		if r.exclusiveDisk() {
			n, want = have, 0
		}
		r.Value = fromMilli(have - n)
	}
}

func subtractRanges(from []Resource, take *Resource) {
	for i := range from {
		r := &from[i]
		if !sameKind(r, take) {
			continue
		}
		for _, t := range take.Ranges {
			r.Ranges = cutRange(r.Ranges, t)
		}
	}
}

// cutRange returns ranges without the ports of t, in a new slice.
func cutRange(ranges []Range, t Range) []Range {
	out := make([]Range, 0, len(ranges)+1)
	for _, r := range ranges {
		if t.End < r.Begin || t.Begin > r.End {
			out = append(out, r)
			continue
		}
		if t.Begin > r.Begin {
			out = append(out, Range{r.Begin, t.Begin - 1})
		}
		if t.End < r.End {
			out = append(out, Range{t.End + 1, r.End})
		}
	}
	return out
}

func subtractSet(from []Resource, take *Resource) {
	for i := range from {
		r := &from[i]
		if sameKind(r, take) {
			r.Items = slices.DeleteFunc(slices.Clone(r.Items), func(s string) bool { return slices.Contains(take.Items, s) })
		}
	}
}

// exclusiveDisk: a MOUNT disk or a persistent volume cannot be shared out, it is taken whole.
func (r *Resource) exclusiveDisk() bool {
	return r.Disk != nil && (r.Disk.PersistenceID != "" || r.Disk.Source != nil && r.Disk.Source.Type == "MOUNT")
}

// sameKind reports whether Mesos would add the two up: only their amounts may differ.
func sameKind(a, b *Resource) bool {
	return a.Name == b.Name && a.Type == b.Type && a.ProviderID == b.ProviderID && a.Revocable == b.Revocable &&
		a.Shared == b.Shared && sameReservations(a, b) && sameDisk(a.Disk, b.Disk)
}

// sameReservations compares allocation role and reservation stack.
func sameReservations(a, b *Resource) bool {
	if a.AllocationRole != b.AllocationRole || len(a.Reservations) != len(b.Reservations) {
		return false
	}
	for i := range a.Reservations {
		x, y := &a.Reservations[i], &b.Reservations[i]
		if x.Role != y.Role || x.Dynamic != y.Dynamic || x.Principal != y.Principal || !slices.Equal(x.Labels, y.Labels) {
			return false
		}
	}
	return true
}

func sameDisk(a, b *DiskInfo) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.PersistenceID != b.PersistenceID {
		return false
	}
	return a.Source == b.Source || a.Source != nil && b.Source != nil && a.Source.equal(b.Source)
}

func (s *DiskSource) equal(o *DiskSource) bool {
	return s.Type == o.Type && s.Root == o.Root && s.ID == o.ID && s.Profile == o.Profile && s.Vendor == o.Vendor &&
		(s.Metadata == nil) == (o.Metadata == nil) && slices.Equal(s.Metadata, o.Metadata)
}
