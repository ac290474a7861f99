package export

import (
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// document puts tables together into one file.
type document interface {
	// begin begins a table and returns where its rows go.
	begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error)
	// end ends the table begun last.
	end() error
	// close ends the file, after the last table.
	close() error
}

// document returns the document of a kind and format, written to w.
func (f fileFormat) document(w io.Writer, project string, s projectdb.SnapshotID, now time.Time) (document, error) {
	switch {
	case f.kind == DatabaseExport && f.name == "json":
		return newJSONDatabase(w, project, s, now)
	case f.kind == DatabaseExport:
		return &zipOfCSV{zip: format.NewZIP(w), taken: map[string]bool{}, now: now}, nil
	}
	return single{f, w}, nil
}

// single is a file that is one table.
type single struct {
	format fileFormat
	w      io.Writer
}

func (d single) begin(_ *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error) {
	if d.format.name == "json" {
		return d.w, format.NewJSON(columns, format.JSONOptions{}), nil
	}
	return d.w, format.NewCSV(columns, format.DefaultDialect()), nil
}

func (single) end() error   { return nil }
func (single) close() error { return nil }

// zipOfCSV has one CSV file per table.
type zipOfCSV struct {
	zip   *format.ZIP
	taken map[string]bool
	now   time.Time
}

func (d *zipOfCSV) begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error) {
	w, err := d.zip.Create(format.MemberName(t.Name, "csv", d.taken), d.now)
	return w, format.NewCSV(columns, format.DefaultDialect()), err
}

func (d *zipOfCSV) end() error   { return nil }
func (d *zipOfCSV) close() error { return d.zip.Close() }

// jsonDatabase is one JSON file with all tables.
type jsonDatabase struct {
	w     io.Writer
	frame format.JSONDatabase
}

func newJSONDatabase(w io.Writer, project string, s projectdb.SnapshotID, now time.Time) (*jsonDatabase, error) {
	d := &jsonDatabase{w: w}
	snapshot, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot's id: %w", err)
	}
	return d, d.write(d.frame.Head(nil, project, now, snapshot))
}

func (d *jsonDatabase) begin(t *projectdb.Table, columns []format.Column) (io.Writer, format.Encoder, error) {
	objects := make([]projectdb.ColumnObject, len(columns))
	for i, column := range columns {
		objects[i] = t.ColumnObject(t.Column(column.Name))
	}
	encoded, err := json.Marshal(objects)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the columns of %s: %w", t.Name, err)
	}
	return d.w, format.NewJSON(columns, format.JSONOptions{}), d.write(d.frame.OpenTable(nil, t.Name, encoded))
}

func (d *jsonDatabase) end() error   { return d.write(d.frame.CloseTable(nil)) }
func (d *jsonDatabase) close() error { return d.write(d.frame.Tail(nil)) }

func (d *jsonDatabase) write(p []byte) error {
	_, err := d.w.Write(p)
	return err
}
