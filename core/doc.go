/*
Package core holds the words every other package speaks: paths, timestamps, run specs (apps and pods), groups,
instances and their tasks, deployments, notices (the events users see) and the kinds of errors.

It imports nothing but the standard library, knows no clock and does no I/O. Values are immutable once they are
shared: whoever wants another value copies, changes the copy and hands that on. That is what makes a published
snapshot safe to read without a lock.

# One shape

The JSON of App, Pod and Group is the normalised JSON of Marathon's API (http-api.md 4.7, 6.1, 7.3), and the very
same bytes are what the store keeps. Deprecated input forms never reach this package: marathonapi/wire turns them
into these types at the edge.

# Two words per instance

An Instance has a Goal (what we want: Running, Stopped, Decommissioned) and a Condition (what we know: Marathon's
list). Which condition may follow which stands in one table, in condition.go.
*/
package core
