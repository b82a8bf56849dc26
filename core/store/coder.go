package store

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"stadion/core"
)

// coder writes values as bytes or reads them back. One description of a layout serves both ways, so that the two cannot
// differ. While it writes, what it is shown is only read: it may be shared.
type coder struct {
	b       []byte // what was written so far, or what is still to be read
	reading bool
	err     error
}

var errCutShort = errors.New("packed row is cut short")

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.b = nil
}

// take reads n bytes.
func (c *coder) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fail(errCutShort)
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *coder) uint(v *uint64) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, *v)
		return
	}
	n, used := binary.Uvarint(c.b)
	if used <= 0 {
		c.fail(errCutShort)
		return
	}
	*v, c.b = n, c.b[used:]
}

// integer is a whole number that is small more often than not, of either sign.
func integer[T ~int | ~int8 | ~int64](c *coder, v *T) {
	var u uint64
	if !c.reading {
		u = uint64(*v)<<1 ^ uint64(int64(*v)>>63)
	}
	if c.uint(&u); c.reading {
		*v = T(int64(u>>1) ^ -int64(u&1))
	}
}

// stamp is a time near another one.
func (c *coder) stamp(v *core.Timestamp, base core.Timestamp) {
	d := int64(*v - base)
	if integer(c, &d); c.reading {
		*v = base + core.Timestamp(d)
	}
}

// length is the number of elements of a list, each of which takes a byte at least.
func (c *coder) length(n int) int {
	u := uint64(n)
	if c.uint(&u); c.reading && u > uint64(len(c.b)) {
		c.fail(errCutShort)
		return 0
	}
	return int(u)
}

// The kinds of texts, in the lowest bits of the number that stands before one.
const (
	textPlain = iota // so many bytes follow
	textUUID         // the 16 bytes of a UUID, then so many bytes
	textIPv4         // 4 bytes
	textWord         // the number of a word
	textKinds
)

// words are the texts that nearly all rows have. Rows hold their places: new ones go to the end, none may ever move.
var words = []string{"", "*",
	"Scheduled", "Provisioned", "Staging", "Starting", "Running", "Killing", "Unreachable", "UnreachableInactive",
	"Finished", "Killed", "Error", "Failed", "Gone", "Dropped", "Unknown", "Stopped", "Decommissioned",
	"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST",
	"TASK_DROPPED", "TASK_UNREACHABLE", "TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN",
	"IPv4", "IPv6", "RECONCILIATION", "TASK_HEALTH_CHECK_STATUS_UPDATED", "TASK_CHECK_STATUS_UPDATED", "COMMAND_EXECUTOR_FAILED",
	"CONTAINER_LAUNCH_FAILED", "AGENT_REMOVED", "AGENT_DISCONNECTED", "AGENT_REREGISTERED", "MASTER_DISCONNECTED",
}

var wordNumbers = func() map[string]uint64 {
	m := make(map[string]uint64, len(words))
	for n, w := range words {
		m[w] = uint64(n)
	}
	return m
}()

func text[T ~string](c *coder, v *T) {
	if c.reading {
		*v = T(c.readText())
		return
	}
	c.writeText(string(*v))
}

func (c *coder) writeText(s string) {
	put := func(kind, n uint64, raw ...byte) {
		c.b = append(binary.AppendUvarint(c.b, n*textKinds|kind), raw...)
	}
	if n, ok := wordNumbers[s]; ok {
		put(textWord, n)
		return
	}
	if id, ok := uuidBytes(s); ok {
		put(textUUID, uint64(len(s)-uuidText), id[:]...)
		c.b = append(c.b, s[uuidText:]...)
		return
	}
	if ip, ok := ipv4Bytes(s); ok {
		put(textIPv4, 0, ip[:]...)
		return
	}
	put(textPlain, uint64(len(s)))
	c.b = append(c.b, s...)
}

func (c *coder) readText() string {
	var head uint64
	c.uint(&head)
	n := head / textKinds
	switch head % textKinds {
	case textWord:
		if n < uint64(len(words)) {
			return words[n]
		}
		c.fail(fmt.Errorf("word %d is not known", n))
	case textUUID:
		if id := c.take(uuidSize); id != nil {
			var b [uuidText]byte
			hex.Encode(b[:8], id[:4])
			hex.Encode(b[9:13], id[4:6])
			hex.Encode(b[14:18], id[6:8])
			hex.Encode(b[19:23], id[8:10])
			hex.Encode(b[24:], id[10:])
			b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
			return string(b[:]) + string(c.take(n))
		}
	case textIPv4:
		if ip := c.take(ipv4Size); ip != nil {
			return netip.AddrFrom4([ipv4Size]byte(ip)).String()
		}
	default:
		return string(c.take(n))
	}
	return ""
}

const (
	uuidSize, uuidText = 16, 36 // bytes of a UUID and of its text
	ipv4Size           = 4
	ipv4Text           = 15 // the longest
)

// uuidBytes are the bytes of the UUID that a text begins with, if its form is the usual one.
func uuidBytes(s string) (id [uuidSize]byte, ok bool) {
	if len(s) < uuidText || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	n := 0
	for i := 0; i < uuidText; i += 2 {
		if s[i] == '-' {
			i++
		}
		high, low := hexDigit(s[i]), hexDigit(s[i+1])
		if high < 0 || low < 0 {
			return id, false
		}
		id[n] = byte(high<<4 | low)
		n++
	}
	return id, true
}

// hexDigit is the value of a lower-case digit, -1 for anything else.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// ipv4Bytes are the bytes of an address, if its text is the usual one.
func ipv4Bytes(s string) (ip [ipv4Size]byte, ok bool) {
	if len(s) > ipv4Text || s[0] < '0' || s[0] > '9' {
		return ip, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() || a.String() != s {
		return ip, false
	}
	return a.As4(), true
}

// mask says which of the fields behind it are there.
type mask struct {
	c    *coder
	at   int
	bits uint16
	next uint
}

// mask begins a mask of so many bytes.
func (c *coder) mask(bytes int) mask {
	m := mask{c: c, at: len(c.b)}
	if !c.reading {
		c.b = append(c.b, make([]byte, bytes)...)
		return m
	}
	for i, b := range c.take(uint64(bytes)) {
		m.bits |= uint16(b) << (8 * i)
	}
	return m
}

// has is asked for each field in order: while writing it notes whether the field is set.
func (m *mask) has(set bool) bool {
	n := m.next
	m.next++
	if m.c.reading {
		return m.bits>>n&1 == 1
	}
	if set {
		m.c.b[m.at+int(n/8)] |= 1 << (n % 8)
	}
	return set
}

// end refuses fields that are not known.
func (m *mask) end() {
	if m.c.reading && m.bits>>m.next != 0 {
		m.c.fail(errors.New("packed row has fields that are not known"))
	}
}
