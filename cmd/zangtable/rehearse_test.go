package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/testkit"
)

// rehearsed is the API's answer to a rehearsal.
type rehearsed struct {
	Restorable bool
	Tables     []struct {
		Name         string
		RowCount     int    `json:"row_count"`
		RowsExpected int    `json:"rows_expected"`
		ContentHash  string `json:"content_hash"`
		ContentEqual bool   `json:"content_equal"`
		ColumnsEqual bool   `json:"columns_equal"`
		SchemaEqual  *bool  `json:"schema_equal"`
	}
	RowCount int `json:"row_count"`
	Faults   []string
}

// rehearse creates an export over HTTP and has it restored.
func (x *proof) rehearse(t *testing.T, target string, order map[string]any) (proven, rehearsed) {
	t.Helper()
	m, _ := x.export(t, target, order)
	var got struct{ Rehearsal rehearsed }
	if err := x.server.call(t.Context(), "POST", x.server.path("/exports/"+m.ID+"/rehearse-restore"), nil, &got); err != nil {
		t.Fatalf("%s, %v: %v", target, order, err)
	}
	return m, got.Rehearsal
}

// mustRestore rehearses an export, and requires every table to come back as the shell
// reads it from the project.
func (x *proof) mustRestore(t *testing.T, target string, order map[string]any) {
	t.Helper()
	m, r := x.rehearse(t, target, order)
	if !r.Restorable || len(r.Faults) > 0 || len(r.Tables) != len(m.Tables) {
		t.Errorf("%s, %v: %v", target, order, r.Faults)
	}
	for _, got := range r.Tables {
		want := x.table(t, got.Name)
		if got.RowCount != len(want.rows) || !got.ContentEqual || !got.ColumnsEqual || got.ContentHash == "" {
			t.Errorf("%s, %v: %+v", target, order, got)
		}
		if keeps := slices.Contains([]any{"sqlite", "sql", "archive"}, order["format"]); keeps != (got.SchemaEqual != nil && *got.SchemaEqual) {
			t.Errorf("%s, %v: the schema of %s is equal: %v", target, order, got.Name, got.SchemaEqual)
		}
	}
}

var (
	tableFormats    = []string{"csv", "json", "ndjson", "xlsx", "parquet", "sqlite"}
	databaseFormats = []string{"zip", "zip-csv", "zip-ndjson", "zip-parquet", "json", "sqlite", "sql", "archive"}
)

// TestChinookIsRestored rehearses every format of every kind, and every way to write
// CSV, with an ordinary database.
func TestChinookIsRestored(t *testing.T) {
	testkit.Slow(t)
	t.Parallel()
	x := newProof(t, realFile(t, "chinook.sqlite"))
	for _, name := range databaseFormats {
		x.mustRestore(t, "/export/database", map[string]any{"format": name})
	}
	for _, name := range tableFormats {
		for _, table := range x.tables {
			x.mustRestore(t, "/export/table/"+table.name, map[string]any{"format": name})
		}
	}
	x.restoresDialects(t, "Track")
}

// restoresDialects rehearses CSV in every profile and with every option, and compressed
// files.
func (x *proof) restoresDialects(t *testing.T, table string) {
	for _, profile := range []string{"lossless", "excel", "excel-eu", "postgres", "bigquery", "duckdb"} {
		x.mustRestore(t, "/export/table/"+table, map[string]any{"format": "csv", "profile": profile})
	}
	for option, values := range map[string][]any{
		"delimiter": {",", ";", "\t", "|"}, "header": {true, false}, "bom": {true, false}, "null_text": {"", "NULL", `\N`},
		"line_ending": {"lf", "crlf"}, "quote": {"minimal", "all"}, "formula_guard": {true, false}, "compression": {"gzip", "zstd"}, "canonical": {true},
	} {
		for _, value := range values {
			x.mustRestore(t, "/export/table/"+table, map[string]any{"format": "csv", option: value})
		}
	}
	only := []string{table}
	x.mustRestore(t, "/export/database", map[string]any{"format": "zip-csv", "profile": "excel", "include_tables": only,
		"table_options": map[string]any{table: map[string]any{"delimiter": "|", "header": false, "null_text": "NULL"}}})
	x.mustRestore(t, "/export/database", map[string]any{"format": "sql", "compression": "zstd", "include_tables": only})
	x.mustRestore(t, "/export/database", map[string]any{"format": "json", "compression": "gzip", "include_tables": only})
}

// hardTables creates the tables hard, with each value also in a column of any type;
// typed, with each value only in the column of its type; and readable, without the
// values that some formats lack: infinities and invalid UTF-8.
func hardTables(t *testing.T) (path string) {
	t.Helper()
	var broken []string
	for _, text := range hardTexts {
		if !utf8.ValidString(text) {
			broken = append(broken, fmt.Sprintf("'%X'", text))
		}
	}
	const shape = " (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB) STRICT;\n"
	script := hardSQL() +
		"CREATE TABLE typed" + shape + "INSERT INTO typed SELECT id, i, r, t, b FROM hard;\n" +
		"CREATE TABLE readable" + shape + "INSERT INTO readable SELECT * FROM typed;\n" +
		"DELETE FROM readable WHERE abs(r) = 9e999 OR hex(t) IN (" + strings.Join(broken, ", ") + ");\n"
	path = filepath.Join(t.TempDir(), "hard.sqlite")
	cmd := exec.Command(testkit.Tool(t, "sqlite3"), "-bail", path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the original: %v\n%s", err, out)
	}
	return path
}

// TestHardValuesAreRestored rehearses every format with the values that some program or
// other gets wrong. All values that the format can hold come back; others are counted
// in the manifest and reported by the rehearsal.
func TestHardValuesAreRestored(t *testing.T) {
	t.Parallel()
	x := newProof(t, hardTables(t))
	for _, name := range databaseFormats {
		x.mustRestore(t, "/export/database", map[string]any{"format": name, "exclude_tables": []string{"hard", "typed"}})
		m, r := x.rehearse(t, "/export/database", map[string]any{"format": name})
		for i, got := range r.Tables {
			holds := name == "archive" || m.Tables[i].Replaced == 0
			told := slices.ContainsFunc(r.Faults, func(f string) bool {
				return strings.HasPrefix(f, "The table "+got.Name+" was restored with different values")
			})
			if got.ContentEqual != holds || told == holds || got.RowCount != got.RowsExpected || !got.ColumnsEqual {
				t.Errorf("%s, with %d values replaced: %+v, %q", name, m.Tables[i].Replaced, got, r.Faults)
			}
		}
		if r.Restorable != (len(r.Faults) == 0) || len(r.Tables) != len(x.tables) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, name := range tableFormats {
		for _, table := range testkit.Scale([]string{"readable", "empty"}, []string{"readable", "order", "empty", "single", "long"}) {
			if name != "xlsx" || table != "long" {
				x.mustRestore(t, "/export/table/"+table, map[string]any{"format": name})
			}
		}
	}
	for _, target := range []string{"/export/table/typed csv", "/export/table/typed sqlite", "/export/table/hard sqlite", "/export/database sqlite", "/export/database sql", "/export/database archive"} {
		path, name, _ := strings.Cut(target, " ")
		x.mustRestore(t, path, map[string]any{"format": name})
	}
	x.restoresDialects(t, "readable")
}

// TestQueriesAreRestored rehearses files with the results of statements. The type of a
// column is that of its values.
func TestQueriesAreRestored(t *testing.T) {
	t.Parallel()
	x := newProof(t, hardTables(t))
	for _, sql := range []string{
		`SELECT * FROM readable`,
		`SELECT count(*), 'a' AS "a b", '12' AS twelve, 12, 1.0 AS r, NULL AS n, x'00ff' AS b FROM readable`,
		`SELECT * FROM readable WHERE 0`,
	} {
		for _, name := range tableFormats {
			if _, r := x.rehearse(t, "/export/query", map[string]any{"format": name, "sql": sql}); !r.Restorable {
				t.Errorf("%s as %s: %q", sql, name, r.Faults)
			}
		}
	}
}

// TestRehearsalsThatFail rehearses files that have been changed, and exports without
// rows.
func TestRehearsalsThatFail(t *testing.T) {
	t.Parallel()
	x := newProof(t, hardTables(t))
	m, _ := x.export(t, "/export/table/order", map[string]any{"format": "csv"})
	data := filepath.Dir(filepath.Dir(x.file))
	found, err := filepath.Glob(filepath.Join(data, "exports", "*", m.ID+".csv"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the artifact: %v, %v", found, err)
	}
	content := readFile(t, found[0])
	if err := os.WriteFile(found[0], []byte(strings.Replace(string(content), "Ada", "Bob", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	var got struct{ Rehearsal rehearsed }
	if err := x.server.call(t.Context(), "POST", x.server.path("/exports/"+m.ID+"/rehearse-restore"), nil, &got); err != nil {
		t.Fatal(err)
	}
	if r := got.Rehearsal; r.Restorable || len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "SHA-256") {
		t.Errorf("a changed file: %+v", r)
	}
	schema, _ := x.export(t, "/export/schema", map[string]any{})
	err = x.server.call(t.Context(), "POST", x.server.path("/exports/"+schema.ID+"/rehearse-restore"), nil, &got)
	if err == nil || !strings.Contains(err.Error(), "no rows to restore") {
		t.Errorf("a schema: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(data, "rehearsals")); err != nil || len(left) > 0 {
		t.Errorf("left in the folder of rehearsals: %v, %v", left, err)
	}
}
