package store

import (
	"fmt"
	"strconv"
	"strings"

	"stadion/core"
	"stadion/core/state"
)

// The names below the root of the layout.
const (
	keySchema    = "schema"
	keySeq       = "seq"
	keyRedo      = "redo"
	keyFramework = "framework-id"
	keyRuntime   = "runtime-config"

	dirSpecs       = "specs/"
	dirApps        = "apps/"
	dirPods        = "pods/"
	dirGroups      = "groups/"
	dirRoots       = "root/versions/"
	dirInstances   = "instances/"
	dirDeployments = "deployments/"
	dirFailures    = "failures/"
	dirHealth      = "health/"
	dirParts       = "parts/"
	dirRedo        = "redo/"
)

// reserved are names that hold no row.
var reserved = []string{keySchema, keySeq, keyRedo, dirRedo, dirParts, "leader/", keyRuntime}

// rootName stands for the root group, whose safe path is empty.
const rootName = "_"

func safe(id core.PathID) string {
	if id == core.Root {
		return rootName
	}
	return id.SafePath()
}

func fromSafe(s string) core.PathID {
	if s == rootName {
		return core.Root
	}
	return core.FromSafePath(s)
}

// instanceName turns an instance id into <safe path>/<uuid>; the older form keeps its marker: <safe path>/marathon-<uuid>.
// What is no instance id stays as it is.
func instanceName(id string) string {
	i := strings.LastIndexByte(id, '.')
	if i < 0 {
		return id
	}
	spec, rest := id[:i], id[i+1:]
	if uuid, ok := strings.CutPrefix(rest, "instance-"); ok {
		return spec + "/" + uuid
	}
	if strings.HasPrefix(rest, "marathon-") {
		return spec + "/" + rest
	}
	return id
}

func instanceID(name string) string {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return name
	}
	spec, rest := name[:i], name[i+1:]
	if strings.HasPrefix(rest, "marathon-") {
		return spec + "." + rest
	}
	return spec + ".instance-" + rest
}

// versionName turns the row key id@stamp into <safe path>/<stamp>.
func versionName(key string) (string, error) {
	i := strings.LastIndexByte(key, '@')
	if i < 0 {
		return "", fmt.Errorf("version key %q has no stamp", key)
	}
	ms, err := strconv.ParseInt(key[i+1:], 10, 64)
	if err != nil {
		return "", fmt.Errorf("version key %q: %w", key, err)
	}
	return safe(core.PathID(key[:i])) + "/" + core.Timestamp(ms).String(), nil
}

// keysOf lists the keys a row may stand under. It is one, except for a version that is deleted: whether it was an
// app's or a pod's is no longer known.
func keysOf(w state.Write) ([]string, error) {
	switch w.Table {
	case state.TableSpec:
		return []string{dirSpecs + safe(core.PathID(w.Key))}, nil
	case state.TableVersion:
		name, err := versionName(w.Key)
		if err != nil {
			return nil, err
		}
		switch w.Value.(type) {
		case *core.App:
			return []string{dirApps + name}, nil
		case *core.Pod:
			return []string{dirPods + name}, nil
		}
		return []string{dirApps + name, dirPods + name}, nil
	case state.TableGroup:
		return []string{dirGroups + safe(core.PathID(w.Key))}, nil
	case state.TableRoot:
		return []string{dirRoots + w.Key}, nil
	case state.TableInstance:
		return []string{dirInstances + instanceName(w.Key)}, nil
	case state.TableDeployment:
		return []string{dirDeployments + w.Key}, nil
	case state.TableFailure:
		return []string{dirFailures + safe(core.PathID(w.Key))}, nil
	case state.TableFramework:
		return []string{keyFramework}, nil
	case state.TableHealth:
		return []string{dirHealth + instanceName(w.Key)}, nil
	}
	return nil, fmt.Errorf("table %q is not known", w.Table)
}

// isReserved reports a key that holds no row.
func isReserved(key string) bool {
	for _, r := range reserved {
		if key == r || strings.HasSuffix(r, "/") && strings.HasPrefix(key, r) {
			return true
		}
	}
	return false
}

// seqText is the value of the seq key.
func seqText(seq uint64, term int64) string { return fmt.Sprintf("%d %d", seq, term) }

// parseSeq reads the number of the last batch; nothing stored is batch 0.
func parseSeq(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	n, _, _ := strings.Cut(s, " ")
	seq, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("sequence %q: %w", s, err)
	}
	return seq, nil
}
