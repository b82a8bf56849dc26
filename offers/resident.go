package offers

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"

	"stadion/core"
)

// noPrincipal is Marathon's text for a reservation that cannot be made (behaviour.md 5.6).
const noPrincipal = "No principal set. Set --mesos_authentication_principal to enable using local volumes in Marathon."

// maxID is the longest id that Mesos takes, in bytes. A task with a longer one is refused with a status that says so; a
// CREATE is dropped without a word.
const maxID = 255

// launchReserved launches an instance on what is reserved for it: all its volumes must be in the offer
// (behaviour.md 5.6.1).
func (t *attempt) launchReserved() Match {
	volumes, all := t.offeredVolumes()
	if !all {
		return Match{Reasons: reasonSet(1 << NoCorrespondingReservationFound).list()}
	}
	f := filter{role: t.role, reservation: t.inst.Reservation, framework: t.cfg.FrameworkID}
	if no := t.check(&f, false); no != 0 {
		return Match{Reasons: no.list()}
	}
	return t.launch(&f, volumes)
}

// offeredVolumes are the volumes of the instance's reservation in the offer and whether that is all of them.
func (t *attempt) offeredVolumes() ([]Resource, bool) {
	want := t.inst.Reservation.Volumes
	var out []Resource
	for i := range want {
		at := slices.IndexFunc(t.left, func(r Resource) bool { return r.Disk != nil && r.Disk.PersistenceID == want[i].ID })
		if at < 0 {
			return nil, false
		}
		out = append(out, t.left[at])
	}
	return out, true
}

// reserve makes a reservation for an instance that has none, out of unreserved resources only (behaviour.md 5.6.2).
// The launch follows with a later offer that carries the reservation.
func (t *attempt) reserve() Match {
	f := filter{unreserved: true}
	no := t.check(&f, true)
	scratch := t.take(&f)
	disks, ok := t.takeVolumes(&f, &scratch)
	if !ok {
		no.add(InsufficientDisk)
	}
	if no == 0 && t.cfg.Principal == "" {
		return Match{Reasons: reasonSet(1 << NoCorrespondingReservationFound).list(), Problem: noPrincipal}
	}
	if no != 0 {
		return Match{Reasons: no.list()}
	}
	ports, ok := pickPorts(t.left, &f, t.c.ports, t.rnd)
	if !ok {
		return Match{Reasons: reasonSet(1 << InsufficientPorts).list()}
	}
	m := Match{Reservation: t.newReservation()}
	for _, v := range m.Reservation.Volumes {
		if len(v.ID) > maxID {
			return Match{Reasons: reasonSet(1 << NoCorrespondingReservationFound).list(),
				Problem: fmt.Sprintf("the id of volume %s would have %d characters, Mesos takes %d at most: shorten the id of the app or the path of the volume", v.ContainerPath, len(v.ID), maxID)}
		}
	}
	plain := slices.Concat(scratch.all(), portResources(t.left, ports))
	m.Consumed = slices.Concat(plain, disks)
	var held, created []Resource
	for i := range m.Consumed {
		held = append(held, t.reserved(m.Consumed[i], m.Reservation))
	}
	for i := range disks {
		created = append(created, t.volume(held[len(plain)+i], i, m.Reservation))
	}
	for _, group := range byProvider(merged(held)) {
		m.Operations = append(m.Operations, Operation{Reserve: group})
	}
	for _, group := range byProvider(created) {
		m.Operations = append(m.Operations, Operation{Create: group})
	}
	return m
}

func (t *attempt) newReservation() *core.Reservation {
	r := &core.Reservation{ID: string(t.inst.ID), New: true, Principal: t.cfg.Principal, Framework: t.cfg.FrameworkID,
		Deadline: t.now + core.Timestamp(t.cfg.ReservationTimeoutMs)}
	for i := range t.c.volumes {
		v := &t.c.volumes[i]
		id := t.c.spec.SpecID().SafePath() + "#" + v.name + "#" + timeUUID(t.now, t.rnd)
		r.Volumes = append(r.Volumes, core.Volume{ID: id, ContainerPath: v.containerPath})
	}
	return r
}

// reserved is a resource as RESERVE names it.
func (t *attempt) reserved(r Resource, to *core.Reservation) Resource {
	r.Reservations = append(slices.Clone(r.Reservations), ReservationInfo{Dynamic: true, Role: t.role, Principal: t.cfg.Principal,
		Labels: []Label{{labelFramework, t.cfg.FrameworkID}, {labelReservation, to.ID}}})
	return r
}

// volume is a reserved disk as CREATE names it.
func (t *attempt) volume(r Resource, i int, of *core.Reservation) Resource {
	d := DiskInfo{}
	if r.Disk != nil {
		d = *r.Disk
	}
	d.PersistenceID, d.Principal = of.Volumes[i].ID, t.cfg.Principal
	d.ContainerPath, d.Mode = t.c.volumes[i].containerPath, t.c.volumes[i].mode
	r.Disk = &d
	return r
}

// merged adds up scalars of one kind, such as scratch space and volumes of one disk, so that an operation names each
// kind once.
func merged(list []Resource) []Resource {
	var out []Resource
	for i := range list {
		r := list[i]
		at := slices.IndexFunc(out, func(o Resource) bool { return r.Type == Scalar && !r.exclusiveDisk() && sameKind(&o, &r) })
		if at < 0 {
			out = append(out, r)
		} else {
			out[at].Value = fromMilli(addSat(milli(out[at].Value), milli(r.Value)))
		}
	}
	return out
}

// byProvider groups resources by provider in order of first appearance: operations must not mix them.
func byProvider(list []Resource) [][]Resource {
	var out [][]Resource
	at := map[string]int{}
	for i := range list {
		g, ok := at[list[i].ProviderID]
		if !ok {
			g = len(out)
			at[list[i].ProviderID] = g
			out = append(out, nil)
		}
		out[g] = append(out[g], list[i])
	}
	return out
}

// takeVolumes chooses a disk for every volume, larger ones first; the result is in the order of the spec
// (behaviour.md 5.3.2). Root disk that scratch space took is not free any more.
func (t *attempt) takeVolumes(f *filter, scratch *pieces) ([]Resource, bool) {
	free := Subtract(t.left, scratch.disk)
	order := make([]int, len(t.c.volumes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.c.volumes[b].size, t.c.volumes[a].size) })
	out := make([]Resource, len(order))
	for _, i := range order {
		disk, ok := findDisk(free, f, &t.c.volumes[i])
		if !ok {
			return nil, false
		}
		out[i] = disk
		free = Subtract(free, out[i:i+1])
	}
	return out, true
}

// findDisk chooses one offered disk for a volume. Mesos offers all that is free of one source as one resource, so a
// volume never needs several. Of path disks the largest is used, of mount disks the smallest that is large
// enough; the volume takes a mount disk whole.
func findDisk(free []Resource, f *filter, v *volumeWant) (Resource, bool) {
	best := -1
	for i := range free {
		r := &free[i]
		if r.Name != "disk" || r.Type != Scalar || !f.accepts(r) || !v.fits(r) {
			continue
		}
		better := best < 0
		if !better {
			switch v.kind {
			case "path":
				better = r.Value > free[best].Value
			case "mount":
				better = r.Value < free[best].Value
			}
		}
		if better {
			best = i
		}
	}
	if best < 0 {
		return Resource{}, false
	}
	piece := free[best]
	if v.kind != "mount" {
		piece.Value = fromMilli(v.size)
	}
	return piece, true
}

// fits reports whether the disk has the volume's type, size, profile and path (behaviour.md 5.3.2).
func (v *volumeWant) fits(r *Resource) bool {
	size, profile, root := milli(r.Value), "", ""
	if r.Disk != nil && r.Disk.Source != nil {
		profile, root = r.Disk.Source.Profile, r.Disk.Source.Root
	}
	if size < v.size || profile != v.profile {
		return false
	}
	switch v.kind {
	case "path":
		if diskKind(r) != diskPath {
			return false
		}
	case "mount":
		if diskKind(r) != diskMount || size > v.maxSize {
			return false
		}
	default:
		if diskKind(r) != diskRoot {
			return false
		}
	}
	for i := range v.constraints {
		c := &v.constraints[i]
		if c.field != "path" || c.regex == nil || !c.op.match(c, root, nil, crowd{}) {
			return false
		}
	}
	return true
}

// gregorianOffset is the distance from the start of version 1 UUIDs (15 October 1582) to 1970, in 100 ns.
const gregorianOffset = 0x01b21dd213814000

// timeUUID makes a version 1 UUID of now; what a clock and a node would add comes from rnd.
func timeUUID(now core.Timestamp, rnd *rand.Rand) string {
	var a, b uint64
	if rnd != nil {
		a, b = rnd.Uint64(), rnd.Uint64()
	}
	ticks := uint64(now)*10_000 + a%10_000 + gregorianOffset
	var u [16]byte
	binary.BigEndian.PutUint32(u[0:], uint32(ticks))
	binary.BigEndian.PutUint16(u[4:], uint16(ticks>>32))
	binary.BigEndian.PutUint16(u[6:], uint16(ticks>>48)&0x0fff|0x1000)
	binary.BigEndian.PutUint64(u[8:], b&^(3<<62)|1<<63)
	u[10] |= 1 // multicast bit: a node that is no network card
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
