package store

// window is the part of a range that the next page is looked for in. etcd counts all keys of the range it is asked for,
// also those behind the page, so that pages of an open range cost the square of its rows: a million took a minute. A
// window ends a little behind where the page will end; whatever it ends at, no key is left out or read twice.
type window struct {
	from, to string
	end      string // of the whole range
}

func newWindow(from, end string) *window { return &window{from: from, to: end, end: end} }

// next moves behind a page that was asked for with a limit; false: the range has been read.
//
//	full page  ends as deep in the tree of prefixes as the page's own keys differ: at most one step of one byte further
//	a rest     the next step of that size; of the next larger size, if there was little in this one
func (w *window) next(p page, limit int) bool {
	n := len(p.pairs)
	if p.more && n > 0 {
		first, last := p.pairs[0].key, p.pairs[n-1].key
		w.from = last + "\x00"
		w.until(last[:min(common(first, last)+1, len(last))])
		return true
	}
	if w.to == w.end {
		return false
	}
	w.from = w.to
	size := len(w.from)
	if n < limit/4 {
		size--
	}
	w.until(w.from[:size])
	return true
}

// until ends the window behind all keys with a prefix, and with the range.
func (w *window) until(prefix string) {
	w.to = w.end
	if prefix == "" {
		return
	}
	if to := prefixEnd(prefix); to > w.from && to < w.end {
		w.to = to
	}
}

// common is how many bytes two keys have in common at their beginning.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
