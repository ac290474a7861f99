package projectdb

import (
	"context"
	"slices"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Snapshot is the state of a project at one commit. Writers are not blocked while it
// is held. It must be used by one goroutine at a time, and must be closed.
type Snapshot struct {
	ID     SnapshotID
	Tables []Table // by id

	pinned *sqlite.Snapshot
}

// SnapshotID identifies a state of a project: how many write transactions had been
// committed, and when it was read.
type SnapshotID struct {
	Commit int64  `json:"commit" doc:"How many write transactions the project had seen."`
	Time   string `json:"time" doc:"When the snapshot was taken, UTC." format:"date-time"`
}

// Snapshot pins the current state. Canceling ctx interrupts reads from it.
func (db *DB) Snapshot(ctx context.Context) (*Snapshot, error) {
	return db.ParallelSnapshot(ctx, 1)
}

// ParallelSnapshot pins the current state for the number of readers that Ranges is to
// have.
func (db *DB) ParallelSnapshot(ctx context.Context, readers int) (*Snapshot, error) {
	pinned, err := db.sql.Snapshot(ctx, readers)
	if err != nil {
		return nil, explain(err)
	}
	s := &Snapshot{pinned: pinned, ID: SnapshotID{Time: Timestamp(db.now())}}
	pinned.Interrupt(ctx)
	if err := s.readCatalog(db); err != nil {
		s.Close()
		return nil, explain(err)
	}
	return s, nil
}

func (s *Snapshot) readCatalog(db *DB) (err error) {
	if s.ID.Commit, err = s.conn().Int(lastCommit); err != nil {
		return err
	}
	cat, err := db.catalog(s.conn())
	if err != nil {
		return err
	}
	s.Tables = slices.Clone(cat.tables) // the caller may sort them
	return nil
}

func (s *Snapshot) conn() *sqlite.Conn { return s.pinned.Conns[0] }

// Table returns the table with the given id or name, or not_found.
func (s *Snapshot) Table(ref string) (*Table, error) {
	return (&catalog{tables: s.Tables}).table(ref)
}

// FindTable returns the table with the given id or name, or not_found.
func FindTable(tables []Table, ref string) (*Table, error) {
	return (&catalog{tables: tables}).table(ref)
}

// Check notes every fault of a selection on a table, with the given prefix on the
// names of its fields.
func (s Selection) Check(faults *problem.Faults, t *Table, prefix string) {
	s.plan(t, faults, prefix)
}

// Count returns how many rows a scan of the selection returns.
func (s *Snapshot) Count(t *Table, selection Selection) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	var faults problem.Faults
	q := selection.plan(t, &faults, "")
	if err := faults.Err(); err != nil {
		return 0, err
	}
	rows, err := s.conn().Int(q.countSQL(), q.where.args...)
	return rows, explain(err)
}

// Scan reads the selected rows of a table, in order.
type Scan struct {
	Columns []format.Column
	stmt    *sqlite.Stmt
	explain func(error) error // of the author of the statement
}

// Scan starts reading a table. Only one scan of a snapshot can be open at a time.
func (s *Snapshot) Scan(t *Table, selection Selection) (*Scan, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	var faults problem.Faults
	q := selection.plan(t, &faults, "")
	if err := faults.Err(); err != nil {
		return nil, err
	}
	stmt, err := s.conn().Prepare(q.sql())
	if err != nil {
		return nil, explain(err)
	}
	stmt.Bind(q.where.args...)
	return &Scan{Columns: q.columns, stmt: stmt, explain: explain}, nil
}

// A batch of a scan ends at batchRows, batchCells or batchBytes, whichever comes
// first.
const (
	batchRows  = 2000
	batchCells = 64 << 10 // 1 MiB
	batchBytes = 1 << 20
)

// maxBatchRows returns how many rows with the given number of columns fit into a
// batch.
func maxBatchRows(columns int) int {
	return max(1, min(batchRows, batchCells/max(1, columns)))
}

// Next fills b with the next rows and reports whether there were any.
func (s *Scan) Next(b *sqlite.Batch) (bool, error) {
	b.Reset(len(s.Columns))
	if s.stmt == nil {
		return false, nil
	}
	more, err := s.stmt.Fill(b, maxBatchRows(len(s.Columns)), batchBytes)
	if err != nil {
		return false, s.explain(err)
	}
	if !more {
		// Another step would rerun the statement from its beginning.
		s.Close()
	}
	return b.Rows > 0, nil
}

// Survey reads all rows, passes them to look, and restarts the scan.
func (s *Scan) Survey(look func(*sqlite.Batch)) error {
	var b sqlite.Batch
	for more := true; more; {
		b.Reset(len(s.Columns))
		var err error
		if more, err = s.stmt.Fill(&b, maxBatchRows(len(s.Columns)), batchBytes); err != nil {
			return s.explain(err)
		}
		look(&b)
	}
	return s.stmt.Reset()
}

// Close ends the scan.
func (s *Scan) Close() {
	if s.stmt != nil {
		s.stmt.Close()
		s.stmt = nil
	}
}

// Content computes a summary of the rows of a table by the values of some of its
// columns. No scan may be open meanwhile.
func (s *Snapshot) Content(t *Table, columns []string) (sqlite.Content, error) {
	if err := t.usable(); err != nil {
		return sqlite.Content{}, err
	}
	var content sqlite.Content
	scan, err := s.Scan(t, Selection{Columns: columns})
	if err != nil {
		return content, err
	}
	defer scan.Close()
	var b sqlite.Batch
	for {
		if more, err := scan.Next(&b); err != nil || !more {
			return content, err
		}
		content.Add(&b)
	}
}

// Close releases the state.
func (s *Snapshot) Close() error { return s.pinned.Close() }
