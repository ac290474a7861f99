package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/rest"
)

// judge validates requests and answers against the OpenAPI document, with third-party
// validators.
type judge struct {
	mux      *http.ServeMux
	document any
	schemas  *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

func newJudge(t testing.TB) *judge {
	t.Helper()
	list := routes(new(handlers))
	text := rest.Describe(document("test"), list)
	spec, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{http.NewServeMux(), document, jsonschema.NewCompiler(), map[string]*jsonschema.Schema{}}
	j.schemas.DefaultDraft(jsonschema.Draft2020)
	j.schemas.AssertFormat()
	if err := j.schemas.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for _, ep := range list {
		j.mux.Handle(ep.Method+" "+ep.Path, ep)
	}
	return j
}

// check reports where an exchange differs from the document. Requests are checked only
// if they succeeded: whatever is accepted must be described.
func (j *judge) check(t testing.TB, r *http.Request, response *http.Response, body []byte) {
	t.Helper()
	handler, _ := j.mux.Handler(r)
	ep, ok := handler.(*rest.Endpoint)
	if !ok || response.StatusCode == http.StatusMethodNotAllowed || r.Method == http.MethodHead {
		return
	}
	operation := pointer("paths", ep.Path, strings.ToLower(ep.Method))
	const content = "/content/application~1json/schema"
	if taken, err := j.media(operation + "/requestBody"); err == nil && taken["application/json"] != nil && response.StatusCode < 300 && r.ContentLength > 0 {
		j.validate(t, operation+"/requestBody"+content, sent(t, r))
	}
	answer := operation + "/responses/" + strconv.Itoa(response.StatusCode)
	if given, err := j.media(answer); err == nil && given["application/json"] == nil && response.StatusCode < 400 {
		return // a file, events or nothing
	}
	switch response.StatusCode {
	case http.StatusRequestedRangeNotSatisfiable, http.StatusPreconditionFailed:
		return // required by standards, not by the table of codes
	}
	j.validate(t, answer+content, body)
}

func sent(t testing.TB, r *http.Request) []byte {
	t.Helper()
	body, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// pointer returns a JSON pointer as a URL fragment.
func pointer(steps ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	path := "#"
	for _, step := range steps {
		path += "/" + escape.Replace(step)
	}
	return path
}

func (j *judge) validate(t testing.TB, at string, text []byte) {
	t.Helper()
	if err := j.compare(at, text); err != nil {
		t.Error(err)
	}
}

// compare reports where a JSON text violates the schema at a place in the document.
func (j *judge) compare(at string, text []byte) error {
	schema := j.compiled[at]
	if schema == nil {
		var err error
		if schema, err = j.schemas.Compile("openapi.json" + at); err != nil {
			return fmt.Errorf("the document does not describe %s: %w", at, err)
		}
		j.compiled[at] = schema
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if strings.Contains(at, "/requestBody/") && isAboutFlags(err) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("not as described at %s: %w\n%.2000s", at, err, text)
	}
	return nil
}

// isAboutFlags reports whether a request differs from the document only in flags with
// values other than true and false. They are accepted, as the descriptions say; a
// schema with all of them would be useless for generating clients.
func isAboutFlags(err error) bool {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return false
	}
	if len(invalid.Causes) == 0 {
		wrong, isType := invalid.ErrorKind.(*kind.Type)
		return isType && slices.Equal(wrong.Want, []string{"boolean"})
	}
	for _, cause := range invalid.Causes {
		if !isAboutFlags(cause) {
			return false
		}
	}
	return true
}

// media returns the document's content of an answer by media type, or nil if it has
// none.
func (j *judge) media(at string) (content map[string]any, err error) {
	here, err := j.find(at)
	if err != nil {
		return nil, err
	}
	content, _ = here["content"].(map[string]any)
	return content, nil
}

// find returns the object at a place in the document.
func (j *judge) find(at string) (object map[string]any, err error) {
	here := j.document
	unescape := strings.NewReplacer("~1", "/", "~0", "~", "%7B", "{", "%7D", "}")
	for step := range strings.SplitSeq(strings.TrimPrefix(at, "#/"), "/") {
		m, _ := here.(map[string]any)
		if here = m[unescape.Replace(step)]; here == nil {
			return nil, fmt.Errorf("the document has no %s", at)
		}
	}
	object, _ = here.(map[string]any)
	return object, nil
}

func TestDocumentIsValid(t *testing.T) { newJudge(t) }

func TestLimitsAreDescribed(t *testing.T) {
	j := newJudge(t)
	for _, ep := range routes(new(handlers)) {
		for status, names := range map[string][]string{
			strconv.Itoa(ep.Status): {"RateLimit", "RateLimit-Policy"},
			"429":                   {"RateLimit", "RateLimit-Policy", "Retry-After"},
			"503":                   {"Retry-After"},
		} {
			if ep.Access.Open {
				continue
			}
			headers, err := j.find(pointer("paths", ep.Path, strings.ToLower(ep.Method), "responses", status, "headers"))
			if err != nil {
				t.Error(err)
			}
			for _, name := range names {
				if headers[name] == nil {
					t.Errorf("%s %s %s: %s is not described", ep.Method, ep.Path, status, name)
				}
			}
		}
	}
}

// docs is the directory of the generated documents.
const docs = "../../docs/"

// compare compares a document with the checked-in file, or rewrites the file.
func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(docs+name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(docs + name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/%s is out of date: run go test ./internal/api -update", name)
	}
}

func TestDocumentIsCheckedIn(t *testing.T) {
	w := httptest.NewRecorder()
	New(Config{Version: "dev", HTTP: rest.Config{Now: clock, Random: endless{}}}).ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	compare(t, "openapi.json", append(w.Body.Bytes(), '\n'))
}

// outsideTheEnvelope describes the answers that the HTTP library gives before the API
// sees a request. TestUnreadableRequests in package server provokes each of these.
const outsideTheEnvelope = `
## Before the envelope
What cannot be read as a request of HTTP/1.x is answered in plain text, and its connection ends:

| status | when |
|---|---|
| 400 | The request line, a header, the Host or the length of the body is malformed, or the client speaks TLS to the plain port. |
| 417 | The Expect header asks for something else than 100-continue. |
| 431 | The request line and the headers are larger than 32 KiB together. |
| 501 | The Transfer-Encoding is another one than chunked. |
| 505 | The version of HTTP is not 1.x. |

` + "`/metrics`" + ` answers 421 with ` + "`validation_failed`" + ` when the Host is not this server's.

A client that has not sent its headers within 5 seconds, or nothing for 50 seconds between two requests, is disconnected without an
answer. A request with a chunked body ends its connection after the answer.
`

func TestErrorsAreCheckedIn(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("# Error codes\n\n" +
		"Every failure is answered in the envelope, with `ok` false, `data` null and one of these codes in `error.code`. The message\n" +
		"is for people and may change; `error.details`, where it is sent, names each field at fault.\n\n" +
		"| code | status | when |\n|---|---|---|\n")
	for _, meaning := range problem.Codes {
		fmt.Fprintf(&out, "| `%s` | %d | %s |\n", meaning.Code, meaning.Status, meaning.When)
	}
	out.WriteString(outsideTheEnvelope)
	compare(t, "errors.md", out.Bytes())
}
