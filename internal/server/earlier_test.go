package server

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/testkit"
)

// earlierFolder makes the data folder that is kept as texts in testdata/earlier. A
// server wrote it whose databases had fewer migrations than today's; nothing in it may
// ever be brought up to date.
func earlierFolder(t *testing.T) string {
	t.Helper()
	shell := testkit.Tool(t, "sqlite3")
	folder, from := t.TempDir(), os.DirFS("testdata/earlier")
	for _, name := range []string{"server", "exports", "imports", "journal", "projects/1"} {
		text, err := fs.ReadFile(from, strings.ReplaceAll(name, "/", "-")+".sql")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, name+".db")
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		make := exec.Command(shell, path)
		make.Stdin = strings.NewReader(string(text))
		if out, err := make.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	exports, err := fs.Sub(from, "exports")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(folder, "exports"), exports); err != nil {
		t.Fatal(err)
	}
	return folder
}

// A data folder of an earlier version opens as it is, with everything in it.
func TestFoldersOfEarlierVersionsAreOpened(t *testing.T) {
	t.Parallel()
	s := stopped(t, startIn(t, earlierFolder(t), Settings{Limits: limits.Defaults(), Admin: true}))
	c := &labeled{t: t, base: s.url + "/projects/example_project", token: s.ready.Token, key: "nightly"}
	var list struct{ Rows json.RawMessage }
	if status, _ := c.call("GET", "/records/books", "", &list); status != http.StatusOK || string(list.Rows) != `[{"id":1,"title":"Emma","pages":474,"price":7.5},{"id":2,"title":"Faust","pages":1,"price":null}]` {
		t.Errorf("books: %d %s", status, list.Rows)
	}
	for _, step := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/tables", "", 200},
		{"GET", "/table/people", "", 200},
		{"GET", "/settings", "", 200},
		{"GET", "/auth/tokens", "", 200},
		{"GET", "/imports", "", 200},
		{"GET", "/operations/runs", "", 200},
		{"POST", "/query", `{"sql":"SELECT count(*) FROM people"}`, 200},
		{"PATCH", "/records/books/2", `{"pages":500}`, 200},
		{"POST", "/column/books", `{"column_name":"author_id","column_type":"INTEGER"}`, 201},
		{"PATCH", "/table/books", `{"label_column":"title"}`, 200},
		{"POST", "/search-index/books", `{"columns":["title"]}`, 201},
		{"GET", "/records/books?search=emma", "", 200},
		{"POST", "/export/database", `{"format":"zip-csv"}`, 201},
	} {
		if status, _ := c.call(step.method, step.path, step.body, nil); status != step.want {
			t.Errorf("%s %s: %d, want %d", step.method, step.path, status, step.want)
		}
	}
	var exports struct {
		Exports []struct {
			ID     string
			Status string
		}
	}
	c.call("GET", "/exports", "", &exports)
	if n := len(exports.Exports); n != 2 || exports.Exports[1].ID != "exp_20261201_023919_28059bd1dd" {
		t.Errorf("the exports are %+v", exports)
	}
}
