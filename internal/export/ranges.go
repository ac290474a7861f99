package export

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"sync"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// pieceRows and pieceBytes limit a piece, which is read and encoded at once, whichever
// is reached first.
const (
	pieceRows  = 1000
	pieceBytes = 512 << 10
)

// keepBytes is the size of the largest buffer that is reused.
const keepBytes = 4 << 20

// ranges reads and encodes a table with several workers. The rowids from the least to
// the greatest form an ordered list of spans. A worker takes the first unclaimed span,
// or as much of it as should make one piece of the output. If that holds more rows than
// estimated, the rest goes back as a span of its own. The pieces are written in the
// order of the list.
//
// Finished pieces wait in buffers, of which there are few. The last free buffer is
// reserved for the first span of the list: all others wait for it.
type ranges struct {
	mu         sync.Mutex
	changed    sync.Cond
	first      *span  // the first span not yet written
	width      uint64 // estimated rowids per piece, minus one
	free       [][]byte
	emit       emit
	delivering bool           // a worker is passing pieces to emit
	err        error          // stops everything
	content    sqlite.Content // of the rows read by workers that have finished

	encoder   format.Encoder
	leastRow  int64
	pieceRows int
}

// span is a range of consecutive rowids.
type span struct {
	from, to      int64
	claimed, done bool
	piece         []byte // of its rows, when done
	rows          int
	next          *span
}

func newRanges(r *projectdb.Ranges, rows int64, encoder format.Encoder) *ranges {
	g := &ranges{
		first:    &span{from: r.First, to: r.Last},
		free:     make([][]byte, 2*len(r.Readers)+2),
		encoder:  encoder,
		leastRow: r.First,
	}
	g.changed.L = &g.mu
	g.setPiece(pieceRows, rows)
	return g
}

// setPiece sets the rows per piece, for a table with that many rows.
func (g *ranges) setPiece(most int, rows int64) {
	g.pieceRows = most
	g.width = scale(distance(g.first.from, g.first.to), uint64(most), uint64(max(1, rows)))
}

// run has every reader work in a goroutine of its own. Their pieces are passed to emit
// in order, by whichever worker is at hand: no piece waits for a goroutine to be woken,
// and all processors stay busy to the end. cpus limits how many may read at once,
// across all exports. It returns the content of the rows.
func (g *ranges) run(ctx context.Context, readers []*projectdb.RangeReader, cpus chan struct{}, throttle throttle, emit emit) (sqlite.Content, error) {
	g.emit = emit
	defer context.AfterFunc(ctx, func() { g.fail(ctx.Err()) })()
	var workers sync.WaitGroup
	for _, reader := range readers {
		workers.Go(func() { g.work(reader, cpus, throttle) })
	}
	workers.Wait()
	return g.content, g.err
}

func (g *ranges) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	g.changed.Broadcast()
}

// work reads and encodes spans until there are no more.
func (g *ranges) work(reader *projectdb.RangeReader, cpus chan struct{}, throttle throttle) {
	content, err := g.workOn(reader, cpus, throttle)
	if err != nil {
		g.fail(err)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.content.Merge(content)
}

func (g *ranges) workOn(reader *projectdb.RangeReader, cpus chan struct{}, throttle throttle) (content sqlite.Content, err error) {
	defer problem.Recovered(&err)
	var b sqlite.Batch
	for s := g.claim(); s != nil; s = g.claim() {
		throttle.begin()
		if err := g.fill(s, reader, &b, &content, cpus); err != nil {
			return content, err
		}
		g.deliver()
		throttle.rest()
	}
	return content, nil
}

// deliver emits the finished pieces at the head of the list, unless another worker is
// doing so, which will pick them up.
func (g *ranges) deliver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.delivering {
		return
	}
	g.delivering = true
	defer func() { g.delivering = false }()
	for g.err == nil && g.first != nil && g.first.done {
		s := g.first
		g.first = s.next
		if err := g.emitUnlocked(s); err != nil {
			g.err = cmp.Or(g.err, err)
		}
		if cap(s.piece) > keepBytes {
			s.piece = nil
		}
		g.free = append(g.free, s.piece[:0])
		g.changed.Broadcast()
	}
}

func (g *ranges) emitUnlocked(s *span) error {
	g.mu.Unlock()
	defer g.mu.Lock()
	return g.emit(s.piece, s.rows)
}

// claim returns the next span with a buffer for its piece, or nil when there is nothing
// left to do.
func (g *ranges) claim() *span {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.err == nil && g.first != nil {
		s := g.first
		for s != nil && s.claimed {
			s = s.next
		}
		if n := len(g.free); s != nil && (n > 1 || n == 1 && s == g.first) {
			g.cut(s)
			s.claimed, s.piece = true, g.free[n-1]
			g.free = g.free[:n-1]
			return s
		}
		g.changed.Wait()
	}
	return nil
}

// cut shortens s to the current width and leaves the rest to others.
func (g *ranges) cut(s *span) {
	if distance(s.from, s.to) <= g.width {
		return
	}
	middle := int64(uint64(s.from) + g.width)
	s.next = &span{from: middle + 1, to: s.to, next: s.next}
	s.to = middle
}

func (g *ranges) fill(s *span, reader *projectdb.RangeReader, b *sqlite.Batch, content *sqlite.Content, cpus chan struct{}) error {
	cpus <- struct{}{}
	defer func() { <-cpus }()
	last, more, err := reader.Read(b, s.from, s.to, g.pieceRows, pieceBytes)
	if err != nil {
		return err
	}
	content.Add(b)
	s.piece = g.encoder.Rows(s.piece, b, s.from == g.leastRow)
	g.finish(s, b.Rows, last, more)
	return nil
}

// finish notes that s is done, or only up to the rowid last if there may be more rows.
func (g *ranges) finish(s *span, rows int, last int64, more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if more && last < s.to {
		s.giveBack(last + 1)
	}
	width := distance(s.from, s.to)
	switch {
	case rows == 0:
		width = math.MaxUint64
	case !more:
		width = scale(width, uint64(g.pieceRows), uint64(rows))
	}
	// The density here says little about the density far away.
	g.width = max(uint64(g.pieceRows-1), min(width, scale(max(g.width, 1), 16, 1)))
	s.rows, s.done = rows, true
	g.changed.Broadcast()
}

// giveBack leaves the part from rowid from on to others.
func (s *span) giveBack(from int64) {
	if s.next != nil && !s.next.claimed {
		s.next.from = from
	} else {
		s.next = &span{from: from, to: s.to, next: s.next}
	}
	s.to = from - 1
}

// distance returns to - from, at most 1<<64 - 1.
func distance(from, to int64) uint64 { return uint64(to) - uint64(from) }

// scale returns n*by/of, or the largest number on overflow.
func scale(n, by, of uint64) uint64 {
	high, low := bits.Mul64(n, by)
	if high >= of {
		return math.MaxUint64
	}
	quotient, _ := bits.Div64(high, low, of)
	return quotient
}
