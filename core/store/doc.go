/*
Package store makes batches durable in etcd and loads them again. It is one of two packages that know the etcd client.

# One key per row

Below "<prefix>/v1/" (behaviour.md E.2; keys.go is the one place that builds and reads them):

	schema                       version of this layout; a newer one than ours refuses to load
	seq                          "<batch> <fence>": the last committed batch and who committed it
	leader/<lease>               the election, written by package leader
	specs/<safe path>            {"version": stamp}: which version is current
	apps/<safe path>/<stamp>     definition, the JSON of the API; immutable
	pods/<safe path>/<stamp>     {"pod": definition, "stamps": both stamps} (D-31); immutable
	groups/<safe path>           one group without its children; the root is "_"
	root/versions/<stamp>        what one update changed; the newest is the present tree
	instances/<safe path>/<uuid> packed, some 60 bytes (packed.go), or as JSON what is odd (instance.go)
	deployments/<uuid>  failures/<safe path>  health/<safe path>/<uuid>  framework-id
	parts/<key>/<n>              the pieces of a value too large for one key (D-38, pack.go)
	redo, redo/<batch>/<n>       a batch too large for one transaction (redo.go)

# Commit

	if   create revision of the leader key is mine   (a lease alone is no licence to act: F3, R8)
	and  seq holds the predecessor
	then rows..., seq = this batch
	else read seq

A transaction whose outcome is unknown is simply committed again: had it happened, seq is no longer the predecessor
and the else branch finds our own batch there (F9, D-20). Two attempts can never both apply.

# Batches beyond one transaction

etcd takes 128 operations and 1.5 MiB. A larger batch is written as a redo log first (compressed, several
transactions), then one small transaction marks it committed, then its rows are written. Load finishes a marked log
and drops an unmarked one, so the batch is there whole or not at all. design.md 5 takes the deployment record for the
redo log; a log of its own was chosen because a batch also changes groups, instances and counters that no deployment
names, because no orphaned version can remain, and because it serves every kind of large batch alike.

# Reading what others wrote

Rows that cannot be read are quarantined: left in etcd untouched, reported, kept out of the state (F14). Fields this
version does not know are remembered per row and written back when the row is rewritten (U4); nested unknown fields
of definitions survive because versions are never rewritten.

# The twin

NewMemory is the same Store on a map instead of etcd: same keys, same codec, same redo log, with faults on demand
before and after each transaction takes effect, and without a clock.
*/
package store
