package offers

import "stadion/core"

// ResourceType tells which of a resource's values is set.
type ResourceType int8

// The types of resources.
const (
	Scalar ResourceType = iota
	Ranges
	Set
)

// Range is an inclusive range of ports.
type Range struct{ Begin, End uint64 }

// Label is a Mesos label; an absent value is empty.
type Label struct{ Key, Value string }

// ReservationInfo is one level of a resource's reservation.
type ReservationInfo struct {
	Dynamic   bool
	Role      string
	Principal string
	Labels    []Label
}

// DiskSource is where a disk resource comes from.
type DiskSource struct {
	Type    string // PATH, MOUNT, BLOCK, RAW
	Root    string // path of PATH and MOUNT
	ID      string
	Profile string

	// Vendor and Metadata are set by storage resource providers (Mesos 1.8+). Frameworks only hand them on: with another
	// value it would be another disk (operator== of DiskInfo::Source in src/common/resources.cpp).
	Vendor   string
	Metadata []Label // nil: none, as opposed to an empty list
}

// DiskInfo describes a disk resource: its source and, for a volume, its persistence.
type DiskInfo struct {
	Source        *DiskSource
	PersistenceID string
	Principal     string
	ContainerPath string
	Mode          string // RW, RO
}

// Resource is a part of an offer or of a task. cpus are shares, mem and disk MiB.
type Resource struct {
	Name           string // cpus mem disk gpus ports
	Type           ResourceType
	Value          float64
	Ranges         []Range
	Items          []string
	Reservations   []ReservationInfo // outermost first; empty: unreserved
	AllocationRole string
	Disk           *DiskInfo
	ProviderID     string
	Revocable      bool
	Shared         bool
}

// Role is the role the resource is reserved for, "*" when it is not.
func (r *Resource) Role() string {
	if n := len(r.Reservations); n > 0 {
		return r.Reservations[n-1].Role
	}
	return "*"
}

// Unavailability is a maintenance window; zero Duration means "without end".
type Unavailability struct {
	Start    core.Timestamp
	Duration int64 // milliseconds
}

// Offer is what is free on one agent for one role.
type Offer struct {
	ID             string
	FrameworkID    string
	Agent          *core.AgentInfo // host, id, fault domain, attributes in text form (behaviour.md 5.5.1)
	Role           string          // allocation role
	Resources      []Resource
	Unavailability *Unavailability
	ReceivedAt     core.Timestamp
	ExecutorIDs    []string
	Attributes     []Attribute // of the agent, with their types, for those who want to see them; shared, not to be changed
}

// Attribute is an attribute of an agent as the master tells of it. Exactly one value is set, unless its kind is one that
// nobody knows.
type Attribute struct {
	Name   string
	Text   *string
	Scalar *float64
	Ranges []Range
	Items  []string
}
