package mesos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"stadion/offers"
)

// The protobuf wire format, for two things: the two hottest messages (status.go, ack.go), and fields of Mesos that
// mesos-go does not know and would drop (CSI volumes, below).

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errWire = errors.New("protobuf: broken message")

// field is one field of a message.
type field struct {
	num, typ int
	val      uint64 // varint and fixed
	data     []byte // length-delimited
}

// double is the value of a double field.
func (f *field) double() float64 { return math.Float64frombits(f.val) }

// message walks over the fields of a message.
type message []byte

// next takes the next field off; ok is false at the end.
func (m *message) next(f *field) (ok bool, err error) {
	b := *m
	if len(b) == 0 {
		return false, nil
	}
	tag, n := uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
		return false, errWire
	}
	f.num, f.typ, f.data, f.val = int(tag>>3), int(tag&7), nil, 0
	switch f.typ {
	case wireVarint:
		v, k := uvarint(b[n:])
		if k <= 0 {
			return false, errWire
		}
		f.val = v
		n += k
	case wireFixed64:
		if len(b) < n+8 {
			return false, errWire
		}
		f.val = binary.LittleEndian.Uint64(b[n:])
		n += 8
	case wireFixed32:
		if len(b) < n+4 {
			return false, errWire
		}
		f.val = uint64(binary.LittleEndian.Uint32(b[n:]))
		n += 4
	case wireBytes:
		l, k := uvarint(b[n:])
		if k <= 0 || l > uint64(len(b)-n-k) {
			return false, errWire
		}
		n += k
		f.data = b[n : n+int(l)]
		n += int(l)
	default:
		return false, fmt.Errorf("%w: wire type %d", errWire, f.typ)
	}
	*m = b[n:]
	return true, nil
}

// uvarint is binary.Uvarint with a short way for the one byte that most varints are.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}

// value reads the string of an id message, whose only field is "value = 1".
func value(m message) ([]byte, error) {
	var f field
	for {
		ok, err := m.next(&f)
		if err != nil || !ok {
			return nil, err
		}
		if f.num == 1 && f.typ == wireBytes {
			return f.data, nil
		}
	}
}

func appendVarint(b []byte, num int, v uint64) []byte {
	b = binary.AppendUvarint(b, uint64(num)<<3|wireVarint)
	return binary.AppendUvarint(b, v)
}

func appendBytes[T string | []byte](b []byte, num int, v T) []byte {
	b = binary.AppendUvarint(b, uint64(num)<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// rewrite copies a message; the sub-messages that the path of field numbers leads to go through change.
func rewrite(m message, path []int, change func(message) ([]byte, error)) ([]byte, error) {
	if len(path) == 0 {
		return change(m)
	}
	out := make([]byte, 0, len(m)+64)
	var f field
	for {
		whole := m
		ok, err := m.next(&f)
		if err != nil {
			return nil, err
		}
		if !ok {
			return out, nil
		}
		if f.num != path[0] || f.typ != wireBytes {
			out = append(out, whole[:len(whole)-len(m)]...)
			continue
		}
		inner, err := rewrite(f.data, path[1:], change)
		if err != nil {
			return nil, err
		}
		out = appendBytes(out, f.num, inner)
	}
}

// CSI volumes. Volume.Source of mesos-go ends at type SECRET. A CSI volume is encoded by hand and travels through
// mesos-go as the driver of a DockerVolume in a source of type csiVolume; placeCSI then puts it into its true field.
const (
	csiVolume      = 5 // Volume.Source.Type CSI_VOLUME
	csiVolumeField = 6 // Volume.Source.csi_volume
)

// csiPaths lead from a Call to every Volume.Source that may hold a CSI volume.
var csiPaths = [][]int{
	{4, 2, 2, 1, 9, 2, 5},     // accept.operations.launch.task_infos.container.volumes.source
	{4, 2, 2, 1, 5, 11, 2, 5}, // … .task_infos.executor.container.volumes.source
	{4, 2, 7, 1, 11, 2, 5},    // … .launch_group.executor.container.volumes.source
	{4, 2, 7, 2, 1, 9, 2, 5},  // … .launch_group.task_group.tasks.container.volumes.source
}

// placeCSI moves the hand-made CSI volumes of an encoded Call to where Mesos looks for them.
func placeCSI(call []byte) (_ []byte, err error) {
	for _, path := range csiPaths {
		if call, err = rewrite(call, path, csiSource); err != nil {
			return nil, err
		}
	}
	return call, nil
}

func csiSource(m message) ([]byte, error) {
	var kind, docker field
	var f field
	for rest := m; ; {
		ok, err := rest.next(&f)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		switch f.num {
		case 1:
			kind = f
		case 2:
			docker = f
		}
	}
	if kind.val != csiVolume {
		return m, nil
	}
	csi, err := value(docker.data)
	if err != nil {
		return nil, err
	}
	return appendBytes(appendVarint(nil, 1, csiVolume), csiVolumeField, csi), nil
}

var csiAccessModes = map[string]uint64{
	"SINGLE_NODE_WRITER": 1, "SINGLE_NODE_READER_ONLY": 2, "MULTI_NODE_READER_ONLY": 3,
	"MULTI_NODE_SINGLE_WRITER": 4, "MULTI_NODE_MULTI_WRITER": 5,
}

// encodeCSI makes a Volume.Source.CSIVolume message with static provisioning.
func encodeCSI(v *offers.CSIVolume) ([]byte, error) {
	mode, ok := csiAccessModes[v.AccessMode]
	if !ok {
		return nil, fmt.Errorf("CSI volume %s: unknown access mode %q", v.VolumeID, v.AccessMode)
	}
	var capability []byte
	switch v.AccessType {
	case "block":
		capability = appendBytes(nil, 1, "")
	case "mount":
		var mount []byte
		if v.FSType != "" {
			mount = appendBytes(mount, 1, v.FSType)
		}
		for _, flag := range v.MountFlags {
			mount = appendBytes(mount, 2, flag)
		}
		capability = appendBytes(nil, 2, mount)
	default:
		return nil, fmt.Errorf("CSI volume %s: unknown access type %q", v.VolumeID, v.AccessType)
	}
	capability = appendBytes(capability, 3, appendVarint(nil, 1, mode))

	static := appendBytes(nil, 1, v.VolumeID)
	static = appendBytes(static, 2, capability)
	if v.ReadOnly {
		static = appendVarint(static, 3, 1)
	}
	static = appendSecrets(static, 4, v.NodeStageSecrets)
	static = appendSecrets(static, 5, v.NodePublishSecrets)
	for _, l := range v.Context {
		static = appendBytes(static, 6, appendBytes(appendBytes(nil, 1, l.Key), 2, l.Value))
	}
	return appendBytes(appendBytes(nil, 1, v.Plugin), 2, static), nil
}

// appendSecrets appends a map<string, Secret> whose values are references.
func appendSecrets(b []byte, num int, secrets []offers.Label) []byte {
	for _, l := range secrets {
		secret := appendVarint(nil, 1, 1) // type REFERENCE
		secret = appendBytes(secret, 2, appendBytes(nil, 1, l.Value))
		b = appendBytes(b, num, appendBytes(appendBytes(nil, 1, l.Key), 2, secret))
	}
	return b
}
