/*
Package state holds everything the leader knows, as tables in memory.

Each table is an ordered copy-on-write map (tidwall/btree): Snapshot copies the whole state in constant time, and
readers keep their copy for as long as they like without a lock. There is one writer, the loop's goroutine; rows are
immutable values, replaced and never changed in place.

	durable    specs, versions, groups, roots, instances (but for those that never had an agent), deployments,
	           failures, framework id, last health
	volatile   counts, backoff delays, offer statistics, health and readiness results, the Mesos connection

Every Put and Delete on a durable table is noted in a journal; Flush takes it and yields one Write per touched row,
which is what the store commits. Counters that lists need (Counts) are kept with each Put, never recounted.

design.md suggests go-memdb. A plain ordered map per table was taken instead: the keys are strings that already order
instances by spec, a change costs one path copy instead of one per index, and accessors are typed.
*/
package state
