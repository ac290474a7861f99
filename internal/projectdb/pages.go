package projectdb

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ListOptions select one page of records.
type ListOptions struct {
	Selection        // Limit must be set
	After     string // the NextCursor of the previous page; "" for the first page
	Before    string // the PrevCursor of the following page, instead of After
	Position  *int64 // the position of the first row, counted from 0, instead of After and Before
	Whole     bool   // fail, instead of ending early, if the page would have too many bytes
	Count     bool   // answer Total
	Estimate  bool   // answer Total, even if it is not exact, unless Count is set
	ETags     bool   // make the ETags of the records
}

// Page is one page of a table's records.
type Page struct {
	Rows
	HasMore      bool   // rows follow after the page
	EndedByBytes bool   // it has fewer rows than the limit because it reached the byte limit
	NextCursor   string // "" on the last page
	PrevCursor   string // "" on the first page
	Exact        bool   // Position, if requested, is not approximate
	Total        *int64 // number of rows that match the filters, if requested
	TotalIs      TotalKind
	Found        []Found // why each row was found, if there was a search

	ETags  []string
	Commit int64 // the last one that the page is made from

	head, tail span // where the first and the last row come from
}

// span is a number of rows at the beginning of a segment.
type span struct {
	where where
	order string
	skip  int64 // rows before it
	n     int
}

// start is where a page begins.
type start struct {
	cursor    cursor
	backwards bool  // the page precedes the cursor
	skip      int64 // rows between the cursor and the page
}

// isBeginning reports whether the page is the first.
func (s start) isBeginning() bool { return s.cursor.isEdge() && s.skip == 0 }

// start reads the cursor that the page follows or precedes.
func (q query) start(o ListOptions, faults *problem.Faults) start {
	switch {
	case o.Position != nil && q.searched != "":
		faults.Add("position", "The records that a search finds have no positions: leave out position or search.")
	case o.Position != nil:
		if o.After != "" || o.Before != "" || o.Whole || o.Offset != 0 {
			faults.Add("position", "A position stands alone: leave out offset, after and before.")
		}
	case o.After != "" && o.Before != "":
		faults.Add("before", "Send one of after and before: a page follows one cursor or precedes one.")
	case o.After != "":
		return start{cursor: q.readCursor(o, "after", o.After, faults)}
	case o.Before != "":
		return start{cursor: q.readCursor(o, "before", o.Before, faults), backwards: true}
	}
	return start{skip: o.Offset}
}

// readCursor reads the cursor that was sent in the given field.
func (q query) readCursor(o ListOptions, field, text string, faults *problem.Faults) cursor {
	if o.Offset != 0 {
		faults.Add(field, "A cursor and an offset cannot be used together.")
	}
	c, bound, ok := readCursor(text)
	if ok && !faults.Any() { // otherwise the selection that it is bound to may not be known
		ok = bound == q.bound() && q.hasCursors() && (c.isEdge() || len(c.values) == len(q.place()))
	}
	if !ok {
		source := "the next_cursor of the previous page"
		if field == "before" {
			source = "the prev_cursor of the following page"
		}
		faults.Add(field, "The cursor does not belong to this table with these filters, sort and order: use %s.", source)
	}
	return c
}

// hasCursors reports whether the rows have a key by which a cursor finds them.
func (q query) hasCursors() bool { return len(q.table.key()) > 0 }

// maxPageBytes bounds the texts and blobs of one page; a first row that is larger on
// its own is still returned.
const maxPageBytes = 8 << 20

// page reads the rows after or before a cursor, up to the limit, and checks whether
// there are others on either side. A whole page does not end before the limit.
func (q query) page(c *sqlite.Conn, from start, whole bool) (Page, error) {
	direction := q
	if from.backwards {
		direction = q.reversed()
	}
	page, err := direction.read(c, from.cursor, from.skip)
	if err != nil {
		return page, err
	}
	if page.EndedByBytes && (whole || !q.hasCursors()) {
		return page, tooLargePage()
	}
	// As long as its row is not deleted, the cursor has rows on its other side.
	behind := !from.isBeginning()
	if page.Len() == 0 && behind {
		behind, err = q.hasRows(c)
	}
	if err != nil {
		return page, err
	}
	q.uncover(page.Batch)
	return page, direction.setCursors(c, &page, from.backwards, behind)
}

// hasRows reports whether any row is selected.
func (q query) hasRows(c *sqlite.Conn) (bool, error) {
	n, err := c.Int("SELECT EXISTS (SELECT 1 FROM "+q.from()+q.where.clause()+")", q.where.args...)
	return n != 0, err
}

// read reads the rows after a cursor in the direction of the query, without the first
// ones that are to be skipped.
func (q query) read(c *sqlite.Conn, after cursor, skip int64) (Page, error) {
	page := Page{Rows: Rows{Table: q.table.Name, Columns: q.columns, Batch: &sqlite.Batch{}, rowids: q.rowids}}
	list := q.list
	place := q.placeBeside()
	list = strings.Join(append(append([]string{list}, place...), quoteAll(q.beside)...), ", ")
	page.Batch.Reset(len(q.columns) + len(place) + len(q.beside))
	segments := q.segments(after)
	for _, s := range segments {
		if skip > 0 && len(segments) > 1 {
			n, err := q.countIn(c, s, skip)
			if err != nil {
				return page, err
			}
			if n < skip {
				skip -= n
				continue
			}
		}
		if err := q.fill(c, &page, list, s, skip); err != nil {
			return page, err
		}
		skip = 0
		if page.HasMore {
			break
		}
	}
	return page, nil
}

// expandedPage reads a page together with the records that its rows refer to. They count
// as bytes of the page: it is read again with half its rows until they fit.
func (tx *Tx) expandedPage(q query, from start, keys []*expandedKey, whole bool) (Page, error) {
	for shortened := false; ; shortened = true {
		page, err := q.page(tx.c, from, whole)
		if err != nil {
			return page, err
		}
		budget := int64(maxPageBytes)
		if page.Len() > 1 {
			budget = max(0, budget-int64(page.Batch.Size()))
		}
		err = tx.expand(q, &page.Rows, keys, budget)
		switch {
		case !errors.Is(err, errTooMuch):
			page.EndedByBytes = page.EndedByBytes || shortened
			return page, err
		case page.Len() == 1:
			return page, tooMuchExpanded()
		case whole || !q.hasCursors():
			return page, tooLargePage()
		}
		q.limit = int64(page.Len() / 2)
	}
}

// tooMuchExpanded is the error for a single row with too large records.
func tooMuchExpanded() error {
	return problem.Invalid("expand", "The records that one row refers to have more than %d MiB: expand less.", maxPageBytes>>20)
}

// tooLargePage is the error returned where an early end would make a client skip rows.
func tooLargePage() error {
	var faults problem.Faults
	sentence := fmt.Sprintf("The page would have more than %d MiB of texts and blobs.", maxPageBytes>>20)
	faults.Add("after", "%s Continue with after, the next_cursor of the previous page, and without offset: then each page ends before it gets too large.", sentence)
	faults.Add("columns", "%s Ask for fewer columns, or for fewer rows with limit.", sentence)
	return faults.Err()
}

// fill appends rows of one segment, without those to skip, until the page is full.
func (q query) fill(c *sqlite.Conn, page *Page, list string, s segment, skip int64) error {
	narrowed := q
	before := page.Batch.Rows
	narrowed.limit, narrowed.offset = q.limit-int64(before)+1, skip
	w := q.where.and(s.where)
	stmt, err := c.Prepare(q.selectSQL(list, w, s.order) + narrowed.limits())
	if err != nil {
		return err
	}
	defer stmt.Close()
	stmt.Bind(w.args...)
	err = page.take(stmt, int(q.limit))
	if n := page.Batch.Rows - before; n > 0 {
		page.tail = span{w, s.order, skip, n}
		if before == 0 {
			page.head = span{w, s.order, skip, 1}
		}
	}
	return err
}

// take fills the page with the rows of a statement. It has more if others follow after
// those taken, or if the next one is too large.
func (page *Page) take(stmt *sqlite.Stmt, limit int) error {
	if page.Batch.Rows == 0 {
		if more, err := stmt.Fill(page.Batch, 1, math.MaxInt); err != nil || !more {
			return err
		}
	}
	page.Batch.Limit = maxPageBytes
	switch more, err := stmt.Fill(page.Batch, limit, maxPageBytes); {
	case errors.Is(err, sqlite.ErrTooLarge):
		page.HasMore, page.EndedByBytes = true, true
		return nil
	case err != nil || !more:
		return err
	}
	var err error
	page.HasMore, err = stmt.Step()
	page.EndedByBytes = page.HasMore && page.Batch.Rows < limit
	return err
}

// setCursors sets the cursors of a page that was read in the direction of the query,
// which is backwards or not. behind says whether there are rows where it came from.
func (q query) setCursors(c *sqlite.Conn, page *Page, backwards, behind bool) (err error) {
	ahead := page.HasMore
	// An empty page has no row to name: the other end of the list is at the edge.
	var first, last cursor
	if page.Len() > 0 && q.hasCursors() {
		if behind {
			first, err = q.placeIn(c, page, 0, page.head)
		}
		if err == nil && ahead {
			last, err = q.placeIn(c, page, page.Len()-1, page.tail)
		}
		if err != nil {
			return err
		}
	}
	if backwards {
		page.Batch.Reverse()
		first, last, behind, ahead = last, first, ahead, behind
		q = q.reversed()
	}
	page.HasMore = ahead
	if behind && q.hasCursors() {
		page.PrevCursor = q.encode(first)
	}
	if ahead && q.hasCursors() {
		page.NextCursor = q.encode(last)
	}
	return nil
}

// placeBeside returns the expressions selected in addition to the columns for the
// cursor: the place, unless SQLite allows no more columns.
func (q query) placeBeside() []string {
	if place := q.place(); len(q.columns)+len(place)+len(q.beside) <= MaxColumns {
		return place
	}
	return nil
}

// placeIn returns the place of a row of the page: of the last row of a span. It
// stands after the row's columns, or else is asked for.
func (q query) placeIn(c *sqlite.Conn, page *Page, row int, s span) (cursor, error) {
	beside := len(q.placeBeside())
	if beside == 0 {
		return q.placeOf(c, s)
	}
	var place cursor
	for _, cell := range page.Batch.Row(row)[len(q.columns):][:beside] {
		place.values = append(place.values, page.Batch.Value(cell))
	}
	return place, nil
}

// placeOf returns the place of the last row of a span, using a separate statement.
func (q query) placeOf(c *sqlite.Conn, s span) (place cursor, err error) {
	q.limit, q.offset = 1, s.skip+int64(s.n)-1
	err = c.Query(q.selectSQL(strings.Join(q.place(), ", "), s.where, s.order)+q.limits(), s.where.args, func(s *sqlite.Stmt) error {
		place = placeOfRow(s)
		return nil
	})
	return place, err
}
