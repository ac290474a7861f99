package rest

import (
	"bytes"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// Flag is a boolean-like input. true, 1, "1", "true", "yes" and "on", in any letter
// case, are true; everything else is false. No value is ever an error.
type Flag struct {
	sent, on bool
}

// Or returns the flag, or absent if it was not sent.
func (f Flag) Or(absent bool) bool {
	if f.sent {
		return f.on
	}
	return absent
}

// Ptr returns the flag, or nil if it was not sent.
func (f Flag) Ptr() *bool {
	if !f.sent {
		return nil
	}
	return &f.on
}

// UnmarshalJSON reads any JSON value.
func (f *Flag) UnmarshalJSON(raw []byte) error {
	value := jsontext.Value(raw)
	if value.Kind() == jsontext.KindString {
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return err
		}
		return f.UnmarshalText(text)
	}
	*f = Flag{sent: true, on: string(raw) == "true" || string(raw) == "1"}
	return nil
}

// UnmarshalText reads any text.
func (f *Flag) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true", "1", "yes", "on":
		*f = Flag{sent: true, on: true}
	default:
		*f = Flag{sent: true}
	}
	return nil
}

// Schema describes the values that clients are expected to send. Generators cannot make
// use of a union of everything that is accepted.
func (Flag) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type:        huma.TypeBoolean,
		Description: `Other values are taken too: 1, "1", "true", "yes" and "on" (any letter case) as true, everything else as false.`,
	}
}

// Optional is a field of a patch, where absent, null and a value are three different
// things.
type Optional[T any] struct {
	Sent  bool // a value or null
	Null  bool
	Value T
}

// Ptr returns the value, or nil if there is none.
func (o Optional[T]) Ptr() *T {
	if !o.Sent || o.Null {
		return nil
	}
	return &o.Value
}

func (o *Optional[T]) slot(null bool) reflect.Value {
	o.Sent, o.Null = true, null
	return reflect.ValueOf(&o.Value).Elem()
}

// Schema describes the value, or null.
func (Optional[T]) Schema(registry huma.Registry) *huma.Schema {
	s := *registry.Schema(reflect.TypeFor[T](), true, "")
	if s.Ref != "" {
		return &huma.Schema{AnyOf: []*huma.Schema{&s, {Type: "null"}}}
	}
	s.Nullable = s.Type != ""
	return &s
}

// Sent lists the members that an object has, except nulls, which count as absent. The
// decoder fills a field of this type. The field itself is not a member: its tag is
// json:"-".
type Sent []string

// Beside reports whether there are members other than those named.
func (s Sent) Beside(names ...string) bool {
	return slices.ContainsFunc(s, func(name string) bool { return !slices.Contains(names, name) })
}

// Ref refers to a table or a column by name or id, as paths do.
type Ref string

// Key is the primary key of a record as written in a path, still encoded: the parts of
// a composite key are joined by commas, each percent-encoded.
type Key string

// UnmarshalText reads the key as written in the path.
func (k *Key) UnmarshalText(raw []byte) error {
	text, err := url.PathUnescape(string(raw))
	if err != nil || !utf8.ValidString(text) {
		return problem.Invalid("", notEncoded)
	}
	*k = Key(raw)
	return nil
}

// Plain returns the decoded key, for display.
func (k Key) Plain() string {
	text, err := url.PathUnescape(string(k))
	if err != nil {
		return string(k)
	}
	return text
}

// Schema describes the key as the list of its parts; most keys have a single part.
func (Key) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}, Description: "The primary key; the parts of a composite key are joined by commas."}
}

// Value is one value of a record as it was sent: a JSON string, number, boolean or
// null, with all its digits. It is nil if absent.
type Value jsontext.Value

// UnmarshalJSON keeps the text of a scalar and refuses arrays and objects.
func (v *Value) UnmarshalJSON(raw []byte) error {
	switch jsontext.Value(raw).Kind() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return errors.New(problem.Expected("a string, number, boolean or null"))
	}
	*v = append(Value(nil), raw...)
	return nil
}

// MarshalJSON writes the value, or null if there is none.
func (v Value) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	return v, nil
}

// Schema describes a scalar.
func (Value) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A string, number, boolean or null.",
		AnyOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeNumber}, {Type: huma.TypeBoolean}, {Type: "null"}},
	}
}

// maxColumns is how many columns a table can have, and so how many members a row.
const maxColumns = 2000

// Values is an object with arbitrary column names and values, in the order sent.
type Values []NamedValue

// NamedValue is one member of Values.
type NamedValue struct {
	Name  string
	Value Value
}

// UnmarshalJSON reads an object and reports each member that is not a scalar.
func (v *Values) UnmarshalJSON(raw []byte) error {
	*v = nil
	if jsontext.Value(raw).Kind() != jsontext.KindBeginObject {
		return errors.New(problem.Expected("an object"))
	}
	var faults problem.Faults
	err := EachMember(raw, func(name string, value jsontext.Value) {
		if len(*v) == maxColumns {
			faults.Add("", "Expected at most %d members.", maxColumns)
			return
		}
		member := NamedValue{Name: name}
		if err := member.Value.UnmarshalJSON(value); err != nil {
			faults.Add(name, "%s", err)
		}
		*v = append(*v, member)
	})
	if err != nil {
		return err
	}
	return faults.Err()
}

// JSON returns the object as it was sent.
func (v Values) JSON() jsontext.Value {
	text := []byte{'{'}
	for i, member := range v {
		if i > 0 {
			text = append(text, ',')
		}
		// Decoded names are valid text.
		text, _ = jsontext.AppendQuote(text, member.Name)
		text = append(append(text, ':'), member.Value...)
	}
	return append(text, '}')
}

// EachMember calls do for each member of an object that has been read before.
func EachMember(object []byte, do func(name string, value jsontext.Value)) error {
	// The text was checked for duplicate names when it was first read.
	d := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != jsontext.KindEndObject {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		do(key, value)
	}
	return nil
}

// Schema describes an object with any members.
func (Values) Schema(registry huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: Value{}.Schema(registry), Description: "Column names and values."}
}

// JSONText marks a parameter whose text is JSON, so that it is described as such.
type JSONText interface{ JSONText() }

// IsJSON reports whether a text is valid JSON with no deeper nesting than bodies may
// have: for types that arrive as the text of a parameter.
func IsJSON(text []byte) bool {
	var depth nesting
	return jsontext.Value(text).IsValid() && depth.scan(text) <= maxDepth
}
