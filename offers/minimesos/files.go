package minimesos

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxFilePiece is the most one /files/read answers with, as in Mesos: 16 pages.
const maxFilePiece = 16 * 4096

// fileHandler serves the files of sandboxes. Mesos serves them on the agents; here
// the master's address does, too, for all agents.
func (c *Cluster) fileHandler(serve func(w http.ResponseWriter, r *http.Request, virtual, real string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		virtual := r.FormValue("path")
		if virtual == "" {
			bad("Expecting 'path=value' in query.\n").write(w)
			return
		}
		real := c.sandboxPath(virtual)
		if real == "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		serve(w, r, virtual, real)
	}
}

// sandboxPath turns the path of a request into one on disk, "" if there is none.
// Besides real paths there is /frameworks/<id>/executors/<id>/runs/latest.
func (c *Cluster) sandboxPath(path string) string {
	path = filepath.Clean("/" + path)
	c.mu.Lock()
	var roots []string
	for _, n := range c.nodes {
		if n.dir == "" {
			continue
		}
		if dir, err := filepath.Abs(n.dir); err == nil {
			roots = append(roots, dir)
		}
	}
	c.mu.Unlock()
	for _, root := range roots {
		candidates := []string{path}
		if strings.HasPrefix(path, "/frameworks/") {
			candidates, _ = filepath.Glob(filepath.Join(root, "slaves", "*"))
			for i := range candidates {
				candidates[i] += path
			}
		}
		for _, p := range candidates {
			if inside(filepath.Join(root, "slaves"), p) {
				return p
			}
		}
	}
	return ""
}

// inside tells whether p is there and, links resolved, below root: a task must not
// show foreign files by a link in its sandbox.
func inside(root, p string) bool {
	if !strings.HasPrefix(p, root+"/") {
		return false
	}
	resolvedRoot, err := filepath.EvalSymlinks(root)
	if err != nil {
		return false
	}
	resolved, err := filepath.EvalSymlinks(p)
	return err == nil && strings.HasPrefix(resolved, resolvedRoot+"/")
}

// readFile is /files/read: without offset, or with -1, only the size.
func readFile(w http.ResponseWriter, r *http.Request, _, path string) {
	number := func(name string) (int64, bool) {
		text := r.FormValue(name)
		if text == "" {
			return -1, true
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			bad("Failed to parse %s: Failed to convert '%s' to number.\n", name, text).write(w)
			return 0, false
		}
		return n, true
	}
	offset, ok := number("offset")
	if !ok {
		return
	}
	length, ok := number("length")
	if !ok {
		return
	}
	if offset < -1 {
		bad("Negative offset provided: %d.\n", offset).write(w)
		return
	}
	data, size, err := readPiece(path, offset, length)
	if errors.Is(err, syscall.EISDIR) {
		bad("Cannot read a directory.\n").write(w)
		return
	}
	if err != nil {
		writeText(w, http.StatusInternalServerError, err.Error())
		return
	}
	if offset == -1 {
		writeJSON(w, r, object{"data": "", "offset": size})
		return
	}
	writeJSON(w, r, object{"data": string(data), "offset": offset})
}

// readPiece reads length bytes (-1: as many as allowed) at offset, and the size.
func readPiece(path string, offset, length int64) ([]byte, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("size of %s: %w", path, err)
	}
	if info.IsDir() {
		return nil, 0, syscall.EISDIR
	}
	if offset < 0 || offset >= info.Size() {
		return nil, info.Size(), nil
	}
	if length < 0 || length > maxFilePiece {
		length = maxFilePiece
	}
	data := make([]byte, min(length, info.Size()-offset))
	n, err := f.ReadAt(data, offset)
	if err != nil && err != io.EOF {
		return nil, 0, fmt.Errorf("read %s: %w", path, err)
	}
	return data[:n], info.Size(), nil
}

func browseFiles(w http.ResponseWriter, r *http.Request, virtual, path string) {
	entries, err := os.ReadDir(path)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	out := []object{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		entry := object{"path": filepath.Join(virtual, e.Name()), "size": info.Size(), "mode": modeText(info.Mode()),
			"mtime": float64(info.ModTime().Unix()), "nlink": 1, "uid": "root", "gid": "root"}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			entry["nlink"] = st.Nlink
			entry["uid"] = userName(st.Uid)
			entry["gid"] = groupName(st.Gid)
		}
		out = append(out, entry)
	}
	writeJSON(w, r, out)
}

// modeText is the mode as ls prints it.
func modeText(m os.FileMode) string {
	kind := "-"
	switch {
	case m.IsDir():
		kind = "d"
	case m&os.ModeSymlink != 0:
		kind = "l"
	}
	return kind + m.Perm().String()[1:]
}

func userName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

func groupName(id uint32) string {
	text := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(text); err == nil {
		return g.Name
	}
	return text
}

func downloadFile(w http.ResponseWriter, r *http.Request, _, path string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename="+filepath.Base(path))
	http.ServeFile(w, r, path)
}
