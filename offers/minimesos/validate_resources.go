package minimesos

import (
	"slices"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// What resources may look like: first each for itself (Mesos's Resources::validate in src/common/resources.cpp), then
// as those of a task, executor or operation (its src/master/validation.cpp, namespace resource).

// validateResources checks every resource for itself.
func validateResources(rs []mesos.Resource) string {
	for i := range rs {
		if text := validateResource(&rs[i]); text != "" {
			return "Resource '" + resourceText(&rs[i]) + "' is invalid: " + text
		}
	}
	return ""
}

func validateResource(r *mesos.Resource) string {
	for _, rule := range []func(*mesos.Resource) string{amountForm, diskForm, reservationForm, sharedForm} {
		if text := rule(r); text != "" {
			return text
		}
	}
	return ""
}

func amountForm(r *mesos.Resource) string {
	if r.Name == "" {
		return "Empty resource name"
	}
	switch resourceForm(r) {
	case mesos.SCALAR:
		if r.Scalar == nil || r.Ranges != nil || r.Set != nil {
			return "Invalid scalar resource"
		}
		if v := r.Scalar.Value; v < 0 || (v > 0 && toMilli(v) == 0) {
			return "Invalid scalar resource: value <= 0"
		}
	case mesos.RANGES:
		if r.Ranges == nil || r.Scalar != nil || r.Set != nil {
			return "Invalid ranges resource"
		}
		return spanText(r.Ranges.Range)
	case mesos.SET:
		if r.Set == nil || r.Scalar != nil || r.Ranges != nil {
			return "Invalid set resource"
		}
		if len(duplicates(r.Set.Item)) > 0 {
			return "Invalid set resource: duplicated elements"
		}
	default:
		return "Unsupported resource type"
	}
	return ""
}

func spanText(ranges []mesos.Value_Range) string {
	spans := slices.Clone(ranges)
	slices.SortFunc(spans, func(a, b mesos.Value_Range) int {
		if a.Begin < b.Begin {
			return -1
		}
		return 1
	})
	for i, s := range spans {
		if s.Begin > s.End {
			return "Invalid ranges resource: begin > end"
		}
		if i > 0 && s.Begin <= spans[i-1].End {
			return "Invalid ranges resource: overlapping ranges"
		}
	}
	return ""
}

func diskForm(r *mesos.Resource) string {
	if r.Disk == nil {
		return ""
	}
	if r.Name != "disk" {
		return "DiskInfo should not be set for " + r.Name + " resource"
	}
	s := r.Disk.Source
	if s == nil {
		return ""
	}
	switch s.Type {
	case mesos.Resource_DiskInfo_Source_PATH, mesos.Resource_DiskInfo_Source_MOUNT:
	case mesos.Resource_DiskInfo_Source_BLOCK, mesos.Resource_DiskInfo_Source_RAW:
		if s.Mount != nil {
			return "Mount should not be set for " + s.Type.String() + " disk source"
		}
		if s.Path != nil {
			return "Path should not be set for " + s.Type.String() + " disk source"
		}
	default:
		return "Unsupported 'DiskInfo.Source.Type' in '" + s.String() + "'"
	}
	return ""
}

// reservationForm checks the list of reservations, or the pair of role and reservation that came before it. Both may be
// there if they say the same, which only masters send.
func reservationForm(r *mesos.Resource) string {
	if len(r.Reservations) > 0 {
		return refinementForm(r)
	}
	if text := validateRole(r.GetRole()); text != "" {
		return text
	}
	switch info := r.Reservation; {
	case info == nil:
	case info.Type != nil:
		return "'Resource.ReservationInfo.type' must not be set for the 'Resource.reservation' field"
	case info.Role != nil:
		return "'Resource.ReservationInfo.role' must not be set for the 'Resource.reservation' field"
	case r.GetRole() == "*":
		return `Invalid reservation: role "*" cannot be dynamically reserved`
	}
	return ""
}

func refinementForm(r *mesos.Resource) string {
	for i := range r.Reservations {
		info := &r.Reservations[i]
		switch {
		case info.Type == nil:
			return "Invalid reservation: 'Resource.ReservationInfo.type' field must be set."
		case info.Role == nil:
			return "Invalid reservation: 'Resource.ReservationInfo.role' field must be set."
		}
		if text := validateRole(*info.Role); text != "" {
			return text
		}
		if *info.Role == "*" {
			return `Invalid reservation: role "*" cannot be reserved`
		}
	}
	for i := 1; i < len(r.Reservations); i++ {
		outer, inner := r.Reservations[i-1].GetRole(), r.Reservations[i].GetRole()
		if r.Reservations[i].GetType() == mesos.Resource_ReservationInfo_STATIC {
			return "Invalid refined reservation: A refined reservation cannot be STATIC"
		}
		if !strings.HasPrefix(inner, outer+"/") {
			return "Invalid refined reservation: role '" + inner + "' is not a refinement of '" + outer + "'"
		}
	}
	return bothForms(r)
}

func bothForms(r *mesos.Resource) string {
	first := &r.Reservations[0]
	switch {
	case len(r.Reservations) > 1 && r.Role != nil:
		return "Invalid resource format: 'Resource.role' must not be set if there is more than one reservation in 'Resource.reservations'"
	case len(r.Reservations) > 1 && r.Reservation != nil:
		return "Invalid resource format: 'Resource.reservation' must not be set if there is more than one reservation in 'Resource.reservations'"
	case len(r.Reservations) > 1:
	case r.Role != nil && *r.Role != first.GetRole():
		return "Invalid resource format: 'Resource.role' field with '" + *r.Role + "' does not match the role '" + first.GetRole() +
			"' in 'Resource.reservations'"
	case first.GetType() == mesos.Resource_ReservationInfo_STATIC && r.Reservation != nil:
		return "Invalid resource format: 'Resource.reservation' must not be set if the single reservation in 'Resource.reservations' is STATIC"
	case first.GetType() == mesos.Resource_ReservationInfo_DYNAMIC && (r.Role != nil) != (r.Reservation != nil):
		return "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either be both set or both not set" +
			" if the single reservation in 'Resource.reservations' is DYNAMIC"
	}
	return ""
}

func sharedForm(r *mesos.Resource) string {
	switch {
	case r.Shared == nil:
	case r.Name != "disk":
		return "Resource " + r.Name + " cannot be shared"
	case r.Disk.GetPersistence() == nil:
		return "Only persistent volumes can be shared"
	}
	return ""
}

// usableText checks resources beyond their form.
func usableText(rs []mesos.Resource) string {
	gpus := int64(0)
	for i := range rs {
		r := &rs[i]
		if r.Name == "gpus" {
			gpus += toMilli(r.GetScalar().GetValue())
		}
		if text := volumeText(r); text != "" {
			return "Invalid DiskInfo: " + text
		}
		if r.Revocable != nil && dynamic(r) != nil {
			return "Invalid ReservationInfo: Dynamically reserved resource " + resourceText(r) + " cannot be created from revocable resources"
		}
	}
	if gpus%1000 != 0 {
		return "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer"
	}
	return ""
}

// volumeText checks a disk as a volume.
func volumeText(r *mesos.Resource) string {
	d := r.Disk
	switch {
	case d == nil:
	case d.Persistence == nil && d.Volume != nil:
		return "Non-persistent volume not supported"
	case d.Persistence == nil && d.Source == nil:
		return "DiskInfo is set but empty"
	case d.Persistence == nil:
	case r.Revocable != nil:
		return "Persistent volumes cannot be created from revocable resources"
	case len(reservationsOf(r)) == 0:
		return "Persistent volumes cannot be created from unreserved resources"
	case d.Volume == nil:
		return "Expecting 'volume' to be set for persistent volume"
	case d.Volume.HostPath != nil:
		return "Expecting 'host_path' to be unset for persistent volume"
	default:
		if text := validateID(d.Persistence.ID); text != "" {
			return "Invalid persistence ID for persistent volume: " + text
		}
	}
	return ""
}

// sameIDText refuses a persistence id that is there twice for one role.
func sameIDText(rs []mesos.Resource) string {
	seen := map[[2]string]bool{}
	for i := range rs {
		p := rs[i].Disk.GetPersistence()
		if p == nil {
			continue
		}
		stack := reservationsOf(&rs[i])
		key := [2]string{stack[len(stack)-1].GetRole(), p.ID}
		if seen[key] {
			return "Persistence ID '" + p.ID + "' is not unique"
		}
		seen[key] = true
	}
	return ""
}

// mixedText refuses revocable and other resources of one name side by side.
func mixedText(rs []mesos.Resource) string {
	for i := range rs {
		for j := range rs[:i] {
			if rs[i].Name == rs[j].Name && (rs[i].Revocable == nil) != (rs[j].Revocable == nil) {
				return "Cannot use both revocable and non-revocable '" + rs[i].Name + "' at the same time"
			}
		}
	}
	return ""
}

// rolesText refuses resources that are allocated to several roles.
func rolesText(rs []mesos.Resource) string {
	first := ""
	for i := range rs {
		role := rs[i].GetAllocationInfo().GetRole()
		if i > 0 && role != first {
			return "The resources have multiple allocation roles ('" + role + "' and '" + first + "') but only one allocation role is allowed"
		}
		first = role
	}
	return ""
}

// judge checks all resources of a task or of an executor, whose form is fine.
func judge(of string, rs []mesos.Resource) string {
	for _, rule := range []struct {
		prefix string
		check  func([]mesos.Resource) string
	}{
		{of + " uses invalid resources: ", usableText},
		{of + " uses duplicate persistence ID: ", sameIDText},
		{"Invalid " + strings.ToLower(of) + " resources: ", rolesText},
		{of + " mixes revocable and non-revocable resources: ", mixedText},
	} {
		if text := rule.check(rs); text != "" {
			return rule.prefix + text
		}
	}
	return ""
}

// together checks what parts, each of which is fine, need as a whole. A part may be empty.
func together(of string, parts ...[]mesos.Resource) string {
	all := slices.Concat(parts...)
	if text := sameIDText(all); text != "" {
		return of + " use duplicate persistence ID: " + text
	}
	if text := mixedText(all); text != "" {
		return of + " mix revocable and non-revocable resources: " + text
	}
	for i := range parts {
		if overlap(parts[:i], parts[i]) {
			return "There are overlapping resources in those of " + of
		}
	}
	return ""
}

// groupTogether checks what executor and tasks of a group need as a whole.
func groupTogether(ex *mesos.ExecutorInfo, tasks []mesos.TaskInfo) string {
	parts := [][]mesos.Resource{ex.Resources}
	for i := range tasks {
		parts = append(parts, tasks[i].Resources)
	}
	return together("Task group and executor", parts...)
}

// overlap tells whether a port or an item of a set is among those of another part.
func overlap(others [][]mesos.Resource, rs []mesos.Resource) bool {
	for _, other := range others {
		for i := range other {
			for j := range rs {
				a, b := &other[i], &rs[j]
				if a.Name == b.Name && (rangesOverlap(a.GetRanges().GetRange(), b.GetRanges().GetRange()) ||
					slices.ContainsFunc(a.GetSet().GetItem(), func(s string) bool { return slices.Contains(b.GetSet().GetItem(), s) })) {
					return true
				}
			}
		}
	}
	return false
}

func rangesOverlap(a, b []mesos.Value_Range) bool {
	for _, p := range a {
		for _, q := range b {
			if p.Begin <= q.End && q.Begin <= p.End {
				return true
			}
		}
	}
	return false
}

// providersText refuses an operation on resources of several providers, or on none.
func providersText(rs []mesos.Resource) string {
	ids := map[string]bool{}
	for i := range rs {
		ids[rs[i].GetProviderID().GetValue()] = true
	}
	switch {
	case len(ids) == 1:
		return ""
	case ids[""]:
		return "Some resources have a resource provider and some do not"
	}
	names := make([]string, 0, len(ids))
	for id := range ids {
		names = append(names, id)
	}
	slices.Sort(names)
	return "The resources have multiple resource providers: " + strings.Join(names, ", ")
}

// resourceText prints a resource with its amounts as they were sent.
func resourceText(r *mesos.Resource) string {
	id := identity{name: r.Name, model: mesos.Resource{Reservations: reservationsOf(r), Disk: r.Disk}}
	text := id.text(r.GetAllocationInfo().GetRole()) + ":"
	switch resourceForm(r) {
	case mesos.RANGES:
		spans := make([]span, 0, len(r.GetRanges().GetRange()))
		for _, x := range r.GetRanges().GetRange() {
			spans = append(spans, span{x.Begin, x.End})
		}
		return text + spansText(spans)
	case mesos.SET:
		return text + "{" + strings.Join(r.GetSet().GetItem(), ", ") + "}"
	}
	return text + strconv.FormatFloat(float64(toMilli(r.GetScalar().GetValue()))/1000, 'f', -1, 64)
}
