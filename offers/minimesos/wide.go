package minimesos

import (
	"encoding/binary"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// mesos-go is generated from an older schema than Mesos 1.12 has. This file reads
// what it drops: the offer constraints of SUBSCRIBE and UPDATE_FRAMEWORK.

// capabilityQuotaV2 is a capability of masters that mesos-go has no name for.
const capabilityQuotaV2 mesos.MasterInfo_Capability_Type = 3

// Field numbers in the schema of Mesos 1.12.
const (
	fieldCallSubscribe    = 3
	fieldCallUpdate       = 19
	fieldOfferConstraints = 3
)

// wideCall is what a call says beyond the fields of mesos-go. Nil is nothing.
type wideCall struct {
	roles constraints
	bad   string // what is wrong with the constraints
	names []string
}

// eachField calls f for every field of a protobuf message, with the payload of
// length-delimited ones and the value of others. It stops at broken input.
func eachField(msg []byte, f func(field int, payload []byte, value uint64)) {
	for len(msg) > 0 {
		tag, n := binary.Uvarint(msg)
		if n <= 0 {
			return
		}
		msg = msg[n:]
		field := int(tag >> 3)
		switch tag & 7 {
		case 0:
			v, n := binary.Uvarint(msg)
			if n <= 0 {
				return
			}
			msg = msg[n:]
			f(field, nil, v)
		case 1:
			if len(msg) < 8 {
				return
			}
			f(field, nil, binary.LittleEndian.Uint64(msg))
			msg = msg[8:]
		case 2:
			size, n := binary.Uvarint(msg)
			if n <= 0 || size > uint64(len(msg)-n) {
				return
			}
			f(field, msg[n:n+int(size)], 0)
			msg = msg[n+int(size):]
		case 5:
			if len(msg) < 4 {
				return
			}
			f(field, nil, uint64(binary.LittleEndian.Uint32(msg)))
			msg = msg[4:]
		default:
			return
		}
	}
}

// wideFromProtobuf reads the unknown fields of a call.
func wideFromProtobuf(call *scheduler.Call, body []byte) *wideCall {
	switch call.Type {
	case scheduler.Call_SUBSCRIBE, scheduler.Call_UPDATE_FRAMEWORK:
		part := fieldCallSubscribe
		if call.Type == scheduler.Call_UPDATE_FRAMEWORK {
			part = fieldCallUpdate
		}
		var w *wideCall
		within(body, []int{part, fieldOfferConstraints}, func(msg []byte) { w = constraintsFromProtobuf(msg) })
		return w
	}
	return nil
}

// within calls f for every message that is reached along path.
func within(msg []byte, path []int, f func([]byte)) {
	if len(path) == 0 {
		f(msg)
		return
	}
	eachField(msg, func(field int, payload []byte, _ uint64) {
		if field == path[0] && payload != nil {
			within(payload, path[1:], f)
		}
	})
}

// dig walks a JSON tree along keys.
func dig(tree any, keys ...string) any {
	for _, k := range keys {
		object, _ := tree.(map[string]any)
		tree = object[k]
	}
	return tree
}

// wideFromJSON reads the same from JSON.
func wideFromJSON(call *scheduler.Call, tree map[string]any) *wideCall {
	switch call.Type {
	case scheduler.Call_SUBSCRIBE:
		return constraintsFromJSON(dig(tree, "subscribe", "offer_constraints"))
	case scheduler.Call_UPDATE_FRAMEWORK:
		return constraintsFromJSON(dig(tree, "update_framework", "offer_constraints"))
	}
	return nil
}

// checkLimits compares the limits of a task with what it asks for.
func checkLimits(info *mesos.TaskInfo) string {
	if len(info.Limits) == 0 {
		return ""
	}
	for name := range info.Limits {
		if name != "cpus" && name != "mem" {
			return "Only cpus and mem may be included in a task's resource limits"
		}
	}
	asked := map[string]int64{} // thousandths, as Mesos adds up
	for i := range info.Resources {
		asked[info.Resources[i].Name] += toMilli(info.Resources[i].GetScalar().GetValue())
	}
	for _, x := range [][3]string{{"cpus", "CPU", "cpu"}, {"mem", "memory", "memory"}} {
		limit, ok := info.Limits[x[0]]
		switch {
		case !ok:
		case asked[x[0]] == 0:
			return "When a " + x[1] + " limit is specified, a " + x[1] + " request must also be specified"
		case limit.Value < float64(asked[x[0]])/1000:
			return "The " + x[2] + " limit must be greater than or equal to the " + x[2] + " request"
		}
	}
	return ""
}
