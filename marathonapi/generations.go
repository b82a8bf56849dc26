package marathonapi

import (
	"sync"
	"sync/atomic"
)

// generations is a map that forgets. It keeps two generations, and what nobody asks for over two turns falls out. A turn
// comes when the young generation is full: by bytes, or by holding more items than can be of use. The second matters
// because keys come and go: a cache bounded by bytes alone fills up with texts of what is gone, whatever there is to show.
type generations[K comparable, V any] struct {
	maxBytes int
	size     func(V) (bytes, items int)
	useful   atomic.Int64 // items a generation may hold

	mu         sync.RWMutex
	young, old map[K]V
	bytes      int // of young, as
	items      int
}

func newGenerations[K comparable, V any](maxBytes int, size func(V) (bytes, items int)) *generations[K, V] {
	return &generations[K, V]{maxBytes: maxBytes, size: size, young: map[K]V{}}
}

// oneText is the size of a text that stands for one thing.
func oneText(t []byte) (bytes, items int) { return len(t), 1 }

// fit says how many items can be of use at once, from now on.
func (g *generations[K, V]) fit(useful int) { g.useful.Store(int64(useful)) }

// get is what is kept under a key; asked for, it stays another generation.
func (g *generations[K, V]) get(k K) (V, bool) {
	g.mu.RLock()
	v, ok := g.young[k]
	if ok {
		g.mu.RUnlock()
		return v, true
	}
	v, ok = g.old[k]
	g.mu.RUnlock()
	if ok {
		g.put(k, v, nil)
	}
	return v, ok
}

// has reports whether there is something under a key, and does not count as asking for it.
func (g *generations[K, V]) has(k K) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if _, ok := g.young[k]; ok {
		return true
	}
	_, ok := g.old[k]
	return ok
}

// put keeps a value, unless stays (nil: always) says that what the young generation has already is as good.
func (g *generations[K, V]) put(k K, v V, stays func(was V) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	bytes, items := g.size(v)
	was, there := g.young[k]
	if there {
		if stays == nil || stays(was) {
			return
		}
		b, i := g.size(was)
		g.bytes, g.items = g.bytes-b, g.items-i
	}
	if g.bytes+bytes > g.maxBytes || g.items+items > int(g.useful.Load()) {
		g.old, g.young, g.bytes, g.items = g.young, map[K]V{}, 0, 0
	}
	g.young[k] = v
	g.bytes, g.items = g.bytes+bytes, g.items+items
}
