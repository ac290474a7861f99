package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

const (
	bearer        = "token" // the name of the security scheme
	parameterPath = "#/components/parameters/"
)

// SchemaPath is the prefix of references to schemas.
const SchemaPath = "#/components/schemas/"

// Document is what the OpenAPI document contains besides the routes.
type Document struct {
	Title, Version, Description string
	License                     string // as an SPDX identifier

	// Tag returns the group that a route belongs to.
	Tag func(path string) string

	// Prefixes are put before the schema names of some packages, given by the last
	// element of their paths: two packages may use the same name for different types.
	Prefixes map[string]string

	// Choices are the words that handlers accept in fields of bodies, by schema name
	// and field name. The document lists them; handlers check them.
	Choices map[string]map[string][]string
}

// withDocument compiles the endpoints and adds those that serve the document.
func withDocument(doc Document, list []*Endpoint) []*Endpoint {
	var page func() *Download
	list = append(slices.Clone(list), Route("GET", "/openapi.json", "get-openapi", "Read this document", Open(),
		Plain(func(context.Context, Caller, *struct{}) (*Download, error) {
			return page(), nil
		})))
	page = pageOf("application/json", Describe(doc, list))
	return append(list, reference()...)
}

// Describe compiles the plan of every endpoint and returns the OpenAPI document
// made from the same schemas.
func Describe(d Document, list []*Endpoint) []byte {
	registry := newSchemas(d.Prefixes)
	for _, ep := range list {
		ep.plan = newPlan(registry, ep)
	}
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: d.Title, Version: d.Version, Description: d.Description,
			License: &huma.License{Name: d.License, Identifier: d.License},
		},
		Servers: []*huma.Server{{URL: "/", Description: "The server that this document comes from."}},
		Components: &huma.Components{
			Schemas:         registry,
			Parameters:      operationHeaders(),
			Headers:         limitHeaders(),
			SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {Type: "http", Scheme: "bearer"}},
		},
	}
	for _, ep := range list {
		op := ep.operation(registry)
		op.Tags = []string{d.Tag(ep.Path)}
		doc.AddOperation(op)
		if !slices.ContainsFunc(doc.Tags, func(t *huma.Tag) bool { return t.Name == op.Tags[0] }) {
			doc.Tags = append(doc.Tags, &huma.Tag{Name: op.Tags[0]})
		}
	}
	d.describeChoices(registry)
	registry.Map()["Failure"] = failureSchema()
	for name, s := range registry.Map() {
		neverNull(s)
		allowNull(registry.TypeFromRef(SchemaPath+name), s)
	}
	for _, s := range registry.Map() {
		tellDefaults(s)
	}
	described := map[*huma.Schema]bool{}
	for _, ep := range list {
		describeAliases(ep.plan.body, described)
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(fmt.Errorf("encode the OpenAPI document: %w", err))
	}
	return text
}

func (d Document) describeChoices(registry huma.Registry) {
	for name, schema := range registry.Map() {
		for field, words := range d.Choices[name] {
			field := schema.Properties[field]
			for _, word := range words {
				field.Enum = append(field.Enum, word)
			}
			if field.Nullable {
				field.Enum = append(field.Enum, nil)
			}
		}
	}
}

// newSchemas returns an empty registry of schemas that knows our types.
func newSchemas(prefixes map[string]string) huma.Registry {
	registry := huma.NewMapRegistry(SchemaPath, func(t reflect.Type, hint string) string {
		return prefixes[path.Base(deref(t).PkgPath())] + huma.DefaultSchemaNamer(t, hint)
	})
	registry.RegisterTypeAlias(reflect.TypeFor[jsontext.Value](), reflect.TypeFor[json.RawMessage]()) // any JSON
	return registry
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func (ep *Endpoint) operation(registry huma.Registry) *huma.Operation {
	op := &huma.Operation{
		Method: ep.Method, Path: ep.Path, OperationID: ep.ID, Summary: ep.Summary,
		Parameters: ep.parameters(), RequestBody: ep.requestBody(registry),
		Responses: ep.failures(),
	}
	if ep.Access.Open {
		op.Extensions = map[string]any{"security": []any{}}
	} else {
		op.Security = []map[string][]string{{bearer: {}}}
	}
	if ep.Access.Scope != "" {
		op.Description = fmt.Sprintf("Needs the scope `%s`.", ep.Access.Scope)
	}
	for _, status := range append([]int{ep.Status}, ep.others...) {
		op.Responses[strconv.Itoa(status)] = ep.success(registry, status)
	}
	ep.addStandardResponses(op.Responses)
	ep.addLimitHeaders(op.Responses)
	return op
}

// limitHeaders describes the headers that tell clients about their limits.
func limitHeaders() map[string]*huma.Header {
	return map[string]*huma.Header{
		"RateLimit-Policy": {Schema: &huma.Schema{Type: huma.TypeString}, Description: `How many calls a token may make in how many seconds: "token";q=50;w=1. Sent if the server limits the rate of tokens.`},
		"RateLimit":        {Schema: &huma.Schema{Type: huma.TypeString}, Description: `How many calls are left, and in how many seconds all are available again: "token";r=12;t=1. Sent with RateLimit-Policy.`},
		"Retry-After":      {Schema: &huma.Schema{Type: huma.TypeInteger}, Description: "In how many seconds it is worth trying again."},
	}
}

// addLimitHeaders adds [limitHeaders] to the answers that have them.
func (ep *Endpoint) addLimitHeaders(responses map[string]*huma.Response) {
	add := func(status string, names ...string) {
		response := responses[status]
		if response == nil {
			return
		}
		if response.Headers == nil {
			response.Headers = map[string]*huma.Param{}
		}
		for _, name := range names {
			response.Headers[name] = &huma.Param{Ref: "#/components/headers/" + name}
		}
	}
	add("429", "Retry-After")
	add("503", "Retry-After")
	if !ep.Access.Open {
		for _, status := range append([]int{ep.Status, http.StatusTooManyRequests}, ep.others...) {
			add(strconv.Itoa(status), "RateLimit-Policy", "RateLimit")
		}
	}
}

// addStandardResponses adds the answers whose statuses are fixed by HTTP, for files
// served in ranges and with conditions, and by the protocol for resumable uploads. They
// are not in the table of codes.
func (ep *Endpoint) addStandardResponses(responses map[string]*huma.Response) {
	refusal := func(description string) *huma.Response {
		return &huma.Response{
			Description: description,
			Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: SchemaPath + "Failure"}}},
		}
	}
	if ep.out == reflect.TypeFor[*Download]() {
		responses["206"] = &huma.Response{Description: "The part of the file that Range asks for.", Content: map[string]*huma.MediaType{"*/*": {}}}
		responses["304"] = &huma.Response{Description: "The file is still the one that If-None-Match or If-Modified-Since names."}
		responses["412"] = refusal("`validation_failed`: the file is not the one that If-Match or If-Unmodified-Since names.")
		responses["416"] = refusal("`validation_failed`: the Range is outside the file.")
	}
	if ep.uploads {
		responses["412"] = refusal("`validation_failed`: Tus-Resumable names a version that is not supported.")
	}
}

// parameters returns the fields of the input and the path segments that only the edge
// reads.
func (ep *Endpoint) parameters() []*huma.Param {
	var params []*huma.Param
	declared := map[string]bool{}
	for _, p := range ep.plan.params {
		neverNull(p.shape.schema)
		declared[p.name] = true
		params = append(params, p.describe(p.name, p.shape.schema.Description))
		for _, alias := range p.aliases {
			params = append(params, p.describe(alias, "Another name of "+p.name+"."))
		}
	}
	for part := range strings.SplitSeq(ep.Path, "/") {
		name := strings.Trim(part, "{}")
		if name != part && !declared[name] {
			params = append(params, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	if ep.keyUse.taken() {
		params = append(params, keyParameter())
	}
	if !ep.Access.Open {
		for _, name := range slices.Sorted(maps.Keys(operationHeaders())) {
			params = append(params, &huma.Param{Ref: parameterPath + name})
		}
	}
	return params
}

// describe describes a parameter under one of its names, in the way it is read: JSON as
// its whole text, and lists separated by commas. Without this, generated clients write
// them differently.
func (p *param) describe(name, description string) *huma.Param {
	param := &huma.Param{Name: name, In: p.in, Required: p.required, Description: description}
	if p.json {
		param.Extensions = map[string]any{"content": map[string]*huma.MediaType{"application/json": {Schema: p.described}}}
		return param
	}
	if param.Schema = p.shape.schema; param.Schema.Type == huma.TypeArray {
		param.Style = map[string]string{"path": "simple", "query": "form", "header": "simple"}[p.in]
		param.Extensions = map[string]any{"explode": false}
	}
	return param
}

// operationHeaders describes the headers that group calls, which every call
// with a token may carry.
func operationHeaders() map[string]*huma.Param {
	text := &huma.Schema{Type: huma.TypeString}
	return map[string]*huma.Param{
		"OperationKey":   {Name: "X-Operation-Key", In: "header", Schema: text, Description: "A readable label for the operation that the call belongs to."},
		"OperationRunID": {Name: "X-Operation-Run-Id", In: "header", Schema: text, Description: "One run of that operation. Neither changes what the call does."},
	}
}

func (ep *Endpoint) requestBody(registry huma.Registry) *huma.RequestBody {
	if ep.plan.incomingAt != nil {
		return ep.incomingBody(registry)
	}
	if ep.plan.bodyAt == nil {
		return nil
	}
	f := ep.in.FieldByIndex(ep.plan.bodyAt)
	name := ep.name() + "Body"
	schema := huma.SchemaFromField(registry, f, name)
	if schema.Ref == "" {
		// A generated client can only encode a choice of schemas that has a name.
		registry.Map()[name] = schema
		schema = &huma.Schema{Ref: SchemaPath + name}
	}
	return &huma.RequestBody{
		Required: len(ep.plan.body.schema.Required) > 0,
		Content:  map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}
}

// incomingBody describes a body that is a file, or a form around one.
func (ep *Endpoint) incomingBody(registry huma.Registry) *huma.RequestBody {
	file := &huma.Schema{Type: huma.TypeString, ContentEncoding: "binary"}
	content := map[string]*huma.MediaType{cmp.Or(ep.media, "*/*"): {Schema: file}}
	if ep.form != nil {
		options := registry.Schema(ep.form, true, ep.name()+"Options")
		newShape(registry, ep.form, options) // what is described is what is checked
		content["multipart/form-data"] = &huma.MediaType{Schema: &huma.Schema{
			Type:                 huma.TypeObject,
			Properties:           map[string]*huma.Schema{"options": options, "file": file},
			Required:             []string{"file"},
			AdditionalProperties: false,
		}}
	}
	return &huma.RequestBody{Required: true, Content: content}
}

// name returns the operation id as spelled in the schemas of the document.
func (ep *Endpoint) name() string {
	var name string
	for word := range strings.SplitSeq(ep.ID, "-") {
		name += strings.ToUpper(word[:1]) + word[1:]
	}
	return name
}

func (ep *Endpoint) success(registry huma.Registry, status int) *huma.Response {
	response := &huma.Response{Description: http.StatusText(status)}
	if ep.keyUse.taken() {
		response.Headers = map[string]*huma.Param{ReplayedHeader: replayedParameter()}
	}
	switch out := reflect.Zero(ep.out).Interface().(type) {
	case *Download:
		if status == http.StatusTemporaryRedirect {
			response.Description = "Temporary Redirect: the file is in a bucket, and the server sends clients there."
			response.Headers = map[string]*huma.Param{"Location": {Schema: &huma.Schema{Type: "string", Format: "uri"}}}
			return response
		}
		response.Content = map[string]*huma.MediaType{"*/*": {}}
		return response
	case *NoContent:
		return response
	default:
		if status == http.StatusNoContent || status == http.StatusNotModified {
			return response
		}
	case follows:
		response.Content = out.content(registry)
		return response
	}
	data := ep.out
	if data.Implements(reflect.TypeFor[answered]()) {
		f, _ := data.FieldByName("Data")
		data = f.Type
	}
	response.Content = map[string]*huma.MediaType{"application/json": {
		Schema: envelopeSchema(registry.Schema(data, true, ep.name()+"Data"), &huma.Schema{Type: "null"}),
	}}
	return response
}

// failures groups the codes that the endpoint may answer with by status.
func (ep *Endpoint) failures() map[string]*huma.Response {
	responses := map[string]*huma.Response{}
	for _, meaning := range problem.Codes {
		if !slices.Contains(ep.allCodes(), meaning.Code) {
			continue
		}
		status := strconv.Itoa(meaning.Status)
		if responses[status] == nil {
			responses[status] = &huma.Response{
				Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: SchemaPath + "Failure"}}},
			}
		}
		response := responses[status]
		response.Description = strings.TrimSpace(fmt.Sprintf("%s\n`%s`: %s", response.Description, meaning.Code, meaning.When))
	}
	return responses
}

// allCodes returns the codes declared by the line and those that follow from its shape.
func (ep *Endpoint) allCodes() []problem.Code {
	codes := append(slices.Clone(ep.codes), problem.CodeValidationFailed, problem.CodeInternal)
	if !ep.Access.Open {
		codes = append(codes, problem.CodeMissingAuthorization, problem.CodeInvalidToken, problem.CodeRateLimited, problem.CodeBusy)
	}
	if ep.Access.Scope != "" {
		codes = append(codes, problem.CodePermissionDenied)
	}
	if ep.keyUse.taken() {
		codes = append(codes, problem.CodeConflict)
	}
	if strings.Count(ep.Path, "{") > 1 {
		codes = append(codes, problem.CodeNotFound)
	}
	if ep.plan.body != nil || ep.plan.incomingAt != nil {
		codes = append(codes, problem.CodeInvalidJSON, problem.CodeRequestTimeout, problem.CodeBodyTooLarge, problem.CodeUnsupportedMediaType)
	}
	return codes
}

// envelopeSchema describes the envelope around the given data and error.
func envelopeSchema(data, failure *huma.Schema) *huma.Schema {
	text := func(example string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Examples: []any{example}}
	}
	return &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"ok":                        {Type: huma.TypeBoolean},
			"data":                      data,
			"error":                     failure,
			"request_id":                text("req_20260602T012345_123456Z_abc123def456"),
			"operation_key":             {Type: huma.TypeString, Nullable: true},
			"operation_run_id":          text("oprun_20260602T012345_123456Z_abc123def456"),
			"operation_grouping_status": {Type: huma.TypeString},
			"meta": {
				Type:       huma.TypeObject,
				Properties: map[string]*huma.Schema{"generated_at": {Type: huma.TypeString, Format: "date-time", Examples: []any{time.Unix(1780363425, 0).UTC().Format(time.RFC3339)}}},
				Required:   []string{"generated_at"},
			},
		},
		Required: []string{"ok", "data", "error", "request_id", "meta"},
	}
}

func failureSchema() *huma.Schema {
	var codes []any
	for _, meaning := range problem.Codes {
		codes = append(codes, meaning.Code)
	}
	text, most := &huma.Schema{Type: huma.TypeString}, problem.MaxDetails
	return envelopeSchema(&huma.Schema{Type: "null"}, &huma.Schema{
		Type: huma.TypeObject,
		Properties: map[string]*huma.Schema{
			"code":    {Type: huma.TypeString, Enum: codes},
			"message": text,
			"details": {Type: huma.TypeArray, Items: &huma.Schema{
				Type:       huma.TypeObject,
				Properties: map[string]*huma.Schema{"field": text, "message": text},
				Required:   []string{"field", "message"},
			}, MaxItems: &most},
			"more":   {Type: huma.TypeBoolean, Enum: []any{true}, Description: "Sent when there are more faults than the details list."},
			"record": {Type: huma.TypeObject, AdditionalProperties: true, Description: "With precondition_failed: the record as it is."},
			"etag":   {Type: huma.TypeString, Description: "With precondition_failed: the ETag of the record as it is."},
		},
		Required: []string{"code", "message"},
	})
}

// neverNull removes what huma says of every array: ours are never null.
func neverNull(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	neverNull(s.Items)
	for _, property := range s.Properties {
		neverNull(property)
	}
}

// allowNull adds what huma leaves out: a pointer to a struct may be null.
func allowNull(t reflect.Type, s *huma.Schema) {
	if t == nil || t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		property := s.Properties[name]
		if f.Type.Kind() == reflect.Pointer && property != nil && property.Ref != "" {
			s.Properties[name] = &huma.Schema{
				Description: property.Description,
				AnyOf:       []*huma.Schema{{Ref: property.Ref}, {Type: "null"}},
			}
		}
	}
}

// tellDefaults moves the defaults of an object's fields into their descriptions: a
// generator may take a field with a default for one that is always there, and then
// requests cannot leave it out.
func tellDefaults(s *huma.Schema) {
	for _, field := range s.Properties {
		if field.Default != nil {
			field.Description = strings.TrimSpace(fmt.Sprintf("Default: %v. %s", field.Default, field.Description))
			field.Default = nil
		}
	}
	for _, choice := range s.AnyOf {
		tellDefaults(choice)
	}
}

// describeAliases adds the aliases of fields to the schema of each object.
func describeAliases(s *shape, described map[*huma.Schema]bool) {
	if s == nil || s.schema == nil || described[s.schema] {
		return
	}
	described[s.schema] = true
	describeAliases(s.elem, described)
	for _, f := range s.fields {
		describeAliases(f.shape, described)
		for _, alias := range f.aliases {
			other := *s.schema.Properties[f.name]
			other.Description = fmt.Sprintf("Another name of %s.", f.name)
			s.schema.Properties[alias] = &other
		}
		if f.required && len(f.aliases) > 0 {
			requireOneName(s.schema, f)
		}
	}
}

// requireOneName requires the field under any one of its names.
func requireOneName(s *huma.Schema, f *field) {
	s.Required = slices.DeleteFunc(s.Required, func(name string) bool { return name == f.name })
	var names []*huma.Schema
	for _, name := range append([]string{f.name}, f.aliases...) {
		names = append(names, &huma.Schema{Required: []string{name}})
	}
	s.AllOf = append(s.AllOf, &huma.Schema{AnyOf: names})
}
