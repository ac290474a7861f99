//go:build plain

package sqlite

import (
	"math"

	zs "zombiezen.com/go/sqlite"
)

// The build tag plain excludes registers.go and readahead.go, which access the
// library's memory instead of calling its functions. The code here does the same
// through those functions, so that the tests can show that only the speed differs. It
// is not meant for production use.

// program returns the statement itself: there is no other form here.
func program(s *zs.Stmt) *zs.Stmt { return s }

func resultColumns(s *zs.Stmt) int { return s.ColumnCount() }

// appendRow appends the current row of the statement, and reports whether it is within
// the limit of the batch.
func (s *Stmt) appendRow(b *Batch, _ *zs.Stmt) bool {
	for i := range b.Columns {
		size := 0
		if kind := s.s.ColumnType(i); kind == zs.TypeText || kind == zs.TypeBlob {
			size = s.s.ColumnLen(i)
		}
		if b.Limit > 0 && len(b.arena)+b.kept(size) > b.Limit {
			return false
		}
		c := s.convert(b, i)
		if size > b.kept(size) {
			c = b.shorten(c, i, size)
		}
		b.cells = append(b.cells, c)
	}
	b.Rows++
	return true
}

// place binds values to the parameters of a statement that is not running.
func (s *Stmt) place(cells []Cell, arena []byte) error {
	b := Batch{arena: arena}
	for i, c := range cells {
		if c.Kind == Real && math.IsNaN(c.Float()) {
			c = Cell{}
		}
		s.BindValue(i+1, b.Value(c))
	}
	return nil
}

// release frees the values that place has bound.
func (s *Stmt) release(int) { _ = s.s.ClearBindings() }

// makeRoom does nothing: the driver copies what is bound.
func (c *Conn) makeRoom(int) error { return nil }

// startReadAhead does nothing: the connection reads page by page.
func startReadAhead(*zs.Conn) (stop func(), err error) { return func() {}, nil }
