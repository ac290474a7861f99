package source

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// readText builds a database from a document, for the shell to read.
func readText(t testing.TB, text string) (database string, found Notes, err error) {
	t.Helper()
	s, err := newScratch(Opening{Workers: workers, Scratch: t.TempDir(), MaxUnpacked: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.build(context.Background(), format.All().Get("json"), write(t, "document.json", text))
}

func TestDocumentsBecomeDatabases(t *testing.T) {
	got, found, err := readText(t, `{"project":"p","exported_at":null,"snapshot":null,"tables":{
"t":{"columns":[{"column_name":"id","column_type":"INTEGER","is_nullable":0,"is_primary":1,"is_unique":1,"default_value":null},
 {"column_name":"a","column_type":"TEXT","is_nullable":0,"is_unique":1,"default_value":"it's"},
 {"column_name":"b","column_type":"BLOB","is_nullable":1,"default_value":"AP8="},
 {"column_name":"r","column_type":"REAL","is_nullable":1,"default_value":1.5},
 {"column_name":"x","column_type":"ANY","default_expression":"CURRENT_TIMESTAMP","default_value":null}],
"rows":[
{"id":9223372036854775807,"a":"é\u0000\n","b":"AP8=","r":1.0,"x":1},
{"id":2,"a":"","b":null,"r":-0.5,"x":"1"},
{"id":3,"a":"no r","x":1e300,"more":true}
]},
"k":{"columns":[{"column_name":"b","column_type":"TEXT","is_primary":1},{"column_name":"a","column_type":"INTEGER","is_primary":1}],"rows":[]},
"none":{"columns":[],"rows":[]},
"free":{"rows":[{"a":1,"b":"x"},{"b":[1, 2],"c":false}]}
}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := `CREATE TABLE "t" (
  "id" INTEGER PRIMARY KEY AUTOINCREMENT,
  "a" TEXT NOT NULL DEFAULT ('it''s'),
  "b" BLOB DEFAULT (X'00ff'),
  "r" REAL DEFAULT (1.5),
  "x" ANY DEFAULT (CURRENT_TIMESTAMP),
  "more" ANY,
  UNIQUE ("a")
) STRICT
CREATE TABLE "k" (
  "b" TEXT,
  "a" INTEGER,
  PRIMARY KEY ("b", "a")
) STRICT
CREATE TABLE "free" (
  "a" ANY,
  "b" ANY,
  "c" ANY
) STRICT
`
	if diff := cmp.Diff(want, shell(t, got, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlite_sequence';\n")); diff != "" {
		t.Error(diff)
	}
	rows := shell(t, got, "SELECT id, hex(a), typeof(b), hex(b), typeof(r), quote(r), typeof(x), quote(x), quote(more) FROM t ORDER BY id;\n"+
		"SELECT quote(a), quote(b), quote(c) FROM free;\n")
	want = `2||null||real|-0.5|text|'1'|NULL
3|6E6F2072|null||null|NULL|real|1.0e+300|1
9223372036854775807|C3A9000A|blob|00FF|real|1.0|integer|1|NULL
1|'x'|NULL
NULL|'[1,2]'|0
`
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	wantNotes := []string{
		"table none: It has no columns and was not imported.",
		"file: A JSON file does not describe indexes, foreign keys, checks and generated columns: none were created.",
	}
	if diff := cmp.Diff(wantNotes, texts(found)); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	for _, test := range []struct{ tables, want string }{
		{`"t":{"columns":[{"column_name":"a","column_type":"INTEGER"}],"rows":[{"a":1},{"a":"x"}]}`, `In the table "t", row 2: SQLite says: cannot store TEXT value in INTEGER column t.a.`},
		{`"t":{"columns":[{"column_name":"a","column_type":"TEXT","is_nullable":0}],"rows":[{"a":null}]}`, `In the table "t", row 1: SQLite says: NOT NULL constraint failed: t.a.`},
		{`"t":{"columns":[{"column_name":"a","column_type":"TEXT","is_unique":1}],"rows":[{"a":"x"},{"a":"x"}]}`, `In the table "t", row 2: SQLite says: UNIQUE constraint failed: t.a.`},
		{`"t":{"columns":[{"column_name":"a","column_type":"BLOB"}],"rows":[{"a":"?"}]}`, `In the table "t", row 1: The value of the column "a" is a BLOB, which must be base64, and it is not.`},
		{`"t":{"columns":[{"column_name":"a","column_type":"DATE"}],"rows":[]}`, `In the table "t": the column "a" has the unknown type "DATE".`},
		{`"t":{"columns":[{"column_name":"a","column_type":"TEXT","is_primary":"yes"}],"rows":[]}`, `In the table "t": the columns do not have the form that this program writes.`},
		{`"t":{"columns":[{"column_name":"a","column_type":"TEXT","default_expression":"1), CHECK (load_extension('x')"}],"rows":[]}`, `In the table "t": SQLite says: `},
		{`"t":{"columns":[{"column_name":"a","column_type":"TEXT"},{"column_name":"A","column_type":"TEXT"}],"rows":[]}`, `In the table "t": SQLite says: duplicate column name: A.`},
		{`"t\u0000":{"columns":[{"column_name":"a","column_type":"TEXT"}],"rows":[]}`, `In the table "t\x00": SQLite says: prepare: the statement contains a NUL character.`},
		{`"sqlite_x":{"columns":[{"column_name":"a","column_type":"TEXT"}],"rows":[]}`, `In the table "sqlite_x": SQLite says: object name reserved for internal use: sqlite_x.`},
		{`"t":{"rows":[{"a":1}]},"T":{"rows":[{"a":1}]}`, `In the table "T": SQLite says: table "T" already exists.`},
		{`"t":{"rows":[{"a":1},]}`, `Line 1, column 32: `},
		{`"t":{"rows":[{"a":1`, `Line 1, column 31: the file ends in the middle of a value.`},
	} {
		text := `{"tables":{` + test.tables + `}}`
		if strings.HasSuffix(test.want, "middle of a value.") {
			text = strings.TrimSuffix(text, "}}")
		}
		_, _, err := readText(t, text)
		if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\ngot  %v\nwant %s", test.tables, err, test.want)
		}
	}
}

func TestReadingOfADocumentIsStopped(t *testing.T) {
	s, err := newScratch(Opening{Workers: workers, Scratch: t.TempDir(), MaxUnpacked: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	path := write(t, "x.json", `{"tables":{"t":{"rows":[`+strings.Repeat(`{"a":1},`, 500_000)+`{"a":1}]}}}`)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, _, err := s.build(ctx, format.All().Get("json"), path); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > testkit.Slack {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}
