package export

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// document writes several tables into one file, through encoders.
type document interface {
	// begin begins a table and returns the writer and the encoder for its rows.
	begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error)
	// end ends the current table.
	end() error
	// close ends the file, after the last table.
	close() error
}

// layout says how an artifact is written.
type layout struct {
	format   fileFormat
	spec     *spec
	project  string
	snapshot *projectdb.SnapshotID // nil in a canonical file
	at       time.Time             // zero in a canonical file
}

// modified is the modification time of the members of a canonical ZIP file: the
// earliest time that ZIP can represent.
func (l layout) modified() time.Time {
	if l.at.IsZero() {
		return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return l.at
}

// writing returns the options for writing the rows of a table.
func (l layout) writing(t tableRef) format.WriteOptions {
	return format.WriteOptions{Table: t.name, Dialect: l.spec.dialect(t.id), Split: l.spec.Split, Rows: t.rows, Modified: l.at}
}

// encoder returns the encoder for a table's rows; the format must have one.
func (l layout) encoder(t *projectdb.Table, columns []format.Column) format.Encoder {
	return l.format.table.NewEncoder(columns, l.writing(tableRef{id: t.ID, name: t.Name}))
}

// single is a document with exactly one table.
type single struct {
	layout layout
	w      io.Writer
}

func (d single) begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error) {
	return d.w, d.layout.encoder(t, columns), nil
}

func (single) end() error   { return nil }
func (single) close() error { return nil }

// zipOfTables is a ZIP file with one member per table.
type zipOfTables struct {
	layout layout
	zip    *memberZIP
}

func (d zipOfTables) begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error) {
	if d.layout.format.table.Dialects {
		comment, err := format.DialectComment(d.layout.spec.dialect(t.ID))
		if err != nil {
			return nil, nil, err
		}
		d.zip.comment = comment
	}
	return d.zip, d.layout.encoder(t, columns), d.zip.createTable("", t.Name, d.layout.format.table.Ext)
}

func (zipOfTables) end() error     { return nil }
func (d zipOfTables) close() error { return d.zip.close() }

// jsonDatabase is one JSON file with all tables.
type jsonDatabase struct {
	w      io.Writer
	frame  format.JSONDatabase
	layout layout
}

func newJSONDatabase(w io.Writer, l layout) (*jsonDatabase, error) {
	d := &jsonDatabase{w: w, layout: l}
	if l.snapshot == nil {
		return d, d.write(d.frame.Head(nil, l.project, time.Time{}, []byte("null")))
	}
	snapshot, err := json.Marshal(l.snapshot)
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot's id: %w", err)
	}
	return d, d.write(d.frame.Head(nil, l.project, l.at, snapshot))
}

func (d *jsonDatabase) begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error) {
	described := d.layout.describe(t).Columns
	objects := make([]projectdb.ColumnObject, len(columns))
	for i, column := range columns {
		at := slices.IndexFunc(described, func(o projectdb.ColumnObject) bool { return o.ColumnName == column.Name })
		objects[i] = described[at]
	}
	encoded, err := json.Marshal(objects)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the columns of %s: %w", t.Name, err)
	}
	return d.w, format.NewJSON(columns, format.JSONOptions{}), d.write(d.frame.OpenTable(nil, t.Name, encoded))
}

// describe returns a table as the API shows it. Its creation time is not part of the
// data: a canonical file has the time of all members in its place.
func (l layout) describe(t *projectdb.Table) projectdb.TableDescription {
	d := t.Describe()
	if l.spec.Canonical {
		made := jobs.Timestamp(l.modified())
		d.CreatedAt, d.UpdatedAt = made, made
		for i := range d.Columns {
			d.Columns[i].CreatedAt, d.Columns[i].UpdatedAt = made, made
		}
	}
	return d
}

func (d *jsonDatabase) end() error   { return d.write(d.frame.CloseTable(nil)) }
func (d *jsonDatabase) close() error { return d.write(d.frame.Tail(nil)) }

func (d *jsonDatabase) write(p []byte) error {
	_, err := d.w.Write(p)
	return err
}

// dump is a list of SQL statements that create all tables in an empty database: the
// tables first, then the rows, then the indexes.
type dump struct {
	w      io.Writer
	shapes []shape
}

func newDump(w io.Writer, shapes []shape) (*dump, error) {
	sql := []byte(format.DumpHead)
	for _, s := range shapes {
		sql = fmt.Appendf(sql, "%s;\n", s.table.CreateSQL())
	}
	_, err := w.Write(sql)
	return &dump{w: w, shapes: shapes}, err
}

func (d *dump) begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error) {
	return d.w, format.NewINSERT(t.Name, columns), nil
}

func (*dump) end() error { return nil }

func (d *dump) close() error {
	var sql []byte
	for _, s := range d.shapes {
		if s.counter > 0 {
			sql = fmt.Appendf(sql, "DELETE FROM sqlite_sequence WHERE name = %[1]s;\nINSERT INTO sqlite_sequence(name,seq) VALUES(%[1]s,%[2]d);\n",
				format.QuoteText(s.table.Name), s.counter)
		}
	}
	for _, s := range d.shapes {
		for _, x := range s.table.Indexes {
			if x.Managed() {
				sql = fmt.Appendf(sql, "%s;\n", x.CreateSQL())
			}
		}
	}
	_, err := d.w.Write(append(sql, format.DumpTail...))
	return err
}
