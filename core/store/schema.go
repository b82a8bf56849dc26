package store

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// The layout this version writes, and the oldest version of it that can read what this one writes: what a later version
// adds, an earlier one keeps without knowing it (U4), so that servers can be rolled back (U1, R14). They are variables so
// that tests can build a binary of the next layout.
var (
	layoutVersion = "2" // 2: instances are packed (packed.go)
	layoutReaders = "2"
)

// schema is the value of the schema key.
type schema struct {
	Version int `json:"version"`
	// Readers is the oldest layout version that can work on this store; without it none but Version itself.
	Readers int `json:"readers,omitempty"`
}

func own() schema {
	v, err1 := strconv.Atoi(layoutVersion)
	r, err2 := strconv.Atoi(layoutReaders)
	if err1 != nil || err2 != nil || r > v {
		panic(fmt.Sprintf("store: layout %s, readers %s", layoutVersion, layoutReaders)) // a mistake of whoever built this
	}
	return schema{v, r}
}

// String is the value as it is stored.
func (s schema) String() string {
	return fmt.Sprintf(`{"version":%d,"readers":%d}`, s.Version, s.Readers)
}

func parseSchema(raw []byte) (s schema, err error) {
	if err = json.Unmarshal(raw, &s); err == nil && s.Readers == 0 {
		s.Readers = s.Version
	}
	return s, err
}

// readable refuses a layout that this version must not work on.
func (s schema) readable() error {
	if s.Readers > own().Version {
		return fmt.Errorf("%w: schema %d, which versions from schema %d on can read; known is %d", ErrNewerSchema, s.Version, s.Readers, own().Version)
	}
	return nil
}
