package rest

import (
	"cmp"
	"encoding"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// newPlan compiles the input type of an endpoint. It panics at startup if the decoder
// cannot read a type.
func newPlan(registry huma.Registry, ep *Endpoint) *plan {
	p := &plan{}
	for _, f := range reflect.VisibleFields(ep.in) {
		switch {
		case f.Anonymous:
		case f.Type == reflect.TypeFor[Incoming]():
			p.incomingAt = f.Index
		case f.Type == reflect.TypeFor[Call]():
			p.callAt = f.Index
		case f.Name == "Body":
			p.body, p.bodyAt = newShape(registry, f.Type, huma.SchemaFromField(registry, f, ep.name()+"Body")), f.Index
		default:
			p.params = append(p.params, newParam(registry, f))
		}
	}
	if p.body == nil && p.incomingAt == nil && ep.Method != http.MethodGet && ep.Method != http.MethodHead {
		p.body = &shape{kind: reflect.Struct}
	}
	p.known = sync.OnceValue(p.knownNames)
	for _, param := range p.params {
		if param.in == "query" {
			p.query = append(append(p.query, param.name), param.aliases...)
		}
	}
	return p
}

func newParam(registry huma.Registry, f reflect.StructField) *param {
	for _, in := range []string{"path", "query", "header"} {
		if name := f.Tag.Get(in); name != "" {
			if f.Type.Kind() == reflect.Bool {
				panic(fmt.Sprintf("the parameter %s is a bool, which is not read from text: use Flag", name))
			}
			schema := huma.SchemaFromField(registry, f, f.Name)
			field := newField(registry, f, name, schema)
			field.required = in == "path" || f.Tag.Get("required") == "true"
			_, isJSON := reflect.Zero(f.Type).Interface().(JSONText)
			return &param{field, in, f.Type == reflect.TypeFor[Key](), isJSON, schema}
		}
	}
	panic(fmt.Sprintf("field %s comes from nowhere: it has no tag path, query or header", f.Name))
}

func newField(registry huma.Registry, f reflect.StructField, name string, schema *huma.Schema) *field {
	made := &field{name: name, aliases: aliasesOf(f), index: f.Index, shape: newShape(registry, f.Type, schema)}
	if schema.Default != nil {
		made.defaultValue = reflect.ValueOf(schema.Default).Convert(f.Type)
	}
	return made
}

// aliasesOf returns the aliases of a field, from its tag alias.
func aliasesOf(f reflect.StructField) []string {
	if tag := f.Tag.Get("alias"); tag != "" {
		return strings.Split(tag, ",")
	}
	return nil
}

func newShape(registry huma.Registry, t reflect.Type, schema *huma.Schema) *shape {
	for schema.Ref != "" {
		schema = registry.SchemaFromRef(schema.Ref)
	}
	pointer := t.Kind() == reflect.Pointer
	if pointer {
		t = t.Elem()
	}
	s := &shape{kind: t.Kind(), schema: schema, custom: customOf(t), pointer: pointer}
	s.constrain()
	switch {
	case s.custom == customOptional:
		value, _ := t.FieldByName("Value")
		if len(schema.AnyOf) > 0 { // the object, or null
			schema = schema.AnyOf[0]
		}
		s.elem = newShape(registry, value.Type, schema)
	case s.custom != customNot, s.kind == reflect.String, s.kind == reflect.Int, s.kind == reflect.Int64:
	case s.kind == reflect.Slice:
		s.elem = newShape(registry, t.Elem(), schema.Items)
	case s.kind == reflect.Map:
		s.elem = newShape(registry, t.Elem(), schema.AdditionalProperties.(*huma.Schema))
	case s.kind == reflect.Struct:
		s.addFields(registry, t)
	default:
		panic(fmt.Sprintf("inputs of type %s are not read: use string, int, int64, bool, a pointer to one, Optional or a type of its own", t))
	}
	return s
}

// maxElements limits arrays and maps in bodies that declare no limit of their own: a
// project has no more tables than that.
const maxElements = 20_000

// constrain prepares the constraints of the schema for checking, and limits what has no
// limit. Constraints that are not checked must not be described.
func (s *shape) constrain() {
	for _, word := range s.schema.Enum {
		s.choices = append(s.choices, word.(string))
	}
	bound := maxElements
	switch {
	case s.custom == customFlag:
		described := s.schema.Description
		*s.schema = *Flag{}.Schema(nil)
		s.schema.Description = cmp.Or(described, s.schema.Description)
	case s.custom != customNot:
	case s.kind == reflect.Slice && s.schema.MaxItems == nil:
		s.schema.MaxItems = &bound
	case s.kind == reflect.Map && s.schema.MaxProperties == nil:
		s.schema.MaxProperties = &bound
	}
	if s.schema.MinLength != nil || s.schema.Pattern != "" || s.schema.MinProperties != nil {
		panic(fmt.Sprintf("the decoder does not check all constraints of %+v", s.schema))
	}
}

func customOf(t reflect.Type) customDecoding {
	if t.Kind() == reflect.Bool {
		return customFlag
	}
	switch reflect.New(t).Interface().(type) {
	case optional:
		return customOptional
	case streamDecoder:
		return customStream
	case valueDecoder:
		return customValue
	case encoding.TextUnmarshaler:
		return customText
	}
	return customNot
}

func (s *shape) addFields(registry huma.Registry, t reflect.Type) {
	s.byName = map[string]*field{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type == reflect.TypeFor[Sent]() {
			s.sentAt = f.Index
		}
		if f.Anonymous || name == "" || name == "-" {
			continue
		}
		schema := s.schema.Properties[name]
		if schema == nil {
			panic(fmt.Sprintf("field %s has no schema: the struct that it is embedded with must be exported", f.Name))
		}
		made := newField(registry, f, name, schema)
		made.required = slices.Contains(s.schema.Required, name)
		s.fields = append(s.fields, made)
		for _, n := range append([]string{name}, made.aliases...) {
			s.byName[n] = made
			s.names = append(s.names, n)
		}
	}
}
