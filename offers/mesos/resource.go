package mesos

import (
	"fmt"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"stadion/offers"
)

// fromResource converts a resource of an offer. ok is false for one that the plain form cannot hold: giving it back in
// an ACCEPT would name a resource that the master does not know, so it is left out of the offer (F23).
func fromResource(r *mesos.Resource) (out offers.Resource, ok bool) {
	out = offers.Resource{
		Name:           r.Name,
		AllocationRole: r.GetAllocationInfo().GetRole(),
		ProviderID:     r.GetProviderID().GetValue(),
		Revocable:      r.Revocable != nil,
		Shared:         r.Shared != nil,
		Reservations:   fromReservations(r),
	}
	for i := range r.Reservations {
		if !valued(r.Reservations[i].Labels) {
			return out, false
		}
	}
	if !valued(r.GetReservation().GetLabels()) {
		return out, false
	}
	switch r.GetType() {
	case mesos.SCALAR:
		out.Type, out.Value = offers.Scalar, r.GetScalar().GetValue()
	case mesos.RANGES:
		out.Type = offers.Ranges
		for _, x := range r.GetRanges().GetRange() {
			out.Ranges = append(out.Ranges, offers.Range{Begin: x.Begin, End: x.End})
		}
	case mesos.SET:
		out.Type, out.Items = offers.Set, r.GetSet().GetItem()
	default:
		return out, false
	}
	if r.Disk != nil {
		out.Disk, ok = fromDisk(r.Disk)
		return out, ok
	}
	return out, true
}

// fromReservations reads both forms: the list of RESERVATION_REFINEMENT, and role with reservation before it.
func fromReservations(r *mesos.Resource) []offers.ReservationInfo {
	if len(r.Reservations) > 0 {
		out := make([]offers.ReservationInfo, len(r.Reservations))
		for i := range r.Reservations {
			x := &r.Reservations[i]
			out[i] = offers.ReservationInfo{
				Dynamic:   x.GetType() == mesos.Resource_ReservationInfo_DYNAMIC,
				Role:      x.GetRole(),
				Principal: x.GetPrincipal(),
				Labels:    fromLabels(x.Labels),
			}
		}
		return out
	}
	role := r.GetRole()
	if x := r.Reservation; x != nil {
		return []offers.ReservationInfo{{Dynamic: true, Role: role, Principal: x.GetPrincipal(), Labels: fromLabels(x.Labels)}}
	}
	if role == "" || role == "*" {
		return nil
	}
	return []offers.ReservationInfo{{Role: role}}
}

// fromLabels keeps the difference between no labels (nil) and a list of none, as the master compares it.
func fromLabels(l *mesos.Labels) []offers.Label {
	if l == nil {
		return nil
	}
	out := make([]offers.Label, len(l.Labels))
	for i := range l.Labels {
		out[i] = offers.Label{Key: l.Labels[i].Key, Value: l.Labels[i].GetValue()}
	}
	return out
}

// valued reports whether every label has a value: to the master one without is another label than one whose value is
// empty, and the plain form cannot tell the two apart.
func valued(l *mesos.Labels) bool {
	if l == nil {
		return true
	}
	for i := range l.Labels {
		if l.Labels[i].Value == nil {
			return false
		}
	}
	return true
}

func fromDisk(d *mesos.Resource_DiskInfo) (*offers.DiskInfo, bool) {
	out := &offers.DiskInfo{
		PersistenceID: d.GetPersistence().GetID(),
		Principal:     d.GetPersistence().GetPrincipal(),
	}
	if v := d.Volume; v != nil {
		if v.HostPath != nil || v.Image != nil || v.Source != nil {
			return nil, false
		}
		out.ContainerPath, out.Mode = v.ContainerPath, v.GetMode().String()
	}
	if s := d.Source; s != nil {
		if !valued(s.Metadata) {
			return nil, false
		}
		out.Source = &offers.DiskSource{Type: s.Type.String(), ID: s.GetID(), Profile: s.GetProfile(), Vendor: s.GetVendor(), Metadata: fromLabels(s.Metadata)}
		switch {
		case s.Path != nil:
			out.Source.Root = s.Path.GetRoot()
		case s.Mount != nil:
			out.Source.Root = s.Mount.GetRoot()
		}
	}
	return out, true
}

// toResources converts resources to the form that the master expects of the framework: refinement tells whether it has
// the capability RESERVATION_REFINEMENT.
func toResources(list []offers.Resource, refinement bool) ([]mesos.Resource, error) {
	out := make([]mesos.Resource, len(list))
	for i := range list {
		r, err := toResource(&list[i], refinement)
		if err != nil {
			return nil, err
		}
		out[i] = r
	}
	return out, nil
}

func toResource(r *offers.Resource, refinement bool) (mesos.Resource, error) {
	out := mesos.Resource{Name: r.Name}
	switch r.Type {
	case offers.Scalar:
		out.Type, out.Scalar = mesos.SCALAR.Enum(), &mesos.Value_Scalar{Value: r.Value}
	case offers.Ranges:
		out.Type, out.Ranges = mesos.RANGES.Enum(), &mesos.Value_Ranges{}
		for _, x := range r.Ranges {
			out.Ranges.Range = append(out.Ranges.Range, mesos.Value_Range{Begin: x.Begin, End: x.End})
		}
	case offers.Set:
		out.Type, out.Set = mesos.SET.Enum(), &mesos.Value_Set{Item: r.Items}
	default:
		return out, fmt.Errorf("resource %s: unknown type %d", r.Name, r.Type)
	}
	if r.AllocationRole != "" {
		out.AllocationInfo = &mesos.Resource_AllocationInfo{Role: text(r.AllocationRole)}
	}
	if r.ProviderID != "" {
		out.ProviderID = &mesos.ResourceProviderID{Value: r.ProviderID}
	}
	if r.Revocable {
		out.Revocable = &mesos.Resource_RevocableInfo{}
	}
	if r.Shared {
		out.Shared = &mesos.Resource_SharedInfo{}
	}
	toReservations(r, &out, refinement)
	if r.Disk == nil {
		return out, nil
	}
	disk, err := toDisk(r.Disk)
	if err != nil {
		return out, fmt.Errorf("resource %s: %w", r.Name, err)
	}
	out.Disk = disk
	return out, nil
}

// toReservations writes the reservations. The old form has one level; more can only be said in the new one.
func toReservations(r *offers.Resource, out *mesos.Resource, refinement bool) {
	if !refinement && len(r.Reservations) <= 1 {
		if len(r.Reservations) == 0 {
			out.Role = text("*")
			return
		}
		x := &r.Reservations[0]
		out.Role = text(x.Role)
		if x.Dynamic {
			out.Reservation = &mesos.Resource_ReservationInfo{Principal: optional(x.Principal), Labels: keptLabels(x.Labels)}
		}
		return
	}
	for i := range r.Reservations {
		x := &r.Reservations[i]
		kind := mesos.Resource_ReservationInfo_STATIC
		if x.Dynamic {
			kind = mesos.Resource_ReservationInfo_DYNAMIC
		}
		out.Reservations = append(out.Reservations, mesos.Resource_ReservationInfo{
			Type: kind.Enum(), Role: text(x.Role), Principal: optional(x.Principal), Labels: keptLabels(x.Labels),
		})
	}
}

// keptLabels is the reverse of fromLabels.
func keptLabels(list []offers.Label) *mesos.Labels {
	if list != nil && len(list) == 0 {
		return &mesos.Labels{}
	}
	return toLabels(list)
}

func toDisk(d *offers.DiskInfo) (*mesos.Resource_DiskInfo, error) {
	out := &mesos.Resource_DiskInfo{}
	if d.PersistenceID != "" {
		out.Persistence = &mesos.Resource_DiskInfo_Persistence{ID: d.PersistenceID, Principal: optional(d.Principal)}
	}
	if d.ContainerPath != "" {
		mode, err := volumeMode(d.Mode)
		if err != nil {
			return nil, err
		}
		out.Volume = &mesos.Volume{ContainerPath: d.ContainerPath, Mode: mode}
	}
	if s := d.Source; s != nil {
		kind, ok := mesos.Resource_DiskInfo_Source_Type_value[s.Type]
		if !ok {
			return nil, fmt.Errorf("unknown disk source type %q", s.Type)
		}
		src := &mesos.Resource_DiskInfo_Source{
			Type: mesos.Resource_DiskInfo_Source_Type(kind), ID: optional(s.ID), Profile: optional(s.Profile),
			Vendor: optional(s.Vendor), Metadata: keptLabels(s.Metadata),
		}
		switch src.Type {
		case mesos.Resource_DiskInfo_Source_PATH:
			src.Path = &mesos.Resource_DiskInfo_Source_Path{Root: optional(s.Root)}
		case mesos.Resource_DiskInfo_Source_MOUNT:
			src.Mount = &mesos.Resource_DiskInfo_Source_Mount{Root: optional(s.Root)}
		}
		out.Source = src
	}
	return out, nil
}

func volumeMode(mode string) (*mesos.Volume_Mode, error) {
	switch mode {
	case "RO":
		return mesos.RO.Enum(), nil
	case "RW", "":
		return mesos.RW.Enum(), nil
	default:
		return nil, fmt.Errorf("unknown volume mode %q", mode)
	}
}

// text is a set optional string, optional one that is unset when empty.
func text(s string) *string { return &s }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func flag(b bool) *bool { return &b }

func toLabels(list []offers.Label) *mesos.Labels {
	if len(list) == 0 {
		return nil
	}
	out := &mesos.Labels{Labels: make([]mesos.Label, len(list))}
	for i := range list {
		out.Labels[i] = mesos.Label{Key: list[i].Key, Value: text(list[i].Value)}
	}
	return out
}
