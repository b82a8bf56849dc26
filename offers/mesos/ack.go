package mesos

import (
	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/offers"
)

// ackPrefix is the part of an ACKNOWLEDGE call that is the same for all of a framework: framework id and type.
func ackPrefix(frameworkID string) []byte {
	b := appendBytes(nil, 1, appendBytes(nil, 1, frameworkID))
	return appendVarint(b, 2, uint64(scheduler.Call_ACKNOWLEDGE))
}

// appendAck appends an ACKNOWLEDGE call; it allocates nothing when b is large enough.
func appendAck(b, prefix []byte, a *offers.Acknowledge) []byte {
	b = append(b, prefix...)
	agent, task := idSize(len(a.AgentID)), idSize(len(a.TaskID))
	size := idSize(agent) + idSize(task) + idSize(len(a.UUID))
	b = appendLength(b, 8, size)
	b = appendBytes(appendLength(b, 1, agent), 1, a.AgentID)
	b = appendBytes(appendLength(b, 2, task), 1, string(a.TaskID))
	return appendBytes(b, 3, a.UUID)
}

// ackSize is the length of what appendAck appends.
func ackSize(prefix []byte, a *offers.Acknowledge) int {
	size := idSize(idSize(len(a.AgentID))) + idSize(idSize(len(a.TaskID))) + idSize(len(a.UUID))
	return len(prefix) + idSize(size)
}

// idSize is the size of a length-delimited field of n bytes with a field number below 16.
func idSize(n int) int {
	size := 2 + n
	for v := n; v >= 0x80; v >>= 7 {
		size++
	}
	return size
}

func appendLength(b []byte, num, n int) []byte {
	b = append(b, byte(num<<3|wireBytes))
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
