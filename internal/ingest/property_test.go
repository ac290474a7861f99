package ingest

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// TestAnyTableComesInUnchanged imports random tables with all types, keys and
// constraints and values of every class in every column, and compares each value and its
// class afterwards.
func TestAnyTableComesInUnchanged(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	rapid.Check(t, func(rt *rapid.T) {
		folder, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		path := filepath.Join(folder, "source.sqlite")
		statement := drawDatabase(rt, path)
		defer p.clear(rt)
		report, err := p.take(path, Options{})
		if err != nil {
			rt.Fatalf("%v\n%s", err, statement)
		}
		table := report.Tables[0]
		var theirs, ours []string
		for _, column := range table.Columns {
			theirs, ours = append(theirs, column.Source), append(ours, column.Name)
		}
		if diff := cmp.Diff(everyValue(rt, path, table.Source, theirs), everyValue(rt, p.path, table.Name, ours)); diff != "" {
			rt.Fatalf("%s\n%s\n%v", diff, statement, report.Notes)
		}
	})
}

// clear deletes every table.
func (p project) clear(t rapid.TB) {
	tables, err := p.Tables(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if _, err := p.DeleteTable(context.Background(), table.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// everyValue returns the rows of a table, each value with its class.
func everyValue(rt *rapid.T, path, table string, columns []string) (rows []string) {
	c, err := sqlite.OpenFile(path)
	if err != nil {
		rt.Fatal(err)
	}
	defer c.Close()
	err = c.Query(selectSQL(table, "", columns), nil, func(s *sqlite.Stmt) error {
		row := ""
		for i := range columns {
			v := s.Value(i)
			row += fmt.Sprintf("%d %d %x %x|", v.Kind, v.Int, math.Float64bits(v.Float), v.Bytes)
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
	return rows
}

// drawDatabase creates a database with one table and returns its statement.
func drawDatabase(rt *rapid.T, path string) string {
	statement, columns := drawTable(rt)
	db, err := sqlite.Open(path, sqlite.Options{Relaxed: true})
	if err != nil {
		rt.Fatal(err)
	}
	defer db.Close()
	err = db.Exclusive(context.Background(), func(c *sqlite.Conn) error {
		if err := c.Exec(statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		insert := "INSERT OR IGNORE INTO " + format.QuoteIdent("t") + " VALUES (?" + strings.Repeat(", ?", columns-1) + ")"
		for range rapid.IntRange(0, 12).Draw(rt, "rows") {
			var row []any
			for range columns {
				row = append(row, drawValue(rt))
			}
			// Values that the table refuses do not matter here. After the largest id
			// AUTOINCREMENT has no more, and SQLite ends the transaction.
			err := c.Savepoint(func() error { return c.Exec(insert, row...) })
			if fault := sqlite.FaultOf(err); fault == sqlite.BadSQL || fault == sqlite.Full {
				return fmt.Errorf("%s: %w", insert, err)
			}
		}
		return nil
	})
	switch {
	case sqlite.FaultOf(err) == sqlite.Full:
		rt.Skip("the ids are used up")
	case err != nil:
		rt.Fatal(err)
	}
	return statement
}

func drawTable(rt *rapid.T) (statement string, columns int) {
	names := []string{"a", "A b", "_x", "order", "naïve", `say "hi"`, "rowid", "[x]"}
	types := []string{"INTEGER", "INT", "TEXT", "NVARCHAR(20)", "BLOB", "REAL", "NUMERIC", "DECIMAL(10,2)", "DATE", "BOOLEAN", "", "ANY", "JSON"}
	extras := []string{"", "", "", "UNIQUE", "NOT NULL", "COLLATE NOCASE", "DEFAULT 7", "DEFAULT word", "NOT NULL DEFAULT ''"}
	columns = rapid.IntRange(1, len(names)).Draw(rt, "columns")
	var lines []string
	for _, name := range names[:columns] {
		lines = append(lines, strings.Join([]string{format.QuoteIdent(name), rapid.SampledFrom(types).Draw(rt, "type"), rapid.SampledFrom(extras).Draw(rt, "extra")}, " "))
	}
	options := ""
	switch key := rapid.SampledFrom([]string{"none", "rowid", "first", "two", "without rowid"}).Draw(rt, "key"); {
	case key == "rowid":
		lines[0] = `"a" INTEGER PRIMARY KEY ` + rapid.SampledFrom([]string{"", "AUTOINCREMENT", "DESC"}).Draw(rt, "kind")
	case key == "first":
		lines = append(lines, `PRIMARY KEY ("a")`)
	case key == "two" && columns > 1:
		lines = append(lines, `PRIMARY KEY ("A b" DESC, "a")`)
	case key == "without rowid":
		lines = append(lines, `PRIMARY KEY ("a")`)
		options = " WITHOUT ROWID"
	}
	return "CREATE TABLE t (\n" + strings.Join(lines, ",\n") + ")" + options, columns
}

func drawValue(rt *rapid.T) sqlite.Value {
	switch rapid.IntRange(0, 6).Draw(rt, "class") {
	case 0:
		return sqlite.Value{}
	case 1:
		return sqlite.IntValue(rapid.Int64().Draw(rt, "integer"))
	case 2:
		return sqlite.FloatValue(rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) }).Draw(rt, "real"))
	case 3:
		return sqlite.TextValue(rapid.String().Draw(rt, "text"))
	case 4:
		return sqlite.BlobValue(rapid.SliceOf(rapid.Byte()).Draw(rt, "blob"))
	case 5:
		return sqlite.TextValue(string(rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")))
	}
	return rapid.SampledFrom([]sqlite.Value{
		sqlite.IntValue(0), sqlite.IntValue(1), sqlite.FloatValue(math.Copysign(0, -1)), sqlite.FloatValue(1), sqlite.FloatValue(math.Inf(1)),
		sqlite.FloatValue(1 << 60), sqlite.IntValue(1<<53 + 1), sqlite.TextValue("1"), sqlite.TextValue("1.0"), sqlite.TextValue(""), sqlite.TextValue("2024-01-01"), sqlite.TextValue("a\x00b"),
	}).Draw(rt, "special")
}

// TestAnyCSVComesOutAsItWentIn writes rows of random texts as CSV, imports it and
// exports the table again: the bytes are the same.
func TestAnyCSVComesOutAsItWentIn(t *testing.T) {
	p := newProject(t)
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.IntRange(1, 4).Draw(rt, "columns")
		shape := make([]format.Column, columns)
		for i := range shape {
			shape[i].Name = "c" + itoa(i)
		}
		encoder := format.NewCSV(shape, format.DefaultDialect())
		var b sqlite.Batch
		b.Reset(columns)
		for range rapid.IntRange(0, 8).Draw(rt, "rows") {
			row := make([]sqlite.Value, columns)
			for i := range row {
				row[i] = drawField(rt)
			}
			b.Append(row...)
		}
		content := string(encoder.Rows(encoder.Head(nil), &b, true))
		defer p.clear(rt)
		report, err := p.take(write(t, "x.csv", content), Options{Target: Target{ReadOptions: format.DefaultDialect().ReadOptions()}})
		if err != nil {
			rt.Fatalf("%v\n%q", err, content)
		}
		if got := exported(t, p, "x"); got != content {
			rt.Fatalf("%s\n%v", cmp.Diff(content, got), report.Tables)
		}
	})
}

func drawField(rt *rapid.T) sqlite.Value {
	switch rapid.IntRange(0, 4).Draw(rt, "kind") {
	case 0:
		return sqlite.Value{}
	case 1:
		return sqlite.IntValue(rapid.Int64().Draw(rt, "integer"))
	case 2:
		return sqlite.FloatValue(rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) }).Draw(rt, "real"))
	case 3:
		return sqlite.TextValue(rapid.StringMatching(`[-+]?[0-9.e]{0,25}`).Draw(rt, "number"))
	}
	// Control characters would make the file binary.
	keep := func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return -1
		}
		return r
	}
	return sqlite.TextValue(strings.Map(keep, rapid.String().Draw(rt, "text")))
}
