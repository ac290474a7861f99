package api

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// judge holds requests and answers against the OpenAPI document, with
// validators that are not ours.
type judge struct {
	mux      *http.ServeMux
	schemas  *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

func newJudge(t testing.TB) *judge {
	t.Helper()
	list := routes(new(handlers))
	text := describe("test", list)
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
	j := &judge{http.NewServeMux(), jsonschema.NewCompiler(), map[string]*jsonschema.Schema{}}
	j.schemas.DefaultDraft(jsonschema.Draft2020)
	j.schemas.AssertFormat()
	if err := j.schemas.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for _, ep := range list {
		j.mux.Handle(ep.method+" "+ep.path, ep)
	}
	return j
}

// check reports where an exchange is not as the document says. Requests are
// checked when they have succeeded: what is taken must be described.
func (j *judge) check(t testing.TB, r *http.Request, response *http.Response, body []byte) {
	t.Helper()
	handler, _ := j.mux.Handler(r)
	ep, ok := handler.(*endpoint)
	if !ok || response.StatusCode == http.StatusMethodNotAllowed || r.Method == http.MethodHead {
		return
	}
	operation := pointer("paths", ep.path, strings.ToLower(ep.method))
	const content = "/content/application~1json/schema"
	if response.StatusCode < 300 && r.ContentLength > 0 && ep.plan.bodyAt != nil {
		j.validate(t, operation+"/requestBody"+content, sent(t, r))
	}
	if ep.id == "download-export" && response.StatusCode < 400 || response.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return
	}
	j.validate(t, operation+"/responses/"+strconv.Itoa(response.StatusCode)+content, body)
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

// pointer is a JSON pointer in a fragment.
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
	schema := j.compiled[at]
	if schema == nil {
		var err error
		if schema, err = j.schemas.Compile("openapi.json" + at); err != nil {
			t.Fatalf("the document does not describe %s: %v", at, err)
		}
		j.compiled[at] = schema
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("not as described at %s: %v\n%s", at, err, text)
	}
}

func TestDocumentIsValid(t *testing.T) { newJudge(t) }
