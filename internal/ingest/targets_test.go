package ingest

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/source"
)

// TestTablesOfAZIPFileHaveDialectsOfTheirOwn reads each member in the dialect it was
// written in.
func TestTablesOfAZIPFileHaveDialectsOfTheirOwn(t *testing.T) {
	path := write(t, "x.zip", zipped(t, "a.csv", "id;note\n1;NULL\n2;\n", "b.csv", "1|=x\n2|'=y\n", "c.csv", "id;note\n3;NULL\n"))
	o := Options{
		Target: Target{ReadOptions: format.ReadOptions{Delimiter: ";", NullText: new("NULL")}},
		Tables: map[string]Target{"B": {
			ReadOptions: format.ReadOptions{Delimiter: "|", Header: new(false), FormulaGuard: new(true)},
			Columns:     map[string]string{"column_1": "id", "column_2": "note"},
			Types:       map[string]string{"column_1": "TEXT"},
		}},
	}
	p := newProject(t)
	if _, err := p.take(path, o); err != nil {
		t.Fatal(err)
	}
	got := shell(t, p.path, ".nullvalue NULL\nSELECT * FROM a;\nSELECT typeof(id), id, note FROM b;\nSELECT * FROM c;\n")
	if diff := cmp.Diff("1|NULL\n2|\ntext|1|=x\ntext|2|=y\n3|NULL\n", got); diff != "" {
		t.Error(diff)
	}
}

// sheetsOf writes a workbook whose sheets hold text and numbers.
func sheetsOf(t *testing.T, sheets map[string][][]any) string {
	t.Helper()
	book := excelize.NewFile()
	defer book.Close()
	for _, name := range []string{"Data", "Data 2", "Other"} {
		if _, err := book.NewSheet(name); err != nil {
			t.Fatal(err)
		}
		for i, row := range sheets[name] {
			cell, err := excelize.CoordinatesToCellName(1, i+1)
			if err == nil {
				err = book.SetSheetRow(name, cell, &row)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := book.DeleteSheet("Sheet1"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "book.xlsx")
	if err := book.SaveAs(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSeveralTablesBecomeOne appends one sheet to the new table of another, with types
// that fit the rows of both.
func TestSeveralTablesBecomeOne(t *testing.T) {
	path := sheetsOf(t, map[string][][]any{
		"Data":   {{"id", "size", "note"}, {1, 1, "x"}, {2, 2, nil}},
		"Data 2": {{"note", "ID", "size"}, {7, 3, 2.5}},
		"Other":  {{"size", "id", "more"}, {9, 4, "left out"}},
	})
	for name, o := range map[string]Options{
		"by the name in the file": {Tables: map[string]Target{
			"Data 2": {Mode: Append, Table: "data"}, "Other": {Mode: Append, Table: "Data", Skip: []string{"more"}},
		}},
		"by the name that it gets": {Tables: map[string]Target{
			"Data": {Table: "all_of_them"}, "Data 2": {Mode: Append, Table: "all_of_them"},
			"Other": {Mode: Append, Table: "all_of_them", Skip: []string{"more"}},
		}},
		"into a later one": {Tables: map[string]Target{
			"Data": {Mode: Append, Table: "all_of_them"}, "Data 2": {Table: "all_of_them"},
			"Other": {Mode: Append, Table: "all_of_them", Skip: []string{"more"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			source, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			preview, err := source.Preview(t.Context(), p.DB, o)
			if err != nil || len(preview.Tables) != 3 || preview.RejectedRows != 0 {
				t.Fatalf("the preview is %+v, %v", preview, err)
			}
			report, err := source.Load(t.Context(), p.DB, o)
			if err != nil {
				t.Fatal(err)
			}
			table := report.Tables[0].Name
			got := shell(t, p.path, ".nullvalue NULL\nSELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '_*' AND name NOT GLOB 'sqlite*';\nSELECT id, size, typeof(size), note, typeof(note) FROM "+table+" ORDER BY id;\n")
			want := "1\n1|1.0|real|x|text\n2|2.0|real|NULL|null\n3|2.5|real|7|integer\n4|9.0|real|NULL|null\n"
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMembersBecomeOneTable(t *testing.T) {
	path := write(t, "x.zip", zipped(t, "x.csv", "a,d\n1,31.1.2024\n2,1.2.2024\n", "y.csv", "d,a\n2.2.2024,007\n"))
	p := newProject(t)
	_, err := p.take(path, Options{Target: Target{Dates: true}, Tables: map[string]Target{"y": {Mode: Append, Table: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := shell(t, p.path, "SELECT a, typeof(a), d FROM x;\n"); got != "1|text|2024-01-31\n2|text|2024-02-01\n007|text|2024-02-02\n" {
		t.Error(got)
	}
}

func TestTablesOfADatabaseBecomeOne(t *testing.T) {
	p := newProject(t)
	path := database(t, "CREATE TABLE y2023 (id INTEGER, v TEXT); CREATE TABLE y2024 (id INTEGER, v TEXT); INSERT INTO y2023 VALUES (1, 'a'); INSERT INTO y2024 VALUES (2, 'b');")
	if _, err := p.take(path, Options{Tables: map[string]Target{"y2023": {Table: "years"}, "y2024": {Mode: Append, Table: "years"}}}); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, p.path, "SELECT * FROM years;\n"); got != "1|a\n2|b\n" {
		t.Error(got)
	}
}

// TestFaultsOfJoinedTables checks that faults name the option they come from.
func TestFaultsOfJoinedTables(t *testing.T) {
	path := write(t, "x.zip", zipped(t, "x.csv", "a\n1\n", "y.csv", "b\n2\n"))
	for _, test := range []struct {
		tables map[string]Target
		want   string
	}{
		{map[string]Target{"y": {Mode: Append, Table: "x"}}, "tables.y.columns.b: There is no column \"b\" in the table x"},
		{map[string]Target{"x": {Skip: []string{"a"}}, "y": {Mode: Append, Table: "x"}}, "tables.x.skip: Every column"},
		{map[string]Target{"y": {Mode: Replace, Table: "x"}}, "tables.y.table: There is no table \"x\" in the project"},
		{map[string]Target{"x": {Mode: Append, Table: "y"}, "y": {Mode: Append, Table: "x"}}, "tables.x.table: There is no table \"y\" in the project"},
	} {
		p := newProject(t)
		_, err := p.take(path, Options{Tables: test.tables})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %s", test.tables, err, test.want)
		}
	}
}

// TestTablesWithoutRows imports tables as far as anything is known about them.
func TestTablesWithoutRows(t *testing.T) {
	told := map[string]string{"column_2": "REAL", "column_10": "TEXT"}
	for _, test := range []struct {
		name, file, content string
		options             Options
		want                string // columns of table x, or the end of the error
	}{
		{"NDJSON, not told", "x.ndjson", "", Options{}, "The file is empty."},
		{"NDJSON, told", "x.ndjson", "", Options{Target: Target{Types: told}}, "column_2 REAL, column_10 TEXT"},
		{"a CSV without a header, told", "x.csv", "\ufeff", Options{Target: Target{
			Types: told, Columns: map[string]string{"column_2": "b"}, ReadOptions: format.ReadOptions{Header: new(false)},
		}}, "b REAL, column_10 TEXT"},
		{"a CSV that lost its header", "x.csv", "", Options{Target: Target{Types: told, ReadOptions: format.ReadOptions{Header: new(true)}}}, "the columns of the table are unknown: set types."},
		{"JSON, not told", "x.json", "[ ]", Options{}, "the columns of the table are unknown: set types."},
		{"JSON, told", "x.json", "[\n]\n", Options{Target: Target{Types: told}}, "column_2 REAL, column_10 TEXT"},
		{"no kind", "x", "", Options{Target: Target{Types: told}}, "The file is empty."},
		{"a column that is only NULL", "x.csv", "\n\n", Options{Target: Target{Types: map[string]string{"column_1": "REAL"}, ReadOptions: format.ReadOptions{Header: new(false)}}}, "column_1 REAL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			report, err := newProject(t).take(write(t, test.file, test.content), test.options)
			if err != nil {
				var known *problem.Error
				if !errors.As(err, &known) || !strings.HasSuffix(known.Message, test.want) {
					t.Error(err)
				}
				return
			}
			if got := types(report); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestMembersWithoutRows checks that empty members do not affect the others, and empty a
// table if asked to.
func TestMembersWithoutRows(t *testing.T) {
	path := write(t, "x.zip", zipped(t, "a.ndjson", "", "b.csv", "n\n1\n", "c.json", "[]", "d.csv", "", "e.ndjson", "", "f.dat", "", "people.json", "[]"))
	p := newProject(t)
	p.mustTake(t, database(t, "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO people VALUES (1, 'Ada'), (2, 'Bob');"))
	report, err := p.take(path, Options{Tables: map[string]Target{
		"a": {Types: map[string]string{"z": "TEXT", "id": "INTEGER"}}, "people": {Mode: Replace}, "e": {Mode: Append, Table: "b"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"member f.dat: It is empty and was not imported.",
		"table c: It has no rows, so its columns are unknown and no table was created. Set types to create it.",
		"table d: It has no rows, so its columns are unknown and no table was created. Set types to create it.",
	}
	if diff := cmp.Diff(want, texts(report.Notes)); diff != "" {
		t.Error(diff)
	}
	got := shell(t, p.path, "SELECT name, type FROM pragma_table_info('a');\nSELECT (SELECT count(*) FROM b), (SELECT count(*) FROM people);\n")
	if want := "id|INTEGER\nz|TEXT\n1|0\n"; got != want {
		t.Errorf("got %s", got)
	}
	_, err = p.take(write(t, "people.json", ""), Options{Target: Target{Mode: Replace}})
	if err == nil || !strings.Contains(err.Error(), "The file is empty.") {
		t.Errorf("an empty file in the place of a table: %v", err)
	}
}

// TestReach checks which tables would be written to, without reading a row.
func TestReach(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.mustTake(t, database(t, people))
	for _, test := range []struct {
		name, content string
		options       Options
		into          string
		others        bool
	}{
		{"x.csv", "id,name\n", Options{}, "", true},
		{"x.csv", "id,name\nthe quotes \"are\",\"wrong", Options{Target: Target{Table: "PERSON", Mode: Append}}, "person", false},
		{"x.zip", zipped(t, "person.csv", "id,name\n", "team.csv", "id,name\n", "x.csv", "id\n"), Options{Target: Target{Mode: Replace}, Tables: map[string]Target{"x": {Mode: Create}}}, "person team", true},
		{"x.zip", zipped(t, "x.csv", "id\n1\n", "y.csv", "id\n1\n"), Options{Tables: map[string]Target{"y": {Mode: Append, Table: "x"}}}, "", true},
		{"x.sql", "CREATE TABLE person (id); CREATE TABLE z (id);", Options{Tables: map[string]Target{"z": {Mode: Upsert, Table: "team"}, "person": {Mode: Update}}}, "person team", false},
		{"x.sql", "CREATE TABLE person (id); CREATE TABLE z (id);", Options{Include: []string{"z"}}, "", true},
	} {
		s, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, test.name, test.content)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		into, others, err := s.Reach(t.Context(), p.DB, test.options)
		var names []string
		for _, table := range into {
			names = append(names, table.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != test.into || others != test.others {
			t.Errorf("%s: %s, %t, %v; want %s, %t", test.content, got, others, err, test.into, test.others)
		}
	}
}
