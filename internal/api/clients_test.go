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

// TestDocumentSuitsGenerators checks for things that client generators stumble over.
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

// spoken is what both conversations in testdata/clients print.
const spoken = `batch 1 1 1 1 1
list 3 Ada Zoë Bob {"company":{"id":1,"name":"Analytical Engines","city":"London"}}
edit 200 37
edit 412 precondition_failed
aggregate 1 2 37, null 1 18
search Zoë
pair {"a":"x,y","n":1}
export true 4
`

// scratch is a folder in which a client is generated and built.
type scratch struct {
	t   *testing.T
	dir string
}

func newScratch(t *testing.T) scratch { return scratch{t, t.TempDir()} }

func (s scratch) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// copy copies a file of the repository.
func (s scratch) copy(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(to, string(text))
}

func (s scratch) run(name string, args ...string) (string, error) {
	var out bytes.Buffer
	command := exec.CommandContext(s.t.Context(), name, args...)
	command.Dir, command.Stdout, command.Stderr = s.dir, &out, &out
	err := command.Run()
	return out.String(), err
}

func (s scratch) mustRun(name string, args ...string) string {
	s.t.Helper()
	out, err := s.run(name, args...)
	if err != nil {
		s.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// TestGeneratedGoClient generates a client with oapi-codegen, compiles it and speaks with
// it. It needs the modules of the generator, and is skipped without them.
func TestGeneratedGoClient(t *testing.T) {
	testkit.Slow(t)
	t.Parallel()
	const generator = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"
	s, dir := openShop(t, openHouse(t, clock), Config{}), newScratch(t)
	dir.write("go.mod", "module client\n\ngo 1.26\n")
	dir.copy("testdata/clients/conversation.go.txt", "main.go")
	dir.copy(docs+"openapi.json", "openapi.json")
	if out, err := dir.run("go", "run", generator, "-version"); err != nil {
		testkit.Missing(t, "the generator: %s", out)
	}
	dir.write("zangtable/doc.go", "package zangtable\n")
	dir.mustRun("go", "run", generator, "-generate", "types,client", "-package", "zangtable", "-o", "zangtable/client.go", "openapi.json")
	if out, err := dir.run("go", "mod", "tidy"); err != nil {
		testkit.Missing(t, "the modules of the client: %s", out)
	}
	if out := dir.mustRun("go", "run", ".", s.URL, s.token); !strings.HasSuffix(out, spoken) {
		t.Errorf("%s\nwant %s", out, spoken)
	}
}

// TestGeneratedTypeScriptClient speaks with openapi-fetch, checked by the types that
// openapi-typescript generates. It needs their packages, and is skipped without them.
func TestGeneratedTypeScriptClient(t *testing.T) {
	testkit.Slow(t)
	t.Parallel()
	npm, node := testkit.Tool(t, "npm"), testkit.Tool(t, "node")
	s, dir := openShop(t, openHouse(t, clock), Config{}), newScratch(t)
	dir.write("package.json", `{"type":"module"}`)
	dir.copy("testdata/clients/conversation.ts", "conversation.ts")
	dir.copy(docs+"openapi.json", "openapi.json")
	packages := []string{"openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@20"}
	if out, err := dir.run(npm, append([]string{"install", "--silent", "--no-fund", "--no-audit"}, packages...)...); err != nil {
		testkit.Missing(t, "the packages: %s", out)
	}
	dir.mustRun(node, "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "zangtable.d.ts")
	dir.mustRun(node, "node_modules/typescript/bin/tsc", "--strict", "--target", "es2022", "--module", "nodenext", "conversation.ts")
	if out := dir.mustRun(node, "conversation.js", s.URL, s.token); out != spoken {
		t.Errorf("%s\nwant %s", out, spoken)
	}
}
