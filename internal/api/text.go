package api

import (
	"bytes"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// textPlan says how to read JSON that comes as a text of its own, as the
// body of a request is read: options beside a file, a part of a body.
type textPlan[T any] struct{ shape *shape }

func newTextPlan[T any]() textPlan[T] {
	type textIn struct{ Body T }
	return textPlan[T]{newPlan(newSchemas(), &endpoint{id: "options", in: reflect.TypeFor[textIn]()}).body}
}

// decode reads the options. No text is {}.
func (p textPlan[T]) decode(faults *problem.Faults, text []byte) (options T) {
	var depth nesting
	if text = bytes.TrimSpace(text); len(text) == 0 {
		text = []byte("{}")
	}
	switch {
	case depth.scan(text) > maxDepth:
		faults.Add("options", "They nest arrays and objects deeper than %d.", maxDepth)
		return options
	case jsontext.Value(text).Kind() != jsontext.KindBeginObject:
		faults.WrongType("options", "an object")
		return options
	}
	options, err := p.read(faults, text, nil)
	if err != nil {
		faults.Add("options", "Not valid JSON: %s.", strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	return options
}

// read reads what stands at a place of the whole that faults are about. The
// errors are those of the JSON.
func (p textPlan[T]) read(faults *problem.Faults, text []byte, at *place) (read T, err error) {
	d := &decoder{Decoder: jsontext.NewDecoder(bytes.NewReader(text)), faults: faults}
	if err := d.decode(p.shape, reflect.ValueOf(&read).Elem(), at); err != nil {
		return read, err
	}
	return read, d.ends()
}
