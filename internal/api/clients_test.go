package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestDocumentSuitsGenerators looks at what generators of clients stumble over.
func TestDocumentSuitsGenerators(t *testing.T) {
	w := httptest.NewRecorder()
	New(Config{HTTP: rest.Config{Now: clock, Random: endless{}}}).ServeHTTP(w, httptest.NewRequest("GET", "/openapi.json", nil))
	type schema struct {
		Ref  string `json:"$ref"`
		Type any
	}
	var doc struct {
		Info    struct{ License struct{ Identifier string } }
		Servers []struct{ URL string }
		Tags    []struct{ Name string }
		Paths   map[string]map[string]struct {
			Tags       []string
			Security   []any
			Parameters []struct {
				Name, In, Style string
				Explode         *bool
				Schema          schema
				Content         map[string]struct{ Schema schema }
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Info.License.Identifier != "Apache-2.0" || len(doc.Servers) != 1 || doc.Servers[0].URL != "/" {
		t.Errorf("license and servers: %+v %+v", doc.Info, doc.Servers)
	}
	declared := map[string]bool{}
	for _, tag := range doc.Tags {
		declared[tag.Name] = true
	}
	found := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			if op.Security == nil || len(op.Tags) != 1 || !declared[op.Tags[0]] {
				t.Errorf("%s %s: security %v, tags %v", method, path, op.Security, op.Tags)
			}
			for _, p := range op.Parameters {
				found[p.Name] = true
				switch p.Name {
				case "filters":
					if p.Content["application/json"].Schema.Ref == "" {
						t.Errorf("%s %s: filters are not JSON with a name: %+v", method, path, p)
					}
				case "include_count", "count":
					if p.Schema.Type != "boolean" {
						t.Errorf("%s %s: %s is %v", method, path, p.Name, p.Schema.Type)
					}
				}
				if p.Schema.Type == "array" && (p.Explode == nil || *p.Explode || p.Style == "") {
					t.Errorf("%s %s: it is not said how the list %s is written", method, path, p.Name)
				}
			}
		}
	}
	if !found["filters"] || !found["columns"] || !found["id"] || !found["count"] {
		t.Errorf("only %v were looked at", found)
	}
}

// generatedClient uses a client that oapi-codegen has made of the document.
const generatedClient = `package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"client/zangtable"
)

func main() {
	ctx := context.Background()
	c, err := zangtable.NewClientWithResponses(os.Args[1], zangtable.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+os.Args[2])
		return nil
	}))
	check(err)
	count, columns, filters := true, []string{"a", "n"}, new(zangtable.Filters)
	check(filters.UnmarshalJSON([]byte(` + "`" + `[{"column":"n","op":">","value":1}]` + "`" + `)))
	list, err := c.ListRecordsWithResponse(ctx, "shop", "pairs", &zangtable.ListRecordsParams{Filters: filters, Columns: &columns, IncludeCount: &count})
	check(err)
	fmt.Println(list.StatusCode(), *list.JSON200.Data.Total, len(list.JSON200.Data.Rows))
	one, err := c.GetRecordWithResponse(ctx, "shop", "pairs", []string{"x,y", "z w"}, nil)
	check(err)
	fmt.Println(one.StatusCode())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
`

// TestGeneratedClient makes a client with oapi-codegen, compiles it and makes calls
// with it. It needs the modules of the generator, and skips without them.
func TestGeneratedClient(t *testing.T) {
	testkit.Slow(t)
	t.Parallel()
	const generator = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
	s := openShop(t, openHouse(t, clock), Config{})
	s.ask(t, "POST", "/table", `{"table_name":"pairs","columns":[{"name":"a","primary":true},{"name":"b","primary":true},{"name":"n","type":"INTEGER"}]}`)
	s.ask(t, "POST", "/records/pairs", `{"data":[{"a":"x,y","b":"z w","n":1},{"a":"c","b":"d","n":2}]}`)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir, command.Stdout, command.Stderr = dir, &out, &out
		err := command.Run()
		return out.String(), err
	}
	document, err := filepath.Abs(docs + "openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	write("go.mod", "module client\n\ngo 1.26\n")
	write("main.go", generatedClient)
	if err := os.Mkdir(filepath.Join(dir, "zangtable"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := run("run", generator, "-version"); err != nil {
		t.Skipf("the generator cannot be had: %s", out)
	}
	if out, err := run("run", generator, "-generate", "types,client", "-package", "zangtable", "-o", "zangtable/client.go", document); err != nil {
		t.Fatal(out)
	}
	if out, err := run("mod", "tidy"); err != nil {
		t.Skipf("the modules of the client cannot be had: %s", out)
	}
	out, err := run("run", ".", s.URL, s.token)
	if want := "200 1 1\n200\n"; err != nil || !strings.HasSuffix(out, want) {
		t.Errorf("%v\n%s\nwant %s", err, out, want)
	}
}
