package api

import (
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

// Records of a table without a primary key, which only imports make, have their ids
// beside them.
func TestKeylessTablesTellTheirIDs(t *testing.T) {
	t.Parallel()
	h := openHouse(t, clock)
	s := openShop(t, h, Config{})
	load := func(shape projectdb.Table) {
		h.inside(t, "shop", func(db *projectdb.DB) error {
			return db.Load(t.Context(), func(l *projectdb.Loader) error {
				_, err := l.CreateTable(shape)
				return err
			})
		})
	}
	load(projectdb.Table{Name: "log", Columns: []projectdb.Column{{Name: "line", Type: "TEXT"}}, Uniques: []projectdb.Unique{{Columns: []projectdb.KeyPart{{Column: "line"}}}}})
	load(projectdb.Table{Name: "own", Columns: []projectdb.Column{{Name: "rowid", Type: "TEXT"}, {Name: "n", Type: "INTEGER"}}})
	blind := h.token(t, "shop", string(registry.RecordsWrite)+":log").Secret
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/records/log", `{"data":[{"line":"a"},{"line":"b"}]}`, `"rows":[{"line":"a"},{"line":"b"}],"ids":["1","2"]}`},
		{"POST", "/records/log", `{"line":"c"}`, `"row":{"line":"c"},"id":"3"}`},
		{"POST", "/records/log", `{"data":[{"line":"b"},{"line":"d"}],"on_conflict":{"columns":["line"],"action":"ignore"}}`, `"rows":[{"line":"d"}],"ids":["`},
		{"POST", "/records/log", `{"data":[{"line":"b"}],"on_conflict":{"columns":["line"],"action":"update"}}`, `"rows":[{"line":"b"}],"ids":["2"]}`},
		{"POST", "/records/log", `{"data":[{"line":"b"}],"on_conflict":{"columns":["line"],"action":"ignore"}}`, `"rows":[],"ids":[]}`},
		{"DELETE", "/records/log/1", "", `"deleted":true`},
		{"PATCH", "/records/log/3", `{"line":"cc"}`, `"row":{"line":"cc"},"id":"3"}`},
		{"GET", "/records/log?limit=2", "", `"rows":[{"line":"b"},{"line":"cc"}],"ids":["2","3"]`},
		{"GET", "/records/log?limit=1&sort=line&order=desc", "", `"ids":["`},
		{"GET", "/records/log/3", "", `"row":{"line":"cc"},"id":"3"`},
		{"GET", "/records/log?columns=RowID,line&limit=1", "", `"rows":[{"rowid":2,"line":"b"}],"ids":["2"]`},
		{"GET", "/records/log/2?columns=rowid", "", `"row":{"rowid":2},"id":"2"`},
		{"GET", "/records/log?columns=rowid,rowid", "", `listed twice`},
		{"GET", "/records/contacts?columns=rowid", "", `no column`},
		{"POST", "/records/own", `{"rowid":"mine","n":1}`, `"row":{"rowid":"mine","n":1},"id":"1"}`},
		{"GET", "/records/own?columns=rowid", "", `"rows":[{"rowid":"mine"}],"ids":["1"]`},
		{"PATCH", "/records/own/1", `{"rowid":"yours"}`, `"row":{"rowid":"yours","n":1},"id":"1"}`},
		{"GET", "/records/contacts", "", `"rows":[],"limit"`},
	} {
		if got := s.ask(t, test.method, test.path, test.body); !strings.Contains(got.body, test.want) {
			t.Errorf("%s %s %s: %s\nwant %s", test.method, test.path, test.body, got.body, test.want)
		}
	}
	all, some := s.ask(t, "GET", "/records/log/2?columns=line", "").header.Get("ETag"), s.ask(t, "GET", "/records/log/2?columns=rowid,line", "").header.Get("ETag")
	if all == "" || all != some {
		t.Error("the rowid is part of an ETag:", all, some)
	}
	if got := s.ask(t, "POST", "/records/log", `{"data":[{"line":"e"},{}]}`, "Authorization: Bearer "+blind); !strings.Contains(got.body, `"rows":[{"line":"e"},{}],"ids":["`) {
		t.Error("to one who may not read:", got.body)
	}
}
