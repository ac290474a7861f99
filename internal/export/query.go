package export

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// query returns the statement of a query export.
func (e *Exports) query(w *work) projectdb.Query {
	q := projectdb.Query{SQL: w.SQL, Params: w.Params, Timeout: e.config.QueryTimeout}
	if w.Readable != nil {
		q.Permitted = func(tableID int64) bool { return slices.Contains(w.Readable, tableID) }
	}
	return q
}

// orderQuery notes the statement, for which check says whether it can run.
func (r *record) orderQuery(faults *problem.Faults, o Order, check func(*work) error) error {
	r.work.SQL, r.work.Params, r.work.Readable = o.SQL, o.Params.Clone(), o.Readable
	r.manifest.Options.SQL, r.manifest.Options.Params = o.SQL, []byte(r.work.Params)
	err := check(&r.work)
	if problem.Is(err, problem.CodeValidationFailed) {
		faults.Merge("", err)
		return nil
	}
	return err
}

// writeQuery writes the rows that the statement gives.
func (e *Exports) writeQuery(j *job, l layout, w io.Writer) error {
	db, release, err := e.projects.Lease(j.ctx, j.record.projectID)
	if err != nil {
		return err
	}
	defer release()
	m := &j.record.manifest
	// What fails elsewhere than in the statement is not to be told as its fault.
	var readErr, writeErr error
	err = db.ScanQuery(j.ctx, e.query(l.work), func(id projectdb.SnapshotID, scan *projectdb.Scan) (err error) {
		if !l.work.Canonical {
			m.Snapshot, l.snapshot, l.at = &id, &id, e.now()
		}
		if l.format.table == "parquet" {
			if readErr = typeColumns(scan); readErr != nil {
				return readErr
			}
		}
		m.Tables = []TableResult{{Name: queryTable}}
		err = e.writeResult(j, l, w, scan.Columns, &m.Tables[0], func(b *sqlite.Batch) (more bool, err error) {
			more, readErr = scan.Next(b)
			return more, readErr
		})
		m.RowCount = m.Tables[0].RowCount
		if readErr == nil {
			writeErr = err
		}
		return err
	})
	j.rowsTotal.Store(m.RowCount)
	return cmp.Or(writeErr, err)
}

func (e *Exports) writeResult(j *job, l layout, w io.Writer, columns []format.Column, result *TableResult, next func(*sqlite.Batch) (bool, error)) error {
	if l.format.name == "sqlite" {
		return e.writeQueryDatabase(j, w, columns, result, next)
	}
	writer, err := l.tableWriter(w, tableRef{name: queryTable}, columns)
	if err != nil {
		return err
	}
	seen := make(classes, len(columns))
	err = j.pumpResult(func(b *sqlite.Batch) (bool, error) {
		more, err := next(b)
		seen.note(b)
		return more, err
	}, writer, columns, result)
	for i := range result.Columns {
		result.Columns[i].Type = seen.name(i)
	}
	return err
}

// typeColumns gives the columns of a result the types of their values, for a
// format that must know them before. It reads all rows.
func typeColumns(scan *projectdb.Scan) error {
	seen := make(classes, len(scan.Columns))
	if err := scan.Survey(seen.note); err != nil {
		return err
	}
	for i := range scan.Columns {
		scan.Columns[i].Type = seen.name(i)
	}
	return nil
}

// classes are the storage classes that the values of each column have, one bit
// each: the columns of a result have no types.
type classes []uint

func (seen classes) note(b *sqlite.Batch) {
	for i := range b.Rows {
		for j, cell := range b.Row(i) {
			seen[j] |= 1 << cell.Kind
		}
	}
}

// name returns the type of a column whose values are of one class, by which they
// can be read back from a text.
func (seen classes) name(column int) string {
	types := map[uint]string{1 << sqlite.Integer: "INTEGER", 1 << sqlite.Real: "REAL", 1 << sqlite.Text: "TEXT", 1 << sqlite.Blob: "BLOB"}
	return cmp.Or(types[seen[column]&^(1<<sqlite.Null)], "ANY")
}

// pumpResult writes all rows of a result. How many there are to be only shows
// when they have been read.
func (j *job) pumpResult(next func(*sqlite.Batch) (bool, error), w format.TableWriter, columns []format.Column, result *TableResult) error {
	content, err := j.pump(next, w)
	if err != nil {
		return err
	}
	result.RowCount, result.RowsExpected, result.Replaced = content.Rows, content.Rows, replaced(w)
	result.hold(columns, content)
	return nil
}

// queryTable is the name of the table, or sheet, that holds what a statement
// gave.
const queryTable = "query_result"

func (e *Exports) writeQueryDatabase(j *job, w io.Writer, columns []format.Column, result *TableResult, next func(*sqlite.Batch) (bool, error)) (err error) {
	draft, path, err := e.folder.private(j.record)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeDatabase(draft), removeDatabase(path)) }()
	file, err := projectdb.NewFile(j.ctx, draft, path)
	if err != nil {
		return err
	}
	shape, named := queryShape(columns)
	if err = file.CreateTable(shape); err == nil {
		var in *projectdb.Inserter
		if in, err = file.Insert(shape, named); err == nil {
			err = j.pumpResult(next, insertWriter{in}, columns, result)
		}
	}
	if err != nil {
		return errors.Join(err, file.Discard())
	}
	if err := file.Finish(); err != nil {
		return err
	}
	return copyFile(j.ctx, w, path)
}

// queryShape returns a table that can hold any values in the columns, whose
// names become such as tables of projects can have.
func queryShape(columns []format.Column) (*projectdb.Table, []format.Column) {
	shape, named := &projectdb.Table{Name: queryTable}, make([]format.Column, len(columns))
	taken := map[string]bool{}
	for i, column := range columns {
		named[i].Name = projectdb.AdjustName(strings.TrimSpace(column.Name), "column", taken)
		shape.Columns = append(shape.Columns, projectdb.Column{Name: named[i].Name, Type: "ANY"})
	}
	return shape, named
}
