package ingest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/zangtable/zangtable/internal/format"
)

// TestTablesOfAZIPFileHaveDialectsOfTheirOwn reads members as they were written.
func TestTablesOfAZIPFileHaveDialectsOfTheirOwn(t *testing.T) {
	path := write(t, "x.zip", zipped(t, "a.csv", "id;note\n1;NULL\n2;\n", "b.csv", "1|=x\n2|'=y\n", "c.csv", "id;note\n3;NULL\n"))
	o := Options{
		Target: Target{CSV: &format.ReadDialect{Delimiter: ';', NullText: "NULL"}},
		Tables: map[string]Target{"B": {
			CSV:     &format.ReadDialect{Delimiter: '|', Header: format.WithoutHeader, FormulaGuard: true},
			Columns: map[string]string{"column_1": "id", "column_2": "note"},
			Types:   map[string]string{"column_1": "TEXT"},
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

// sheetsOf makes a workbook of sheets of text and numbers.
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

// TestSeveralTablesBecomeOne appends one sheet to the new table of another, with
// types that the rows of both fit.
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
			source, err := Open(t.Context(), Opening{Path: path})
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

// TestFaultsOfJoinedTables are told under the names of the options.
func TestFaultsOfJoinedTables(t *testing.T) {
	path := write(t, "x.zip", zipped(t, "x.csv", "a\n1\n", "y.csv", "b\n2\n"))
	for _, test := range []struct {
		tables map[string]Target
		want   string
	}{
		{map[string]Target{"y": {Mode: Append, Table: "x"}}, "tables.y.columns.b: The table x has no column b"},
		{map[string]Target{"x": {Skip: []string{"a"}}, "y": {Mode: Append, Table: "x"}}, "tables.x.skip: No column"},
		{map[string]Target{"y": {Mode: Replace, Table: "x"}}, "tables.y.table: The project has no table x"},
		{map[string]Target{"x": {Mode: Append, Table: "y"}, "y": {Mode: Append, Table: "x"}}, "tables.x.table: The project has no table y"},
	} {
		p := newProject(t)
		_, err := p.take(path, Options{Tables: test.tables})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %s", test.tables, err, test.want)
		}
	}
}
