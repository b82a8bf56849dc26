// Package scenarios holds what users of Marathon can rely on beyond single answers: what Marathon's own integration and
// system tests go through with a running cluster, told as facts and checked against one stadion dev with real tasks.
// Scenarios run side by side, each below an id of its own; what happened in the meantime they learn from one event
// stream that is recorded from the start, so that no event is missed by looking too late.
//
// Only what no other package shows is here: upgrades, readiness and health under load are in proxies, rolling and spine,
// volumes in stateful, lost agents and constraints in placement, leaders in cluster and crash.
package scenarios
