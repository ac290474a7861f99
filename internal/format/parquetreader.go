package format

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	metadata "github.com/parquet-go/parquet-go/format"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// ParquetReader reads the rows of a Parquet file. It is a [TableReader]. These are the
// types of its columns and the values that they hold:
//
//	INTEGER   integers of any size, truth values as 1 and 0
//	REAL      FLOAT, DOUBLE and FLOAT16, NaN as NULL; DECIMAL of up to 15 digits
//	TEXT      STRING, ENUM, JSON, UUID; longer DECIMAL, digit by digit; unsigned 64-bit
//	          integers; DATE as 2006-01-02, TIME as 15:04:05.999999999,
//	          TIMESTAMP as 2006-01-02T15:04:05.999999999, with Z if it is UTC, INT96
//	          without; INTERVAL as a duration of ISO 8601
//	          LIST, STRUCT and MAP as JSON, with other bytes in base64
//	BLOB      other bytes
type ParquetReader struct {
	columns []Column
	nodes   []*nestedNode // of columns
	leaves  int
	nested  *parquetRows // reads files with lists or records; nil for others
	file    *parquet.File
	guard   parquetGuard
	begun   int          // row groups
	rows    parquet.Rows // of the last of these groups; nil between groups
	ended   bool         // all of rows have been read
	buffer  []parquet.Row
	pending []parquet.Row // rows of buffer not yet returned
	row     []sqlite.Value
	read    int64 // rows of a file with lists or records
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
		return nil, &FileError{Reason: "The Parquet file is compressed with LZ4; only Snappy, gzip, Brotli and zstd can be read. Write it again with one of them."}
	}
	schema := &parquetSchema{elements: f.Metadata().Schema, at: 1}
	p = &ParquetReader{file: f, buffer: make([]parquet.Row, 256)}
	plain := true
	for _, column := range f.Root().Columns() {
		n, err := schema.node(column, 0)
		if err != nil {
			return nil, &FileError{Reason: "The Parquet file is damaged: " + withoutPath(err)}
		}
		name := "TEXT"
		if n.isPlain() {
			name = n.leaf.name
		}
		p.columns, p.nodes, plain = append(p.columns, Column{Name: n.name, Type: name}), append(p.nodes, n), plain && n.isPlain()
	}
	if !plain {
		p.nested = &parquetRows{columns: p.nodes}
	}
	p.leaves, p.guard = len(schema.leaves), guard(r, f, schema.leaves)
	p.row = make([]sqlite.Value, len(p.columns))
	return p, nil
}

// usesLZ4 reports whether the library would decompress LZ4. It returns zeros for pages
// that are compressed to more than a third of their size, and on a damaged one it keeps
// allocating memory without end.
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
		if p.nested != nil {
			if more, err := p.readNested(b); !more || err != nil {
				return b.Rows > 0, err
			}
			continue
		}
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
		group, err := p.nextGroup()
		if group == nil || err != nil {
			return false, err
		}
		p.rows = group.Rows()
	}
	n, err := p.rows.ReadRows(p.buffer)
	p.pending = p.buffer[:n]
	if p.ended = err == io.EOF; err != nil && !p.ended {
		return false, &FileError{Reason: "The Parquet file is damaged: " + withoutPath(err)}
	}
	return true, nil
}

// nextGroup returns the next row group, checked, or nil after the last.
func (p *ParquetReader) nextGroup() (parquet.RowGroup, error) {
	groups := p.file.RowGroups()
	if p.begun == len(groups) {
		return nil, nil
	}
	if err := p.guard.check(&p.file.Metadata().RowGroups[p.begun]); err != nil {
		return nil, &FileError{Reason: "The Parquet file is damaged: " + withoutPath(err)}
	}
	p.begun++
	return groups[p.begun-1], nil
}

// readNested reads a row of a file with lists or records, if there is one.
func (p *ParquetReader) readNested(b *sqlite.Batch) (more bool, err error) {
	r := p.nested
	for {
		if r.leaves == nil {
			group, err := p.nextGroup()
			if group == nil || err != nil {
				return false, err
			}
			if err := r.open(group, p.leaves); err != nil {
				return false, rowFault(err, 0)
			}
		}
		more, err := r.next()
		if err != nil {
			return false, rowFault(err, p.read+1)
		}
		if more {
			break
		}
		if err := r.close(); err != nil {
			return false, err
		}
	}
	p.read++
	if err := p.appendNested(b); err != nil {
		return false, rowFault(err, p.read)
	}
	return true, nil
}

// appendNested adds the row that has been read.
func (p *ParquetReader) appendNested(b *sqlite.Batch) error {
	r := p.nested
	r.nested.err = nil
	r.nested.values = append(r.nested.values[:0], r.row...)
	r.text = r.text[:0]
	for j, n := range p.nodes {
		p.row[j] = sqlite.Value{}
		if n.isPlain() {
			if v := r.row[n.first][0]; !v.IsNull() {
				p.row[j] = n.leaf.convert(v)
			}
			continue
		}
		if v, ok := r.nested.peek(n); !ok || n.optional && v.DefinitionLevel() < n.def {
			continue
		}
		start := len(r.text)
		if r.text = r.nested.append(r.text, n); r.nested.err != nil {
			return r.nested.err
		}
		// Growing may move the text; the old array stays valid for earlier values.
		p.row[j] = sqlite.Value{Kind: sqlite.Text, Bytes: r.text[start:len(r.text):len(r.text)]}
	}
	b.Append(p.row...)
	return nil
}

func (p *ParquetReader) append(b *sqlite.Batch, row parquet.Row) {
	for j, v := range row {
		p.row[j] = sqlite.Value{}
		if !v.IsNull() {
			p.row[j] = p.nodes[j].leaf.convert(v)
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
	if p.nested != nil && p.nested.leaves != nil {
		return p.nested.close()
	}
	if p.rows == nil {
		return nil
	}
	err := p.rows.Close()
	p.rows, p.ended = nil, false
	return err
}
