package format

import (
	"bytes"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Caveat describes values in a column that a format cannot hold unchanged or that
// readers of the file may misread.
type Caveat struct {
	Code    string
	Message string
	Count   func(f *Findings, c Column, o WriteOptions) int64 // number of affected values
}

// TableCaveat is a Caveat about a table as a whole.
type TableCaveat struct {
	Code    string
	Message string
	Count   func(rows int64, columns int, o WriteOptions) int64
}

// Findings counts the values in a column that some format has a caveat about.
type Findings struct {
	big, infinite, invalid, formulas, long, nulls, empty int64
	numbers, blobs                                       int64
	changed                                              int64 // read back differently unless the type is known
}

// See counts one value.
func (f *Findings) See(b *sqlite.Batch, cell sqlite.Cell) {
	if BecomesAnother(b, cell) {
		f.changed++
	}
	switch cell.Kind {
	case sqlite.Null:
		f.nulls++
	case sqlite.Integer:
		f.numbers++
		if n := cell.Int(); n > maxSafeInteger || n < -maxSafeInteger {
			f.big++
		}
	case sqlite.Real:
		f.numbers++
		if v := cell.Float(); v-v != 0 {
			f.infinite++
		}
	case sqlite.Text:
		f.seeText(b.Bytes(cell))
	case sqlite.Blob:
		f.blobs++
		if len(b.Bytes(cell))*4/3 > XLSXText {
			f.long++
		}
	}
}

func (f *Findings) seeText(text []byte) {
	if len(text) == 0 {
		f.empty++
		return
	}
	if bytes.IndexByte([]byte("=+-@\t\r"), text[0]) >= 0 {
		f.formulas++
	}
	if !utf8.Valid(text) {
		f.invalid++
	}
	if len(text) > XLSXText && utf16Units(text) > XLSXText {
		f.long++
	}
}

// inAny limits a count to columns of any type.
func inAny(count func(f *Findings) int64) func(*Findings, Column, WriteOptions) int64 {
	return func(f *Findings, c Column, _ WriteOptions) int64 {
		if c.Type != "ANY" {
			return 0
		}
		return count(f)
	}
}

func always(count func(f *Findings) int64) func(*Findings, Column, WriteOptions) int64 {
	return func(f *Findings, _ Column, _ WriteOptions) int64 { return count(f) }
}

var (
	countBig      = always(func(f *Findings) int64 { return f.big })
	countInfinite = always(func(f *Findings) int64 { return f.infinite })
	countInvalid  = always(func(f *Findings) int64 { return f.invalid })
	countAnyBlobs = inAny(func(f *Findings) int64 { return f.blobs })
)

const (
	ambiguousBlobs = "In an ANY column, BLOBs cannot be told from texts that are their base64."
	replacedBytes  = "Texts that are not UTF-8 are written with U+FFFD."
)

var csvCaveats = []Caveat{
	{"any_type", "In an ANY column, readers take BLOBs, texts that look like numbers, and infinities for values of another type.",
		inAny(func(f *Findings) int64 { return f.changed })},
	{"invalid_utf8", "Texts that are not UTF-8 are written as they are, which some readers refuse.", countInvalid},
	{"formulas", "Texts that spreadsheets take for formulas; set formula_guard to prevent it.", func(f *Findings, _ Column, o WriteOptions) int64 {
		if o.Dialect.FormulaGuard {
			return 0
		}
		return f.formulas
	}},
	{"null_and_empty", "NULL and the empty text differ only by quotes, which many readers ignore; set null_text to tell them apart.", func(f *Findings, _ Column, o WriteOptions) int64 {
		if o.Dialect.NullText != "" || f.nulls == 0 {
			return 0
		}
		return f.empty
	}},
}

var jsonCaveats = []Caveat{
	{"big_integers", "Integers beyond ±(2^53-1), which many JSON readers round.", countBig},
	{"infinities", "Infinities become null.", countInfinite},
	{"any_type", ambiguousBlobs, countAnyBlobs},
	{"invalid_utf8", replacedBytes, countInvalid},
}

var xlsxCaveats = []Caveat{
	{"excel_text", "Texts longer than 32,767 characters, the limit of an Excel cell: the export would fail.", always(func(f *Findings) int64 { return f.long })},
	{"big_integers", "Integers beyond ±2^53 become text.", countBig},
	{"infinities", "Infinities become text.", countInfinite},
	{"any_type", ambiguousBlobs, countAnyBlobs},
	{"invalid_utf8", replacedBytes, countInvalid},
}

var xlsxTableCaveats = []TableCaveat{
	{"excel_rows", "An Excel sheet has at most 1,048,576 rows; set split to continue on further sheets.", func(rows int64, _ int, o WriteOptions) int64 {
		if o.Split || rows <= XLSXRows-1 {
			return 0
		}
		return rows
	}},
	{"excel_columns", "An Excel sheet has at most 16,384 columns.", func(_ int64, columns int, _ WriteOptions) int64 {
		if columns <= XLSXColumns {
			return 0
		}
		return int64(columns)
	}},
}

var parquetCaveats = []Caveat{
	{"any_type", "In an ANY column, numbers and BLOBs become texts.", inAny(func(f *Findings) int64 { return f.numbers + f.blobs })},
	{"invalid_utf8", replacedBytes, countInvalid},
}
