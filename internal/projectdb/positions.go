package projectdb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Milestones make any place in a long list cheap to find: the places of every so many
// rows of a list, in memory. They are built in the background the first time that a
// far position is asked for, and are exact as long as nothing is committed.

// milestones are places of one list: of the rows step-1, 2·step-1 and so on, counted
// from 0. A row at position n is found after n/step of them.
type milestones struct {
	commit int64 // the state that they were built from
	rows   int64 // the number of rows in the list
	step   int64
	places []cursor
	bytes  int // of the texts and blobs in places
	built  time.Time
	took   time.Duration
}

const (
	// A list has at most maxMilestones of maxMilestoneBytes: then every other one is
	// dropped.
	maxMilestones     = 2048
	maxMilestoneBytes = 512 << 10
	firstStep         = 256
	// maxLists is how many lists of a project have milestones.
	maxLists = 64
	// farPosition is the position from which on a list is worth milestones.
	farPosition = 10_000
	// maxExactRows is the number of rows up to which every position is exact.
	maxExactRows = 1_000_000
	// maxBuild is how long a list may take to be read for its milestones.
	maxBuild = time.Minute
	// pauseFactor is how many times as long as a build takes no other one of the same
	// list begins.
	pauseFactor = 10
)

// positions are the milestones of a project's lists.
type positions struct {
	ctx    context.Context // of the builds, canceled by close
	cancel context.CancelFunc
	builds sync.WaitGroup

	mu    sync.Mutex
	lists map[string]*milestones
	used  []string // the keys of lists, the most recently used one last
}

func newPositions() *positions {
	ctx, cancel := context.WithCancel(context.Background())
	return &positions{ctx: ctx, cancel: cancel, lists: map[string]*milestones{}}
}

// close ends all builds.
func (p *positions) close() {
	p.cancel()
	p.builds.Wait()
}

// get returns the milestones of a list, or nil.
func (p *positions) get(key string) *milestones {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.lists[key]
	if m != nil {
		p.touch(key)
	}
	return m
}

// put keeps the milestones of a list. The list that was not used for the longest time
// gives way.
func (p *positions) put(key string, m *milestones) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists[key] = m
	if p.touch(key); len(p.used) > maxLists {
		delete(p.lists, p.used[0])
		p.used = slices.Delete(p.used, 0, 1)
	}
}

func (p *positions) touch(key string) {
	p.used = append(slices.DeleteFunc(p.used, func(k string) bool { return k == key }), key)
}

// building is held by the one build that runs at a time: builds leave the processors to
// the calls of clients.
var building = make(chan struct{}, 1)

// build builds the milestones of a list in the background, unless a build is running
// or old ones have just been built.
func (p *positions) build(path, key string, q query, old *milestones) {
	if p.ctx.Err() != nil || old != nil && time.Since(old.built) < pauseFactor*old.took {
		return
	}
	select {
	case building <- struct{}{}:
	default:
		return // a later call tries again
	}
	p.builds.Add(1)
	go func() {
		defer p.builds.Done()
		defer func() { <-building }()
		ctx, cancel := context.WithTimeout(p.ctx, maxBuild)
		defer cancel()
		// Without milestones positions are still found, only more slowly: a failure is
		// no one's concern.
		if m, err := readMilestones(ctx, path, q, firstStep); err == nil {
			p.put(key, m)
		}
	}()
}

// readMilestones reads a whole list on a connection of its own.
func readMilestones(ctx context.Context, path string, q query, step int64) (*milestones, error) {
	c, err := sqlite.OpenReader(path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer c.Interrupt(ctx)()
	began := time.Now()
	m := &milestones{step: step}
	err = c.ReadPinned(func() error {
		if m.commit, err = c.Int(lastCommit); err != nil {
			return err
		}
		return c.Query(q.selectSQL(strings.Join(q.place(), ", "), q.where, q.order), q.where.args, func(s *sqlite.Stmt) error {
			m.pass(s)
			return nil
		})
	})
	m.built, m.took = time.Now(), time.Since(began)
	return m, err
}

// pass counts the current row of the statement, and keeps its place if it is due.
func (m *milestones) pass(s *sqlite.Stmt) {
	if m.rows++; m.rows%m.step != 0 {
		return
	}
	place := placeOfRow(s)
	for _, v := range place.values {
		m.bytes += len(v.Bytes)
	}
	m.places = append(m.places, place)
	for len(m.places) > maxMilestones || m.bytes > maxMilestoneBytes && len(m.places) > 1 {
		m.thin()
	}
}

// thin drops every other milestone.
func (m *milestones) thin() {
	kept := m.places[:0]
	m.bytes = 0
	for i := 1; i < len(m.places); i += 2 {
		kept = append(kept, m.places[i])
		for _, v := range m.places[i].values {
			m.bytes += len(v.Bytes)
		}
	}
	clear(m.places[len(kept):])
	m.places, m.step = kept, 2*m.step
}

// placeOfRow returns the values of the current row of a statement that selects a place.
func placeOfRow(s *sqlite.Stmt) (place cursor) {
	for i := range s.Columns() {
		place.values = append(place.values, s.Value(i))
	}
	return place
}

// before returns the last of the places that precede position n, and how many rows lie
// between them.
func (m *milestones) before(n int64) (place cursor, skip int64) {
	i := min(n/m.step, int64(len(m.places)))
	if i == 0 {
		return cursor{}, n
	}
	return m.places[i-1], n - i*m.step
}

// needsSorting reports whether no index leads the order of the sort columns.
func (q query) needsSorting(c *sqlite.Conn) (sorted bool, err error) {
	if len(q.sorts) == 0 {
		return false, nil
	}
	terms := strings.Join(q.terms[:len(q.sorts)], ", ")
	err = c.Query("EXPLAIN QUERY PLAN SELECT 1 FROM "+quote(q.table.Name)+" ORDER BY "+terms, nil, func(s *sqlite.Stmt) error {
		sorted = sorted || strings.Contains(s.Text(3), "TEMP B-TREE")
		return nil
	})
	return sorted, err
}

// checkOrder refuses positions in an order that no index leads: each would sort the
// whole table.
func (q query) checkOrder(c *sqlite.Conn, faults *problem.Faults, field string) error {
	if faults.Any() {
		return nil
	}
	sorted, err := q.needsSorting(c)
	if sorted {
		var columns []string
		mixed := slices.ContainsFunc(q.sorts, func(k sortKey) bool { return k.descending != q.sorts[0].descending })
		for _, key := range q.sorts {
			name := key.column.Name
			if mixed && key.descending {
				name += " DESC"
			}
			columns = append(columns, name)
		}
		faults.Add(field, "A position can be found in the order of the key, or in one that an index leads: an index on (%s) would help.", strings.Join(columns, ", "))
	}
	return err
}

// seek returns where a page at position n starts, and whether that is exact.
func (tx *Tx) seek(q query, n int64) (from start, exact bool, err error) {
	m, exact, err := tx.milestones(q, n)
	if err != nil || m == nil {
		return start{skip: n}, true, err
	}
	place, skip := m.before(n)
	return start{cursor: place, skip: skip}, exact, nil
}

// milestones returns those of a list, and whether they are exact. If it would be better
// to count, it returns nil. A far position has them built.
func (tx *Tx) milestones(q query, far int64) (m *milestones, exact bool, err error) {
	if !q.hasCursors() {
		return nil, true, nil
	}
	commit, err := tx.LastCommit()
	if err != nil {
		return nil, false, err
	}
	key, err := tx.listKey(q)
	if err != nil {
		return nil, false, err
	}
	p := tx.db.positions
	m = p.get(key)
	switch {
	case m != nil && m.commit == commit:
		return m, true, nil
	case m != nil && m.rows > maxExactRows:
		p.build(tx.db.sql.Path(), key, q, m)
		return m, false, nil
	case far >= farPosition:
		p.build(tx.db.sql.Path(), key, q, m)
	}
	return nil, true, nil
}

// listKey identifies a list: its table as it is now, filters, sort and order.
func (tx *Tx) listKey(q query) (string, error) {
	version, err := tx.c.Int(catalogVersion)
	return itoa(int(version)) + " " + q.bound(), err
}

// Position is the place of a record in a list, counted from 0.
type Position struct {
	Row   int64
	Exact bool
}

// RecordPosition returns the position of a record in a list, or not_found if the list
// does not have it.
func (db *DB) RecordPosition(ctx context.Context, faults *problem.Faults, ref, id string, s Selection) (at Position, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		at, err = tx.RecordPosition(faults, ref, id, s)
		return err
	})
	return at, err
}

// RecordPosition is [DB.RecordPosition] inside the transaction.
func (tx *Tx) RecordPosition(faults *problem.Faults, ref, id string, s Selection) (at Position, err error) {
	t, err := tx.readable(ref)
	if err != nil {
		return at, err
	}
	s.Columns, s.Limit = nil, 1
	q := s.plan(t, faults, "")
	if err := q.checkOrder(tx.c, faults, "position"); err != nil {
		return at, err
	}
	if err := faults.Err(); err != nil {
		return at, err
	}
	which, err := t.at(id)
	if err != nil {
		return at, err
	}
	place, found, err := q.placeWhere(tx.c, q.where.and(which))
	if err == nil && !found {
		err = noRecord(id)
	}
	if err != nil {
		return at, err
	}
	m, exact, err := tx.milestones(q, 0)
	if err != nil {
		return at, err
	}
	var row int64
	if m == nil {
		row, err = q.countBefore(tx.c, place)
		if err == nil && row >= farPosition {
			_, _, err = tx.milestones(q, row)
		}
		return Position{row, true}, err
	}
	row, err = q.positionOf(tx.c, m, place, which)
	return Position{row, exact}, err
}

// errFound ends a query whose row has been found.
var errFound = errors.New("the row is found")

// placeWhere returns the place of the only row for which a condition holds.
func (q query) placeWhere(c *sqlite.Conn, w where) (place cursor, found bool, err error) {
	err = c.Query(q.selectSQL(strings.Join(q.place(), ", "), w, ""), w.args, func(s *sqlite.Stmt) error {
		place, found = placeOfRow(s), true
		return nil
	})
	return place, found, err
}

// countBefore counts the rows before a place.
func (q query) countBefore(c *sqlite.Conn, place cursor) (rows int64, err error) {
	for _, s := range q.reversed().segments(place) {
		n, err := q.countIn(c, s, -1)
		if err != nil {
			return 0, err
		}
		rows += n
	}
	return rows, nil
}

// countIn counts the rows of a segment, up to a limit; -1 means no limit.
func (q query) countIn(c *sqlite.Conn, s segment, limit int64) (int64, error) {
	w := q.where.and(s.where)
	from := " FROM " + quote(q.table.Name) + w.clause()
	if limit < 0 {
		return c.Int("SELECT count(*)"+from, w.args...)
	}
	return c.Int("SELECT count(*) FROM (SELECT 1"+from+" LIMIT ?)", append(slices.Clone(w.args), limit)...)
}

// positionOf returns the position of a row with the given place, by milestones: of the
// rows between the last milestone before it and the row itself, only the places are
// read.
func (q query) positionOf(c *sqlite.Conn, m *milestones, place cursor, which where) (int64, error) {
	var failed error
	// The number of milestones that precede the row.
	i, _ := slices.BinarySearchFunc(m.places, true, func(milestone cursor, _ bool) int {
		follows, err := q.follows(c, which, milestone)
		if err != nil {
			failed = err
		}
		if follows {
			return -1
		}
		return 1
	})
	if failed != nil {
		return 0, failed
	}
	row := int64(i) * m.step
	var after cursor
	if i > 0 {
		after = m.places[i-1]
	}
	wanted := q.encode(place)
	columns := strings.Join(q.place(), ", ")
	for _, s := range q.segments(after) {
		w := q.where.and(s.where)
		found := false
		err := c.Query(q.selectSQL(columns, w, s.order), w.args, func(s *sqlite.Stmt) error {
			if found = q.encode(placeOfRow(s)) == wanted; found {
				return errFound
			}
			row++
			return nil
		})
		if found || err != nil {
			if found {
				err = nil
			}
			return row, err
		}
	}
	return row, nil
}

// follows reports whether the row for which a condition holds comes after a place.
func (q query) follows(c *sqlite.Conn, which where, place cursor) (bool, error) {
	for _, s := range q.segments(place) {
		n, err := q.countIn(c, segment{where: which.and(s.where)}, 1)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}
