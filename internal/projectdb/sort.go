package projectdb

import (
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// sortKey is one column in the order of a selection.
type sortKey struct {
	column     *Column
	descending bool
	nullsLast  bool
}

// maxSortKeys is the maximum number of columns in an order.
const maxSortKeys = 16

// sortKeys parses the requested order: columns separated by commas, each optionally
// with - before it to descend, and .nullslast or .nullsfirst after it. A text that is
// the name of a column always means that column.
func (s Selection) sortKeys(t *Table, faults *problem.Faults, prefix string) (keys []sortKey) {
	field := prefix + "sort"
	if column := t.Column(s.Sort); s.Sort == "" || column != nil {
		if column != nil {
			keys = []sortKey{{column, s.Descending, s.Descending}}
		}
		return keys
	}
	parts := strings.Split(s.Sort, ",")
	if len(parts) > maxSortKeys {
		faults.Add(field, "At most %d columns can be sorted by.", maxSortKeys)
		return nil
	}
	switch single := len(parts) == 1 && !strings.HasPrefix(parts[0], "-"); {
	case s.Descending && single:
		parts[0] = "-" + strings.TrimSpace(parts[0])
	case s.Descending:
		faults.Add(prefix+"order", "The order goes with a single column: put - before each column of sort that descends.")
	}
	seen := map[*Column]bool{}
	for _, part := range parts {
		key, name := t.sortKey(strings.TrimSpace(part))
		switch {
		case key.column == nil:
			t.unknownColumn(faults, field, name)
		case seen[key.column]:
			faults.Add(field, "The column %q is listed twice.", name)
		}
		seen[key.column] = true
		keys = append(keys, key)
	}
	return keys
}

// sortKey parses one part of an order, and also returns its column name.
func (t *Table) sortKey(part string) (key sortKey, name string) {
	name = part
	if key.column = t.Column(name); key.column != nil {
		return key, name
	}
	name, key.descending = strings.CutPrefix(name, "-")
	key.nullsLast = key.descending // SQLite's default
	if bare, ok := strings.CutSuffix(name, ".nullslast"); ok {
		name, key.nullsLast = bare, true
	} else if bare, ok := strings.CutSuffix(name, ".nullsfirst"); ok {
		name, key.nullsLast = bare, false
	}
	key.column = t.Column(name)
	return key, name
}

// sql returns the key as a term of ORDER BY.
func (k sortKey) sql() string {
	s := quote(k.column.Name)
	if k.descending {
		s += " DESC"
	}
	switch {
	case k.nullsLast == k.descending: // this is the default order, which an index can serve
	case k.nullsLast:
		s += " NULLS LAST"
	default:
		s += " NULLS FIRST"
	}
	return s
}

// equals returns the condition that a row has the given value, including NULL.
func (k sortKey) equals(v sqlite.Value) where {
	if v.Kind == sqlite.Null {
		return where{sql: quote(k.column.Name) + " IS NULL"}
	}
	return where{sql: quote(k.column.Name) + " = ?", args: []any{v}}
}

// after returns the condition that a row has a non-NULL value that sorts after the
// given one.
func (k sortKey) after(v sqlite.Value) where {
	comparison := " > ?"
	if k.descending {
		comparison = " < ?"
	}
	return where{sql: quote(k.column.Name) + comparison, args: []any{v}}
}
