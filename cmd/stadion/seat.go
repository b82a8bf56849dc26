package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
)

// seat names where this process listens so that no other place is named alike: the boot of the kernel, the network
// namespace, and the addresses. Whoever listened in the same seat before is gone. Empty where that cannot be told.
func seat(listeners []net.Listener) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	h := sha256.New()
	h.Write(boot)
	h.Write([]byte(namespace))
	for _, l := range listeners {
		h.Write([]byte(" " + l.Addr().String()))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
