// Package mesos is the adapter to an Apache Mesos master: the v1 scheduler HTTP API with protobuf and RecordIO.
//
// It finds the leading master, subscribes, turns what the master says into offers.Event and offers.Call into requests,
// and subscribes again for ever when the stream is lost (D-25). The types of mesos-go stay inside.
//
//	             +-------------------- session (one stream) --------------------+
//	detector --> | SUBSCRIBE --> RecordIO frames --> decode ----> sink(Event)   |
//	 list, zk,   |                                                              |
//	 file        | Send --> ordered queue --> one connection                    |
//	             |     \--> ack queue ------> few connections                   |
//	             |          (calls are pipelined, in windows)                   |
//	             +--------------------------------------------------------------+
//
// Rules:
//
//   - The sink is called by one goroutine at a time, in the order of the stream. While it blocks, the stream is not read
//     and silence is not counted. It must return soon after Close was called.
//   - A call belongs to the stream that was current when it was handed in. When that stream ends, waiting calls are
//     dropped and counted: the machine derives them again on Subscribed. The one thing it cannot derive is that a launch
//     was never sent, so every task of such an ACCEPT gets a TASK_DROPPED with reason MASTER_DISCONNECTED, as the
//     classic driver of Mesos does.
//   - An ACCEPT is sent only if all its offers came on the current stream (D-25).
//   - Acknowledgements depend on nothing but the stream: an agent sends the next update of a task only after the last
//     one was acknowledged, so two of one task never race. They may overtake other calls, except TEARDOWN, which waits
//     for them.
//   - A queue that is full breaks the stream rather than losing a call in silence.
//   - Credentials are in no log line, no error and no String form (S4).
package mesos
