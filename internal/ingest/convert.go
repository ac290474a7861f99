package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// portion is a run of rows of one table, converted to the values to store.
type portion struct {
	batch   sqlite.Batch
	lines   []int64  // line numbers of the rows in batch
	rejects rejects  // rows left out of batch
	bytes   int64    // read from the file so far
	seen    *profile // profile of all rows; set in the last portion of a table with guessed types
	wrong   bool     // a row so far contradicts the guessed types; then batch is empty
	dialect *source.Dialect
	notes   source.Notes // notes on the file; set in the last portion
	err     error
}

// hear takes over what a portion reports about the file.
func (p *columnMapping) hear(part *portion) {
	p.notes, p.seen = append(p.notes, part.notes...), part.seen
	if part.dialect != nil {
		p.dialect = part.dialect
	}
}

// Two portions are in flight while a third is filled.
const (
	portions     = 3
	portionCells = 256 << 10 // the most values in one portion
)

// convert reads a table in its own goroutine and yields the rows converted for storage.
// A portion is valid until the next one is yielded.
func (p *columnMapping) convert(ctx context.Context) iter.Seq2[*portion, error] {
	return func(yield func(*portion, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		full, empty := make(chan *portion, portions), make(chan *portion, portions)
		for range portions {
			empty <- &portion{}
		}
		go func() {
			defer close(full)
			p.produce(ctx, full, empty)
		}()
		defer func() {
			cancel()
			for range full { // until it has closed the file
			}
		}()
		for part := range full {
			if !yield(part, part.err) || part.err != nil {
				return
			}
			empty <- part
		}
	}
}

// produce fills portions until the end of the table, the first error, or the end of ctx.
func (p *columnMapping) produce(ctx context.Context, full chan<- *portion, empty <-chan *portion) {
	if err := p.fillPortions(ctx, full, empty); err != nil {
		full <- &portion{err: fmt.Errorf("read the table %s: %w", p.Name, err)}
	}
}

// fillPortions is produce for everything that can fail outside a portion. It turns a
// panic into an error, since one in this goroutine would end the whole process.
func (p *columnMapping) fillPortions(ctx context.Context, full chan<- *portion, empty <-chan *portion) (err error) {
	defer problem.Recovered(&err)
	rows, err := p.Open(ctx)
	if err != nil {
		return source.ExplainFault(ctx, err)
	}
	defer rows.Close()
	c := p.converter()
	for {
		var part *portion
		select {
		case part = <-empty:
		case <-ctx.Done():
			return ctx.Err()
		}
		more, err := c.fill(part, rows)
		if part.err = nil; err != nil {
			part.err = source.ExplainFault(ctx, err)
		}
		full <- part
		if !more {
			return nil
		}
	}
}

// converter converts the values in the file to those that are stored.
type converter struct {
	*columnMapping
	seen   *profile     // the guess plus the rows so far; nil without a guess
	number int64        // of the current row
	wrong  bool         // a guessed type is not the one that the rows so far ask for
	types  []string     // types of the columns that get values
	dates  []dateOrders // date orders of the texts in them; 0 keeps texts as they are
	keys   []bool       // whether each column belongs to the primary key of a new table
	row    []sqlite.Value
	faults []Reject
}

func (p *columnMapping) converter() *converter {
	c := &converter{columnMapping: p, row: make([]sqlite.Value, len(p.from))}
	if p.guess != nil {
		c.seen = &profile{found: slices.Clone(p.guess.found), sample: p.guess.sample}
	}
	for k, to := range p.into {
		column := p.table.Columns[to]
		c.types, c.dates = append(c.types, column.Type), append(c.dates, 0)
		c.keys = append(c.keys, p.makes() && p.table.IsPrimary(column.Name))
		if p.inferred != nil {
			c.dates[k] = p.inferred[p.from[k]].dates.order()
		}
	}
	return c
}

// fill fills a portion and reports whether there may be more rows.
func (c *converter) fill(part *portion, rows source.Rows) (more bool, err error) {
	part.batch.Reset(len(c.row))
	part.lines, part.rejects = part.lines[:0], rejects{}
	more, err = c.read(part, rows)
	part.bytes, part.wrong = rows.Bytes(), c.judge()
	return more, err
}

func (c *converter) read(part *portion, rows source.Rows) (more bool, err error) {
	for range min(source.BatchRows, max(1, portionCells/max(1, len(c.row)))) {
		if part.batch.Size() >= source.BatchBytes {
			break
		}
		row, err := rows.Next()
		if err == io.EOF {
			part.dialect, part.notes = rows.Remarks()
			part.seen = c.seen
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if c.see(row, rows.Line()); c.wrong {
			continue
		}
		if c.take(row, rows.Line()) {
			part.batch.Append(c.row...)
			part.lines = append(part.lines, rows.Line())
		} else {
			part.rejects.add(c.faults...)
		}
	}
	return true, nil
}

// see adds a row that the guess has not seen to the profile.
func (c *converter) see(row []sqlite.Value, line int64) {
	if c.seen == nil {
		return
	}
	if c.number++; c.number > c.guess.rows {
		c.seen.see(row, line)
	}
}

// judge reports whether the rows so far ask for types other than the guessed ones.
func (c *converter) judge() bool {
	if c.seen == nil || c.wrong {
		return c.wrong
	}
	for k, i := range c.from {
		found, _ := c.seen.found[i].columnType(c.source[i].Type)
		c.wrong = c.wrong || c.target.Types[label(c.source, i)] == "" && found != c.types[k]
	}
	return c.wrong
}

// take converts a row of the file, or records its faults.
func (c *converter) take(row []sqlite.Value, line int64) bool {
	c.faults = c.faults[:0]
	if len(row) != len(c.source) {
		reason := fmt.Sprintf("The row has %s, but there are %d columns.", plural(int64(len(row)), "field"), len(c.source))
		if c.Text && len(row) > len(c.source) {
			reason += " Set ragged to pad_names to have as many columns as the longest row has fields."
		}
		c.faults = append(c.faults, Reject{Table: c.Name, Line: line, Reason: reason})
		return false
	}
	for k, i := range c.from {
		v, reason := c.stored(k, row[i])
		if column := &c.table.Columns[c.into[k]]; reason == "" && column.TooLong(v) {
			reason = column.LengthFault()
		}
		if reason != "" {
			c.faults = append(c.faults, Reject{Table: c.Name, Line: line, Column: label(c.source, i), Value: shorten(row[i]), Reason: reason})
		}
		c.row[k] = v
	}
	return len(c.faults) == 0
}

// stored returns the value to store in column from[k], or the reason why the column
// cannot hold it unchanged. The order of the cases matters: values that must be refused
// come first, then the common cases on a fast path.
func (c *converter) stored(k int, v sqlite.Value) (stored sqlite.Value, reason string) {
	if c.dates[k] != 0 && v.Kind == sqlite.Text {
		if orders, iso := readDate(v.Bytes, c.dates[k]); orders != 0 {
			v.Bytes = []byte(iso)
		}
	}
	columnType := c.types[k]
	// The common cases are decided here, without the error values of projectdb.Stored.
	// c.Text means that the source holds only text, as CSV does: there, text that looks
	// like a number is one. In other sources a text stays a text.
	switch {
	case v.Kind == sqlite.Null && c.keys[k]:
		return v, "The value is NULL, but it belongs to the primary key."
	case v.Kind == sqlite.Null:
		return v, ""
	case c.Text && bytes.IndexByte(v.Bytes, 0) >= 0 && !c.Told:
		return v, "The value contains a NUL character."
	case v.Kind == sqlite.Text && columnType == "TEXT":
		return v, ""
	case c.Text && !c.Told && len(v.Bytes) == 0 && (columnType == "INTEGER" || columnType == "REAL"):
		return c.stored(k, sqlite.Value{}) // quotes around nothing
	// In a text file, what looks like a number is one. IsInteger and IsReal accept only
	// texts that the number prints back exactly: 007 stays a text.
	case c.Text && (columnType == "INTEGER" || columnType == "ANY") && format.IsInteger(v.Bytes):
		n, err := strconv.ParseInt(string(v.Bytes), 10, 64)
		if err != nil {
			return v, err.Error()
		}
		return sqlite.IntValue(n), ""
	case c.Text && columnType == "REAL" && isDecimal(v.Bytes):
		f, err := strconv.ParseFloat(string(v.Bytes), 64)
		if err == nil {
			return sqlite.FloatValue(f), ""
		}
	case v.Kind == sqlite.Text && columnType == "REAL" && isInfinity(v.Bytes):
		return infinity(v.Bytes), ""
	case c.Text && columnType == "ANY" && format.IsReal(v.Bytes):
		columnType = "REAL"
	}
	stored, err := projectdb.Stored(columnType, v)
	if err != nil {
		return v, err.Error()
	}
	return stored, ""
}
