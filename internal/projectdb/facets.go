package projectdb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

const (
	// facetTime bounds how long the rows of a column are read for its values.
	facetTime = 200 * time.Millisecond
	// maxFacetValue is the number of bytes from which on values are too long to be listed.
	maxFacetValue = 1024
	// maxFacetBytes bounds the memory for different values.
	maxFacetBytes = 8 << 20
	// maxDistinct is the number of different values up to which they are counted.
	maxDistinct = 100_000
)

// FacetOptions select rows of a column.
type FacetOptions struct {
	Filters jsontext.Value // nil means all rows
	Prefix  string         // of the values
	Limit   int            // maximum number of values
}

// Values are the most frequent values of a column.
type Values struct {
	Rows     // value and count
	Column   string
	HasMore  bool // there are more values than the limit
	Complete bool // all rows were read in time
}

// Summary describes the values of a column.
type Summary struct {
	Table, Column string
	Rows          int64 // that were read
	Nulls         int64
	Empties       int64 // empty texts and blobs
	Distinct      int64 // different values except NULL
	AtLeast       bool  // there may be more different values than Distinct
	Range         Rows  // one row: the smallest and the largest value
	Complete      bool  // all rows were read in time

	min, max sqlite.Value
}

// errEnoughRows ends the reading of rows.
var errEnoughRows = errors.New("enough rows are read")

// facet finds the column and compiles the condition of a call about one.
func (tx *Tx) facet(faults *problem.Faults, ref, columnRef string, o FacetOptions) (q query, column *Column, err error) {
	t, err := tx.readable(ref)
	if err != nil {
		return q, nil, err
	}
	if column, err = t.find(columnRef); err != nil {
		return q, nil, err
	}
	q = Selection{Columns: []string{column.Name}, Filters: o.Filters, Sort: column.Name}.plan(t, faults, "")
	if o.Prefix != "" {
		q.where = q.where.and(t.prefixed(column, o.Prefix, faults))
	}
	return q, column, faults.Err()
}

// prefixed returns the condition that the text of a column begins with a prefix.
func (t *Table) prefixed(column *Column, prefix string, faults *problem.Faults) where {
	if column.Type == "INTEGER" || column.Type == "REAL" || column.Type == "BLOB" {
		return where{sql: "substr(CAST(" + quote(column.Name) + " AS TEXT), 1, length(?)) = ?", args: []any{prefix, prefix}}
	}
	text, err := jsontext.AppendQuote(nil, prefix)
	if err != nil {
		faults.Add("prefix", "The text is not valid.")
		return where{}
	}
	name, err := jsontext.AppendQuote(nil, column.Name)
	if err != nil {
		return where{}
	}
	return t.parseFilters(faults, "prefix", jsontext.Value(fmt.Sprintf(`[{"column":%s,"op":"starts_with","value":%s}]`, name, text)))
}

// eachValue passes the values of the column to use, as long as there is time: longer
// ones cut, with their size. It reports whether it got to the end.
func (q query) eachValue(c *sqlite.Conn, column *Column, use func(v sqlite.Value, size int64) error) (complete bool, err error) {
	list := fmt.Sprintf("CASE WHEN typeof(%[1]s) IN ('text', 'blob') AND octet_length(%[1]s) > %[2]d THEN substr(%[1]s, 1, %[2]d) ELSE %[1]s END, octet_length(%[1]s)", quote(column.Name), maxFacetValue)
	late, err := c.Briefly(facetTime, func() error {
		return c.Query(q.selectSQL(list, q.where, ""), q.where.args, func(s *sqlite.Stmt) error {
			return use(s.Value(0), s.Int(1))
		})
	})
	switch {
	case late, errors.Is(err, errEnoughRows):
		return false, nil
	}
	return err == nil, err
}

// counted is a value with the number of rows that have it.
type counted struct {
	value sqlite.Value
	rows  int64
}

// ColumnValues returns the most frequent values of a column, except NULL and long ones.
func (db *DB) ColumnValues(ctx context.Context, faults *problem.Faults, ref, column string, o FacetOptions) (values Values, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		values, err = tx.columnValues(faults, ref, column, o)
		return err
	})
	return values, err
}

func (tx *Tx) columnValues(faults *problem.Faults, ref, columnRef string, o FacetOptions) (values Values, err error) {
	q, column, err := tx.facet(faults, ref, columnRef, o)
	if err != nil {
		return values, err
	}
	found, size := map[string]*counted{}, 0
	complete, err := q.eachValue(tx.c, column, func(v sqlite.Value, length int64) error {
		if v.Kind == sqlite.Null || (v.Kind == sqlite.Text || v.Kind == sqlite.Blob) && length > maxFacetValue {
			return nil
		}
		key := encodeValue(asInteger(v))
		if have := found[key]; have != nil {
			have.rows++
			return nil
		}
		if size += len(key) + 128; size > maxFacetBytes {
			return errEnoughRows
		}
		found[key] = &counted{v, 1}
		return nil
	})
	if err != nil {
		return values, err
	}
	list := make([]counted, 0, len(found))
	for _, one := range found {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b counted) int { return cmp.Or(cmp.Compare(b.rows, a.rows), compareValues(a.value, b.value)) })
	columns := []format.Column{{Name: "value", Type: column.Type}, {Name: "count", Type: "INTEGER"}}
	values = Values{Rows: newRows(q.table, columns), Column: column.Name, HasMore: len(list) > o.Limit, Complete: complete}
	for _, one := range list[:min(len(list), o.Limit)] {
		values.Batch.Append(one.value, sqlite.IntValue(one.rows))
	}
	return values, nil
}

// asInteger returns a whole REAL as the integer that SQLite holds to be equal.
func asInteger(v sqlite.Value) sqlite.Value {
	if v.Kind == sqlite.Real && v.Float == math.Trunc(v.Float) && math.Abs(v.Float) < 1<<53 {
		return sqlite.IntValue(int64(v.Float))
	}
	return v
}

// compareValues orders values as SQLite does without a collation: numbers, texts,
// blobs.
func compareValues(a, b sqlite.Value) int {
	number := func(v sqlite.Value) bool { return v.Kind == sqlite.Integer || v.Kind == sqlite.Real }
	switch {
	case a.Kind == sqlite.Integer && b.Kind == sqlite.Integer:
		return cmp.Compare(a.Int, b.Int)
	case number(a) && number(b):
		return cmp.Compare(asFloat(a), asFloat(b))
	case number(a) || number(b), a.Kind != b.Kind:
		return cmp.Compare(rank(a), rank(b))
	}
	return bytes.Compare(a.Bytes, b.Bytes)
}

func asFloat(v sqlite.Value) float64 {
	if v.Kind == sqlite.Integer {
		return float64(v.Int)
	}
	return v.Float
}

func rank(v sqlite.Value) int {
	switch v.Kind {
	case sqlite.Null:
		return 0
	case sqlite.Text:
		return 2
	case sqlite.Blob:
		return 3
	}
	return 1
}

// SummarizeColumn describes the values of a column.
func (db *DB) SummarizeColumn(ctx context.Context, faults *problem.Faults, ref, column string, o FacetOptions) (s Summary, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		s, err = tx.summarizeColumn(faults, ref, column, o)
		return err
	})
	return s, err
}

func (tx *Tx) summarizeColumn(faults *problem.Faults, ref, columnRef string, o FacetOptions) (s Summary, err error) {
	q, column, err := tx.facet(faults, ref, columnRef, o)
	if err != nil {
		return s, err
	}
	s = Summary{Table: q.table.Name, Column: column.Name}
	seed, seen := maphash.MakeSeed(), map[uint64]struct{}{}
	s.Complete, err = q.eachValue(tx.c, column, func(v sqlite.Value, size int64) error {
		s.Rows++
		if v.Kind == sqlite.Null {
			s.Nulls++
			return nil
		}
		if size == 0 {
			s.Empties++
		}
		s.include(v)
		if len(seen) < maxDistinct {
			key := encodeValue(asInteger(v))
			if size > maxFacetValue { // else the value is whole
				key += " " + itoa(int(size))
			}
			seen[maphash.String(seed, key)] = struct{}{}
		} else {
			s.AtLeast = true
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	s.Distinct = int64(len(seen))
	if s.AtLeast = s.AtLeast || !s.Complete; !s.Complete && q.where.sql == "" {
		err = tx.extremes(q, column, &s)
	}
	s.Range = newRows(q.table, []format.Column{{Name: "min", Type: column.Type}, {Name: "max", Type: column.Type}})
	s.Range.Batch.Append(s.min, s.max)
	return s, err
}

// include widens the range of values by one.
func (s *Summary) include(v sqlite.Value) {
	if s.min.Kind == sqlite.Null || compareValues(v, s.min) < 0 {
		s.min = v
	}
	if s.max.Kind == sqlite.Null || compareValues(v, s.max) > 0 {
		s.max = v
	}
}

// extremes sets the smallest and the largest value from an index that begins with the
// column, if there is one.
func (tx *Tx) extremes(q query, column *Column, s *Summary) error {
	sorted, err := q.needsSorting(tx.c)
	if err != nil || sorted {
		return err
	}
	name := quote(column.Name)
	for _, one := range []struct {
		function string
		value    *sqlite.Value
	}{{"min", &s.min}, {"max", &s.max}} {
		// Together, they would read the whole index.
		list := fmt.Sprintf("SELECT CASE WHEN typeof(x) IN ('text', 'blob') THEN substr(x, 1, %d) ELSE x END FROM (SELECT %s(%s) AS x FROM %s)", maxFacetValue, one.function, name, quote(q.table.Name))
		err := tx.c.Query(list, nil, func(s *sqlite.Stmt) error {
			*one.value = s.Value(0)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
