package rest

import (
	"bytes"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// Text reads JSON text in the same way as the body of a request: options beside a file,
// or a part of a body.
type Text[T any] struct{ shape *shape }

// NewText compiles the plan of T. Call it once, when the program starts.
func NewText[T any]() Text[T] {
	type textIn struct{ Body T }
	return Text[T]{newPlan(newSchemas(nil), &Endpoint{ID: "options", in: reflect.TypeFor[textIn]()}).body}
}

// Options reads the options of a call. An empty text means {}.
func (p Text[T]) Options(faults *problem.Faults, text []byte) (options T) {
	var depth nesting
	if text = bytes.TrimSpace(text); len(text) == 0 {
		text = []byte("{}")
	}
	switch {
	case depth.scan(text) > maxDepth:
		faults.Add("options", "Arrays and objects are nested more than %d levels deep.", maxDepth)
		return options
	case jsontext.Value(text).Kind() != jsontext.KindBeginObject:
		faults.WrongType("options", "an object")
		return options
	}
	options, err := p.Read(faults, text, "")
	if err != nil {
		faults.Add("options", "Not valid JSON: %s.", strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	return options
}

// Read reads a text that is the given field of a larger whole; "" if it is the whole.
// It returns an error for text that is not JSON.
func (p Text[T]) Read(faults *problem.Faults, text []byte, field string) (read T, err error) {
	var at *place
	if field != "" {
		at = &place{name: field}
	}
	d := &decoder{Decoder: jsontext.NewDecoder(bytes.NewReader(text)), faults: faults}
	if err := d.decode(p.shape, reflect.ValueOf(&read).Elem(), at); err != nil {
		return read, err
	}
	return read, d.ends()
}
