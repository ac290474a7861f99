package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/testkit"
)

// These tests request every format of every kind over HTTP, have each file read by a
// reader that shares no code with its writer, and compare the result with what the
// sqlite3 shell reads from the project's file. readers_test.go says how readers
// represent values.

// TestHardValuesInEveryFormat imports a database of values that some program or other
// gets wrong, and exports it in every format.
func TestHardValuesInEveryFormat(t *testing.T) {
	t.Parallel()
	shell := testkit.Tool(t, "sqlite3")
	original := filepath.Join(t.TempDir(), "hard.sqlite")
	cmd := exec.Command(shell, "-bail", original)
	cmd.Stdin = strings.NewReader(hardSQL())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the original: %v\n%s", err, out)
	}
	x := newProof(t, original)
	x.proveAll(t)
	x.proveQuery(t, `SELECT * FROM hard ORDER BY id`, "hard")
	t.Run("xlsx refuses a long text", func(t *testing.T) {
		_, err := x.server.export(t.Context(), "/export/table/long", map[string]any{"format": "xlsx"})
		if err == nil || !strings.Contains(err.Error(), "cell B2") || !strings.Contains(err.Error(), "32767") && !strings.Contains(err.Error(), "32,767") {
			t.Errorf("got %v", err)
		}
	})
}

// TestChinookInEveryFormat does the same with an ordinary database.
func TestChinookInEveryFormat(t *testing.T) {
	testkit.Slow(t)
	t.Parallel()
	x := newProof(t, realFile(t, "chinook.sqlite"))
	x.proveAll(t)
	x.proveQuery(t, `SELECT * FROM Track ORDER BY TrackId`, "Track")
}

// hardTexts are texts that some program or other gets wrong.
var hardTexts = []string{
	"", " ", " padded ", "a,b", `say "hi"`, `"`, `""`, "two\nlines", "cr\ronly", "cr\r\nlf", "\r\n", "\n", "😀 zoë", "bad \xff\xc3( utf-8", "\xed\xa0\x80", "\xf0\x9f\x98",
	"nul \x00 here", "\x00", "\x01\x1f control", "\x7f\u0085\u2028", "\ufffe\uffff\ufffd", "_x0041_", "_x005F_x0041_", "=1+1", "+1", "-1", "@x", "'=1", "\tx", "NULL", `\N`, "null",
	"1", "1.0", "007", "1e5", "Infinity", "true", `\.`, "\ufeffbom", "</c><x>&amp;", "]]>", "a\u202eb", strings.Repeat("é", 32767),
}

// hardSQL returns statements that create tables of hard values: each value is in a
// column of its type and in one of any type.
func hardSQL() string {
	var b strings.Builder
	fmt.Fprintf(&b, `
CREATE TABLE hard (id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, a ANY) STRICT;
CREATE TABLE "order" ("select" TEXT PRIMARY KEY, "group" INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE empty (x TEXT) STRICT;
CREATE TABLE single (x TEXT) STRICT;
CREATE TABLE long (id INTEGER PRIMARY KEY, x TEXT) STRICT;
CREATE INDEX by_text ON hard (t, i DESC);
INSERT INTO hard (id) VALUES (1);
INSERT INTO "order" VALUES ('zoë', 1), ('Ada', 2), ('', 3), ('"', NULL);
INSERT INTO single VALUES (NULL), (''), ('\.'), ('x');
INSERT INTO long VALUES (1, replace(hex(zeroblob(%d)), '00', 'ab')), (2, 'short');
`, testkit.Scale(500_000, 5_000_000))
	add := func(column string, literals ...string) {
		for _, v := range literals {
			fmt.Fprintf(&b, "INSERT INTO hard (%s, a) VALUES (%s, %s);\n", column, v, v)
		}
	}
	add("i", "0", "-1", "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808")
	add("r", "0.0", "-0.0", "0.1", "1.0/3", "100.0", "1e21", "1e-7", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308",
		"0.30000000000000004", "1.2345678901234567", "-123456789012345.67", "9007199254740993.0", "9e999", "-9e999")
	add("b", "x''", "x'00'", "x'00ff0a22'", "x'27'", "zeroblob(20000)")
	for _, text := range hardTexts {
		add("t", "CAST(x'"+hex.EncodeToString([]byte(text))+"' AS TEXT)")
	}
	return b.String()
}

// proof is a project together with what the shell reads from its file.
type proof struct {
	server *process
	shell  string
	file   string // the project's
	tables []oracle
}

// oracle is a table as the shell reads it. Values are in the form that values returns.
type oracle struct {
	name           string
	columns, types []string
	rows           [][]string
}

// newProof imports a database, and has the shell read both the original and the
// project.
func newProof(t *testing.T, original string) *proof {
	t.Helper()
	x := &proof{shell: testkit.Tool(t, "sqlite3")}
	data := t.TempDir()
	command(t, "import", original, "--project", "p", "--data", data)
	x.file = filepath.Join(data, "projects", "1.db")
	x.tables = readDatabase(t, x.shell, x.file)
	for i, was := range readDatabase(t, x.shell, original) {
		if is := x.tables[i]; is.name != was.name || !slices.EqualFunc(is.rows, was.rows, slices.Equal) {
			t.Fatalf("the table %s has not come in unchanged", was.name)
		}
	}
	x.server = start(t, data, "p", command(t, "token", "create", "--project", "p", "--data", data))
	return x
}

// readDatabase has the shell read every table in a file except the server's own.
func readDatabase(t *testing.T, shell, file string) (tables []oracle) {
	t.Helper()
	for name := range strings.Lines(query(t, shell, file, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_%' ESCAPE '\' ORDER BY name`)) {
		o := oracle{name: strings.TrimSpace(name)}
		for line := range strings.Lines(query(t, shell, file, "SELECT name, type FROM pragma_table_info('"+o.name+"')")) {
			column, kind, _ := strings.Cut(strings.TrimSpace(line), "|")
			o.columns, o.types = append(o.columns, column), append(o.types, kind)
		}
		o.rows = values(t, shell, file, o.name, o.columns)
		tables = append(tables, o)
	}
	return tables
}

// table returns a table as read by the shell.
func (x *proof) table(t *testing.T, name string) *oracle {
	t.Helper()
	i := slices.IndexFunc(x.tables, func(o oracle) bool { return strings.EqualFold(o.name, name) })
	if i < 0 {
		t.Fatalf("there is no table %q", name)
	}
	return &x.tables[i]
}

// proven is the part of a manifest that the proof reads.
type proven struct {
	manifest
	Tables []struct {
		Name         string `json:"name"`
		RowCount     int    `json:"row_count"`
		RowsExpected int    `json:"rows_expected"`
		Replaced     int    `json:"replaced"`
	} `json:"tables"`
	Members []struct {
		Name   string `json:"name"`
		Size   int    `json:"size_bytes"`
		SHA256 string `json:"sha256"`
	} `json:"members"`
}

// export creates an export and returns its manifest and the path of its file.
func (x *proof) export(t *testing.T, target string, order map[string]any) (proven, string) {
	t.Helper()
	made, err := x.server.export(t.Context(), target, order)
	if err != nil {
		t.Fatalf("%v: %v", order, err)
	}
	file := filepath.Join(t.TempDir(), "artifact")
	if err := x.server.download(t.Context(), made, file); err != nil {
		t.Fatal(err)
	}
	var got struct{ Export proven }
	if err := x.server.call(t.Context(), "GET", x.server.path("/exports/"+made.ID), nil, &got); err != nil {
		t.Fatal(err)
	}
	return got.Export, file
}

func (x *proof) proveAll(t *testing.T) {
	for _, name := range []string{"csv", "json", "ndjson", "xlsx", "parquet", "sqlite"} {
		t.Run("table as "+name, func(t *testing.T) { x.proveTables(t, name) })
	}
	for name, member := range map[string]string{"zip": "csv", "zip-csv": "csv", "zip-ndjson": "ndjson", "zip-parquet": "parquet"} {
		t.Run("database as "+name, func(t *testing.T) { x.proveZIP(t, name, member) })
	}
	t.Run("database as json", x.proveJSON)
	t.Run("database as sqlite", func(t *testing.T) {
		m, file := x.export(t, "/export/database", map[string]any{"format": "sqlite"})
		x.proveDatabase(t, file)
		x.proveCounts(t, m, "sqlite")
	})
	t.Run("database as sql", func(t *testing.T) {
		m, file := x.export(t, "/export/database", map[string]any{"format": "sql"})
		x.proveDatabase(t, x.load(t, readFile(t, file)))
		x.proveCounts(t, m, "sql")
	})
	t.Run("database as archive", x.proveArchive)
	t.Run("schema as sql", func(t *testing.T) {
		_, file := x.export(t, "/export/schema", map[string]any{"format": "sql"})
		x.proveSchema(t, x.load(t, readFile(t, file)))
	})
	t.Run("schema as json", x.proveSchemaJSON)
}

func (x *proof) proveTables(t *testing.T, name string) {
	for i := range x.tables {
		o := &x.tables[i]
		if o.name == "long" && name == "xlsx" {
			continue // refused; another test covers this
		}
		m, file := x.export(t, "/export/table/"+o.name, map[string]any{"format": name})
		o.compare(t, name, readAs(t, name, file, o), o.types)
		x.proveCounts(t, m, name)
	}
}

// proveCounts compares the counts in a manifest with those of the shell.
func (x *proof) proveCounts(t *testing.T, m proven, name string) {
	t.Helper()
	for _, result := range m.Tables {
		o := x.table(t, result.Name)
		if n := len(o.rows); result.RowCount != n || result.RowsExpected != n {
			t.Errorf("%s as %s: %d rows, expected %d; the shell counts %d", o.name, name, result.RowCount, result.RowsExpected, n)
		}
		if want := o.cannotBeIn(name); result.Replaced != want {
			t.Errorf("%s as %s: %d values were replaced; the shell shows %d that the format cannot hold", o.name, name, result.Replaced, want)
		}
	}
}

// compare compares rows from a reader with the shell's values, as far as the format can
// represent them. types are the types of the columns as exported.
func (o *oracle) compare(t *testing.T, name string, got [][]string, types []string) {
	t.Helper()
	if len(got) != len(o.rows) {
		t.Fatalf("%s as %s: the reader finds %d rows, the shell %d", o.name, name, len(got), len(o.rows))
	}
	for i, row := range o.rows {
		if len(got[i]) != len(row) {
			t.Fatalf("%s as %s: row %d has %d values", o.name, name, i+1, len(got[i]))
		}
		for j, told := range row {
			if want := held(name, types[j], told); !same(got[i][j], want) {
				t.Errorf("%s as %s: row %d, column %s: read %.200s, want %.200s", o.name, name, i+1, o.columns[j], got[i][j], want)
			}
		}
	}
}

// proveZIP has unzip test a ZIP file, and reads its members.
func (x *proof) proveZIP(t *testing.T, name, member string) {
	m, file := x.export(t, "/export/database", map[string]any{"format": name})
	members := x.members(t, m, file)
	if len(members) != len(x.tables) {
		t.Errorf("%d members for %d tables", len(members), len(x.tables))
	}
	for i := range x.tables {
		o := &x.tables[i]
		o.compare(t, member, readAs(t, member, members[o.name+"."+member], o), o.types)
	}
	x.proveCounts(t, m, member)
}

// members unpacks a ZIP file, compares its members with the manifest, and returns their
// paths.
func (x *proof) members(t *testing.T, m proven, file string) map[string]string {
	t.Helper()
	if out, err := exec.Command(testkit.Tool(t, "unzip"), "-tq", file).CombinedOutput(); err != nil {
		t.Fatalf("unzip: %v\n%s", err, out)
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	folder, paths := t.TempDir(), map[string]string{}
	for i, member := range z.File {
		content, err := z.Open(member.Name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if want := m.Members[i]; want.Name != member.Name || want.Size != len(b) || want.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("member %s is not that of the manifest, %+v", member.Name, want)
		}
		paths[member.Name] = filepath.Join(folder, filepath.FromSlash(member.Name))
		if err := os.MkdirAll(filepath.Dir(paths[member.Name]), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(paths[member.Name], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(z.File) != len(m.Members) {
		t.Errorf("%d members, the manifest has %d", len(z.File), len(m.Members))
	}
	return paths
}

// proveDatabase has the shell read a database file.
func (x *proof) proveDatabase(t *testing.T, file string) {
	t.Helper()
	if got := query(t, x.shell, file, "PRAGMA integrity_check"); got != "ok\n" {
		t.Errorf("integrity_check says %s", got)
	}
	is := readDatabase(t, x.shell, file)
	if len(is) != len(x.tables) {
		t.Fatalf("%d tables, want %d", len(is), len(x.tables))
	}
	for i := range x.tables {
		o := &x.tables[i]
		o.compare(t, "sqlite", is[i].rows, o.types)
	}
	x.proveSchema(t, file)
}

// proveSchema compares columns, keys and indexes as the shell shows them.
func (x *proof) proveSchema(t *testing.T, file string) {
	t.Helper()
	for _, sql := range []string{
		`SELECT s.name, s.type, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_schema AS s JOIN pragma_table_xinfo(s.name) AS c WHERE ` + visible + ` ORDER BY s.name, c.cid`,
		`SELECT s.name, i.name, i."unique", i.origin, i.partial, c.name, c.desc, c.coll FROM sqlite_schema AS s JOIN pragma_index_list(s.name) AS i JOIN pragma_index_xinfo(i.name) AS c WHERE ` + visible + ` ORDER BY s.name, i.name, c.seqno`,
		`SELECT s.name, k."table", k."from", k."to", k.on_update, k.on_delete FROM sqlite_schema AS s JOIN pragma_foreign_key_list(s.name) AS k WHERE ` + visible + ` ORDER BY s.name, k."table", k."from", k."to"`,
		`SELECT s.name, l.strict, l.wr FROM sqlite_schema AS s JOIN pragma_table_list(s.name) AS l WHERE ` + visible + ` ORDER BY s.name`,
	} {
		if is, was := query(t, x.shell, file, sql), query(t, x.shell, x.file, sql); is != was {
			t.Errorf("the shell sees another schema:\n%s\nwant\n%s", is, was)
		}
	}
}

const visible = `s.type = 'table' AND s.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND s.name NOT LIKE '\_%' ESCAPE '\'`

// load has the shell create a database from a dump.
func (x *proof) load(t *testing.T, dump []byte) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "loaded.sqlite")
	cmd := exec.Command(x.shell, "-bail", file)
	cmd.Stdin = bytes.NewReader(dump)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("load the dump: %v\n%s", err, out)
	}
	return file
}

// proveJSON reads the JSON file with all tables.
func (x *proof) proveJSON(t *testing.T) {
	m, file := x.export(t, "/export/database", map[string]any{"format": "json"})
	var got struct {
		Project string
		Tables  map[string]struct {
			Columns []struct {
				Name string `json:"column_name"`
			}
			Rows json.RawMessage
		}
	}
	if err := json.Unmarshal(readFile(t, file), &got); err != nil {
		t.Fatal(err)
	}
	if got.Project != "p" || len(got.Tables) != len(x.tables) {
		t.Errorf("project %q, %d tables", got.Project, len(got.Tables))
	}
	for i := range x.tables {
		o := &x.tables[i]
		o.compare(t, "json", objects(t, got.Tables[o.name].Rows, o.columns), o.types)
	}
	x.proveCounts(t, m, "json")
}

// proveArchive reads the tables in every form that the archive has.
func (x *proof) proveArchive(t *testing.T) {
	m, file := x.export(t, "/export/database", map[string]any{"format": "archive"})
	members := x.members(t, m, file)
	x.proveCounts(t, m, "ndjson")
	x.proveDatabase(t, members["data.sqlite"])
	x.proveSchema(t, x.load(t, readFile(t, members["schema.sql"])))
	for i := range x.tables {
		o := &x.tables[i]
		for _, name := range []string{"csv", "ndjson"} {
			o.compare(t, name, readAs(t, name, members[path.Join(name, o.name+"."+name)], o), o.types)
		}
	}
	sums := exec.Command(testkit.Tool(t, "sha256sum"), "--check", "--quiet", "SHA256SUMS")
	sums.Dir = filepath.Dir(members["SHA256SUMS"])
	if out, err := sums.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

// proveSchemaJSON compares the names and types of columns.
func (x *proof) proveSchemaJSON(t *testing.T) {
	_, file := x.export(t, "/export/schema", map[string]any{})
	type table struct {
		Name    string `json:"table_name"`
		Columns []struct {
			Name string `json:"column_name"`
			Type string `json:"column_type"`
		}
	}
	var got struct{ Tables []table }
	if err := json.Unmarshal(readFile(t, file), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Tables) != len(x.tables) {
		t.Errorf("%d tables, want %d", len(got.Tables), len(x.tables))
	}
	for _, described := range got.Tables {
		var columns, types []string
		for _, column := range described.Columns {
			columns, types = append(columns, column.Name), append(types, column.Type)
		}
		if o := x.table(t, described.Name); !slices.Equal(columns, o.columns) || !slices.Equal(types, o.types) {
			t.Errorf("the table %s has the columns %v of %v, want %v of %v", o.name, columns, types, o.columns, o.types)
		}
	}
}

// proveQuery exports a statement that returns a table unchanged.
func (x *proof) proveQuery(t *testing.T, sql, table string) {
	o := x.table(t, table)
	untyped := make([]string, len(o.columns))
	for _, name := range []string{"csv", "json", "ndjson", "xlsx", "parquet", "sqlite"} {
		t.Run("query as "+name, func(t *testing.T) {
			_, file := x.export(t, "/export/query", map[string]any{"format": name, "sql": sql})
			types := untyped
			if name == "parquet" {
				types = o.types // those of the values, which the file must state
			}
			result := &oracle{"query_result", o.columns, types, o.rows}
			result.compare(t, name, readAs(t, name, file, result), types)
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
