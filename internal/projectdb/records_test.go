package projectdb

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// openProject creates a project with the given tables and opens it.
func openProject(t testing.TB, tables ...NewTable) *DB {
	t.Helper()
	return openWith(t, DirOptions{}, tables...)
}

// contacts is a table with a column of every type.
var contacts = NewTable{Name: "contacts", Columns: []NewColumn{
	{Name: "email", Unique: true, NotNull: true},
	{Name: "age", Type: "INTEGER"},
	{Name: "score", Type: "REAL"},
	{Name: "photo", Type: "BLOB"},
	{Name: "extra", Type: "ANY"},
}}

// text returns rows as JSON, one object per line.
func text(r Rows) string {
	var lines []string
	for i := range r.Batch.Rows {
		var b []byte
		for j, cell := range r.Batch.Row(i)[:len(r.Columns)] {
			b = append(b, ' ')
			b = append(b, r.Columns[j].Name+"="...)
			b = format.AppendValue(b, r.Batch, cell, format.JSONOptions{})
		}
		lines = append(lines, strings.TrimSpace(string(b)))
	}
	return strings.Join(lines, "\n")
}

func insert(t *testing.T, db *DB, rows ...string) {
	t.Helper()
	for _, row := range rows {
		if _, err := db.InsertRecord(context.Background(), new(problem.Faults), "contacts", jsontext.Value(row), InsertOptions{}); err != nil {
			t.Fatalf("insert %s: %v", row, err)
		}
	}
}

func TestInsertRecordStoresValuesByColumnType(t *testing.T) {
	db := openProject(t, contacts)
	for _, test := range []struct{ row, want string }{
		{`{"email":"a","age":9223372036854775807,"score":1,"photo":"AP8=","extra":"x"}`,
			`id=1 email="a" age=9223372036854775807 score=1.0 photo="AP8=" extra="x"`},
		{`{"email":"b","age":5.0,"score":"2.5","extra":1.0}`,
			`id=2 email="b" age=5 score=2.5 photo=null extra=1.0`},
		{`{"email":7,"age":" 42 ","extra":true}`,
			`id=3 email="7" age=42 score=null photo=null extra=1`},
		{`{"EMAIL":"","age":null,"id":null}`,
			`id=4 email="" age=null score=null photo=null extra=null`},
		{`{"email":"z","id":-9223372036854775808,"score":-0}`,
			`id=-9223372036854775808 email="z" age=null score=0.0 photo=null extra=null`},
	} {
		done, err := db.InsertRecord(context.Background(), new(problem.Faults), "contacts", jsontext.Value(test.row), InsertOptions{})
		if err != nil {
			t.Errorf("insert %s: %v", test.row, err)
			continue
		}
		if got := text(done.Rows); got != test.want {
			t.Errorf("insert %s\n got %s\nwant %s", test.row, got, test.want)
		}
	}
}

func TestInsertRecordTellsEveryFaultAtOnce(t *testing.T) {
	db := openProject(t, contacts)
	row := `{"age":"abc","score":[1],"photo":"%","nmae":1,"extra":99999999999999999999,"id":0.5}`
	_, err := db.InsertRecord(context.Background(), new(problem.Faults), "contacts", jsontext.Value(row), InsertOptions{})
	var fields []string
	for _, d := range problem.From(err).Details {
		fields = append(fields, d.Field)
	}
	want := []string{"age", "score", "photo", "nmae", "extra", "id", "email"}
	if diff := cmp.Diff(want, fields); diff != "" || !problem.Is(err, problem.CodeValidationFailed) {
		t.Errorf("faults of %s (-want +got):\n%s\n%v", row, diff, err)
	}
}

func TestInsertRecordUniqueValueTaken(t *testing.T) {
	db := openProject(t, contacts)
	insert(t, db, `{"email":"a"}`)
	_, err := db.InsertRecord(context.Background(), new(problem.Faults), "contacts", jsontext.Value(`{"email":"a"}`), InsertOptions{})
	if !problem.Is(err, problem.CodeConflict) || len(problem.From(err).Details) != 1 || problem.From(err).Details[0].Field != "email" {
		t.Errorf("got %v, want a conflict about email", err)
	}
}

func TestListRecords(t *testing.T) {
	db := openProject(t, contacts)
	insert(t, db, `{"email":"a","age":30}`, `{"email":"b","age":20}`, `{"email":"c"}`, `{"email":"d","age":20,"score":0.5}`)
	for _, test := range []struct {
		name string
		s    Selection
		want string // emails
		more bool
	}{
		{"default order", Selection{Limit: 10}, "a b c d", false},
		{"limit", Selection{Limit: 2}, "a b", true},
		{"exact limit", Selection{Limit: 4}, "a b c d", false},
		{"offset", Selection{Limit: 2, Offset: 2}, "c d", false},
		{"sort", Selection{Limit: 10, Sort: "age"}, "c b d a", false},
		{"sort descending, nulls first", Selection{Limit: 10, Sort: "AGE.nullsfirst", Descending: true}, "c a d b", false},
		{"sort ascending, nulls last", Selection{Limit: 10, Sort: "age.nullslast"}, "b d a c", false},
		{"several sorts", Selection{Limit: 10, Sort: " -age.nullsfirst , -email"}, "c a d b", false},
		{"sort descending", Selection{Limit: 10, Sort: "AGE", Descending: true}, "a d b c", false},
		{"object", Selection{Limit: 10, Filters: jsontext.Value(`{"age":20}`)}, "b d", false},
		{"object of two", Selection{Limit: 10, Filters: jsontext.Value(`{"age":20,"score":0.5}`)}, "d", false},
		{"null in the object", Selection{Limit: 10, Filters: jsontext.Value(`{"age":null}`)}, "c", false},
		{"text for a number", Selection{Limit: 10, Filters: jsontext.Value(`{"age":"20"}`)}, "b d", false},
		{"not equal", Selection{Limit: 10, Filters: jsontext.Value(`[{"column":"age","op":"!=","value":20}]`)}, "a", false},
		{"range", Selection{Limit: 10, Filters: jsontext.Value(`[{"column":"age","op":">=","value":20},{"column":"age","op":"<","value":30}]`)}, "b d", false},
		{"like", Selection{Limit: 10, Filters: jsontext.Value(`[{"column":"email","op":"like","value":"A%"}]`)}, "a", false},
		{"in", Selection{Limit: 10, Filters: jsontext.Value(`[{"column":"email","op":"in","value":["a","d","x"]}]`)}, "a d", false},
		{"in nothing", Selection{Limit: 10, Filters: jsontext.Value(`[{"column":"email","op":"in","value":[]}]`)}, "", false},
		{"not null", Selection{Limit: 10, Filters: jsontext.Value(`[{"column":"score","op":"not_null"}]`)}, "d", false},
		{"or", Selection{Limit: 10, Filters: jsontext.Value(`[{"or":[{"column":"email","value":"a"},{"column":"age","op":"is_null"}]},{"column":"id","op":">","value":1}]`)}, "c", false},
		{"no conditions", Selection{Limit: 10, Filters: jsontext.Value(`[]`)}, "a b c d", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.s.Columns = []string{"email"}
			page, err := db.ListRecords(context.Background(), new(problem.Faults), "contacts", ListOptions{Selection: test.s, Count: true})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.NewReplacer("email=", "", `"`, "", "\n", " ").Replace(text(page.Rows))
			if got != test.want || page.HasMore != test.more {
				t.Errorf("got %q, more %v; want %q, more %v", got, page.HasMore, test.want, test.more)
			}
		})
	}
}

func TestListRecordsFaults(t *testing.T) {
	db := openProject(t, contacts)
	for _, test := range []struct {
		s    Selection
		want []string
	}{
		{Selection{Columns: []string{"email", "nope", "Email"}, Sort: "x", Filters: jsontext.Value(`{"y":1}`)}, []string{"columns[1]", "columns[2]", "filters.y", "sort"}},
		{Selection{Filters: jsontext.Value(`[{"column":"age","op":"~","value":1},{"op":"="},{"column":"age","op":"in","value":1},{"column":"zz","value":1}]`)},
			[]string{"filters[0].op", "filters[1].column", "filters[2].value", "filters[3].column"}},
		{Selection{Filters: jsontext.Value(`[{"column":"age","op":"="}]`)}, []string{"filters[0].value"}},
		{Selection{Filters: jsontext.Value(`[{"column":"age","op":"=","value":null}]`)}, []string{"filters[0].value"}},
		{Selection{Filters: jsontext.Value(`[{"or":[1]}]`)}, []string{"filters[0].or[0]"}},
		{Selection{Filters: jsontext.Value(`[{"colum":"age","value":1}]`)}, []string{"filters[0].colum", "filters[0].column"}},
		{Selection{Sort: "age,zz"}, []string{"sort"}},
		{Selection{Sort: "age,-age"}, []string{"sort"}},
		{Selection{Sort: "age,"}, []string{"sort"}},
		{Selection{Sort: "age.nullssecond"}, []string{"sort"}},
		{Selection{Sort: "--age"}, []string{"sort"}},
		{Selection{Sort: "-age", Descending: true}, []string{"order"}},
		{Selection{Sort: "age,email", Descending: true}, []string{"order"}},
		{Selection{Sort: strings.Repeat("age,", 5000)}, []string{"sort"}},
		{Selection{Filters: jsontext.Value(`"age"`)}, []string{"filters"}},
		{Selection{Filters: jsontext.Value(`{"photo":"%"}`)}, []string{"filters.photo"}},
	} {
		test.s.Limit = 10
		_, err := db.ListRecords(context.Background(), new(problem.Faults), "contacts", ListOptions{Selection: test.s})
		var fields []string
		for _, d := range problem.From(err).Details {
			fields = append(fields, d.Field)
		}
		if diff := cmp.Diff(test.want, fields); diff != "" {
			t.Errorf("faults of %s (-want +got):\n%s\n%v", test.s.Filters, diff, err)
		}
	}
}

func TestGetRecord(t *testing.T) {
	db := openProject(t, contacts, NewTable{Name: "parts", Columns: []NewColumn{
		{Name: "maker", Primary: true}, {Name: "number", Type: "INTEGER", Primary: true}, {Name: "title"},
	}})
	insert(t, db, `{"email":"a"}`)
	ctx := context.Background()
	if _, err := db.InsertRecord(ctx, new(problem.Faults), "parts", jsontext.Value(`{"maker":"x,y/z","number":7,"title":"bolt"}`), InsertOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ table, id, want string }{
		{"contacts", "1", `id=1 email="a" age=null score=null photo=null extra=null`},
		{"CONTACTS", "01", `id=1 email="a" age=null score=null photo=null extra=null`},
		{"contacts", "2", ""},
		{"contacts", "abc", ""},
		{"contacts", "1,1", ""},
		{"contacts", "99999999999999999999", ""},
		{"parts", "x%2Cy%2Fz,7", `maker="x,y/z" number=7 title="bolt"`},
		{"parts", "x,y/z,7", ""},
		{"parts", "%zz,7", ""},
	} {
		rows, err := db.GetRecord(ctx, new(problem.Faults), test.table, test.id, Selection{})
		switch {
		case test.want == "" && !problem.Is(err, problem.CodeNotFound):
			t.Errorf("%s/%s: got %v, want not_found", test.table, test.id, err)
		case test.want != "" && err != nil:
			t.Errorf("%s/%s: %v", test.table, test.id, err)
		case test.want != "" && text(rows) != test.want:
			t.Errorf("%s/%s: got %s, want %s", test.table, test.id, text(rows), test.want)
		}
	}
}

func TestTablesAreFoundByIDAndName(t *testing.T) {
	db := openProject(t, contacts)
	for _, ref := range []string{"contacts", "Contacts", "1"} {
		table, err := db.Table(context.Background(), ref)
		if err != nil || table.Name != "contacts" || table.ID != 1 || len(table.Columns) != 6 || table.Columns[5].ID != 6 {
			t.Errorf("table %q: got %+v, %v", ref, table, err)
		}
	}
	for _, ref := range []string{"2", "", "_tables", "sqlite_schema", "_project"} {
		if _, err := db.Table(context.Background(), ref); !problem.Is(err, problem.CodeNotFound) {
			t.Errorf("table %q: got %v, want not_found", ref, err)
		}
	}
}

func TestCreateTableTellsEveryFaultAtOnce(t *testing.T) {
	db := openProject(t)
	_, err := db.CreateTable(context.Background(), new(problem.Faults), NewTable{Name: "1x", Columns: []NewColumn{
		{Name: "a"}, {Name: "A"}, {Name: "sqlite_x", Type: "VARCHAR"}, {Name: "_p"}, {Name: strings.Repeat("n", 64)}, {Name: "id"},
	}})
	var fields []string
	for _, d := range problem.From(err).Details {
		fields = append(fields, d.Field)
	}
	want := []string{"table_name", "columns[1].column_name", "columns[2].column_name", "columns[2].column_type", "columns[3].column_name", "columns[4].column_name", "columns"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestCreateTableNameTaken(t *testing.T) {
	db := openProject(t, contacts)
	_, err := db.CreateTable(context.Background(), new(problem.Faults), NewTable{Name: "Contacts"})
	if !problem.Is(err, problem.CodeConflict) {
		t.Errorf("got %v, want conflict", err)
	}
}

func TestSnapshotStaysWhileOthersWrite(t *testing.T) {
	db := openProject(t, contacts)
	insert(t, db, `{"email":"a"}`, `{"email":"b"}`)
	snapshot, err := db.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	for i := range 300 {
		insert(t, db, fmt.Sprintf(`{"email":"new%d"}`, i))
	}
	table, err := snapshot.Table("contacts")
	if err != nil {
		t.Fatal(err)
	}
	scan, err := snapshot.Scan(table, Selection{Columns: []string{"email"}})
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	var b sqlite.Batch
	rows := 0
	for {
		more, err := scan.Next(&b)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		rows += b.Rows
	}
	total, err := snapshot.Count(table, Selection{})
	if rows != 2 || total != 2 || err != nil {
		t.Errorf("got %d rows of %d, %v; want 2 of 2", rows, total, err)
	}
	later, err := db.Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	if later.ID.Commit != snapshot.ID.Commit+300 {
		t.Errorf("commit counter went from %d to %d, want 300 more", snapshot.ID.Commit, later.ID.Commit)
	}
}
