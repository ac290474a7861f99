package format

import (
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	metadata "github.com/parquet-go/parquet-go/format"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// ParquetReader reads the rows of a Parquet file. It is a [TableReader]. These are the
// types of its columns and the values that they hold:
//
//	INTEGER   integers of any size, truth values as 1 and 0
//	REAL      FLOAT and DOUBLE, NaN as NULL; DECIMAL of up to 15 digits
//	TEXT      STRING, ENUM, JSON; longer DECIMAL, digit by digit; unsigned 64-bit
//	          integers; DATE as 2006-01-02, TIME as 15:04:05.999999999,
//	          TIMESTAMP as 2006-01-02T15:04:05.999999999, with Z if it is UTC
//	BLOB      other bytes
//
// Columns of lists and structs are refused.
type ParquetReader struct {
	columns []Column
	convert []func(parquet.Value) sqlite.Value
	file    *parquet.File
	guard   parquetGuard
	begun   int          // row groups
	rows    parquet.Rows // of the last of these groups; nil between groups
	ended   bool         // all of rows have been read
	buffer  []parquet.Row
	pending []parquet.Row // rows of buffer not yet returned
	row     []sqlite.Value
}

// NewParquetReader returns a reader of a file of the given size. Faults of the file are
// *FileError, here and from Read.
func NewParquetReader(r io.ReaderAt, size int64) (p *ParquetReader, err error) {
	defer damaged(&err)
	var f *parquet.File
	if err = checkFooter(r, size); err == nil {
		f, err = parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	}
	if err != nil {
		return nil, &FileError{Reason: "The file is not a Parquet file, or it is damaged: " + withoutPath(err)}
	}
	if usesLZ4(f.Metadata()) {
		return nil, &FileError{Reason: "The Parquet file is compressed with LZ4; only Snappy, gzip, Brotli and zstd can be read."}
	}
	p = &ParquetReader{file: f, guard: guard(r, f), buffer: make([]parquet.Row, 256)}
	for _, column := range f.Root().Columns() {
		if !column.Leaf() || column.Repeated() {
			return nil, &FileError{Reason: fmt.Sprintf("The column %q holds lists or records; only columns of single values can be imported.", column.Name())}
		}
		columnType, convert := parquetColumn(column.Type())
		p.columns = append(p.columns, Column{Name: column.Name(), Type: columnType})
		p.convert = append(p.convert, convert)
	}
	p.row = make([]sqlite.Value, len(p.columns))
	return p, nil
}

// usesLZ4 reports whether the library would decompress LZ4. On a damaged page, it would
// keep allocating memory without end.
func usesLZ4(f *metadata.FileMetaData) bool {
	for _, group := range f.RowGroups {
		for _, column := range group.Columns {
			if column.MetaData.Codec == metadata.Lz4Raw {
				return true
			}
		}
	}
	return false
}

// damaged turns a panic of the library, which trusts files too much, into an error.
func damaged(err *error) {
	if fault := recover(); fault != nil {
		text := fmt.Sprint(fault)
		if cause, ok := fault.(error); ok {
			text = withoutPath(cause)
		}
		*err = &FileError{Reason: "The Parquet file is damaged: " + text}
	}
}

// Columns returns the columns of the file.
func (p *ParquetReader) Columns() []Column { return p.columns }

// Read fills b with the next rows.
func (p *ParquetReader) Read(b *sqlite.Batch, maxRows int) (some bool, err error) {
	defer damaged(&err)
	b.Reset(len(p.columns))
	for b.Rows < maxRows && b.Size() < batchBytes {
		if len(p.pending) == 0 {
			if more, err := p.readRows(); !more || err != nil {
				return b.Rows > 0, err
			}
			continue
		}
		// One by one, since many rows can share one long text.
		p.append(b, p.pending[0])
		p.pending = p.pending[1:]
	}
	return b.Rows > 0, nil
}

// readRows reads the next rows into pending, if there are any.
func (p *ParquetReader) readRows() (more bool, err error) {
	if p.ended { // and no pending row points into its memory
		if err := p.endGroup(); err != nil {
			return false, err
		}
	}
	if p.rows == nil {
		groups := p.file.RowGroups()
		if p.begun == len(groups) {
			return false, nil
		}
		if err := p.guard.check(&p.file.Metadata().RowGroups[p.begun]); err != nil {
			return false, &FileError{Reason: "The Parquet file is damaged: " + withoutPath(err)}
		}
		p.rows = groups[p.begun].Rows()
		p.begun++
	}
	n, err := p.rows.ReadRows(p.buffer)
	p.pending = p.buffer[:n]
	if p.ended = err == io.EOF; err != nil && !p.ended {
		return false, &FileError{Reason: "The Parquet file is damaged: " + withoutPath(err)}
	}
	return true, nil
}

func (p *ParquetReader) append(b *sqlite.Batch, row parquet.Row) {
	for j, v := range row {
		p.row[j] = sqlite.Value{}
		if !v.IsNull() {
			p.row[j] = p.convert[j](v)
		}
	}
	b.Append(p.row...)
}

// Close releases what has been read.
func (p *ParquetReader) Close() error {
	p.guard.close()
	return p.endGroup()
}

func (p *ParquetReader) endGroup() error {
	if p.rows == nil {
		return nil
	}
	err := p.rows.Close()
	p.rows, p.ended = nil, false
	return err
}

// parquetColumn returns the type of a column and a function that converts its values.
// The results may share the bytes of the originals.
func parquetColumn(t parquet.Type) (string, func(parquet.Value) sqlite.Value) {
	if l := t.LogicalType(); l != nil {
		if columnType, convert := logicalColumn(l, t.Kind()); convert != nil {
			return columnType, convert
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return "INTEGER", func(v parquet.Value) sqlite.Value {
			if v.Boolean() {
				return sqlite.IntValue(1)
			}
			return sqlite.IntValue(0)
		}
	case parquet.Int32:
		return "INTEGER", func(v parquet.Value) sqlite.Value { return sqlite.IntValue(int64(v.Int32())) }
	case parquet.Int64:
		return "INTEGER", func(v parquet.Value) sqlite.Value { return sqlite.IntValue(v.Int64()) }
	case parquet.Int96:
		return "TEXT", func(v parquet.Value) sqlite.Value { return sqlite.TextValue(v.Int96().Int().String()) }
	case parquet.Float:
		return "REAL", func(v parquet.Value) sqlite.Value { return numberOrNull(float64(v.Float())) }
	case parquet.Double:
		return "REAL", func(v parquet.Value) sqlite.Value { return numberOrNull(v.Double()) }
	}
	return "BLOB", func(v parquet.Value) sqlite.Value { return sqlite.BlobValue(v.ByteArray()) }
}

func numberOrNull(f float64) sqlite.Value {
	if math.IsNaN(f) {
		return sqlite.Value{}
	}
	return sqlite.FloatValue(f)
}

// logicalColumn is parquetColumn for logical types that decide it; convert is nil for
// all others.
func logicalColumn(l *metadata.LogicalType, kind parquet.Kind) (columnType string, convert func(parquet.Value) sqlite.Value) {
	asTime := func(layout string, unit time.Duration) func(parquet.Value) sqlite.Value {
		return func(v parquet.Value) sqlite.Value {
			return sqlite.TextValue(since1970(v, unit).Format(layout))
		}
	}
	// SQLite has no dates, unsigned integers or decimals: what a REAL or INTEGER cannot
	// hold exactly becomes a text that can be read back.
	switch t := l.Value.(type) {
	case *metadata.StringType, *metadata.EnumType, *metadata.JsonType:
		return "TEXT", func(v parquet.Value) sqlite.Value {
			return sqlite.Value{Kind: sqlite.Text, Bytes: v.ByteArray()}
		}
	case *metadata.DateType:
		return "TEXT", asTime(time.DateOnly, 24*time.Hour)
	case *metadata.TimeType:
		return "TEXT", asTime("15:04:05.999999999", t.Unit.Value.Duration())
	case *metadata.TimestampType:
		layout := "2006-01-02T15:04:05.999999999"
		if t.IsAdjustedToUTC {
			layout += "Z"
		}
		return "TEXT", asTime(layout, t.Unit.Value.Duration())
	case *metadata.IntType:
		switch {
		case t.IsSigned: // use the physical type
		case kind == parquet.Int64: // half of its values do not fit an INTEGER
			return "TEXT", func(v parquet.Value) sqlite.Value { return sqlite.TextValue(strconv.FormatUint(v.Uint64(), 10)) }
		default:
			return "INTEGER", func(v parquet.Value) sqlite.Value { return sqlite.IntValue(int64(v.Uint32())) }
		}
	case *metadata.DecimalType:
		const exact, longest = 15, 1000 // digits: that a REAL preserves, that anyone needs
		if t.Scale < 0 || t.Scale > t.Precision || t.Precision > longest {
			break
		}
		scale := int(t.Scale)
		if t.Precision > exact {
			return "TEXT", func(v parquet.Value) sqlite.Value { return sqlite.TextValue(decimalText(v, scale)) }
		}
		return "REAL", func(v parquet.Value) sqlite.Value {
			f, err := strconv.ParseFloat(decimalText(v, scale), 64)
			if err != nil {
				return sqlite.Value{}
			}
			return sqlite.FloatValue(f)
		}
	}
	return "", nil
}

// since1970 avoids a time.Duration for the total, which would end in 2262.
func since1970(v parquet.Value, unit time.Duration) time.Time {
	n := v.Int64()
	if v.Kind() == parquet.Int32 {
		n = int64(v.Int32())
	}
	if unit >= time.Second {
		return time.Unix(n*int64(unit/time.Second), 0).UTC()
	}
	perSecond := int64(time.Second / unit)
	seconds, rest := n/perSecond, n%perSecond
	return time.Unix(seconds, rest*int64(unit)).UTC()
}

// decimalText returns a DECIMAL with all its decimal places. The value is an integer, in
// bytes a big-endian two's complement one, whose last scale digits are decimals.
func decimalText(v parquet.Value, scale int) string {
	n := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		n.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		n.SetInt64(v.Int64())
	default:
		b := v.ByteArray()
		n.SetBytes(b)
		if len(b) > 0 && b[0]&0x80 != 0 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
		}
	}
	digits := new(big.Int).Abs(n).String()
	for len(digits) <= scale {
		digits = "0" + digits
	}
	if scale > 0 {
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if n.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
