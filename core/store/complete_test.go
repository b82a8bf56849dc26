package store

import (
	"reflect"
	"testing"

	"stadion/core"
	"stadion/core/state"
)

// whole are values of types whose fields exclude each other.
var whole = map[reflect.Type]any{
	reflect.TypeFor[core.EnvValue]():            core.EnvValue{Secret: "s"},
	reflect.TypeFor[core.Limit]():               core.Limit{Unlimited: true},
	reflect.TypeFor[core.UnreachableStrategy](): core.UnreachableStrategy{InactiveAfterSeconds: 1, ExpungeAfterSeconds: 2},
	reflect.TypeFor[core.Timestamp]():           stamp,
	reflect.TypeFor[core.Constraint]():          core.Constraint{Field: "f", Operator: "LIKE", Value: "v", HasValue: true},
	reflect.TypeFor[core.ShellOrArgv]():         core.ShellOrArgv{Shell: new("sh")},
	reflect.TypeFor[core.ExternalOption]():      core.ExternalOption{CSI: &core.CSIOptions{PluginName: "p", VolumeContext: map[string]string{"a": "b"}}},
	reflect.TypeFor[core.Condition]():           core.Staging,
	reflect.TypeFor[core.Goal]():                core.GoalStopped,
	reflect.TypeFor[core.Health]():              core.Unhealthy,
}

// fillAll sets every field of a value to something that is not its zero value.
func fillAll(v reflect.Value) {
	if x, ok := whole[v.Type()]; ok {
		v.Set(reflect.ValueOf(x))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillAll(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fillAll(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillAll(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillAll(key)
		fillAll(value)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int8:
		v.SetInt(3)
	default:
		panic("no filler for " + v.Type().String())
	}
}

// I13: no field of any stored kind gets lost, one added later included. D-31: the stamps of pods, which their API object does
// not show, are among them.
func TestNoFieldIsLost(t *testing.T) {
	app, pod, group, root := &core.App{}, &core.Pod{}, &core.Group{}, &core.RootVersion{}
	d, f, i := &core.Deployment{}, &core.TaskFailure{}, &core.Instance{}
	for _, v := range []any{app, pod, group, root, d, f, i} {
		fillAll(reflect.ValueOf(v).Elem())
	}
	app.ID, pod.ID, group.ID, f.AppID = "/a", "/p", "/g", "/a"
	i.ID, i.Spec = "a.instance-1", "/a"
	i.Tasks[0].ID = "a.instance-1.text.1"
	i.Tasks[0].Status.State = "TASK_FAILED"
	for _, w := range []state.Write{
		{Table: state.TableVersion, Key: "/a@0001763699216123", Value: app}, {Table: state.TableVersion, Key: "/p@0001763699216123", Value: pod},
		{Table: state.TableGroup, Key: "/g", Value: group}, {Table: state.TableRoot, Key: stamp.String(), Value: root},
		{Table: state.TableDeployment, Key: d.ID, Value: d}, {Table: state.TableFailure, Key: "/a", Value: f},
		{Table: state.TableInstance, Key: string(i.ID), Value: i},
	} {
		raw, err := encodeRow(w, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := keysOf(w)
		if err != nil {
			t.Fatal(err)
		}
		got, ex, err := decodeRow(keys[0], raw, nil)
		if err != nil {
			t.Errorf("%s: %v\n%s", keys[0], err, raw)
			continue
		}
		if ex != nil {
			t.Errorf("%s: own fields are not known: %v", keys[0], ex)
		}
		if got.Table != w.Table || got.Key != w.Key || !reflect.DeepEqual(got.Value, w.Value) {
			t.Errorf("%s:\n got %+v\nwant %+v\nas %s", keys[0], got, w, raw)
		}
	}
}
