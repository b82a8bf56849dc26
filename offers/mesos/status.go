package mesos

import (
	"strconv"
	"strings"
	"unicode/utf8"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"stadion/core"
	"stadion/offers"
)

// Status updates are the most frequent events, so they are read straight from the wire: no message of mesos-go is
// built. A test compares the outcome with that of mesos-go's decoder.

var (
	stateNames  = enumNames(mesos.TaskState_name, "")
	sourceNames = enumNames(mesos.TaskStatus_Source_name, "SOURCE_")
	reasonNames = enumNames(mesos.TaskStatus_Reason_name, "REASON_")
)

// enumNames turns a table of mesos-go into a slice, without the common prefix of the names.
func enumNames(table map[int32]string, prefix string) []string {
	var names []string
	for n, name := range table {
		for int(n) >= len(names) {
			names = append(names, "")
		}
		names[n] = strings.TrimPrefix(name, prefix)
	}
	return names
}

// enumName is the name of an enum value; a value that is newer than mesos-go is shown as its number.
func enumName(names []string, v uint64) string {
	if v < uint64(len(names)) && names[v] != "" {
		return names[v]
	}
	return strconv.FormatUint(v, 10)
}

// decodeUpdate reads an Event.Update message.
func decodeUpdate(m message, in *interned) (u offers.StatusUpdate, err error) {
	var f field
	for {
		ok, err := m.next(&f)
		if err != nil || !ok {
			return u, err
		}
		if f.num == 1 && f.typ == wireBytes {
			if err := decodeStatus(f.data, in, &u); err != nil {
				return u, err
			}
		}
	}
}

func decodeStatus(m message, in *interned, u *offers.StatusUpdate) error {
	var f field
	for {
		ok, err := m.next(&f)
		if err != nil || !ok {
			return err
		}
		if err := statusField(&f, in, u); err != nil {
			return err
		}
	}
}

// statusField takes one field of a TaskStatus.
func statusField(f *field, in *interned, u *offers.StatusUpdate) error {
	var id []byte
	var err error
	switch f.num {
	case 1: // task_id
		id, err = value(f.data)
		u.TaskID = core.TaskID(id)
	case 2: // state
		u.State = enumName(stateNames, f.val)
	case 4: // message
		u.Message = truncate(f.data)
	case 5: // agent_id
		id, err = value(f.data)
		u.AgentID = in.text(id)
	case 6: // timestamp, seconds
		u.Timestamp = fromSeconds(f.double())
	case 7: // executor_id
		id, err = value(f.data)
		u.ExecutorID = string(id)
	case 8: // healthy
		u.Healthy = core.Unhealthy
		if f.val != 0 {
			u.Healthy = core.Healthy
		}
	case 9: // source
		u.Source = enumName(sourceNames, f.val)
	case 10: // reason
		u.Reason = enumName(reasonNames, f.val)
	case 11: // uuid
		u.UUID = append([]byte(nil), f.data...)
	case 13: // container_status
		u.IPs, err = decodeAddresses(f.data, in)
	case 14: // unreachable_time
		var t field
		for rest := message(f.data); err == nil; {
			var ok bool
			if ok, err = rest.next(&t); !ok {
				break
			}
			if t.num == 1 {
				u.UnreachableSince = core.Timestamp(int64(t.val) / 1e6)
			}
		}
	case 15: // check_status
		u.Check, err = decodeCheck(f.data)
	}
	return err
}

// fromSeconds converts Mesos's seconds since 1970; absurd values (not a number, infinite) are unset.
func fromSeconds(s float64) core.Timestamp {
	ms := s * 1000
	if !(ms > -1e18 && ms < 1e18) {
		return 0
	}
	return core.Timestamp(ms)
}

// truncate cuts a message to maxMessage characters (behaviour 7.2).
func truncate(b []byte) string {
	if len(b) <= maxMessage || utf8.RuneCount(b) <= maxMessage {
		return string(b)
	}
	at := 0
	for n := 0; n < maxMessage; n++ {
		_, size := utf8.DecodeRune(b[at:])
		at += size
	}
	return string(b[:at])
}

// decodeAddresses reads container_status.network_infos.ip_addresses; addresses without text are left out.
func decodeAddresses(m message, in *interned) (ips []core.IPAddress, err error) {
	var f field
	for {
		ok, err := m.next(&f)
		if err != nil || !ok {
			return ips, err
		}
		if f.num != 1 || f.typ != wireBytes { // network_infos
			continue
		}
		network := message(f.data)
		var n field
		for {
			ok, err := network.next(&n)
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			if n.num != 5 || n.typ != wireBytes { // ip_addresses
				continue
			}
			ip, err := decodeAddress(n.data, in)
			if err != nil {
				return nil, err
			}
			if ip.Address != "" {
				ips = append(ips, ip)
			}
		}
	}
}

func decodeAddress(m message, in *interned) (core.IPAddress, error) {
	ip := core.IPAddress{Protocol: "IPv4"}
	var f field
	for {
		ok, err := m.next(&f)
		if err != nil || !ok {
			return ip, err
		}
		switch f.num {
		case 1:
			if f.val == uint64(mesos.IPv6) {
				ip.Protocol = "IPv6"
			}
		case 2:
			ip.Address = in.text(f.data)
		}
	}
}

// decodeCheck reads a CheckStatusInfo; nil while there is no result (behaviour 8.7).
func decodeCheck(m message) (*core.CheckResult, error) {
	var result *core.CheckResult
	var f field
	for {
		ok, err := m.next(&f)
		if err != nil || !ok {
			return result, err
		}
		if f.typ != wireBytes {
			continue
		}
		inner := message(f.data)
		var v field
		ok, err = inner.next(&v)
		if err != nil {
			return nil, err
		}
		if !ok || v.num != 1 {
			continue
		}
		n := int(int32(v.val))
		switch f.num {
		case 2:
			result = &core.CheckResult{ExitCode: &n}
		case 3:
			result = &core.CheckResult{StatusCode: &n}
		case 4:
			done := v.val != 0
			result = &core.CheckResult{Succeeded: &done}
		}
	}
}
