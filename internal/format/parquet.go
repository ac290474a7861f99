package format

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// Parquet writes rows as a Parquet file. Each column is optional, so NULL stays NULL,
// and has a Parquet type that depends on the type of the table's column:
//
//	INTEGER               INT64
//	REAL                  DOUBLE, infinities and -0.0 included
//	TEXT                  BYTE_ARRAY, a STRING
//	BLOB                  BYTE_ARRAY
//	ANY and no type       BYTE_ARRAY, a STRING: the value as the CSV form writes it
//
// A value that is not of its column's type, which non-STRICT tables may contain, fails
// with a *LimitError; give such a column the type ANY. Bytes that are not UTF-8 become
// U+FFFD in a STRING. Values are compressed with zstd. A row group ends after 64 MiB, so
// memory does not grow with the table. The same rows produce the same bytes. Parquet is
// a [TableWriter].
type Parquet struct {
	w        *parquet.GenericWriter[any]
	columns  []Column
	values   []parquet.Value
	scratch  []byte // holds what values point to outside of the batch
	rows     int64
	group    int // bytes in the current row group
	replaced int64
}

// NewParquet returns a writer of rows of the given columns to w. If two columns have the
// same name, it returns a *LimitError.
func NewParquet(w io.Writer, columns []Column) (*Parquet, error) {
	root := orderedGroup{parquet.Group{}, columns}
	for _, column := range columns {
		if root.Group[column.Name] != nil {
			return nil, &LimitError{Reason: fmt.Sprintf("two columns are named %q, which Parquet does not allow", column.Name)}
		}
		root.Group[column.Name] = parquet.Optional(parquetNode(column.Type))
	}
	const pageBytes = 256 << 10
	options := []parquet.WriterOption{
		parquet.NewSchema("table", root),
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
		parquet.PageBufferSize(pageBytes),
		parquet.CreatedBy("zangtable", "1", ""),
	}
	for _, column := range columns {
		// Otherwise the smallest and the largest text would be stored in full in each
		// page header and at the end of the file, and readers refuse headers of
		// megabytes.
		if column.Type != "INTEGER" && column.Type != "REAL" {
			options = append(options, parquet.SkipPageBounds(column.Name), parquet.SkipPageStatistics(column.Name))
		}
	}
	return &Parquet{columns: columns, w: parquet.NewGenericWriter[any](w, options...)}, nil
}

func parquetNode(columnType string) parquet.Node {
	switch columnType {
	case "INTEGER":
		return parquet.Leaf(parquet.Int64Type)
	case "REAL":
		return parquet.Leaf(parquet.DoubleType)
	case "BLOB":
		return parquet.Leaf(parquet.ByteArrayType)
	}
	return parquet.String()
}

// orderedGroup keeps the order of the columns, which Group sorts by name.
type orderedGroup struct {
	parquet.Group
	columns []Column
}

func (g orderedGroup) Fields() []parquet.Field {
	byName := map[string]parquet.Field{}
	for _, field := range g.Group.Fields() {
		byName[field.Name()] = field
	}
	fields := make([]parquet.Field, len(g.columns))
	for i, column := range g.columns {
		fields[i] = byName[column.Name]
	}
	return fields
}

// Replaced returns the number of values so far that could not be written unchanged:
// texts with bytes that are not UTF-8, and numbers and blobs in columns of any type,
// which become texts.
func (p *Parquet) Replaced() int64 { return p.replaced }

// Rows writes the rows of b.
func (p *Parquet) Rows(b *sqlite.Batch) error {
	const groupBytes = 64 << 20
	for j, writer := range p.w.ColumnWriters() {
		if err := p.column(j, b); err != nil {
			return err
		}
		if _, err := writer.WriteRowValues(p.values); err != nil {
			return fmt.Errorf("write column %q: %w", p.columns[j].Name, err)
		}
	}
	p.rows += int64(b.Rows)
	p.group += b.Size() + 8*b.Rows*b.Columns
	if p.group < groupBytes {
		return nil
	}
	p.group = 0
	return p.w.Flush()
}

// Close writes the last row group and the footer.
func (p *Parquet) Close() error { return p.w.Close() }

// column fills values with those of column j.
func (p *Parquet) column(j int, b *sqlite.Batch) error {
	p.values, p.scratch = p.values[:0], p.scratch[:0]
	for i := range b.Rows {
		cell := b.Row(i)[j]
		if cell.Kind == sqlite.Null {
			p.values = append(p.values, parquet.NullValue().Level(0, 0, j))
			continue
		}
		v, ok := p.value(p.columns[j].Type, b, cell)
		if !ok {
			kind := [...]string{"NULL", "INTEGER", "REAL", "TEXT", "BLOB"}[cell.Kind]
			return &LimitError{Row: p.rows + int64(i) + 1, Column: p.columns[j].Name, Reason: fmt.Sprintf("the value has the type %s, but the column has the type %s", kind, p.columns[j].Type)}
		}
		p.values = append(p.values, v.Level(0, 1, j))
	}
	return nil
}

// value returns a non-NULL cell as a value for a column of the given type.
func (p *Parquet) value(columnType string, b *sqlite.Batch, c sqlite.Cell) (v parquet.Value, ok bool) {
	switch columnType {
	case "INTEGER":
		return parquet.Int64Value(c.Int()), c.Kind == sqlite.Integer
	case "REAL":
		return parquet.DoubleValue(c.Float()), c.Kind == sqlite.Real
	case "TEXT":
		if c.Kind != sqlite.Text {
			return v, false
		}
		return p.text(b.Bytes(c)), true
	case "BLOB":
		if c.Kind != sqlite.Blob {
			return v, false
		}
		return parquet.ByteArrayValue(b.Bytes(c)), true
	}
	start := len(p.scratch)
	switch c.Kind {
	case sqlite.Text:
		return p.text(b.Bytes(c)), true
	case sqlite.Integer:
		p.scratch = strconv.AppendInt(p.scratch, c.Int(), 10)
	case sqlite.Real:
		p.scratch = appendCSVReal(p.scratch, c.Float())
	case sqlite.Blob:
		p.scratch = appendBase64(p.scratch, b.Bytes(c))
	}
	p.replaced++
	// Growing may move scratch; the old array stays valid for earlier values.
	return parquet.ByteArrayValue(p.scratch[start:]), true
}

func (p *Parquet) text(s []byte) parquet.Value {
	if !utf8.Valid(s) {
		p.replaced++
		s = []byte(string([]rune(string(s))))
	}
	return parquet.ByteArrayValue(s)
}
