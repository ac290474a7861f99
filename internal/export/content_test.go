package export

import (
	"encoding/hex"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// contentByShell returns the content hash of some columns of a table, as read by the
// sqlite3 shell.
func contentByShell(t *testing.T, path, table string, columns ...string) string {
	t.Helper()
	var shown []string
	for _, c := range columns {
		shown = append(shown, "typeof("+c+")||' '||CASE typeof("+c+") WHEN 'null' THEN '' WHEN 'integer' THEN "+c+" WHEN 'real' THEN quote("+c+") ELSE hex(CAST("+c+" AS BLOB)) END")
	}
	out := run(t, "SELECT "+strings.Join(shown, "||'|'||")+" FROM "+table+";", testkit.Tool(t, "sqlite3"), "-bail", "-readonly", path)
	var b sqlite.Batch
	b.Reset(len(columns))
	for line := range strings.Lines(out) {
		var row []sqlite.Value
		for _, field := range strings.Split(strings.TrimSuffix(line, "\n"), "|") {
			kind, text, _ := strings.Cut(field, " ")
			row = append(row, valueByShell(t, kind, text))
		}
		b.Append(row...)
	}
	var c sqlite.Content
	c.Add(&b)
	return c.Hash()
}

func valueByShell(t *testing.T, kind, text string) (v sqlite.Value) {
	t.Helper()
	var err error
	switch kind {
	case "integer":
		v.Kind = sqlite.Integer
		v.Int, err = strconv.ParseInt(text, 10, 64)
	case "real":
		v.Kind = sqlite.Real
		v.Float, err = strconv.ParseFloat(text, 64)
		if errors.Is(err, strconv.ErrRange) {
			err = nil // 9.0e+999 means infinity
		}
	case "text":
		v.Kind = sqlite.Text
		v.Bytes, err = hex.DecodeString(text)
	case "blob":
		v.Kind = sqlite.Blob
		v.Bytes, err = hex.DecodeString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestContentHashIsThatOfTheProject compares the hash in the manifest, which is the
// same in all formats, with one computed from what the shell reads in the project's
// file.
func TestContentHashIsThatOfTheProject(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f := newFixture(t, folder)
	project := filepath.Join(folder, "projects", "1.db")
	// The shell prints negative zero like any other zero.
	values := slices.DeleteFunc(hardValues(), func(v sqlite.Value) bool { return v.Kind == sqlite.Real && v.Float == 0 && math.Signbit(v.Float) })
	f.project(shop.ID, func(db *projectdb.DB) error { return hardTable(db, values) })
	f.Start()
	all := []string{"id", "i", "r", "t", "b", "a"}
	want, wantPart := contentByShell(t, project, "hard", all...), contentByShell(t, project, "hard", "t", "id")
	for _, each := range everyFormat() {
		if each.kind == SchemaExport {
			continue
		}
		order := Request{Kind: each.kind, Format: each.name}
		switch each.kind {
		case TableExport:
			order.Table = "hard"
		case QueryExport:
			order.SQL = "SELECT * FROM hard ORDER BY id DESC"
		}
		m, _ := f.export(order)
		held := m.Tables[len(m.Tables)-1]
		if held.ContentHash != want || len(held.Columns) != len(all) || held.RowCount != int64(len(values)) {
			t.Errorf("%s %s: %+v, want the content %s", each.kind, each.name, held, want)
		}
		if each.name == "json" && held.Replaced == 0 {
			t.Errorf("%s %s: no value was replaced", each.kind, each.name)
		}
		if kept := held.SchemaSHA256 != ""; kept != (each.kind != QueryExport && each.keepsSchema()) {
			t.Errorf("%s %s: the schema is %q", each.kind, each.name, held.SchemaSHA256)
		}
	}
	for _, name := range []string{"csv", "sqlite"} {
		m, _ := f.export(Request{Kind: TableExport, Format: name, Table: "hard", Selection: projectdb.Selection{Columns: []string{"t", "id"}}})
		if got := m.Tables[0].ContentHash; got != wantPart {
			t.Errorf("two columns in %s: %s, want %s", name, got, wantPart)
		}
	}
}

func TestContentHashOfRanges(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f := newFixture(t, folder)
	f.project(shop.ID, large(3*fewRows))
	f.Start()
	for _, name := range []string{"json", "sqlite", "archive"} {
		m, _ := f.export(Request{Kind: DatabaseExport, Format: name})
		held := m.Tables[0]
		var columns []string
		for _, c := range held.Columns {
			columns = append(columns, c.Name)
		}
		if want := contentByShell(t, filepath.Join(folder, "projects", "1.db"), held.Name, columns...); held.ContentHash != want {
			t.Errorf("%s: %s, want %s", name, held.ContentHash, want)
		}
	}
}
