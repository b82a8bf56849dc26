package machine

import (
	"stadion/core"
	"stadion/deployments"
	"stadion/offers"
)

// Config holds the flags the machine depends on; all durations are milliseconds (behaviour.md Appendix A).
type Config struct {
	Offers    offers.Config
	Plan      deployments.Flags
	MesosRole string
	Features  map[string]bool

	MaxRows               int // rows one batch may change before Settle stops adding (one etcd transaction)
	MaxRunningDeployments int
	MaxVersions           int // versions kept per spec and of the root (behaviour.md 1.9)
	KillChunk             int // instances whose kill is in flight at once
	LaunchTokens          int // launches per LaunchTokenRefreshMs; 0: unlimited
	LaunchTokenRefreshMs  int64
	// ReplacedPerPeriod bounds how many unreachable instances are given up per LaunchTokenRefreshMs (D-61); 0: no bound.
	ReplacedPerPeriod int
	// AvoidAfter is the number of launches of a spec that fail on an agent in a row before other agents are preferred
	// for a while (D-64); 0: never.
	AvoidAfter          int
	DeclineMs           int64 // filter for offers nobody wants
	OfferTimeoutMs      int64 // longest time an offer is held
	MinReviveMs         int64
	SuppressOffers      bool
	KillRetryMs         int64
	LaunchConfirmMs     int64 // Provisioned longer than this is killed
	LaunchMs            int64 // Staging or Starting longer than this is killed
	ReconcileIntervalMs int64
	DoubtMs             int64 // what ran and is unknown to the master so soon after a registration is asked for again
	ScaleInitialMs      int64
	ScaleIntervalMs     int64
	// Spared are instances whose stored rows could not be read (F14): their tasks are not killed as unknown (R6).
	Spared map[core.InstanceID]bool
	// SparedSpecs are apps and pods whose stored definitions could not be read (F14): while they are not in the tree, their
	// instances are not orphans and their volumes are not leaked.
	SparedSpecs map[core.PathID]bool
	StallMs     int64 // without progress for this long a deployment counts as stalled (D-02)
}

// DefaultConfig is Marathon's defaults, except where Marathon's are throttles that its users complain of:
// launch tokens are unlimited, an offer may carry up to 100 launches, and offers are asked for again after 1 s
// instead of 5 s.
func DefaultConfig() Config {
	return Config{
		Offers: offers.Config{DefaultExecutor: "//cmd", BridgeName: "mesos-bridge", AcceptedRolesDefault: "any", GPUBehavior: "restricted",
			MaintenanceMode: true, MaxInstancesPerOffer: 100, ReservationTimeoutMs: 20000},
		Plan: deployments.Flags{PortMin: 10000, PortMax: 20000}, MesosRole: "*",
		MaxRows: 120, MaxRunningDeployments: 100, MaxVersions: 50, KillChunk: 100, LaunchTokenRefreshMs: 30000, ReplacedPerPeriod: 1000, AvoidAfter: 3,
		DeclineMs: 120000, OfferTimeoutMs: 3000, MinReviveMs: 1000, SuppressOffers: true, KillRetryMs: 30000,
		LaunchConfirmMs: 300000, LaunchMs: 300000, ReconcileIntervalMs: 600000, DoubtMs: 15000,
		ScaleInitialMs: 15000, ScaleIntervalMs: 300000, StallMs: 300000,
	}
}
