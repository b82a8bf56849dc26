package state

import (
	"fmt"
	"testing"

	"stadion/core"
)

// BenchmarkPutSpecPorts: replacing an app costs the same however many others have service ports (G3, G8).
func BenchmarkPutSpecPorts(b *testing.B) {
	for _, apps := range []int{10, 10_000} {
		b.Run(fmt.Sprint(apps), func(b *testing.B) {
			s := New()
			s.WatchServicePorts(10000)
			put := func(n int, v core.Timestamp) {
				s.PutSpec(&core.App{ID: core.PathID(fmt.Sprintf("/app-%d", n)), Version: v, PortDefinitions: []core.PortDefinition{{Port: 10000 + n}}})
			}
			for n := range apps {
				put(n, 1)
			}
			b.ResetTimer()
			for n := range b.N {
				put(0, core.Timestamp(2+n))
			}
		})
	}
}
