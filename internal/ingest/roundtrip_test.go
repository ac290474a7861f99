package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// randomTable is a table of random values that columns of a STRICT table can hold.
type randomTable struct {
	columns []format.Column
	batch   sqlite.Batch
}

func drawRandomTable(t *rapid.T) *randomTable {
	r := &randomTable{}
	for i := range rapid.IntRange(1, 5).Draw(t, "columns") {
		r.columns = append(r.columns, format.Column{
			Name: fmt.Sprintf("c%d", i),
			Type: rapid.SampledFrom([]string{"INTEGER", "REAL", "TEXT", "BLOB"}).Draw(t, "type"),
		})
	}
	r.batch.Reset(len(r.columns))
	for range rapid.IntRange(0, 12).Draw(t, "rows") {
		row := make([]sqlite.Value, len(r.columns))
		for i, column := range r.columns {
			row[i] = drawStored(t, column.Type)
		}
		r.batch.Append(row...)
	}
	return r
}

var awkwardTexts = []string{
	"", " ", "a,b", `say "hi"`, "two\nlines", "two\r\nlines", "\r", "=1+1", "'=1+1", "+1", "-5", "@x", "\tx", "007", "1", "1.0", "NULL", `\N`, `\.`,
	"Infinity", "true", "größe", "💩", "\ufeffx", "'", "''", ";", "|", "x\x00y", "AP8=", "_x000D_",
}

func drawStored(t *rapid.T, columnType string) sqlite.Value {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return sqlite.Value{}
	}
	switch columnType {
	case "INTEGER":
		return sqlite.IntValue(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-3, 3)).Draw(t, "integer"))
	case "REAL":
		f := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, -1, 0.1, 1e21, 1e300, 5e-324})).Draw(t, "real")
		if math.IsNaN(f) || f == 0 { // a REAL column loses the sign of zero
			f = 0.5
		}
		return sqlite.FloatValue(f)
	case "BLOB":
		return sqlite.BlobValue(rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "blob"))
	}
	return sqlite.TextValue(rapid.OneOf(rapid.String(), rapid.SampledFrom(awkwardTexts)).Draw(t, "text"))
}

// types returns the types to import with, which a text file cannot carry.
func (r *randomTable) types() map[string]string {
	types := map[string]string{}
	for _, column := range r.columns {
		types[column.Name] = column.Type
	}
	return types
}

// cells formats every cell.
func cells(b *sqlite.Batch) []string {
	lines := []string{}
	for i := range b.Rows {
		var line strings.Builder
		for _, cell := range b.Row(i) {
			v := b.Value(cell)
			fmt.Fprintf(&line, "%d:%d:%x:%x|", v.Kind, v.Int, math.Float64bits(v.Float), v.Bytes)
		}
		lines = append(lines, line.String())
	}
	return lines
}

// stored reads a table of the project.
func (p project) stored(t *rapid.T, table string, columns []format.Column) *sqlite.Batch {
	c, err := sqlite.OpenFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var names []string
	for _, column := range columns {
		names = append(names, column.Name)
	}
	rows, err := c.Prepare(selectSQL(table, "", names))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	b := &sqlite.Batch{}
	b.Reset(len(columns))
	if _, err := rows.Fill(b, math.MaxInt, math.MaxInt); err != nil {
		t.Fatal(err)
	}
	return b
}

// writer returns the writer of a format, and sets in o how to read its output.
func (r *randomTable) writer(t *rapid.T, name string, out io.Writer, o *Options) format.TableWriter {
	f, dialect := format.All().Get(name), format.DefaultDialect()
	if f.Dialects {
		var err error
		if dialect, err = format.Profile(rapid.SampledFrom(format.Profiles()).Draw(t, "profile")); err != nil {
			t.Fatal(err)
		}
		o.ReadOptions = dialect.ReadOptions()
	}
	w, err := f.Writer(out, r.columns, format.WriteOptions{Dialect: dialect})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// write writes the table to w.
func (r *randomTable) write(w format.TableWriter) error {
	if err := w.Rows(&r.batch); err != nil {
		return err
	}
	return w.Close()
}

// withoutEmptyRows removes rows without any value, which a sheet does not keep.
func (r *randomTable) withoutEmptyRows() {
	var kept sqlite.Batch
	kept.Reset(len(r.columns))
	for i := range r.batch.Rows {
		row := make([]sqlite.Value, len(r.columns))
		some := false
		for j, cell := range r.batch.Row(i) {
			row[j] = r.batch.Value(cell)
			some = some || cell.Kind != sqlite.Null
		}
		if some {
			kept.Append(row...)
		}
	}
	r.batch = kept
}

// storable reports whether what accepts all values.
func (r *randomTable) storable(what func(sqlite.Value) bool) bool {
	for i := range r.batch.Rows {
		for _, cell := range r.batch.Row(i) {
			if !what(r.batch.Value(cell)) {
				return false
			}
		}
	}
	return true
}

func finite(v sqlite.Value) bool { return v.Kind != sqlite.Real || !math.IsInf(v.Float, 0) }

func TestWhatOurWritersWriteComesBackEqual(t *testing.T) {
	folder := t.TempDir()
	p := newProject(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		r := drawRandomTable(t)
		kind := rapid.SampledFrom([]string{"csv", "json", "ndjson", "xlsx", "parquet"}).Draw(t, "kind")
		if kind == "xlsx" {
			r.withoutEmptyRows()
		}
		var out bytes.Buffer
		o := Options{Target: Target{Types: r.types()}}
		w := r.writer(t, kind, &out, &o)
		if (kind == "json" || kind == "ndjson") && !r.storable(finite) {
			t.Skip("JSON has no infinity")
		}
		if err := r.write(w); err != nil {
			t.Fatal(err)
		}
		if r.batch.Rows == 0 && (kind == "json" || kind == "ndjson") {
			t.Skip("JSON without rows has no columns")
		}
		n++
		path := filepath.Join(folder, fmt.Sprintf("t%d.%s", n, kind))
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := Open(context.Background(), source.Opening{Workers: workers, Path: path, Format: kind})
		if err != nil {
			t.Fatalf("%v\n%q", err, out.Bytes())
		}
		defer source.Close()
		report, err := source.Load(context.Background(), p.DB, o)
		if err != nil {
			t.Fatalf("%v\n%q", err, out.Bytes())
		}
		want, got := cells(&r.batch), cells(p.stored(t, report.Tables[0].Name, r.columns))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s: %s\n%v\n%q", kind, diff, r.types(), out.Bytes())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	})
}
