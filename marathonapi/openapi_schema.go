package marathonapi

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"stadion/core"
	"stadion/core/machine"
)

func itoa(n int) string { return strconv.Itoa(n) }

func encodePlain(v any) ([]byte, error) { return json.MarshalIndent(v, "", " ") }

var (
	stampSchema  = object{"type": "string", "format": "date-time"}
	textSchema   = object{"type": "string"}
	numberSchema = object{"type": "number"}
)

// formOf are the types whose JSON is not what their fields say.
var formOf = map[reflect.Type]object{
	reflect.TypeFor[core.Timestamp]():           stampSchema,
	reflect.TypeFor[core.Num]():                 numberSchema,
	reflect.TypeFor[json.RawMessage]():          {},
	reflect.TypeFor[core.Constraint]():          object{"type": "array", "items": textSchema, "minItems": 2, "maxItems": 3},
	reflect.TypeFor[core.EnvValue]():            oneOf(textSchema, object{"type": "object", "required": []string{"secret"}, "properties": object{"secret": textSchema}}),
	reflect.TypeFor[core.Limit]():               oneOf(numberSchema, object{"const": "unlimited"}),
	reflect.TypeFor[core.ExternalOption]():      object{"type": "object"},
	reflect.TypeFor[core.UnreachableStrategy](): oneOf(object{"const": "disabled"}, object{"type": "object", "properties": object{"inactiveAfterSeconds": object{"type": "integer"}, "expungeAfterSeconds": object{"type": "integer"}}}),
}

// names are the types that stand in components/schemas under a name of their own.
var names = map[string]reflect.Type{
	"AppInfo": reflect.TypeFor[appInfoShape](), "Pod": reflect.TypeFor[core.Pod](), "Task": reflect.TypeFor[taskShape](), "Group": reflect.TypeFor[groupShape](),
	"Deployment": reflect.TypeFor[deploymentShape](), "DeploymentResult": reflect.TypeFor[resultShape](), "PodStatus": reflect.TypeFor[podInfo](),
	"QueueItem": reflect.TypeFor[queueItem](), "Info": reflect.TypeFor[infoShape](), "Error": reflect.TypeFor[errorShape](),
	"DryRun": reflect.TypeFor[preview](), "DeploymentID": reflect.TypeFor[deploymentID](), "Explanation": reflect.TypeFor[machine.Explanation](),
}

// schemas are the named schemas of the document.
func schemas() object {
	out := object{}
	for name, t := range names {
		out[name] = structSchema(t, true)
	}
	for name, t := range map[string]reflect.Type{"AppRequest": reflect.TypeFor[core.App](), "PodRequest": reflect.TypeFor[core.Pod]()} {
		out[name] = structSchema(t, false)
	}
	out["GroupRequest"] = object{"type": "object", "properties": object{"id": textSchema, "apps": listOf(ref("AppRequest")), "groups": listOf(ref("GroupRequest")),
		"dependencies": listOf(textSchema), "scaleBy": numberSchema, "version": stampSchema, "enforceRole": object{"type": "boolean"}}}
	return out
}

// schemaOf describes a type. Answers are complete and hold nothing else; requests may leave out and add fields.
func schemaOf(t reflect.Type, answer bool) object {
	if s, ok := formOf[t]; ok {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), answer)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return textSchema
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return numberSchema
	case reflect.Slice, reflect.Array:
		return listOf(schemaOf(t.Elem(), answer))
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object"}
		}
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem(), answer)}
	case reflect.Struct:
		if t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
			return object{} // a form of its own
		}
		return structSchema(t, answer)
	}
	return object{}
}

func structSchema(t reflect.Type, answer bool) object {
	props := object{}
	required := addFields(t, props, answer)
	s := object{"type": "object", "properties": props}
	if answer {
		s["additionalProperties"] = false
		if len(required) > 0 {
			s["required"] = required
		}
	}
	return s
}

// addFields adds the properties of a struct and returns those that are always written.
func addFields(t reflect.Type, props object, answer bool) (required []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			required = append(required, addFields(f.Type, props, answer)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" || !f.IsExported() {
			continue
		}
		schema := schemaOf(f.Type, answer)
		if f.Type.Kind() == reflect.Pointer && options == "" {
			schema = object{"oneOf": []object{schema, {"type": "null"}}}
		}
		if !answer { // null equals absent (http-api.md 1.13)
			schema = object{"anyOf": []object{schema, {"type": "null"}}}
		}
		props[name] = schema
		if options == "" {
			required = append(required, name)
		}
	}
	return required
}
