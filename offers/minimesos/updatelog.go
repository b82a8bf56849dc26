package minimesos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// updateLog keeps the open updates of an agent with real processes on disk, so
// that no end of a task is lost with this process. It is appended to without
// waiting for the disk: it has to outlive the process, not the machine.
type updateLog struct {
	path    string
	file    *os.File
	entries int // since the log was last rewritten
}

// logEntry is one line: an update, or the acknowledgement of the first open one.
type logEntry struct {
	Framework string
	Task      string
	Status    []byte `json:",omitempty"` // protobuf; none for an acknowledgement
}

// maxLogEntries is how long a log may grow before it is rewritten without what is
// acknowledged.
const maxLogEntries = 10000

// openUpdates reads the log of dir and returns what was open when it ended.
func openUpdates(dir string) (*updateLog, map[taskKey][]*mesos.TaskStatus, error) {
	l := &updateLog{path: filepath.Join(dir, "updates.log")}
	open := map[taskKey][]*mesos.TaskStatus{}
	f, err := os.Open(l.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("open updates: %w", err)
	}
	if err == nil {
		replay(f, open)
		f.Close() //nolint:errcheck // nothing was written
	}
	if err := l.rewrite(open); err != nil {
		return nil, nil, err
	}
	return l, open, nil
}

// replay stops at the first broken line, which is the last of a killed process.
func replay(f *os.File, open map[taskKey][]*mesos.TaskStatus) {
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e logEntry
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			return
		}
		key := taskKey{e.Framework, e.Task}
		if len(e.Status) == 0 {
			if len(open[key]) > 1 {
				open[key] = open[key][1:]
			} else {
				delete(open, key)
			}
			continue
		}
		st := &mesos.TaskStatus{}
		if st.Unmarshal(e.Status) != nil {
			return
		}
		open[key] = append(open[key], st)
	}
}

// rewrite replaces the log by one of the open updates alone.
func (l *updateLog) rewrite(open map[taskKey][]*mesos.TaskStatus) error {
	f, err := os.Create(l.path + ".new")
	if err != nil {
		return fmt.Errorf("rewrite updates: %w", err)
	}
	old := l.file
	l.file, l.entries = f, 0
	for key, list := range open {
		for _, st := range list {
			if err := l.append(key, st); err != nil {
				return err
			}
		}
	}
	l.entries = 0
	if err := os.Rename(l.path+".new", l.path); err != nil {
		return fmt.Errorf("rewrite updates: %w", err)
	}
	if old != nil {
		return old.Close()
	}
	return nil
}

// append adds an update, or with nil an acknowledgement.
func (l *updateLog) append(key taskKey, st *mesos.TaskStatus) error {
	e := logEntry{Framework: key.framework, Task: key.task}
	if st != nil {
		data, err := st.Marshal()
		if err != nil {
			return fmt.Errorf("log update of %s: %w", key.task, err)
		}
		e.Status = data
	}
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("log update of %s: %w", key.task, err)
	}
	l.entries++
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("log update of %s: %w", key.task, err)
	}
	return nil
}

// logUpdate records an update or acknowledgement of the agent, if it keeps a log.
func (n *node) logUpdate(key taskKey, st *mesos.TaskStatus) {
	if n.updates == nil {
		return
	}
	err := n.updates.append(key, st)
	if err == nil && n.updates.entries > maxLogEntries {
		open := map[taskKey][]*mesos.TaskStatus{}
		for k, t := range n.tasks {
			if len(t.updates) > 0 {
				open[k] = t.updates
			}
		}
		err = n.updates.rewrite(open)
	}
	if err != nil {
		n.c.log("minimesos: agent %s: %v", n.cfg.Hostname, err)
	}
}
