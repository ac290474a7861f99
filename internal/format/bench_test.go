package format

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// sampleBatch returns 4,096 rows of 12 columns, typical of a business table.
func sampleBatch() ([]Column, *sqlite.Batch) {
	var b sqlite.Batch
	names := columns("id", "name", "email", "city", "note", "owner_id", "amount", "rate", "active", "created_at", "updated_at", "token")
	b.Reset(len(names))
	for i := range int64(4096) {
		note := sqlite.TextValue(fmt.Sprintf("Called on day %d; will send the offer, then wait.", i))
		switch i % 16 {
		case 0:
			note = sqlite.TextValue("Said \"maybe\"\nand hung up")
		case 1, 2, 3:
			note = sqlite.Value{}
		case 4:
			note = sqlite.TextValue("Grüße aus Köln, schön war's")
		}
		b.Append(
			sqlite.IntValue(i), sqlite.TextValue(fmt.Sprintf("Ada Lovelace %d", i)), sqlite.TextValue(fmt.Sprintf("ada%d@example.com", i)),
			sqlite.TextValue("London"), note, sqlite.IntValue(i*7919%100000), sqlite.FloatValue(float64(i*37)/100), sqlite.FloatValue(1/float64(i+3)),
			sqlite.IntValue(i%2), sqlite.TextValue("2026-06-02T01:23:45Z"), sqlite.TextValue("2026-06-02 01:23:45"), sqlite.BlobValue([]byte{byte(i), 1, 2, 3, 4, 5, 6, 7}),
		)
	}
	return names, &b
}

func benchmarkEncoder(b *testing.B, e Encoder, rows *sqlite.Batch) {
	dst := e.Rows(nil, rows, true)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = e.Rows(dst[:0], rows, true)
	}
}

func BenchmarkCSV(b *testing.B) {
	columns, rows := sampleBatch()
	benchmarkEncoder(b, NewCSV(columns, DefaultDialect()), rows)
}

func BenchmarkJSON(b *testing.B) {
	columns, rows := sampleBatch()
	benchmarkEncoder(b, NewJSON(columns, JSONOptions{}), rows)
}

func BenchmarkCSVReader(b *testing.B) {
	columns, rows := sampleBatch()
	file := bytes.Repeat(NewCSV(columns, Dialect{Delimiter: ","}).Rows(nil, rows, true), 16)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewCSVReader(bytes.NewReader(file), Dialect{Delimiter: ","}.Reading())
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = r.Read()
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}

func BenchmarkZIP(b *testing.B) {
	columns, rows := sampleBatch()
	piece := NewCSV(columns, DefaultDialect()).Rows(nil, rows, true)
	const pieces = 32
	b.SetBytes(int64(len(piece) * pieces))
	for b.Loop() {
		z := NewZIP(io.Discard)
		w, err := z.Create("sample.csv", time.Time{})
		if err != nil {
			b.Fatal(err)
		}
		for range pieces {
			if _, err := w.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCSVExcel(b *testing.B) {
	columns, rows := sampleBatch()
	d, err := Profile("excel")
	if err != nil {
		b.Fatal(err)
	}
	benchmarkEncoder(b, NewCSV(columns, d), rows)
}

func BenchmarkINSERT(b *testing.B) {
	columns, rows := sampleBatch()
	benchmarkEncoder(b, NewINSERT("contacts", columns), rows)
}

func BenchmarkXLSX(b *testing.B) {
	columns, rows := sampleBatch()
	b.ReportAllocs()
	for b.Loop() {
		x, err := NewXLSX(io.Discard, columns, XLSXOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for range 16 {
			if err := x.Rows(rows); err != nil {
				b.Fatal(err)
			}
		}
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*16*rows.Rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkParquet(b *testing.B) {
	columns, rows := sampleBatch()
	for i, kind := range []string{"INTEGER", "TEXT", "TEXT", "TEXT", "TEXT", "INTEGER", "REAL", "REAL", "INTEGER", "TEXT", "TEXT", "BLOB"} {
		columns[i].Type = kind
	}
	b.ReportAllocs()
	for b.Loop() {
		p, err := NewParquet(io.Discard, columns)
		if err != nil {
			b.Fatal(err)
		}
		for range 256 {
			if err := p.Rows(rows); err != nil {
				b.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*256*rows.Rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkCompressor(b *testing.B) {
	columns, rows := sampleBatch()
	piece := NewCSV(columns, DefaultDialect()).Rows(nil, rows, true)
	const pieces = 64
	for _, name := range CompressionNames() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(piece) * pieces))
			for b.Loop() {
				w, err := NewCompressor(name, io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				for range pieces {
					if _, err := w.Write(piece); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNDJSONReader(b *testing.B) {
	columns, rows := sampleBatch()
	file := bytes.Repeat(NewNDJSON(columns, JSONOptions{}).Rows(nil, rows, true), 16)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	var batch sqlite.Batch
	for b.Loop() {
		r := NewNDJSONReader(bytes.NewReader(file), columns)
		for some := true; some; {
			var err error
			if some, err = r.Read(&batch, 1000); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkXLSXReader(b *testing.B) {
	columns, rows := sampleBatch()
	file := writeXLSX(b, columns, XLSXOptions{}, rows, rows, rows, rows)
	b.ReportAllocs()
	var batch sqlite.Batch
	for b.Loop() {
		w, err := openWorkbook(file)
		if err != nil {
			b.Fatal(err)
		}
		r, err := w.Sheet("", ReadDialect{})
		if err != nil {
			b.Fatal(err)
		}
		for some := true; some; {
			if some, err = r.Read(&batch, 1000); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N*4*rows.Rows)/b.Elapsed().Seconds(), "rows/s")
}
