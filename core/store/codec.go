package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"

	"stadion/core"
	"stadion/core/state"
)

// extra are the fields of a stored object that this version does not know (U4).
type extra map[string]json.RawMessage

type pointerRow struct {
	Version core.Timestamp `json:"version"`
}

type podRow struct {
	Pod    *core.Pod        `json:"pod"`
	Stamps core.VersionInfo `json:"stamps"`
}

// encodeRow makes the stored form of a row's value, with the fields that this version does not know.
func encodeRow(w state.Write, ex extra) ([]byte, error) {
	if i, ok := w.Value.(*core.Instance); ok && len(ex) == 0 && packable(i) {
		return packRow(i), nil
	}
	raw, err := encodeJSON(w)
	if err != nil {
		return nil, err
	}
	return merge(raw, ex)
}

func encodeJSON(w state.Write) ([]byte, error) {
	switch v := w.Value.(type) {
	case core.Timestamp:
		return marshal(pointerRow{v})
	case *core.Pod:
		return marshal(podRow{v, v.Stamps()})
	case *core.Instance:
		return marshal(instanceToRow(v))
	case *core.App, *core.Group, *core.RootVersion, *core.Deployment, *core.TaskFailure, string, bool:
		return marshal(v)
	}
	return nil, fmt.Errorf("table %s, key %s: value of type %T", w.Table, w.Key, w.Value)
}

// marshal is json.Marshal without the escaping of <, > and &, so that definitions are stored as the API shows them.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decodeRow reads the row stored under a key below the root of the layout. What it has in common with rows read before
// comes from shared, which may be nil.
func decodeRow(key string, raw []byte, sh *shared) (state.Write, extra, error) {
	if name, ok := strings.CutPrefix(key, dirInstances); ok && len(raw) > 0 && raw[0] == packInstance {
		w, err := decodePacked(name, raw, sh)
		return w, nil, err
	}
	if key == keyFramework {
		var v string
		_, err := decodeJSON(raw, &v)
		return state.Write{Table: state.TableFramework, Key: "id", Value: v}, nil, err
	}
	for _, d := range decoders {
		if name, ok := strings.CutPrefix(key, d.dir); ok && name != "" {
			return d.decode(name, raw)
		}
	}
	return state.Write{}, nil, errors.New("the key is not part of the layout")
}

// decoders read the rows of each directory; name is what follows the directory in the key.
var decoders = []struct {
	dir    string
	decode func(name string, raw []byte) (state.Write, extra, error)
}{
	{dirInstances, decodeInstance},
	{dirApps, decodeApp},
	{dirPods, decodePod},
	{dirSpecs, func(name string, raw []byte) (state.Write, extra, error) {
		v, ex, err := decoded[pointerRow](raw)
		return state.Write{Table: state.TableSpec, Key: string(fromSafe(name)), Value: v.Version}, ex, err
	}},
	{dirGroups, func(name string, raw []byte) (state.Write, extra, error) {
		v, ex, err := decoded[core.Group](raw)
		return state.Write{Table: state.TableGroup, Key: string(v.ID), Value: v}, ex, same(err, safe(v.ID), name)
	}},
	{dirRoots, func(name string, raw []byte) (state.Write, extra, error) {
		v, ex, err := decoded[core.RootVersion](raw)
		return state.Write{Table: state.TableRoot, Key: name, Value: v}, ex, same(err, v.Version.String(), name)
	}},
	{dirDeployments, func(name string, raw []byte) (state.Write, extra, error) {
		v, ex, err := decoded[core.Deployment](raw)
		return state.Write{Table: state.TableDeployment, Key: name, Value: v}, ex, same(err, v.ID, name)
	}},
	{dirFailures, func(name string, raw []byte) (state.Write, extra, error) {
		v, ex, err := decoded[core.TaskFailure](raw)
		return state.Write{Table: state.TableFailure, Key: string(fromSafe(name)), Value: v}, ex, err
	}},
	{dirHealth, func(name string, raw []byte) (state.Write, extra, error) {
		v, _, err := decoded[bool](raw)
		return state.Write{Table: state.TableHealth, Key: instanceID(name), Value: *v}, nil, err
	}},
}

func decoded[T any](raw []byte) (*T, extra, error) {
	v := new(T)
	ex, err := decodeJSON(raw, v)
	return v, ex, err
}

func decodePacked(name string, raw []byte, sh *shared) (state.Write, error) {
	w := state.Write{Table: state.TableInstance, Key: instanceID(name)}
	spec := sh.owner(name)
	if spec == "" {
		if spec = core.InstanceID(w.Key).Spec(); spec == "" {
			return w, fmt.Errorf("%q is no instance id", w.Key)
		}
	}
	i, err := unpackRow(raw, core.InstanceID(w.Key), spec, sh)
	if err != nil {
		return w, err
	}
	w.Value = i
	return w, nil
}

func decodeInstance(name string, raw []byte) (state.Write, extra, error) {
	w := state.Write{Table: state.TableInstance, Key: instanceID(name)}
	v, ex, err := decoded[instanceRow](raw)
	if err != nil {
		return w, nil, err
	}
	i, err := v.instance(core.InstanceID(w.Key))
	w.Value = i
	return w, ex, err
}

func decodeApp(name string, raw []byte) (state.Write, extra, error) {
	v, ex, err := decoded[core.App](raw)
	return version(v), ex, same(err, safe(v.ID)+"/"+v.Version.String(), name)
}

func decodePod(name string, raw []byte) (state.Write, extra, error) {
	v, ex, err := decoded[podRow](raw)
	if err == nil && v.Pod == nil {
		err = errors.New("pod without a definition")
	}
	if err != nil {
		return state.Write{Table: state.TableVersion}, nil, err
	}
	p := v.Pod.WithVersion(v.Pod.Version, v.Stamps)
	return version(p), ex, same(nil, safe(v.Pod.ID)+"/"+v.Pod.Version.String(), name)
}

func version(v core.RunSpec) state.Write {
	return state.Write{Table: state.TableVersion, Key: fmt.Sprintf("%s@%016d", v.SpecID(), v.SpecVersion()), Value: v}
}

// same reports a value that stands under the key of another, unless there is an error already.
func same(err error, inside, name string) error {
	if err == nil && inside != name {
		return fmt.Errorf("the value is that of %q", inside)
	}
	return err
}

// decodeJSON reads one value. Unknown fields are no error; those of the outermost object are returned.
func decodeJSON(raw []byte, v any) (extra, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err == nil {
		if _, err := d.Token(); err != io.EOF {
			return nil, fmt.Errorf("bytes follow the value")
		}
		return nil, nil
	}
	t := reflect.ValueOf(v).Elem()
	t.SetZero()
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, err
	}
	if t.Kind() != reflect.Struct {
		return nil, nil
	}
	ex := extra{}
	if err := json.Unmarshal(raw, &ex); err != nil {
		return nil, err
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Type().Field(i).Tag.Get("json"), ",")
		delete(ex, name)
	}
	if len(ex) == 0 {
		return nil, nil
	}
	return ex, nil
}

// merge puts remembered unknown fields back into an object that is written again.
func merge(raw []byte, ex extra) ([]byte, error) {
	if len(ex) == 0 {
		return raw, nil
	}
	all := maps.Clone(ex)
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("fields to add unknown ones to: %w", err)
	}
	return marshal(all)
}
