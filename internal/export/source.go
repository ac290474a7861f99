package export

import (
	"context"
	"sync"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// source reads tables from one snapshot of a project.
type source struct {
	snapshot *projectdb.Snapshot
	tables   []*projectdb.Table
	work     *work
	close    func() // lets go of the snapshot and the project
	free     chan *sqlite.Batch
}

// batches bounds how far reading may be ahead of encoding, and so the memory
// that rows take.
const batches = 4

func (e *Exports) openSource(ctx context.Context, r *record) (*source, error) {
	db, release, err := e.projects.Lease(ctx, r.projectID)
	if err != nil {
		return nil, err
	}
	snapshot, err := db.Snapshot(ctx)
	if err != nil {
		release()
		return nil, err
	}
	s := &source{snapshot: snapshot, work: &r.work, free: make(chan *sqlite.Batch, batches)}
	s.close = sync.OnceFunc(func() {
		if err := snapshot.Close(); err != nil {
			e.log.Error("close a snapshot", "export", r.manifest.ID, "error", err)
		}
		release()
	})
	if s.tables, err = r.work.tablesOf(snapshot); err != nil {
		s.close()
		return nil, err
	}
	for range batches {
		s.free <- &sqlite.Batch{}
	}
	return s, nil
}

// piece is the next thing that a source has read: the columns of a table that
// begins, a batch of its rows, neither at its end, or why nothing follows.
type piece struct {
	columns []format.Column
	batch   *sqlite.Batch // to be given back to free
	err     error
}

// read reads all tables, in a goroutine of its own, and closes the source when
// it has. The pieces end early when ctx does.
func (s *source) read(ctx context.Context) <-chan piece {
	pieces := make(chan piece, batches)
	go func() {
		defer close(pieces)
		defer s.close()
		for _, t := range s.tables {
			if err := s.readTable(ctx, t, pieces); err != nil {
				send(ctx, pieces, piece{err: err})
				return
			}
		}
	}()
	return pieces
}

func (s *source) readTable(ctx context.Context, t *projectdb.Table, pieces chan<- piece) error {
	scan, err := s.snapshot.Scan(t, s.work.Selections[t.ID])
	if err != nil {
		return err
	}
	defer scan.Close()
	send(ctx, pieces, piece{columns: scan.Columns})
	for ctx.Err() == nil {
		var b *sqlite.Batch
		select {
		case b = <-s.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		more, err := scan.Next(b)
		if err != nil {
			return err
		}
		if !more {
			s.free <- b
			break
		}
		send(ctx, pieces, piece{batch: b})
	}
	send(ctx, pieces, piece{})
	return ctx.Err()
}

func send(ctx context.Context, pieces chan<- piece, p piece) {
	select {
	case pieces <- p:
	case <-ctx.Done():
	}
}

// copy reads the tables of the source into the document: one goroutine steps
// through SQLite, this one encodes.
func (j *job) copy(s *source, d document) error {
	ctx, cancel := context.WithCancel(j.ctx)
	c := &copying{job: j, document: d, pieces: s.read(ctx), free: s.free}
	// The reader must be at rest before the snapshot is closed.
	defer func() {
		cancel()
		for range c.pieces {
		}
	}()
	for i, t := range s.tables {
		if err := c.table(t, &j.record.manifest.Tables[i]); err != nil {
			return err
		}
		j.record.manifest.RowCount += j.record.manifest.Tables[i].RowCount
	}
	return d.close()
}

// copying is the side of copy that encodes.
type copying struct {
	job      *job
	document document
	pieces   <-chan piece
	free     chan<- *sqlite.Batch
	buffer   []byte
}

func (c *copying) next() (piece, error) {
	p, ok := <-c.pieces
	if !ok {
		return p, context.Canceled
	}
	return p, p.err
}

func (c *copying) table(t *projectdb.Table, result *TableResult) error {
	p, err := c.next()
	if err != nil {
		return err
	}
	w, encoder, err := c.document.begin(t, p.columns)
	if err != nil {
		return err
	}
	c.buffer = encoder.Head(c.buffer[:0])
	for {
		p, err := c.next()
		if err != nil {
			return err
		}
		if p.batch == nil {
			break
		}
		c.buffer = encoder.Rows(c.buffer, p.batch, result.RowCount == 0)
		result.RowCount += int64(p.batch.Rows)
		c.job.rowsDone.Add(int64(p.batch.Rows))
		c.free <- p.batch
		if _, err := w.Write(c.buffer); err != nil {
			return err
		}
		c.buffer = c.buffer[:0]
	}
	c.buffer = encoder.Tail(c.buffer, result.RowCount > 0)
	if _, err := w.Write(c.buffer); err != nil {
		return err
	}
	if err := c.document.end(); err != nil {
		return err
	}
	return result.check(encoder)
}
