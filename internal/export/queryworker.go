package export

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

// The code in this file runs in worker processes.

var (
	exportTask = worker.Define("export.query", exportQuery)
	tryTask    = worker.Define("export.try-query", tryQuery)
)

// queryMade is the result of a query export made by a worker.
type queryMade struct {
	Commit int64       `json:"commit"`
	Table  TableResult `json:"table"`
	Size   int64       `json:"size"`
	SHA256 []byte      `json:"sha256"`
	MD5    []byte      `json:"md5"`
}

// workerProgress is the progress that a worker reports.
type workerProgress struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
}

// queryExport is a query export that a worker makes.
type queryExport struct {
	session  *worker.Session
	job      *job
	artifact *artifact.Writer
}

func exportQuery(ctx context.Context, s *worker.Session, order queryRequest) (made queryMade, err error) {
	x := &queryExport{session: s, job: &job{ctx: ctx}, artifact: artifact.Inherit(s.Files[0], order.MD5)}
	f, _ := formatOf(QueryExport, order.Format)
	l := layout{format: f, spec: &order.Spec, project: order.Project}
	w, err := compressor(order.Spec.Compress, x.artifact)
	if err != nil {
		return made, err
	}
	defer x.tellProgress()()
	if err := x.write(ctx, &order, l, w, &made); err != nil {
		return made, explainInWorker(err)
	}
	if err := w.Close(); err != nil {
		return made, explainInWorker(err)
	}
	made.Size, made.SHA256, made.MD5, err = x.artifact.Sums()
	return made, explainInWorker(err)
}

// write runs the statement and writes its rows.
func (x *queryExport) write(ctx context.Context, order *queryRequest, l layout, w io.Writer, made *queryMade) (err error) {
	defer problem.Recovered(&err)
	// A failure outside the statement must not be reported as the statement's fault.
	var readErr, writeErr error
	err = projectdb.ScanQuery(ctx, x.session, order.Query, func(commit int64, scan *projectdb.Scan) (err error) {
		made.Commit = commit
		if !order.Spec.Canonical {
			id := projectdb.SnapshotAt(commit, order.At)
			l.snapshot, l.at = &id, order.At
		}
		if l.format.table.Typed {
			if readErr = typeColumns(scan); readErr != nil {
				return readErr
			}
		}
		made.Table = TableResult{Name: queryTable}
		err = x.writeResult(l, w, scan.Columns, &made.Table, func(b *sqlite.Batch) (more bool, err error) {
			more, readErr = scan.Next(b)
			return more, readErr
		})
		if readErr == nil {
			writeErr = err
		}
		return err
	})
	return cmp.Or(writeErr, err)
}

// explainInWorker turns an error into one that keeps its meaning on the way to the
// server.
func explainInWorker(err error) error {
	if err == nil || problem.From(err).Code != problem.CodeInternal {
		return err
	}
	code, sentence := explainFailure(err)
	return problem.New(code, "%s", sentence).Because(err)
}

// progressInterval is how often a worker reports its progress.
const progressInterval = 200 * time.Millisecond

// tellProgress reports progress to the server until stop is called.
func (x *queryExport) tellProgress() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
			text, err := json.Marshal(workerProgress{x.job.rowsDone.Load(), x.artifact.Bytes()})
			if err != nil || x.session.Send(text) != nil {
				return // the server is not listening, and will report that itself
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// queryTried is what a worker found out about a query by trying it.
type queryTried struct {
	Tables      []TablePreflight `json:"tables"`
	Warnings    []Warning        `json:"warnings"`
	RowsChecked int64            `json:"rows_checked"`
}

func tryQuery(ctx context.Context, s *worker.Session, order queryRequest) (queryTried, error) {
	f, _ := formatOf(QueryExport, order.Format)
	l := layout{format: f, spec: &order.Spec, project: order.Project, at: order.At}
	var p Preflight
	err := projectdb.ScanQuery(ctx, s, order.Query, func(_ int64, scan *projectdb.Scan) error {
		return p.look(l, tableRef{name: queryTable}, nil, scan, time.Now().Add(checkTime/2))
	})
	return queryTried{p.Tables, p.Warnings, p.RowsChecked}, err
}

func (x *queryExport) writeResult(l layout, w io.Writer, columns []format.Column, result *TableResult, next func(*sqlite.Batch) (bool, error)) error {
	if l.format.table.SQLite {
		return x.writeDatabase(w, columns, result, next)
	}
	writer, err := l.tableWriter(w, tableRef{name: queryTable}, columns)
	if err != nil {
		return err
	}
	seen := make(classes, len(columns))
	err = x.job.pumpResult(func(b *sqlite.Batch) (bool, error) {
		more, err := next(b)
		seen.note(b)
		return more, err
	}, writer, columns, result)
	for i := range result.Columns {
		result.Columns[i].Type = seen.name(i)
	}
	return err
}

// typeColumns gives the columns of a result the types of their values, for formats that
// need types in advance. It reads all rows.
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

// classes holds, for each column, the storage classes of its values, one bit each: the
// columns of a result have no types.
type classes []uint

func (seen classes) note(b *sqlite.Batch) {
	for i := range b.Rows {
		for j, cell := range b.Row(i) {
			seen[j] |= 1 << cell.Kind
		}
	}
}

// name returns the column type with which values of one class can be read back from
// text.
func (seen classes) name(column int) string {
	types := map[uint]string{1 << sqlite.Integer: "INTEGER", 1 << sqlite.Real: "REAL", 1 << sqlite.Text: "TEXT", 1 << sqlite.Blob: "BLOB"}
	return cmp.Or(types[seen[column]&^(1<<sqlite.Null)], "ANY")
}

// pumpResult writes all rows of a result. The expected number of rows is known only
// once they have been read.
func (j *job) pumpResult(next func(*sqlite.Batch) (bool, error), w format.TableWriter, columns []format.Column, result *TableResult) error {
	content, err := j.pump(next, w)
	if err != nil {
		return err
	}
	result.RowCount, result.RowsExpected, result.Replaced = content.Rows, content.Rows, replaced(w)
	result.hold(columns, content)
	return nil
}

// queryTable is the name of the table, or sheet, that holds the result of a statement.
const queryTable = "query_result"

// writeDatabase writes a database file. Its temporary files are removed with the
// worker's folder.
func (x *queryExport) writeDatabase(w io.Writer, columns []format.Column, result *TableResult, next func(*sqlite.Batch) (bool, error)) error {
	draft, path := filepath.Join(x.session.Folder, "draft"), filepath.Join(x.session.Folder, "database")
	file, err := projectdb.NewFile(x.job.ctx, draft, path)
	if err != nil {
		return err
	}
	shape, named := queryShape(columns)
	if err = file.CreateTable(shape); err == nil {
		var in *projectdb.Inserter
		if in, err = file.Insert(shape, named); err == nil {
			err = x.job.pumpResult(next, insertWriter{in}, columns, result)
		}
	}
	if err != nil {
		return errors.Join(err, file.Discard())
	}
	if err := file.Finish(); err != nil {
		return err
	}
	return copyFile(x.job.ctx, w, path)
}

// queryShape returns a table that can hold any value in each column, with columns
// renamed to names that tables of projects may have.
func queryShape(columns []format.Column) (*projectdb.Table, []format.Column) {
	shape, named := &projectdb.Table{Name: queryTable}, make([]format.Column, len(columns))
	taken := map[string]bool{}
	for i, column := range columns {
		named[i].Name = projectdb.AdjustName(strings.TrimSpace(column.Name), "column", taken)
		shape.Columns = append(shape.Columns, projectdb.Column{Name: named[i].Name, Type: "ANY"})
	}
	return shape, named
}
