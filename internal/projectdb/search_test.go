package projectdb

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// searchable gives a table a search index.
func searchable(t testing.TB, db *DB, table string, n NewSearchIndex) {
	t.Helper()
	err := db.Change(ctx, new(problem.Faults), SchemaTransaction, func(tx *Tx) error {
		_, err := tx.CreateSearchIndex(new(problem.Faults), table, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// searchFor returns the values of the first column of the records that are found.
func searchFor(t interface{ Fatal(...any) }, db *DB, table string, s Selection) (values []string, page Page) {
	s.Limit = 100
	page, err := db.ListRecords(ctx, new(problem.Faults), table, ListOptions{Selection: s, Count: true})
	if err != nil {
		t.Fatal(s.Search, err)
	}
	for i := range page.Len() {
		values = append(values, asJSON(page.Batch.Value(page.Batch.Row(i)[0])))
	}
	if len(page.Found) != page.Len() || *page.Total != int64(page.Len()) {
		t.Fatal(fmt.Sprintf("%d rows, %d found, %d in total", page.Len(), len(page.Found), *page.Total))
	}
	return values, page
}

// intact compares search indexes with the rows of their tables.
func intact(t interface{ Fatal(...any) }, db *DB) {
	err := db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		var names []string
		err := c.Query("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL%'", nil, func(s *sqlite.Stmt) error {
			names = append(names, s.Text(0))
			return nil
		})
		for _, name := range names {
			if err == nil {
				err = c.Exec("INSERT INTO " + quote(name) + " (" + quote(name) + ", rank) VALUES ('integrity-check', 1)")
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSearch(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, title TEXT, body TEXT, n INTEGER, a ANY) STRICT")
	put(t, db, "t", `{"title":"Red apples","body":"An apple a day","n":1}`, `{"title":"Grüne Äpfel","body":"<b>Apfel</b> & \"Birne\"","n":2,"a":"kiwi"}`,
		`{"title":"apple","body":"apple apple apple","n":3}`, `{"title":null,"n":4,"a":12}`)
	searchable(t, db, "t", NewSearchIndex{Columns: []string{"title", "BODY", "a"}})
	for search, want := range map[string][]string{
		"apple": {"3", "1"}, "APFEL": {"2"}, "app*": {"3", "1"}, `"a day"`: {"1"}, `"day a"`: nil, `"an ap"*`: {"1"}, "apple day": {"1"}, "kiwi": {"2"}, "12": {"4"}, `"unclosed apple`: nil,
		"apple OR kiwi": nil, "title:apple": nil, `-apple`: {"3", "1"}, `app* "`: {"3", "1"}, "birne\u00a0apfel": {"2"},
	} {
		if got, _ := searchFor(t, db, "t", Selection{Search: Search{Text: search}}); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", search, got, want)
		}
	}
	for search, want := range map[string][]string{"apple OR kiwi": {"2", "3", "1"}, "title:apple": {"3"}, "apple NOT red": {"3"}, "NEAR(an day, 3)": {"1"}} {
		got, _ := searchFor(t, db, "t", Selection{Search: Search{Text: search, FTS5: true}})
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%q: %v, want %v", search, got, want)
		}
	}
	// A search goes with filters, sorts and columns.
	got, page := searchFor(t, db, "t", Selection{Search: Search{Text: "apple"}, Sort: "n", Filters: jsontext.Value(`[{"column":"n","op":"<","value":9}]`), Columns: []string{"n", "body"}})
	if !slices.Equal(got, []string{"1", "3"}) || page.Found[0].Rank != nil {
		t.Errorf("sorted: %v %v", got, page.Found)
	}
	if show := fmt.Sprint(page.Found[0].Snippets); show != "map[body:{An apple a day [[3 5]]}]" {
		t.Errorf("snippets: %s", show)
	}
	_, page = searchFor(t, db, "t", Selection{Search: Search{Text: "apfel"}})
	if show := fmt.Sprint(page.Found[0].Snippets); show != `map[body:{<b>Apfel</b> & "Birne" [[3 5]]} title:{Grüne Äpfel [[6 5]]}]` || *page.Found[0].Rank >= 0 {
		t.Errorf("snippets: %s", show)
	}
	// Pages in the order of the rank add up.
	first, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Search: Search{Text: "apple"}, Limit: 1}})
	if err != nil || !first.HasMore {
		t.Fatal(first.HasMore, err)
	}
	second, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Search: Search{Text: "apple"}, Limit: 1}, After: first.NextCursor})
	if err != nil || second.Len() != 1 || second.HasMore || asJSON(second.Batch.Value(second.Batch.Row(0)[0])) != "1" {
		t.Errorf("the second page: %v", err)
	}
	for _, test := range []struct {
		o    ListOptions
		want string
	}{
		{ListOptions{Selection: Selection{Search: Search{Text: "kiwi"}}, After: first.NextCursor}, "validation_failed after"},
		{ListOptions{Selection: Selection{Search: Search{Text: "kiwi"}}, Position: ptr(int64(0))}, "validation_failed position"},
		{ListOptions{Selection: Selection{Search: Search{Text: strings.Repeat("a ", 33)}}}, "validation_failed search"},
		{ListOptions{Selection: Selection{Search: Search{Text: strings.Repeat("a ", 32)}}}, "ok"},
		{ListOptions{Selection: Selection{Search: Search{Text: strings.Repeat("a", 1025)}}}, "validation_failed search"},
		{ListOptions{Selection: Selection{Search: Search{Text: ` "" * `}}}, "validation_failed search"},
		{ListOptions{Selection: Selection{Search: Search{Text: "a\x00b"}}}, "validation_failed search"},
	} {
		test.o.Limit = 10
		_, err := db.ListRecords(ctx, new(problem.Faults), "t", test.o)
		if got := complaint(err); got != test.want {
			t.Errorf("%+v: %s, want %s (%v)", test.o, got, test.want, err)
		}
	}
	for _, expression := range []string{`"`, "AND", "*", "*reads", "nowhere:apple", "apple AND", "(", "NEAR(", "^", "a:b:c", strings.Repeat("(", 1000), "'; DROP TABLE t; --", "{title", "- apple"} {
		_, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Search: Search{Text: expression, FTS5: true}, Limit: 1}})
		if got := complaint(err); got != "validation_failed search" {
			t.Errorf("%.20q: %s (%v)", expression, got, err)
		}
	}
	intact(t, db)
}

func TestSearchIndexesOfParts(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT) STRICT")
	put(t, db, "t", `{"k":"a","v":"Schifffahrt"}`, `{"k":"b,c","v":"100 %"}`)
	searchable(t, db, "t", NewSearchIndex{Columns: []string{"v"}, Tokenizer: "trigram"})
	if got, page := searchFor(t, db, "t", Selection{Search: Search{Text: "FFF"}}); !slices.Equal(got, []string{`"a"`}) || fmt.Sprint(page.Found[0].Snippets) != "map[v:{Schifffahrt [[4 3]]}]" {
		t.Error(got, page.Found)
	}
	_, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Search: Search{Text: "100 %"}, Limit: 1}})
	if got := complaint(err); got != "validation_failed search" {
		t.Error(got, err)
	}
}

func TestSearchIndexFaults(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, b BLOB, rank TEXT) STRICT")
	define(t, db, "w", "CREATE TABLE w (k TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")
	for _, test := range []struct {
		table string
		n     NewSearchIndex
		want  string
	}{
		{"t", NewSearchIndex{}, "validation_failed columns"},
		{"t", NewSearchIndex{Columns: []string{"b", "rank", "nowhere", "s", "S"}, Tokenizer: "porter"}, "validation_failed tokenizer columns[0] columns[1] columns[2] columns[4]"},
		{"w", NewSearchIndex{Columns: []string{"k"}}, "validation_failed table"},
		{"nowhere", NewSearchIndex{Columns: []string{"k"}}, "not_found"},
	} {
		var faults problem.Faults
		err := db.Change(ctx, &faults, SchemaTransaction, func(tx *Tx) error {
			_, err := tx.CreateSearchIndex(&faults, test.table, test.n)
			return err
		})
		if got := complaint(err); got != test.want {
			t.Errorf("%+v: %s, want %s (%v)", test.n, got, test.want, err)
		}
	}
	_, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Search: Search{Text: "x"}, Limit: 1}})
	if got := complaint(err); got != "validation_failed search" {
		t.Errorf("without an index: %s (%v)", got, err)
	}
	if _, err := db.DropSearchIndex(ctx, "t"); complaint(err) != "not_found" {
		t.Error(err)
	}
}

// Whatever happens to rows and schema, the index holds what the table does.
func TestSearchIndexesFollowTheirTables(t *testing.T) {
	testkit.Checks(t, 25)
	db, whole := openProject(t), t
	rapid.Check(t, func(t *rapid.T) {
		define(whole, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT COLLATE NOCASE, other TEXT, parent INTEGER REFERENCES t (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED) STRICT")
		searchable(whole, db, "t", NewSearchIndex{Columns: []string{"other", "s"}})
		do := func(err error) {
			if err != nil && !problem.Is(err, problem.CodeConflict) && !problem.Is(err, problem.CodeValidationFailed) && !problem.Is(err, problem.CodeNotFound) {
				t.Fatal(err)
			}
		}
		table, column := "t", "s"
		words := rapid.SampledFrom([]string{`"one two"`, `"two"`, `"Öne"`, `null`, `""`, `"three one"`})
		id := rapid.IntRange(1, 8)
		for range 25 {
			faults := new(problem.Faults)
			row := fmt.Sprintf(`{"id":%d,%q:%s,"parent":%d}`, id.Draw(t, "id"), column, words.Draw(t, "words"), id.Draw(t, "parent"))
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0, 1:
				_, err := db.InsertRecord(ctx, faults, table, jsontext.Value(row), InsertOptions{})
				do(err)
			case 2, 3:
				_, err := db.InsertRecords(ctx, faults, table, jsontext.Value("["+row+"]"), InsertOptions{OnConflict: &OnConflict{Columns: []string{"id"}, Update: true}})
				do(err)
			case 4:
				_, err := db.UpdateRecord(ctx, faults, table, itoa(id.Draw(t, "changed")), jsontext.Value(row))
				do(err)
			case 5: // children go with it
				_, err := db.DeleteRecord(ctx, table, itoa(id.Draw(t, "deleted")))
				do(err)
			case 6:
				_, err := db.UpdateRecords(ctx, faults, table, jsontext.Value(fmt.Sprintf(`{%q:%s}`, column, words.Draw(t, "new"))), Match{Filters: jsontext.Value(`[{"column":"id","op":"<","value":4}]`)})
				do(err)
			case 7:
				next := rapid.SampledFrom([]string{"t", "u", "T"}).Draw(t, "table")
				_, err := db.UpdateTable(ctx, faults, table, TablePatch{NewName: &next})
				if do(err); err == nil {
					table = next
				}
			case 8:
				next := rapid.SampledFrom([]string{"s", "v"}).Draw(t, "column")
				_, _, err := db.UpdateColumn(ctx, faults, table, column, ColumnPatch{NewName: &next})
				if do(err); err == nil {
					column = next
				}
			case 9:
				unique := rapid.Bool().Draw(t, "not null")
				_, _, err := db.UpdateColumn(ctx, faults, table, "other", ColumnPatch{NotNull: &unique})
				do(err)
			case 10:
				_, _, err := db.AddColumn(ctx, faults, table, NewColumn{Name: "more", Unique: true})
				do(err)
			case 11:
				_, err := db.DeleteColumn(ctx, faults, table, "more")
				do(err)
			}
			intact(t, db)
		}
		got, _ := searchFor(t, db, table, Selection{Search: Search{Text: "one"}, Sort: "id"})
		var want []string
		page, err := db.ListRecords(ctx, new(problem.Faults), table, ListOptions{Selection: Selection{Limit: 100, Filters: jsontext.Value(`[{"column":"` + column + `","op":"contains","value":"one","fold":true}]`)}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Len() {
			want = append(want, asJSON(page.Batch.Value(page.Batch.Row(i)[0])))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
		if _, err := db.DeleteTable(ctx, table); err != nil {
			t.Fatal(err)
		}
		if left, err := count(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%search~_%~_%' ESCAPE '~' OR name LIKE '%~_search~_%' ESCAPE '~' AND name <> '_search_indexes'"); left != 0 || err != nil {
			t.Fatalf("%d objects are left (%v)", left, err)
		}
		if left, err := count(db, "SELECT count(*) FROM _search_indexes"); left != 0 || err != nil {
			t.Fatalf("%d definitions are left (%v)", left, err)
		}
	})
}

func count(db *DB, query string) (n int64, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		n, err = tx.c.Int(query)
		return err
	})
	return n, err
}

// Files of a project have no trace of its search indexes.
func TestFilesHaveNoSearchIndexes(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (s TEXT) STRICT")
	put(t, db, "t", `{"s":"one"}`)
	searchable(t, db, "t", NewSearchIndex{Columns: []string{"s"}})
	s, err := db.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	if err := s.WriteFile(ctx, filepath.Join(dir, "draft.db"), path); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := ask(t, c, "SELECT group_concat(name) FROM sqlite_schema"); got != "'t'" {
		t.Errorf("the file has %s", got)
	}
	if !IsOwnTable("_search_1_data") || IsOwnTable("search_1") {
		t.Error("the tables of search indexes are the server's own")
	}
}
