package projectdb

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// cutList returns the columns in SQL with their texts and blobs cut to a number of bytes.
// SQLite cuts them, before it sorts, so that the rest is never kept. What is cut comes
// as a blob of the first letter of its type, its size and a colon, and its beginning;
// uncover tells it by its length, which is above the limit.
func cutList(columns []*Column, limit int) string {
	list := make([]string, len(columns))
	for i, column := range columns {
		name := quote(column.Name)
		list[i] = name
		if column.Type != "INTEGER" && column.Type != "REAL" {
			// One byte more than the limit tells where a character ends.
			list[i] = fmt.Sprintf("CASE WHEN octet_length(%[1]s) > %[2]d AND typeof(%[1]s) IN ('text', 'blob')"+
				" THEN CAST(substr(typeof(%[1]s), 1, 1) || octet_length(%[1]s) || ':' || substr(CAST(%[1]s AS BLOB), 1, %[3]d) AS BLOB) ELSE %[1]s END", name, limit, limit+1)
		}
	}
	return strings.Join(list, ", ")
}

// uncover replaces what cutList has cut by the beginnings of the values.
func (q query) uncover(b *sqlite.Batch) {
	if q.cellLimit == 0 {
		return
	}
	for i := range b.Rows {
		for j, cell := range b.Row(i)[:len(q.columns)] {
			if cell.Kind != sqlite.Blob {
				continue
			}
			value := b.Bytes(cell)
			if len(value) <= q.cellLimit {
				continue
			}
			kind := sqlite.Text
			if value[0] == 'b' {
				kind = sqlite.Blob
			}
			colon := bytes.IndexByte(value, ':')
			// SQLite has written the number.
			size, _ := strconv.ParseInt(string(value[1:colon]), 10, 64)
			b.Excerpt(i, j, kind, colon+1, q.cellLimit, size)
		}
	}
}

// Cell is one stored value of a record.
type Cell struct {
	Bytes []byte // of a blob or a text; a number is a text here
	Blob  bool
	Null  bool
	ETag  string // of the whole record
}

// GetCell returns one value of a record.
func (db *DB) GetCell(ctx context.Context, ref, id, columnRef string, when ...Condition) (cell Cell, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		cell, err = tx.getCell(ref, id, columnRef, when)
		return err
	})
	return cell, err
}

func (tx *Tx) getCell(ref, id, columnRef string, when []Condition) (cell Cell, err error) {
	t, err := tx.readable(ref)
	if err != nil {
		return cell, err
	}
	column, err := t.find(columnRef)
	if err != nil {
		return cell, err
	}
	rows, err := tx.GetRecord(new(problem.Faults), ref, id, Selection{}, when...)
	if err != nil {
		return cell, err
	}
	if err := tx.reserve(rows); err != nil {
		return cell, err
	}
	i := slices.IndexFunc(rows.Columns, func(c format.Column) bool { return c.Name == column.Name })
	value := rows.Batch.Row(0)[i]
	cell.ETag = rows.ETag
	switch value.Kind {
	case sqlite.Null:
		cell.Null = true
	case sqlite.Text, sqlite.Blob:
		cell.Bytes, cell.Blob = rows.Batch.Bytes(value), value.Kind == sqlite.Blob
	default:
		cell.Bytes = format.AppendValue(nil, rows.Batch, value, format.JSONOptions{})
	}
	return cell, nil
}

// PutCell changes one value of a record to the given bytes. A BLOB column takes them as
// they are, others as text; an ANY column takes what isText says.
func (db *DB) PutCell(ctx context.Context, ref, id, columnRef string, value []byte, isText bool, when ...Condition) (rows Rows, err error) {
	faults := new(problem.Faults)
	return changing(ctx, db, faults, SharedTransaction, func(tx *Tx) (Rows, error) {
		t, err := tx.writable(ref)
		if err != nil {
			return rows, err
		}
		column, err := t.find(columnRef)
		if err != nil {
			return rows, err
		}
		patch, err := cellPatch(column, value, isText)
		if err != nil {
			return rows, err
		}
		return tx.UpdateRecord(faults, ref, id, patch, when...)
	})
}

// cellPatch returns the change of a record that sets one value.
func cellPatch(column *Column, value []byte, isText bool) (jsontext.Value, error) {
	patch, err := jsontext.AppendQuote([]byte("{"), column.Name)
	if err != nil {
		return nil, err
	}
	patch = append(patch, ':')
	switch {
	case column.Type == "BLOB":
		patch = append(base64.StdEncoding.AppendEncode(append(patch, '"'), value), '"')
	case column.Type == "ANY" && !isText:
		return nil, problem.Invalid(column.Name, "A BLOB can be written into a BLOB column only: for a text, send Content-Type: text/plain.")
	case !utf8.Valid(value):
		return nil, problem.Invalid(column.Name, "The text is not valid UTF-8.")
	default:
		if patch, err = jsontext.AppendQuote(patch, value); err != nil {
			return nil, problem.Invalid(column.Name, "The text is not valid.")
		}
	}
	return append(patch, '}'), nil
}
