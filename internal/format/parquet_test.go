package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

func writeParquet(t testing.TB, list []Column, batches ...*sqlite.Batch) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewParquet(&file, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Rows(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// typedColumns has one column of each type.
func typedColumns() []Column {
	return []Column{{"z id", "INTEGER"}, {"score", "REAL"}, {"name", "TEXT"}, {"photo", "BLOB"}, {"any.thing", "ANY"}, {"é", ""}}
}

func typedRow() *rapid.Generator[[]sqlite.Value] {
	of := func(kind sqlite.Kind) *rapid.Generator[sqlite.Value] {
		return rapid.OneOf(rapid.Just(sqlite.Value{}), valueOf(kind), valueOf(kind))
	}
	return rapid.Custom(func(t *rapid.T) []sqlite.Value {
		return []sqlite.Value{of(sqlite.Integer).Draw(t, "integer"), of(sqlite.Real).Draw(t, "real"), of(sqlite.Text).Draw(t, "text"), of(sqlite.Blob).Draw(t, "blob"), value().Draw(t, "any"), value().Draw(t, "none")}
	})
}

func TestParquetIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(typedRow(), 0, 20).Draw(rt, "rows")
		cut := rapid.IntRange(0, len(rows)).Draw(rt, "cut")
		file := writeParquet(t, typedColumns(), batch(6, rows[:cut]...), batch(6, rows[cut:]...))
		f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			rt.Fatal(err)
		}
		if f.NumRows() != int64(len(rows)) {
			rt.Fatalf("%d rows, want %d", f.NumRows(), len(rows))
		}
		for j, column := range f.Root().Columns() {
			if column.Name() != typedColumns()[j].Name || !column.Optional() {
				rt.Fatalf("column %d is %s", j, column)
			}
		}
		got := make([]parquet.Row, len(rows)+1)
		n, err := parquet.NewReader(f).ReadRows(got)
		if n != len(rows) || err != io.EOF && err != nil {
			rt.Fatalf("%d rows, %v", n, err)
		}
		for i, row := range rows {
			for j, v := range row {
				if fault := parquetDiffers(got[i][j], v, j >= 4); fault != "" {
					rt.Fatalf("row %d, column %d: %s", i, j, fault)
				}
			}
		}
	})
}

func parquetDiffers(got parquet.Value, want sqlite.Value, asText bool) string {
	equal := false
	switch text, null := asField(want); {
	case null:
		equal = got.IsNull()
	case want.Kind == sqlite.Text:
		equal = got.Kind() == parquet.ByteArray && string(got.ByteArray()) == string([]rune(text))
	case asText:
		equal = got.Kind() == parquet.ByteArray && string(got.ByteArray()) == text
	case want.Kind == sqlite.Integer:
		equal = got.Kind() == parquet.Int64 && got.Int64() == want.Int
	case want.Kind == sqlite.Real:
		equal = got.Kind() == parquet.Double && math.Float64bits(got.Double()) == math.Float64bits(want.Float)
	case want.Kind == sqlite.Blob:
		equal = got.Kind() == parquet.ByteArray && bytes.Equal(got.ByteArray(), want.Bytes)
	}
	if equal {
		return ""
	}
	return fmt.Sprintf("%+v, want %+v", got, want)
}

func TestParquetTypes(t *testing.T) {
	file := writeParquet(t, typedColumns())
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	want := `message table {
	optional int64 z id (INT(64,true));
	optional double score;
	optional binary name (STRING);
	optional binary photo;
	optional binary any.thing (STRING);
	optional binary é (STRING);
}`
	if got := f.Schema().String(); got != want {
		t.Errorf("schema %s, want %s", got, want)
	}
}

func TestParquetRefuses(t *testing.T) {
	var fault *LimitError
	if _, err := NewParquet(io.Discard, columns("a", "b", "a")); !errors.As(err, &fault) || err.Error() != `two columns are named "a", which Parquet does not allow` {
		t.Errorf("got %v", err)
	}
	for _, c := range []struct {
		columnType string
		value      sqlite.Value
		want       string
	}{
		{"INTEGER", sqlite.TextValue("x"), "TEXT, but the column has the type INTEGER"},
		{"REAL", sqlite.IntValue(1), "INTEGER, but the column has the type REAL"},
		{"TEXT", sqlite.BlobValue(nil), "BLOB, but the column has the type TEXT"},
		{"BLOB", sqlite.FloatValue(1), "REAL, but the column has the type BLOB"},
	} {
		w, err := NewParquet(io.Discard, []Column{{"a", c.columnType}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Rows(batch(1, []sqlite.Value{{}})); err != nil {
			t.Fatal(err)
		}
		err = w.Rows(batch(1, []sqlite.Value{{}}, []sqlite.Value{c.value}))
		if want := `row 3, column "a": the value has the type ` + c.want; !errors.As(err, &fault) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestParquetCountsInvalidUTF8(t *testing.T) {
	w, err := NewParquet(io.Discard, []Column{{"a", "TEXT"}, {"b", "BLOB"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Rows(batch(2, []sqlite.Value{sqlite.TextValue("\xff"), sqlite.BlobValue([]byte{255})}, []sqlite.Value{sqlite.TextValue("é"), {}})); err != nil {
		t.Fatal(err)
	}
	if w.Replaced() != 1 {
		t.Errorf("%d texts replaced, want 1", w.Replaced())
	}
}

func TestParquetRowGroupsEndByBytes(t *testing.T) {
	var b sqlite.Batch
	b.Reset(1)
	for i := range 256 {
		b.Append(sqlite.TextValue(strings.Repeat(string(rune('a'+i%26)), 64<<10)))
	}
	batches := []*sqlite.Batch{&b, &b, &b, &b, &b, &b}
	file := writeParquet(t, []Column{{"a", "TEXT"}}, batches...)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var rows []int64
	for _, group := range f.RowGroups() {
		rows = append(rows, group.NumRows())
	}
	if got := fmt.Sprint(rows); got != "[1024 512]" {
		t.Errorf("groups of %s rows, want [1024 512]", got)
	}
	if again := writeParquet(t, []Column{{"a", "TEXT"}}, batches...); !bytes.Equal(file, again) {
		t.Error("two files of the same rows differ")
	}
}
