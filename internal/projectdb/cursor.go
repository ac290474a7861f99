package projectdb

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// cursor is the place of one row in the order of a selection: the row's values of the
// sort columns and of the key. Without values it is the edge of the list: nothing comes
// before what follows it, and nothing after what precedes it.
type cursor struct {
	values []sqlite.Value
}

// isEdge reports whether the cursor is the edge of the list.
func (c cursor) isEdge() bool { return len(c.values) == 0 }

// cursorText is the form of a cursor that clients hold, before base64.
type cursorText struct {
	Bound  string   `json:"b"` // what the cursor belongs to
	Values []string `json:"v"` // a letter for the kind, followed by the value
}

// bound identifies the table, filters, sort and order that a cursor belongs to.
func (q query) bound() string {
	h := sha256.New()
	parts := []string{strconv.FormatInt(int64(q.table.ID), 10), string(q.filters), q.sortText(), strconv.FormatBool(q.descending)}
	if q.searched != "" {
		parts = append(parts, q.searched)
	}
	for _, part := range parts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

// sortText identifies the order: the sort column alone, or the full order if there is
// more to it.
func (q query) sortText() string {
	switch {
	case len(q.sorts) == 0:
		return ""
	case len(q.sorts) == 1 && q.sorts[0].nullsLast == q.descending:
		return q.sorts[0].column.Name
	}
	return q.order
}

// encode returns the cursor as text for the client.
func (q query) encode(c cursor) string {
	text := cursorText{Bound: q.bound(), Values: make([]string, len(c.values))}
	for i, v := range c.values {
		text.Values[i] = encodeValue(v)
	}
	// A struct of strings always marshals.
	b, _ := json.Marshal(text)
	return base64.RawURLEncoding.EncodeToString(b)
}

// readCursor decodes a cursor that encode has made, for whatever selection.
func readCursor(text string) (c cursor, bound string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	var t cursorText
	if err != nil || json.Unmarshal(b, &t) != nil {
		return c, "", false
	}
	for _, v := range t.Values {
		value, ok := decodeValue(v)
		if !ok {
			return c, "", false
		}
		c.values = append(c.values, value)
	}
	return c, t.Bound, true
}

func encodeValue(v sqlite.Value) string {
	switch v.Kind {
	case sqlite.Integer:
		return "i" + strconv.FormatInt(v.Int, 10)
	case sqlite.Real:
		return "r" + strconv.FormatUint(math.Float64bits(v.Float), 16)
	case sqlite.Text:
		return "t" + base64.RawURLEncoding.EncodeToString(v.Bytes)
	case sqlite.Blob:
		return "b" + base64.RawURLEncoding.EncodeToString(v.Bytes)
	}
	return "n"
}

func decodeValue(s string) (sqlite.Value, bool) {
	if s == "" {
		return sqlite.Value{}, false
	}
	kind, rest := s[0], s[1:]
	switch kind {
	case 'i':
		i, err := strconv.ParseInt(rest, 10, 64)
		return sqlite.IntValue(i), err == nil
	case 'r':
		bits, err := strconv.ParseUint(rest, 16, 64)
		f := math.Float64frombits(bits)
		return sqlite.FloatValue(f), err == nil && f == f
	case 't', 'b':
		b, err := base64.RawURLEncoding.DecodeString(rest)
		if kind == 't' {
			return sqlite.Value{Kind: sqlite.Text, Bytes: b}, err == nil
		}
		return sqlite.BlobValue(b), err == nil
	}
	return sqlite.Value{}, s == "n"
}

// place returns the SQL of the values in a cursor: the sort columns and the key.
func (q query) place() []string {
	var place []string
	for _, key := range q.sorts {
		place = append(place, quote(key.column.Name))
	}
	for _, key := range q.table.key() {
		place = append(place, key.name)
	}
	return place
}

// segment is one range of the rows after a cursor. Ranges are read one after the
// other: SQLite can seek to the start of each in an index, but not for their union.
type segment struct {
	where where
	order string
}

// segments returns the ranges that follow a cursor, in order; at the edge, the single
// range of all rows. The first range has the cursor's values in all sort
// columns, the next in all but the last, and so on.
func (q query) segments(after cursor) []segment {
	if after.isEdge() {
		return []segment{{where{}, q.order}}
	}
	greater := " > "
	if q.descending {
		greater = " < "
	}
	n := len(q.sorts)
	same := make([]where, n+1) // same[i]: equal in the first i sort columns
	for i, key := range q.sorts {
		same[i+1] = same[i].and(key.equals(after.values[i]))
	}
	list := []segment{{same[n].and(rowAfter(q.place()[n:], greater, after.values[n:])), q.orderFrom(n)}}
	for i := n - 1; i >= 0; i-- {
		key, value := q.sorts[i], after.values[i]
		isNull, isNotNull := key.equals(sqlite.Value{}), where{sql: quote(key.column.Name) + " IS NOT NULL"}
		switch {
		case value.Kind != sqlite.Null:
			list = append(list, segment{same[i].and(key.after(value)), q.orderFrom(i)})
			if key.nullsLast {
				list = append(list, segment{same[i].and(isNull), q.orderFrom(i + 1)})
			}
		case !key.nullsLast:
			list = append(list, segment{same[i].and(isNotNull), q.orderFrom(i)})
		}
	}
	return list
}

// rowAfter compares a row of columns with a row of values, the first column first.
func rowAfter(columns []string, greater string, values []sqlite.Value) where {
	w := where{args: arguments(values)}
	if len(columns) == 1 {
		w.sql = columns[0] + greater + "?"
		return w
	}
	w.sql = "(" + strings.Join(columns, ", ") + ")" + greater + "(" + marks(len(columns)) + ")"
	return w
}
