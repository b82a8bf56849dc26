package minimesos

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	api "github.com/mesos/mesos-go/api/v1/lib/agent"
)

// handleV1 is POST /api/v1 of an agent: its health, its version and the files of
// its sandboxes. The other calls are for operators of real agents.
func (n *node) handleV1(w http.ResponseWriter, r *http.Request) {
	call := &api.Call{}
	if !readCall(w, r, call) {
		return
	}
	asJSON, ok := acceptedCodec(w, r)
	if !ok {
		return
	}
	resp, a := n.operate(call)
	if resp == nil {
		a.write(w)
		return
	}
	data, contentType := appendJSON(nil, resp), typeJSON
	var err error
	if !asJSON {
		if data, err = resp.Marshal(); err != nil {
			writeText(w, http.StatusInternalServerError, err.Error())
			return
		}
		contentType = typeProtobuf
	}
	w.Header().Set("Content-Type", contentType)
	w.Write(data) //nolint:errcheck // the client is gone
}

// operate answers a call to an agent with a response, or with a status alone.
func (n *node) operate(call *api.Call) (*api.Response, answer) {
	switch call.Type {
	case api.Call_UNKNOWN:
		return nil, bad("Failed to validate agent::Call: Expecting 'type' to be present")
	case api.Call_GET_HEALTH:
		return &api.Response{Type: api.Response_GET_HEALTH, GetHealth: &api.Response_GetHealth{Healthy: true}}, answer{}
	case api.Call_GET_VERSION:
		return &api.Response{Type: api.Response_GET_VERSION,
			GetVersion: &api.Response_GetVersion{VersionInfo: mesos.VersionInfo{Version: mesosVersion}}}, answer{}
	case api.Call_LIST_FILES:
		if call.ListFiles == nil {
			return nil, bad("Failed to validate agent::Call: Expecting 'list_files' to be present")
		}
		return n.listFiles(call.ListFiles.Path)
	case api.Call_READ_FILE:
		if call.ReadFile == nil {
			return nil, bad("Failed to validate agent::Call: Expecting 'read_file' to be present")
		}
		return n.readFile(call.ReadFile)
	}
	return nil, answer{http.StatusNotImplemented, "The call " + call.Type.String() + " is not supported"}
}

func (n *node) listFiles(virtual string) (*api.Response, answer) {
	entries, err := os.ReadDir(n.c.sandboxPath(virtual))
	if err != nil {
		return nil, answer{status: http.StatusNotFound}
	}
	resp := &api.Response{Type: api.Response_LIST_FILES, ListFiles: &api.Response_ListFiles{}}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		size := uint64(info.Size())
		f := mesos.FileInfo{Path: filepath.Join(virtual, e.Name()), Size_: &size, Mtime: &mesos.TimeInfo{Nanoseconds: info.ModTime().UnixNano()}}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			links, mode, uid, gid := int32(st.Nlink), st.Mode, userName(st.Uid), groupName(st.Gid)
			f.Nlink, f.Mode, f.UID, f.GID = &links, &mode, &uid, &gid
		}
		resp.ListFiles.FileInfos = append(resp.ListFiles.FileInfos, f)
	}
	return resp, answer{}
}

func (n *node) readFile(call *api.Call_ReadFile) (*api.Response, answer) {
	real := n.c.sandboxPath(call.Path)
	if real == "" {
		return nil, answer{status: http.StatusNotFound}
	}
	length := int64(-1)
	if call.Length != nil {
		length = int64(min(*call.Length, maxFilePiece))
	}
	data, size, err := readPiece(real, int64(call.Offset), length)
	if err != nil {
		return nil, bad("%s", err.Error())
	}
	return &api.Response{Type: api.Response_READ_FILE, ReadFile: &api.Response_ReadFile{Size_: uint64(size), Data: slices.Concat([]byte{}, data)}}, answer{}
}

// handleStatistics is /monitor/statistics: the limits of what runs. Nothing is
// measured.
func (n *node) handleStatistics(w http.ResponseWriter, r *http.Request) {
	out := []object{}
	n.c.mu.Lock()
	for _, key := range n.tasksOf("") {
		t := n.tasks[key]
		if terminal(t.state) {
			continue
		}
		id, name := key.task, "Command Executor (Task: "+key.task+")"
		if t.executor != nil {
			id, name = t.executor.ExecutorID.Value, t.executor.GetName()
		}
		use := object{"timestamp": nowSeconds()}
		for _, r := range t.info.Resources {
			switch {
			case r.Name == "cpus" && r.Scalar != nil:
				use["cpus_soft_limit"], use["cpus_limit"] = r.Scalar.Value, r.Scalar.Value
			case r.Name == "mem" && r.Scalar != nil:
				use["mem_limit_bytes"] = int64(r.Scalar.Value * (1 << 20))
			}
		}
		out = append(out, object{"executor_id": id, "executor_name": name, "framework_id": key.framework, "source": key.task, "statistics": use})
	}
	n.c.mu.Unlock()
	writeJSON(w, r, out)
}

// readCall reads the call of an operator in either codec, or answers what is wrong with it and returns false.
func readCall(w http.ResponseWriter, r *http.Request, call interface{ Unmarshal([]byte) error }) bool {
	if r.Method != http.MethodPost {
		onlyPost(w, r)
		return false
	}
	contentType, ok := contentTypeOf(w, r)
	if !ok {
		return false
	}
	body, err := readBody(r, nil)
	if err != nil {
		return false // the client is gone
	}
	if contentType == typeProtobuf {
		if call.Unmarshal(body) != nil {
			bad("Failed to parse body into Call protobuf").write(w)
			return false
		}
		return true
	}
	if _, err := parseJSON(body, call, "Call"); err != nil {
		bad("%s", err.Error()).write(w)
		return false
	}
	return true
}
