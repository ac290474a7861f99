package ingest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// rowWriter writes rows into a table.
type rowWriter struct {
	columnMapping *columnMapping
	insert        *projectdb.Inserter // nil if rows are only updated
	update        *projectdb.Updater  // nil if rows are only inserted
	references    []*projectdb.Reference
	values        []sqlite.Value
	keys          []int // indexes into values of primary key columns that are not used to match rows

	inserted, updated int64
	kept              int64 // updated rows without a value for part of the primary key
}

func newRowWriter(l *projectdb.Loader, p *columnMapping, mapped []*columnMapping) (w *rowWriter, err error) {
	names := p.names()
	w = &rowWriter{columnMapping: p}
	for i, name := range names {
		if p.table.IsPrimary(name) && !slices.Contains(p.key, name) {
			w.keys = append(w.keys, i)
		}
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if p.target.Mode == Upsert || p.target.Mode == Update {
		if w.update, err = l.Update(p.table, names, p.key); err != nil {
			return nil, err
		}
	}
	if p.target.Mode != Update {
		if w.insert, _, err = l.Insert(p.table, names, false); err != nil {
			return nil, err
		}
	}
	filled := make([]string, len(mapped))
	for i, other := range mapped {
		filled[i] = other.table.Name
	}
	w.references, err = l.References(p.table, names, filled)
	return w, err
}

func (w *rowWriter) close() {
	if w.insert != nil {
		w.insert.Close()
	}
	if w.update != nil {
		w.update.Close()
	}
	for _, reference := range w.references {
		reference.Close()
	}
}

// rows writes the rows of a portion and returns those that SQLite refuses.
func (w *rowWriter) rows(part *portion) (refused rejects, err error) {
	for i := 0; i < part.batch.Rows; i++ {
		if i, err = w.some(&part.batch, i); err == nil {
			continue
		}
		w.values = part.batch.AppendValues(w.values[:0], i)
		reject, known := w.reject(err)
		if !known {
			return refused, err
		}
		reject.Line = part.lines[i]
		refused.add(reject)
	}
	return refused, nil
}

// some writes rows of b starting at i and returns the last one written or, on an error,
// the one that was refused.
func (w *rowWriter) some(b *sqlite.Batch, i int) (last int, err error) {
	if w.update == nil && len(w.references) == 0 {
		at, err := w.insert.From(b, i)
		w.inserted += int64(at - i)
		if err == nil {
			at--
		}
		return at, err
	}
	w.values = b.AppendValues(w.values[:0], i)
	return i, w.row()
}

//lint:ignore ST1005 a client reads it as it is
var errNoRow = errors.New("The table has no row with this key.")

// lostReference reports that the row that a foreign key refers to does not exist.
type lostReference struct{ *projectdb.Reference }

// Error returns a sentence for the client.
func (l lostReference) Error() string {
	return fmt.Sprintf("The table %s has no row that this one refers to.", l.Parent)
}

func (w *rowWriter) row() error {
	for _, reference := range w.references {
		holds, err := reference.Holds(w.values)
		if err != nil {
			return err
		}
		if !holds {
			return lostReference{reference}
		}
	}
	if w.update != nil {
		found, err := w.update.Row(w.values)
		if err != nil {
			return err
		}
		if found {
			w.updated++
			if slices.ContainsFunc(w.keys, func(i int) bool { return w.values[i].Kind == sqlite.Null }) {
				w.kept++
			}
			return nil
		}
	}
	if w.insert == nil {
		return errNoRow
	}
	if err := w.insert.Row(w.values); err != nil {
		return err
	}
	w.inserted++
	return nil
}

// noteKeptKeys notes rows that would have lost their keys.
func (w *rowWriter) noteKeptKeys() {
	if w.kept > 0 {
		w.columnMapping.notes.Add("table "+w.columnMapping.Name, "%s no value in the primary key: the rows of the table that they updated keep theirs.", source.RowsHave(w.kept))
	}
}

// reject returns why a row was refused; known is false if the row is not to blame.
func (w *rowWriter) reject(err error) (r Reject, known bool) {
	r.Table = w.columnMapping.Name
	columns := sqlite.ConstraintColumns(err)
	var lost lostReference
	switch fault := sqlite.FaultOf(err); {
	case err == errNoRow:
		r.Reason, columns = err.Error(), w.columnMapping.key
	case errors.As(err, &lost):
		r.Reason, columns = err.Error(), w.named(lost.Columns)
	case fault == sqlite.Unique:
		r.Reason = problem.ValueTaken
		if len(columns) > 1 {
			r.Reason = "Another row already has the same values in " + strings.Join(columns, ", ") + "."
		}
	case fault == sqlite.NotNull:
		r.Reason = problem.ValueRequired
	case fault == sqlite.DataType:
		r.Reason = problem.ValueMisfit
	case fault == sqlite.Check:
		r.Reason = fmt.Sprintf("The row does not satisfy the table: %s.", source.OneLine(sqlite.Message(err)))
	case fault == sqlite.Raised:
		r.Reason = sqlite.Message(err)
	case fault == sqlite.Expression:
		r.Reason = fmt.Sprintf("An expression of the table fails for the row. SQLite says: %s.", source.OneLine(sqlite.Message(err)))
	case fault == sqlite.TooBig:
		r.Reason = problem.ValueTooLarge
	default:
		return r, false
	}
	if len(columns) > 0 {
		r.Column, r.Value = w.inFile(columns[0])
	}
	return r, true
}

func (w *rowWriter) named(places []int) []string {
	names := make([]string, len(places))
	for i, k := range places {
		names[i] = w.columnMapping.table.Columns[w.columnMapping.into[k]].Name
	}
	return names
}

// inFile returns the name in the file of a column of the table, and the row's value for
// it. A column that the file lacks is returned under its own name.
func (w *rowWriter) inFile(column string) (name, value string) {
	p := w.columnMapping
	for k, to := range p.into {
		if sqlite.SameName(p.table.Columns[to].Name, column) {
			return label(p.source, p.from[k]), shorten(w.values[k])
		}
	}
	return column, ""
}
