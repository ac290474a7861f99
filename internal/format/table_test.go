package format

import (
	"bytes"
	"errors"
	"testing"

	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

func TestTableWriterWritesWhatTheEncoderDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rowsOf(t, 2)
		cut := rapid.IntRange(0, len(rows)).Draw(t, "cut")
		for name, e := range map[string]Encoder{
			"csv":    NewCSV(columns("a", "b"), DefaultDialect()),
			"json":   NewJSON(columns("a", "b"), JSONOptions{}),
			"insert": NewINSERT("t", columns("a", "b")),
		} {
			var file bytes.Buffer
			w := NewTableWriter(&file, e)
			batches := []*sqlite.Batch{batch(2), batch(2, rows[:cut]...), batch(2, rows[cut:]...)}
			for _, b := range batches {
				if err := w.Rows(b); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if want := encode(e, batches...); file.String() != string(want) {
				t.Fatalf("%s: %q, want %q", name, file.String(), want)
			}
		}
	})
}

func TestWritersReturnErrorsOfTheFile(t *testing.T) {
	full := errors.New("disk full")
	_, rows := sampleBatch()
	list := make([]Column, rows.Columns)
	for i := range list {
		list[i].Name = columnLetters(i)
	}
	for name, open := range map[string]func() (TableWriter, error){
		"csv": func() (TableWriter, error) {
			return NewTableWriter(failingWriter{full}, NewCSV(list, DefaultDialect())), nil
		},
		"xlsx":    func() (TableWriter, error) { return NewXLSX(failingWriter{full}, list, XLSXOptions{}) },
		"parquet": func() (TableWriter, error) { return NewParquet(failingWriter{full}, list) },
	} {
		w, err := open()
		for i := 0; err == nil && i < 8; i++ {
			err = w.Rows(rows)
		}
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, full) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
