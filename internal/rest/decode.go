package rest

import (
	"bytes"
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// plan says how to read a request into the input of an endpoint, with the schemas that
// the OpenAPI document publishes: what is described is what is checked. Plans are made
// once, at startup.
type plan struct {
	params []*param
	query  []string // names of the query parameters, aliases included
	body   *shape   // nil: bodies are not read
	bodyAt []int    // index of the field Body; nil: the body has no fields

	incomingAt []int // index of the Incoming field, if the handler reads the body itself
	callAt     []int // index of the field of type Call

	known func() map[string]bool // names of all parameters and members of the body
}

// param is a field that comes from the path, the query or a header.
type param struct {
	*field
	in   string
	raw  bool // a path segment that its type decodes itself
	json bool // its text is JSON

	described *huma.Schema // perhaps a reference to the shape's schema
}

// field is one named member of an input.
type field struct {
	name         string
	aliases      []string
	index        []int
	required     bool
	defaultValue reflect.Value // the default; invalid if there is none
	shape        *shape
}

// shape says how one Go type is read from JSON.
type shape struct {
	kind    reflect.Kind
	schema  *huma.Schema
	fields  []*field
	byName  map[string]*field
	sentAt  []int    // index of the field of type Sent; nil if there is none
	names   []string // of the fields, aliases included
	choices []string // allowed values of a string; nil: any
	elem    *shape   // of slices, maps and Optional
	custom  customDecoding
	pointer bool // nil when absent
}

// customDecoding says how a type decodes itself.
type customDecoding int

const (
	customNot      customDecoding = iota
	customValue                   // UnmarshalJSON, given one whole value
	customStream                  // UnmarshalJSONFrom, given the decoder; bodies only
	customText                    // UnmarshalText; parameters only
	customOptional                // Optional
	customFlag                    // bool, read as Flag reads it; bodies only
)

type (
	valueDecoder  interface{ UnmarshalJSON([]byte) error }
	streamDecoder interface {
		UnmarshalJSONFrom(*jsontext.Decoder) error
	}
	optional interface {
		slot(null bool) reflect.Value
	}
)

// decode reads path, query, headers and body, and adds every fault of every field to
// faults. It returns an error only if the request cannot be read at all.
func (c *call) decode(in reflect.Value, faults *problem.Faults) error {
	c.readKey(faults)
	c.checkConditions(faults)
	query := c.readQuery(faults)
	for _, p := range c.ep.plan.params {
		c.readParam(p, query, in.FieldByIndex(p.index), faults)
	}
	if c.ep.plan.body != nil {
		if err := c.readBody(in, faults); err != nil {
			return err
		}
	}
	if c.ep.plan.incomingAt != nil {
		in.FieldByIndex(c.ep.plan.incomingAt).Set(reflect.ValueOf(Incoming{c}))
	}
	if c.ep.plan.callAt != nil {
		given := Call{RequestID: c.id, Operation: c.operation, Target: c.r.URL.RequestURI()}
		if c.ep.keyUse == keyByHandler {
			given.Key = c.keyed
		}
		in.FieldByIndex(c.ep.plan.callAt).Set(reflect.ValueOf(given))
	}
	return nil
}

// malformedQuery says why a query string cannot be read.
func malformedQuery(query string) string {
	if strings.Contains(query, ";") {
		return "The query string is not well formed: write %3B for a semicolon."
	}
	return "The query string is not well formed."
}

func (c *call) readQuery(faults *problem.Faults) url.Values {
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		faults.Add("query", "%s", malformedQuery(c.r.URL.RawQuery))
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(c.ep.plan.query, name) {
			valid := strings.ToValidUTF8(name, "\uFFFD")
			faults.Unknown(valid, "query parameter", valid, "", c.ep.plan.query)
		} else if len(query[name]) > 1 && !c.ep.plan.isList(name) {
			faults.Add(name, "Sent %d times: send it once.", len(query[name]))
		}
	}
	for _, p := range c.ep.plan.params {
		p.takeAlias(query, faults)
	}
	return query
}

// isList reports whether a parameter of the query is a list.
func (p *plan) isList(name string) bool {
	return slices.ContainsFunc(p.params, func(param *param) bool {
		return param.in == "query" && param.shape.kind == reflect.Slice && (param.name == name || slices.Contains(param.aliases, name))
	})
}

// takeAlias moves a value sent under an alias of the parameter to its main name.
func (p *param) takeAlias(query url.Values, faults *problem.Faults) {
	for _, alias := range p.aliases {
		switch {
		case !query.Has(alias):
		case query.Has(p.name):
			faults.Add(alias, "Also sent as %s, which is the same parameter.", p.name)
		default:
			query[p.name] = query[alias]
		}
	}
}

// readParam reads one parameter. An empty value counts as absent, because forms send
// those; only an empty flag is false.
func (c *call) readParam(p *param, query url.Values, v reflect.Value, faults *problem.Faults) {
	text, err := c.paramText(p, query)
	if err != nil || !utf8.ValidString(text) {
		faults.Add(p.name, notEncoded)
		return
	}
	if _, isFlag := v.Addr().Interface().(*Flag); text == "" && !(isFlag && query.Has(p.name)) {
		p.absent(v, nil, faults)
		return
	}
	p.shape.parse(text, v, p.name, faults)
}

// notEncoded is the fault of a part of the target that is not percent-encoded text.
const notEncoded = "Must be percent-encoded UTF-8."

func (c *call) paramText(p *param, query url.Values) (string, error) {
	switch {
	case p.in == "query" && p.shape.kind == reflect.Slice:
		// Many clients send a list as one parameter for each element.
		return strings.Join(query[p.name], ","), nil
	case p.in == "query":
		return query.Get(p.name), nil
	case p.in == "header":
		return strings.Join(c.r.Header.Values(p.name), ", "), nil
	case p.raw:
		return c.ep.rawSegment(c.r, p.name), nil
	}
	return c.ep.segment(c.r, p.name)
}

// parse reads a value from the text of a parameter.
func (s *shape) parse(text string, v reflect.Value, name string, faults *problem.Faults) {
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		note(faults, name, t.UnmarshalText([]byte(text)))
		return
	}
	if o, ok := v.Addr().Interface().(optional); ok {
		s.elem.parse(text, o.slot(false), name, faults)
		return
	}
	switch s.kind {
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		if !setInt(v, text) {
			faults.WrongType(name, integer)
			return
		}
	case reflect.Slice:
		v.Set(reflect.ValueOf(strings.Split(text, ",")))
	}
	s.check(v, name, faults)
}

// readBody decodes the body in one pass. An empty body counts as {}.
func (c *call) readBody(in reflect.Value, faults *problem.Faults) error {
	b, err := c.openBody()
	if err != nil {
		return err
	}
	var text io.Reader = b
	if b.length > smallBytes {
		if text, err = b.whole(); err != nil {
			return b.explain(err)
		}
	}
	d := &decoder{Decoder: jsontext.NewDecoder(text), faults: faults}
	if d.PeekKind() == 0 && isEmpty(d, b) {
		d.Decoder = jsontext.NewDecoder(strings.NewReader("{}"))
	}
	v := reflect.New(reflect.TypeFor[struct{}]()).Elem()
	if c.ep.plan.bodyAt != nil {
		v = in.FieldByIndex(c.ep.plan.bodyAt)
	}
	if err := d.decode(c.ep.plan.body, v, nil); err != nil {
		return b.explain(err)
	}
	return b.explain(d.ends())
}

// isEmpty reports whether the decoder stopped because the body is empty.
func isEmpty(d *decoder, b *body) bool {
	return b.err == nil && len(bytes.TrimSpace(d.UnreadBuffer())) == 0 && d.InputOffset() == 0 && b.nesting.deepest == 0
}

// decoder reads one body. Its methods return errors only for what ends the reading,
// broken JSON or an exceeded limit; the faults of fields are added to faults.
type decoder struct {
	*jsontext.Decoder
	faults *problem.Faults
	built  int // elements of all arrays
}

// maxBuilt limits the total number of elements in all arrays of a body, however they
// are nested: think of tables with many columns and rows.
const maxBuilt = 500_000

var errTrailing = errors.New("something follows the value")

// ends returns an error if anything follows the value.
func (d *decoder) ends() error {
	switch _, err := d.ReadToken(); err {
	case io.EOF:
		return nil
	case nil:
		return errTrailing
	default:
		return err
	}
}

// place is the position of a value in the body.
type place struct {
	up    *place
	name  string // empty for an element of an array
	index int
}

func (p *place) String() string {
	if p == nil {
		return ""
	}
	up := p.up.String()
	switch {
	case p.name == "":
		return up + "[" + strconv.Itoa(p.index) + "]"
	case up == "":
		return p.name
	}
	return up + "." + p.name
}

// field returns the name by which clients know the place: "body" for the whole.
func (p *place) field() string { return cmp.Or(p.String(), "body") }

// decode reads one value. Once no further fault would be reported, it only skips the
// rest.
func (d *decoder) decode(s *shape, v reflect.Value, at *place) error {
	if d.faults.Full() {
		return d.SkipValue()
	}
	if s.pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch s.custom {
	case customFlag:
		var flag Flag
		err := d.decodeCustom(reflect.ValueOf(&flag).Elem(), at)
		v.SetBool(flag.on)
		return err
	case customValue:
		return d.decodeCustom(v, at)
	case customStream:
		return d.decodeStream(v, at)
	case customOptional:
		null := d.PeekKind() == jsontext.KindNull
		v = v.Addr().Interface().(optional).slot(null)
		if null && s.elem.custom != customValue {
			return d.SkipValue()
		}
		return d.decode(s.elem, v, at)
	}
	switch s.kind {
	case reflect.Struct:
		return d.decodeObject(s, v, at)
	case reflect.Map:
		return d.decodeMap(s, v, at)
	case reflect.Slice:
		return d.decodeArray(s, v, at)
	}
	return d.decodeScalar(s, v, at)
}

func (d *decoder) decodeCustom(v reflect.Value, at *place) error {
	raw, err := d.ReadValue()
	if err != nil {
		return err
	}
	err = v.Addr().Interface().(valueDecoder).UnmarshalJSON(raw)
	if _, isTime := v.Interface().(time.Time); isTime && err != nil {
		v.SetZero()
		err = errors.New(problem.Expected("a time such as 2026-06-02T01:23:45Z"))
	}
	if at == nil && err != nil && !problem.Is(err, problem.CodeValidationFailed) {
		return d.refuse(err.Error())
	}
	note(d.faults, at.String(), err)
	return nil
}

// refuse stops reading a body that is wrong as a whole, and so has no fields to check.
func (d *decoder) refuse(sentence string) error {
	d.faults.Add((*place)(nil).field(), "%s", sentence)
	return d.faults.Err()
}

// decodeStream passes the decoder to the type. A type that stops in the middle, at a
// fault, ends the reading: the rest is not checked.
func (d *decoder) decodeStream(v reflect.Value, at *place) error {
	err := v.Addr().Interface().(streamDecoder).UnmarshalJSONFrom(d.Decoder)
	if problem.Is(err, problem.CodeValidationFailed) {
		note(d.faults, at.String(), err)
		return d.faults.Err()
	}
	return err
}

// note adds the faults that a type with its own decoding reports about its value.
func note(faults *problem.Faults, at string, err error) {
	if !faults.Merge(at, err) {
		faults.Add(cmp.Or(at, "body"), "%s", err)
	}
}

// opens reads the first token of an array or object; if the value is something else, it
// skips the value and reports it.
func (d *decoder) opens(kind jsontext.Kind, what string, at *place) (bool, error) {
	if d.PeekKind() == kind {
		_, err := d.ReadToken()
		return err == nil, err
	}
	if err := d.SkipValue(); err != nil {
		return false, err
	}
	if at == nil {
		return false, d.refuse(problem.Expected(what))
	}
	d.faults.WrongType(at.field(), what)
	return false, nil
}

func (d *decoder) decodeObject(s *shape, v reflect.Value, at *place) error {
	if ok, err := d.opens(jsontext.KindBeginObject, "an object", at); !ok {
		return err
	}
	sent := make(map[*field]string, len(s.fields))
	for d.PeekKind() != jsontext.KindEndObject {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if err := d.decodeMember(s, v, &place{up: at, name: name}, sent); err != nil {
			return err
		}
	}
	var names Sent
	for _, f := range s.fields {
		if sent[f] == "" {
			f.absent(v.FieldByIndex(f.index), at, d.faults)
		} else {
			names = append(names, f.name)
		}
	}
	if s.sentAt != nil {
		v.FieldByIndex(s.sentAt).Set(reflect.ValueOf(names))
	}
	_, err := d.ReadToken()
	return err
}

// decodeMember reads the value of one member. null means absent, except for types that
// distinguish the two.
func (d *decoder) decodeMember(s *shape, v reflect.Value, at *place, sent map[*field]string) error {
	f := s.byName[at.name]
	if f == nil {
		d.faults.Unknown(at.String(), "field", at.name, "", s.names)
		return d.SkipValue()
	}
	if d.PeekKind() == jsontext.KindNull && f.shape.custom == customNot {
		return d.SkipValue()
	}
	if other := sent[f]; other != "" {
		d.faults.Add(at.String(), "Also sent as %s, which is the same field.", other)
		return d.SkipValue()
	}
	sent[f] = at.name
	return d.decode(f.shape, v.FieldByIndex(f.index), at)
}

// absent sets the default of a field that was not sent, or reports that it is required.
func (f *field) absent(v reflect.Value, at *place, faults *problem.Faults) {
	switch {
	case f.required:
		faults.Required((&place{up: at, name: f.name}).String())
	case f.defaultValue.IsValid():
		v.Set(f.defaultValue)
	}
}

func (d *decoder) decodeMap(s *shape, v reflect.Value, at *place) error {
	if ok, err := d.opens(jsontext.KindBeginObject, "an object", at); !ok {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for d.PeekKind() != jsontext.KindEndObject {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if err := d.decodeEntry(s, v, &place{up: at, name: name}); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// decodeEntry reads the value of one member of a map.
func (d *decoder) decodeEntry(s *shape, v reflect.Value, at *place) error {
	if d.hasEnough(v.Len(), s.schema.MaxProperties, "member", at.up) {
		return d.SkipValue()
	}
	elem := reflect.New(v.Type().Elem()).Elem()
	if err := d.decode(s.elem, elem, at); err != nil {
		return err
	}
	v.SetMapIndex(reflect.ValueOf(at.name), elem)
	return nil
}

func (d *decoder) decodeArray(s *shape, v reflect.Value, at *place) error {
	if ok, err := d.opens(jsontext.KindBeginArray, "an array", at); !ok {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // an empty array is not an absent one
	for d.PeekKind() != jsontext.KindEndArray {
		if d.hasEnough(v.Len(), s.schema.MaxItems, "element", at) {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if d.built++; d.built > maxBuilt {
			return d.refuse(fmt.Sprintf("All arrays together may have at most %d elements.", maxBuilt))
		}
		i := v.Len()
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		if err := d.decode(s.elem, v.Index(i), &place{up: at, index: i}); err != nil {
			return err
		}
	}
	if min := s.schema.MinItems; min != nil && v.Len() < *min {
		d.faults.Add(at.String(), "Expected at least %d %s.", *min, plural("element", *min))
	}
	_, err := d.ReadToken()
	return err
}

// hasEnough reports whether the values after the first n are to be skipped. They are
// counted before they are built, so that a body costs no more than it may hold.
func (d *decoder) hasEnough(n int, max *int, what string, at *place) bool {
	if n == *max {
		d.faults.Add(at.String(), "Expected at most %d %s.", *max, plural(what, *max))
		return true
	}
	return d.faults.Full()
}

func plural(word string, n int) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// integer is how faults describe an integer.
const integer = "an integer of at most 64 bits"

func (d *decoder) decodeScalar(s *shape, v reflect.Value, at *place) error {
	kind, what := jsontext.KindNumber, integer
	if s.kind == reflect.String {
		kind, what = jsontext.KindString, "a string"
	}
	if d.PeekKind() != kind {
		d.faults.WrongType(at.String(), what)
		return d.SkipValue()
	}
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	if s.kind == reflect.String {
		v.SetString(token.String())
	} else if !setInt(v, token.String()) {
		d.faults.WrongType(at.String(), what)
		return nil
	}
	s.check(v, at.String(), d.faults)
	return nil
}

// setInt sets v to the integer in the text, and reports whether it is one that fits.
func setInt(v reflect.Value, text string) bool {
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err == nil {
		v.SetInt(n)
	}
	return err == nil
}

// check checks a decoded value against the constraints of its schema. A value that
// violates them counts as absent.
func (s *shape) check(v reflect.Value, field string, faults *problem.Faults) {
	switch s.kind {
	case reflect.String:
		max := s.schema.MaxLength
		switch {
		case s.choices != nil && !slices.Contains(s.choices, v.String()):
			faults.WrongChoice(field, s.choices)
		case max != nil && utf8.RuneCountInString(v.String()) > *max:
			faults.Add(field, "Must have at most %d characters.", *max)
		default:
			return
		}
	case reflect.Int, reflect.Int64:
		min, max := s.schema.Minimum, s.schema.Maximum
		switch n := float64(v.Int()); {
		case min != nil && max != nil && (n < *min || n > *max):
			faults.Add(field, "Must be from %g to %g.", *min, *max)
		case min != nil && n < *min:
			faults.Add(field, "Must be at least %g.", *min)
		case max != nil && n > *max:
			faults.Add(field, "Must be at most %g.", *max)
		default:
			return
		}
	default:
		return
	}
	v.SetZero()
}
