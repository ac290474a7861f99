package projectdb

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// visible fails the test for an error that a client would see as internal_error.
func visible(t *testing.T, err error) {
	t.Helper()
	if err != nil && problem.From(err).Code == problem.CodeInternal {
		t.Fatalf("an internal error: %v", err)
	}
}

func FuzzFilters(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{"email":"a","age":null}`, `[{"column":"score","op":">=","value":0.5},{"or":[{"column":"extra","op":"in","value":[1,"x"]},{"column":"photo","op":"is_null"}]}]`,
		`[{"column":"photo","value":"AP8="}]`, `[{"or":[{"or":[]}]}]`, `{"age":1} x`, `nonsense`, `[{"column":"email","op":"like","value":"%\u0000_"}]`, `[{"op":1,"column":2,"value":{}}]`,
	} {
		f.Add(seed)
	}
	db := openProject(f, contacts)
	put(f, db, "contacts", `{"email":"a","age":1,"score":0.5,"photo":"AP8=","extra":"x"}`, `{"email":"b","extra":1}`)
	f.Fuzz(func(t *testing.T, filters string) {
		page, err := db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: Selection{Filters: jsontext.Value(filters), Limit: 10, Sort: "age"}, Count: true})
		visible(t, err)
		if err == nil && *page.Total != int64(page.Len()) {
			t.Fatalf("%d rows, counted %d", page.Len(), *page.Total)
		}
		if err == nil && strings.TrimSpace(filters) != "" && !json.Valid([]byte(filters)) {
			t.Fatalf("filters that are not JSON were taken: %q", filters)
		}
	})
}

func FuzzCursor(f *testing.F) {
	db := openProject(f, contacts)
	put(f, db, "contacts", `{"email":"a","extra":1}`, `{"email":"b","extra":"x"}`, `{"email":"c"}`)
	list := func(after string) (Page, error) {
		return db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: Selection{Limit: 1, Sort: "extra"}, After: after})
	}
	page, err := list("")
	if err != nil {
		f.Fatal(err)
	}
	plain, err := base64.RawURLEncoding.DecodeString(page.NextCursor)
	if err != nil {
		f.Fatal(err)
	}
	var text cursorText
	if err := json.Unmarshal(plain, &text); err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]string{text.Values, {"i5", "i1"}, {"r7ff0000000000001", "i1"}, {"tYQ", "bYQ"}, {"", "n"}, {"n"}} {
		b, err := json.Marshal(cursorText{text.Bound, seed})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		for _, after := range []string{base64.RawURLEncoding.EncodeToString(plain), string(plain)} {
			_, err := list(after)
			visible(t, err)
		}
	})
}

func FuzzStoredAs(f *testing.F) {
	for i, seed := range []string{`null`, `-0`, `9007199254740993`, `1e999`, `"1e5"`, `" +7 "`, `"AP8="`, `"\u0000"`, `true`, `[1]`, `0.1`} {
		f.Add(byte(i), seed)
	}
	db := openProject(f, NewTable{Name: "t", Columns: []NewColumn{
		{Name: "INTEGER", Type: "INTEGER"}, {Name: "REAL", Type: "REAL"}, {Name: "TEXT"}, {Name: "BLOB", Type: "BLOB"}, {Name: "ANY", Type: "ANY"},
	}})
	f.Fuzz(func(t *testing.T, column byte, raw string) {
		columnType := columnTypes[int(column)%len(columnTypes)]
		if !jsontext.Value(raw).IsValid() {
			return
		}
		v, err := storedAs(columnType, jsontext.Value(raw))
		if err != nil {
			return
		}
		object := jsontext.Value(`{"` + columnType + `":` + raw + `}`)
		done, err := db.InsertRecord(ctx, new(problem.Faults), "t", object, InsertOptions{})
		if err != nil {
			t.Fatalf("%s in a column %s: %v", raw, columnType, err)
		}
		for i := range done.Columns {
			if done.Columns[i].Name != columnType {
				continue
			}
			got := done.Batch.Value(done.Batch.Row(0)[i])
			if literal(got) != literal(v) && !(got.Kind == sqlite.Real && got.Float == 0 && v.Float == 0 && math.Signbit(v.Float)) {
				t.Fatalf("%s in a column %s: %s, stored %s", raw, columnType, literal(v), literal(got))
			}
		}
		if _, err := db.DeleteRecords(ctx, new(problem.Faults), "t", Match{All: true}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzQuerySQL(f *testing.F) {
	for _, seed := range []string{
		"SELECT * FROM books", "WITH x AS (SELECT v FROM secrets) SELECT * FROM x", "EXPLAIN QUERY PLAN SELECT 1", "SELECT 1;--", "SELECT ?1, :a, @b, $c::d(e)",
		"SELECT * FROM pragma_table_info('t')", "ATTACH 'x' AS y", "SELECT '\x00", "SELECT json_each.value FROM json_each('[1]')", "/* */ SELECT abs(-9223372036854775808) x",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n", "SELECT hidden FROM _tables", "WITH x AS (SELECT 1) DELETE FROM books",
	} {
		f.Add(seed)
	}
	db := openLibrary(f)
	c := other(f, db)
	before, folder := dump(f, c), inFolder(f, db)
	f.Fuzz(func(t *testing.T, sql string) {
		result, err := db.Query(ctx, Query{SQL: sql, Limit: 5, Timeout: 200e6, Readable: booksOnly})
		visible(t, err)
		if err == nil {
			for i := range result.Batch.Rows {
				for _, cell := range result.Batch.Row(i) {
					if cell.Kind == sqlite.Text && string(result.Batch.Bytes(cell)) == "hidden" && !strings.Contains(sql, "hidden") {
						t.Fatalf("a secret was read by %q", sql)
					}
				}
			}
		}
		if got := dump(t, c); got != before {
			t.Fatalf("the project was changed by %q", sql)
		}
		if got := inFolder(t, db); got != folder {
			t.Fatalf("files were made by %q: %s", sql, got)
		}
	})
}
