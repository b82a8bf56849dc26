package mesos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

var errBadFrame = errors.New("RecordIO: broken frame")

// frames reads RecordIO: a decimal length, a newline, that many bytes. A frame longer than max is an error before
// anything is allocated for it (F18).
type frames struct {
	r   *bufio.Reader
	buf []byte
	max int
}

func newFrames(r io.Reader, max int) *frames {
	return &frames{r: bufio.NewReaderSize(r, 64<<10), max: max}
}

// next returns the next frame; it is valid until the following call. A clean end between frames is io.EOF, an end
// inside one io.ErrUnexpectedEOF.
func (f *frames) next() ([]byte, error) {
	n, err := f.length()
	if err != nil {
		return nil, err
	}
	if cap(f.buf) > keptFrame && n <= keptFrame {
		f.buf = nil
	}
	f.buf = f.buf[:0]
	// The buffer grows with the bytes that came, not with the length that was promised.
	for len(f.buf) < n {
		step := min(n-len(f.buf), max(len(f.buf), 64<<10))
		at := len(f.buf)
		if cap(f.buf) < at+step {
			bigger := make([]byte, at, at+step)
			copy(bigger, f.buf)
			f.buf = bigger
		}
		f.buf = f.buf[:at+step]
		if _, err := io.ReadFull(f.r, f.buf[at:]); err != nil {
			return nil, cut(err)
		}
	}
	return f.buf, nil
}

func (f *frames) length() (int, error) {
	n := 0
	for digits := 0; ; digits++ {
		c, err := f.r.ReadByte()
		if err != nil {
			if digits > 0 {
				err = cut(err)
			}
			return 0, err
		}
		if c == '\n' && digits > 0 {
			return n, nil
		}
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: byte %q in its length", errBadFrame, c)
		}
		n = n*10 + int(c-'0')
		if n > f.max {
			return 0, fmt.Errorf("%w: longer than %d bytes", errBadFrame, f.max)
		}
		if digits >= 20 {
			return 0, fmt.Errorf("%w: length of more than 20 digits", errBadFrame)
		}
	}
}

// cut tells an end inside a frame from a clean end.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
