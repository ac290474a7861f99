package projectdb

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// The ETag of a record names the columns that it was made from, by their ids, and a hash
// of the stored values. So it can be compared with a record as it is now by just those
// columns: a change to any other column does not matter. Renamed columns keep their
// ids. In quotes it is
//
//	<columns> "." <hash>
//
// both in base64url: the columns as varints, the length of each gap between ids in use
// and of each run of ids, and the first 16 bytes of a SHA-256.

// hashBytes is how much of the hash an ETag keeps.
const hashBytes = 16

// tagger makes the ETags of rows that have the same columns.
type tagger struct {
	prefix string // the columns, encoded
	places []int  // of the columns in a row, in the order of their ids
}

// tagger returns the tagger of rows with the given columns of the table.
func (t *Table) tagger(columns []format.Column) tagger {
	at := make(map[string]int, len(t.Columns))
	for i := range t.Columns {
		at[t.Columns[i].Name] = i
	}
	var places []int
	for i := range columns {
		if _, stored := at[columns[i].Name]; stored { // and not the rowid
			places = append(places, i)
		}
	}
	id := func(place int) int64 { return t.Columns[at[columns[place].Name]].ID }
	slices.SortFunc(places, func(a, b int) int { return cmp.Compare(id(a), id(b)) })
	ids := make([]int64, len(places))
	for i, place := range places {
		ids[i] = id(place)
	}
	return tagger{encode64(appendSet(nil, ids)), places}
}

// tag returns the ETag of row i.
func (g tagger) tag(b *sqlite.Batch, i int) string {
	return `"` + g.prefix + "." + encode64(hashOf(b, i, g.places)) + `"`
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// etag returns the ETag of the only row.
func (t *Table) etag(row Rows) string { return t.tagger(row.Columns).tag(row.Batch, 0) }

// tag makes the ETags of the records of a page.
func (page *Page) tag(t *Table) {
	g := t.tagger(page.Columns)
	page.ETags = make([]string, page.Len())
	for i := range page.ETags {
		page.ETags[i] = g.tag(page.Batch, i)
	}
}

// appendSet encodes a set of ids, in ascending order.
func appendSet(set []byte, ids []int64) []byte {
	next := int64(0)
	for i := 0; i < len(ids); {
		run := i + 1
		for run < len(ids) && ids[run] == ids[i]+int64(run-i) {
			run++
		}
		set = binary.AppendUvarint(set, uint64(ids[i]-next))
		set = binary.AppendUvarint(set, uint64(run-i))
		next, i = ids[i]+int64(run-i), run
	}
	return set
}

// columnsIn returns the columns of a set, or false if the table lacks one of them.
func (t *Table) columnsIn(set []byte) (columns []int, ok bool) {
	byID := make(map[int64]int, len(t.Columns))
	for i, column := range t.Columns {
		byID[column.ID] = i
	}
	next := uint64(0)
	for len(set) > 0 {
		gap, n := binary.Uvarint(set)
		run, m := binary.Uvarint(set[max(n, 0):])
		if n <= 0 || m <= 0 || gap > math.MaxInt64 || run > uint64(len(t.Columns)) {
			return nil, false
		}
		set = set[n+m:]
		next += gap
		for range run {
			at, known := byID[int64(next)]
			if !known || len(columns) == len(t.Columns) {
				return nil, false
			}
			columns = append(columns, at)
			next++
		}
	}
	return columns, len(columns) > 0
}

// hashOf returns the hash of the values of row i at the given places.
func hashOf(b *sqlite.Batch, i int, places []int) []byte {
	sum, row := sha256.New(), b.Row(i)
	for _, place := range places {
		v := b.Value(row[place])
		var word uint64
		switch v.Kind {
		case sqlite.Integer:
			word = uint64(v.Int)
		case sqlite.Real:
			word = math.Float64bits(v.Float)
		default:
			word = uint64(len(v.Bytes))
		}
		sum.Write(binary.LittleEndian.AppendUint64([]byte{byte(v.Kind)}, word))
		sum.Write(v.Bytes)
	}
	return sum.Sum(nil)[:hashBytes]
}

// Condition says which state a record must be in for a change to be made. The zero
// Condition allows every state.
type Condition struct {
	// Match allows only a record that one of the ETags was made from.
	Match *ETags
	// NoneMatch forbids a record that any of the ETags was made from.
	NoneMatch *ETags
}

// ETags is a list of ETags with their quotes, or any ETag at all. Those that begin with
// W/ are weak.
type ETags struct {
	Any  bool
	List []string
}

// holds returns which part of the condition a whole row does not meet, as the name of
// its header, or "".
func (when Condition) holds(t *Table, row Rows) (broken string) {
	made := func(etag string) bool { return t.madeFrom(row, etag) }
	if m := when.Match; m != nil && !m.Any && !slices.ContainsFunc(m.List, made) {
		return "If-Match"
	}
	weak := func(etag string) bool { return made(strings.TrimPrefix(etag, "W/")) }
	if n := when.NoneMatch; n != nil && (n.Any || slices.ContainsFunc(n.List, weak)) {
		return "If-None-Match"
	}
	return ""
}

// madeFrom reports whether the ETag was made from the values that the row has.
func (t *Table) madeFrom(row Rows, etag string) bool {
	set, hash, _ := strings.Cut(strings.Trim(etag, `"`), ".")
	columnSet, err := base64.RawURLEncoding.DecodeString(set)
	if err != nil || len(etag) < 2 || etag[0] != '"' {
		return false
	}
	columns, ok := t.columnsIn(columnSet) // their places too: the row is whole
	return ok && hash == encode64(hashOf(row.Batch, 0, columns))
}

// Mismatch is the cause of a precondition_failed problem.
type Mismatch struct {
	Current Rows // the record as it is, with its ETag
}

// Error returns a text for logs.
func (m *Mismatch) Error() string { return fmt.Sprintf("the record is %s now", m.Current.ETag) }

// check fails unless the record with the given id meets the conditions.
func (tx *Tx) check(t *Table, id string, conditions []Condition) error {
	for _, when := range conditions {
		if when == (Condition{}) {
			continue
		}
		if !tx.mayRead(t) {
			return problem.New(problem.CodePermissionDenied, "Conditions on the values of a record need the scope records:read for the table %s.", t.Name)
		}
		row, err := t.all().one(tx.c, id)
		if err != nil {
			return err
		}
		if header := when.holds(t, row); header != "" {
			return problem.New(problem.CodePreconditionFailed, "The record is not in the state that the request names: look at it as it is now, and try again with its ETag.").
				With(header, "%s", whyBroken(when, header)).Because(&Mismatch{row})
		}
	}
	return nil
}

// whyBroken says why a condition was not met.
func whyBroken(when Condition, header string) string {
	switch {
	case header == "If-None-Match":
		return "The record exists in a state that this forbids."
	case slices.ContainsFunc(when.Match.List, func(etag string) bool { return strings.HasPrefix(etag, "W/") }):
		return "A weak ETag never matches here: send it as the server did, without W/."
	}
	return "The record has changed since this ETag was made."
}

// all is the query of every column.
func (t *Table) all() query {
	return Selection{}.plan(t, new(problem.Faults), "")
}
