package minimesos

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// identity is what makes two resources the same kind of thing: all of a
// mesos.Resource but its amount and its allocation. Identities are interned, so
// they are compared as pointers.
type identity struct {
	name  string
	form  mesos.Value_Type
	model mesos.Resource // without amount, allocation and the old role fields
	role  string         // the role of the innermost reservation, "" when unreserved
}

// persistent tells whether the resource is a persistent volume.
func (id *identity) persistent() bool {
	return id.model.Disk != nil && id.model.Disk.Persistence != nil
}

type span struct{ begin, end uint64 }

// quantity is an amount of one identity. Scalars count in thousandths, as Mesos
// rounds them; ranges are sorted, disjoint and not adjacent; sets are sorted.
type quantity struct {
	id    *identity
	milli int64
	spans []span
	items []string
}

func (q quantity) empty() bool {
	return q.milli <= 0 && len(q.spans) == 0 && len(q.items) == 0
}

// bag is a sum of resources with at most one quantity per identity. Operations
// return new bags and never write into the spans of their arguments.
type bag []quantity

// identities interns; it belongs to one cluster and is guarded by its lock.
type identities struct {
	plain map[string]*identity // by name, for unreserved scalars without frills
	other map[string]*identity
}

func newIdentities() *identities {
	return &identities{plain: map[string]*identity{}, other: map[string]*identity{}}
}

func resourceForm(r *mesos.Resource) mesos.Value_Type {
	if r.Type == nil {
		return mesos.SCALAR
	}
	return *r.Type
}

// of finds the identity of r. The old format (role, reservation) is brought into
// the new one (reservations) first.
func (ids *identities) of(r *mesos.Resource) *identity {
	form := resourceForm(r)
	simple := len(r.Reservations) == 0 && (r.Role == nil || *r.Role == "*") && r.Reservation == nil &&
		r.Disk == nil && r.ProviderID == nil && r.Revocable == nil && r.Shared == nil
	if simple {
		if id := ids.plain[r.Name]; id != nil && id.form == form {
			return id
		}
	}
	model := mesos.Resource{
		ProviderID: r.ProviderID, Name: r.Name, Type: form.Enum(), Reservations: reservationsOf(r),
		Disk: r.Disk, Revocable: r.Revocable, Shared: r.Shared,
	}
	key := identityKey(model)
	if id := ids.other[key]; id != nil {
		return id
	}
	id := &identity{name: r.Name, form: form, model: model}
	if n := len(model.Reservations); n > 0 && model.Reservations[n-1].Role != nil {
		id.role = *model.Reservations[n-1].Role
	}
	ids.other[key] = id
	if simple {
		ids.plain[r.Name] = id
	}
	return id
}

// identityKey is what resources are compared by. As in Mesos the order of labels
// does not count, and of a persistent volume neither how it is mounted nor who
// made it.
func identityKey(model mesos.Resource) string {
	stack := slices.Clone(model.Reservations)
	for i := range stack {
		if stack[i].Labels == nil {
			continue
		}
		labels := slices.Clone(stack[i].Labels.Labels)
		slices.SortFunc(labels, func(a, b mesos.Label) int {
			if a.Key != b.Key {
				return compareText(a.Key, b.Key)
			}
			return compareText(a.GetValue(), b.GetValue())
		})
		stack[i].Labels = &mesos.Labels{Labels: labels}
	}
	model.Reservations = stack
	if d := model.Disk; d != nil && d.Persistence != nil {
		model.Disk = &mesos.Resource_DiskInfo{Source: d.Source,
			Persistence: &mesos.Resource_DiskInfo_Persistence{ID: d.Persistence.ID}}
	}
	// Not String, which prints addresses instead of the optional fields of lists.
	data, err := model.Marshal()
	if err != nil { // a required field is missing, which JSON does not mind
		data = appendJSON(nil, &model)
	}
	return string(data)
}

// reservationsOf gives the reservation stack of r, whichever format it is in.
func reservationsOf(r *mesos.Resource) []mesos.Resource_ReservationInfo {
	if len(r.Reservations) > 0 {
		return r.Reservations
	}
	if r.Role == nil || *r.Role == "*" {
		return nil
	}
	info := mesos.Resource_ReservationInfo{Role: r.Role, Type: mesos.Resource_ReservationInfo_STATIC.Enum()}
	if r.Reservation != nil {
		info.Type = mesos.Resource_ReservationInfo_DYNAMIC.Enum()
		info.Principal, info.Labels = r.Reservation.Principal, r.Reservation.Labels
	}
	return []mesos.Resource_ReservationInfo{info}
}

func toMilli(v float64) int64 { return int64(math.Round(v * 1000)) }

// quantityOf converts one resource.
func (ids *identities) quantityOf(r *mesos.Resource) quantity {
	q := quantity{id: ids.of(r)}
	switch q.id.form {
	case mesos.SCALAR:
		q.milli = toMilli(r.GetScalar().GetValue())
	case mesos.RANGES:
		for _, x := range r.GetRanges().GetRange() {
			q.spans = append(q.spans, span{x.Begin, x.End})
		}
		q.spans = normalSpans(q.spans)
	case mesos.SET:
		q.items = slices.Clone(r.GetSet().GetItem())
		slices.Sort(q.items)
		q.items = slices.Compact(q.items)
	}
	return q
}

// bagOf converts a list of resources, adding up what is the same.
func (ids *identities) bagOf(rs []mesos.Resource) bag {
	b := make(bag, 0, len(rs))
	for i := range rs {
		b = b.plus1(ids.quantityOf(&rs[i]))
	}
	return b
}

func (b bag) find(id *identity) int {
	for i := range b {
		if b[i].id == id {
			return i
		}
	}
	return -1
}

// plus1 adds q in place of b (b's array may be reused).
func (b bag) plus1(q quantity) bag {
	if q.empty() {
		return b
	}
	i := b.find(q.id)
	if i < 0 {
		return append(b, q)
	}
	switch q.id.form {
	case mesos.SCALAR:
		b[i].milli += q.milli
	case mesos.RANGES:
		b[i].spans = normalSpans(slices.Concat(b[i].spans, q.spans))
	case mesos.SET:
		b[i].items = slices.Concat(b[i].items, q.items)
		slices.Sort(b[i].items)
		b[i].items = slices.Compact(b[i].items)
	}
	return b
}

func (b bag) clone() bag { return slices.Clone(b) }

func (b bag) plus(other bag) bag {
	sum := make(bag, len(b), len(b)+len(other))
	copy(sum, b)
	for _, q := range other {
		sum = sum.plus1(q)
	}
	return sum
}

// minus takes other away; what b does not have is ignored.
func (b bag) minus(other bag) bag {
	rest := b.clone()
	for _, q := range other {
		i := rest.find(q.id)
		if i < 0 {
			continue
		}
		switch q.id.form {
		case mesos.SCALAR:
			rest[i].milli -= q.milli
		case mesos.RANGES:
			rest[i].spans = cutSpans(rest[i].spans, q.spans)
		case mesos.SET:
			rest[i].items = slices.DeleteFunc(slices.Clone(rest[i].items), func(s string) bool {
				_, found := slices.BinarySearch(q.items, s)
				return found
			})
		}
	}
	return slices.DeleteFunc(rest, quantity.empty)
}

// contains tells whether other is a part of b.
func (b bag) contains(other bag) bool {
	for _, q := range other {
		if q.empty() {
			continue
		}
		i := b.find(q.id)
		if i < 0 {
			return false
		}
		switch q.id.form {
		case mesos.SCALAR:
			if b[i].milli < q.milli {
				return false
			}
		case mesos.RANGES:
			if !spansContain(b[i].spans, q.spans) {
				return false
			}
		case mesos.SET:
			for _, s := range q.items {
				if _, found := slices.BinarySearch(b[i].items, s); !found {
					return false
				}
			}
		}
	}
	return true
}

// scalar sums one named scalar over all identities, in thousandths.
func (b bag) scalar(name string) int64 {
	var sum int64
	for i := range b {
		if b[i].id.form == mesos.SCALAR && b[i].id.name == name {
			sum += b[i].milli
		}
	}
	return sum
}

// filter keeps the quantities for which keep holds.
func (b bag) filter(keep func(*identity) bool) bag {
	var out bag
	for _, q := range b {
		if keep(q.id) {
			out = append(out, q)
		}
	}
	return out
}

// rank orders the resources of an offer as Mesos does: ranges and sets, then what
// is reserved, then the rest.
func (q quantity) rank() int {
	switch {
	case q.id.form != mesos.SCALAR:
		return 0
	case q.id.role != "":
		return 1
	}
	return 2
}

// inOrder brings a bag into the order of offers.
func (b bag) inOrder() bag {
	byRank := func(x, y quantity) int { return x.rank() - y.rank() }
	if slices.IsSortedFunc(b, byRank) {
		return b
	}
	sorted := b.clone()
	slices.SortStableFunc(sorted, byRank)
	return sorted
}

func normalSpans(s []span) []span {
	if len(s) < 2 {
		return s
	}
	slices.SortFunc(s, func(a, b span) int {
		if a.begin < b.begin {
			return -1
		}
		if a.begin > b.begin {
			return 1
		}
		return 0
	})
	out := s[:1]
	for _, x := range s[1:] {
		last := &out[len(out)-1]
		if x.begin <= last.end || x.begin == last.end+1 {
			last.end = max(last.end, x.end)
		} else {
			out = append(out, x)
		}
	}
	return out
}

func cutSpans(from, cut []span) []span {
	out := make([]span, 0, len(from)+len(cut))
	for _, f := range from {
		for _, c := range cut {
			if c.end < f.begin || c.begin > f.end {
				continue
			}
			if c.begin > f.begin {
				out = append(out, span{f.begin, c.begin - 1})
			}
			if c.end >= f.end {
				f.begin = f.end + 1
				break
			}
			f.begin = c.end + 1
		}
		if f.begin <= f.end {
			out = append(out, f)
		}
	}
	return out
}

func spansContain(all, part []span) bool {
	for _, p := range part {
		ok := false
		for _, a := range all {
			if a.begin <= p.begin && p.end <= a.end {
				ok = true
				break
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// resources converts back, allocated to role ("" leaves the allocation out).
func (b bag) resources(role string) []mesos.Resource {
	out := make([]mesos.Resource, len(b))
	var alloc *mesos.Resource_AllocationInfo
	if role != "" {
		alloc = &mesos.Resource_AllocationInfo{Role: &role}
	}
	for i, q := range b {
		out[i] = q.id.model
		out[i].AllocationInfo = alloc
		switch q.id.form {
		case mesos.SCALAR:
			out[i].Scalar = &mesos.Value_Scalar{Value: float64(q.milli) / 1000}
		case mesos.RANGES:
			rs := make([]mesos.Value_Range, len(q.spans))
			for j, s := range q.spans {
				rs[j] = mesos.Value_Range{Begin: s.begin, End: s.end}
			}
			out[i].Ranges = &mesos.Value_Ranges{Range: rs}
		case mesos.SET:
			out[i].Set = &mesos.Value_Set{Item: q.items}
		}
	}
	return out
}

// text writes a bag the way Mesos prints resources in its messages.
func (b bag) text(role string) string {
	parts := make([]string, len(b))
	for i, q := range b {
		parts[i] = q.id.text(role) + ":" + q.amount()
	}
	return strings.Join(parts, "; ")
}

func (q quantity) amount() string {
	switch q.id.form {
	case mesos.RANGES:
		return spansText(q.spans)
	case mesos.SET:
		return "{" + strings.Join(q.items, ", ") + "}"
	}
	return strconv.FormatFloat(float64(q.milli)/1000, 'f', -1, 64)
}

func spansText(spans []span) string {
	parts := make([]string, len(spans))
	for i, s := range spans {
		parts[i] = fmt.Sprintf("%d-%d", s.begin, s.end)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// text is the name with allocation, reservations and disk.
func (id *identity) text(role string) string {
	var s strings.Builder
	s.WriteString(id.name)
	if role != "" {
		s.WriteString("(allocated: " + role + ")")
	}
	if len(id.model.Reservations) > 0 {
		parts := make([]string, len(id.model.Reservations))
		for i := range id.model.Reservations {
			parts[i] = reservationText(&id.model.Reservations[i])
		}
		s.WriteString("(reservations: [" + strings.Join(parts, ",") + "])")
	}
	if d := id.model.Disk; d != nil {
		s.WriteString("[" + diskText(d) + "]")
	}
	return s.String()
}

func reservationText(r *mesos.Resource_ReservationInfo) string {
	out := "(" + r.GetType().String() + "," + r.GetRole()
	if r.Principal != nil {
		out += "," + *r.Principal
	}
	if labels := r.GetLabels().GetLabels(); len(labels) > 0 {
		parts := make([]string, len(labels))
		for i, l := range labels {
			parts[i] = l.Key
			if l.Value != nil {
				parts[i] += ": " + *l.Value
			}
		}
		out += ",{" + strings.Join(parts, ", ") + "}"
	}
	return out + ")"
}

func diskText(d *mesos.Resource_DiskInfo) string {
	if d.Persistence == nil {
		return ""
	}
	out := d.Persistence.ID
	if d.Volume != nil {
		out += ":" + d.Volume.ContainerPath
	}
	return out
}
