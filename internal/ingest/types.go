package ingest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// classes counts the values of a column by storage class.
type classes struct {
	// fits means that no value contradicts the declaration: each has the wanted class,
	// and none is NULL where that is forbidden. Then the values are not counted.
	fits                            bool
	rows, integer, real, text, blob int64
}

// null returns the number of rows without a value, in a column that does not fit.
func (n classes) null() int64 {
	if n.fits {
		return 0
	}
	return n.rows - n.values()
}

func (n classes) values() int64 { return n.integer + n.real + n.text + n.blob }

// single returns the column type for the class that all values share, or "".
func (n classes) single() string {
	switch all := n.values(); all {
	case 0:
		return ""
	case n.integer:
		return "INTEGER"
	case n.real:
		return "REAL"
	case n.text:
		return "TEXT"
	case n.blob:
		return "BLOB"
	}
	return ""
}

// String lists the classes that occur, such as "12 integers, 1 text".
func (n classes) String() string {
	var list []string
	for _, class := range []struct {
		count int64
		name  string
	}{{n.integer, "integer"}, {n.real, "real"}, {n.text, "text"}, {n.blob, "blob"}} {
		if class.count > 0 {
			list = append(list, plural(class.count, class.name))
		}
	}
	return strings.Join(list, ", ")
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// columnsPerScan stays below SQLite's limit of 2,000 columns per query.
const columnsPerScan = 480

// countClasses scans a table to find the columns that fit their declaration, then again
// to count the values of the others. Unless exact is set, it assumes that columns fit if
// their values would not change the type; a misfit then shows when the values are
// copied.
func countClasses(c sqlite.Source, t *projectdb.Table, exact bool) ([]classes, error) {
	rows, err := c.Int("SELECT count(*) FROM " + format.QuoteIdent(t.Name) + " NOT INDEXED")
	if err != nil {
		return nil, err
	}
	counts := make([]classes, len(t.Columns))
	var unsure []int
	for i, column := range t.Columns {
		counts[i] = classes{rows: rows, fits: true}
		if _, byValues := wantedType(column.Type, classes{}); exact || byValues || column.Generated != "" {
			unsure = append(unsure, i)
		}
	}
	for part := range slices.Chunk(unsure, columnsPerScan) {
		if err := findFitting(c, t, part, counts); err != nil {
			return nil, err
		}
	}
	unsure = slices.DeleteFunc(unsure, func(i int) bool { return counts[i].fits })
	for part := range slices.Chunk(unsure, columnsPerScan) {
		if err := countColumns(c, t, part, counts); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// findFitting marks which of the given columns fit.
func findFitting(c sqlite.Source, t *projectdb.Table, columns []int, counts []classes) error {
	query := "SELECT count(*)"
	for _, i := range columns {
		query += ", sum(" + fitsSQL(t, &t.Columns[i]) + ")"
	}
	query += " FROM " + format.QuoteIdent(t.Name) + " NOT INDEXED"
	return c.Rows(query, nil, func(s sqlite.Row) error {
		for k, i := range columns {
			counts[i] = classes{rows: s.Int(0), fits: s.Int(k+1) == s.Int(0)}
		}
		return nil
	})
}

// place says which values a column may hold.
type place struct {
	any, null bool
	kind      sqlite.Kind
}

// placeOf returns the values that a fitting column holds.
func placeOf(t *projectdb.Table, column *projectdb.Column) place {
	wanted, _ := wantedType(column.Type, classes{})
	full := column.NotNull || t.IsPrimary(column.Name)
	return place{
		any: wanted == "ANY" || t.RowidKey && t.IsPrimary(column.Name), null: !full,
		kind: map[string]sqlite.Kind{"INTEGER": sqlite.Integer, "REAL": sqlite.Real, "TEXT": sqlite.Text, "BLOB": sqlite.Blob}[wanted],
	}
}

func (p place) takes(kind sqlite.Kind) bool {
	if kind == sqlite.Null {
		return p.null
	}
	return p.any || kind == p.kind
}

// fitsSQL returns an expression that is true if a row's value in the column fits the
// declaration. It is always false if the type depends on all values.
func fitsSQL(t *projectdb.Table, column *projectdb.Column) string {
	wanted, byValues := wantedType(column.Type, classes{})
	class := "typeof(" + format.QuoteIdent(column.Name) + ")"
	full := column.NotNull || t.IsPrimary(column.Name)
	switch {
	case t.RowidKey && t.IsPrimary(column.Name), wanted == "ANY" && !full:
		return "1"
	case byValues:
		return "0"
	case wanted == "ANY":
		return class + " <> 'null'"
	case full:
		return class + " = '" + strings.ToLower(wanted) + "'"
	}
	return class + " IN ('" + strings.ToLower(wanted) + "', 'null')"
}

// countColumns counts the values of the given columns.
func countColumns(c sqlite.Source, t *projectdb.Table, columns []int, counts []classes) error {
	query := "SELECT count(*)"
	for _, i := range columns {
		class := "typeof(" + format.QuoteIdent(t.Columns[i].Name) + ")"
		for _, name := range []string{"integer", "real", "text", "blob"} {
			query += ", sum(" + class + " = '" + name + "')"
		}
	}
	query += " FROM " + format.QuoteIdent(t.Name) + " NOT INDEXED"
	return c.Rows(query, nil, func(s sqlite.Row) error {
		for k, i := range columns {
			at := 1 + 4*k
			counts[i] = classes{rows: s.Int(0), integer: s.Int(at), real: s.Int(at + 1), text: s.Int(at + 2), blob: s.Int(at + 3)}
		}
		return nil
	})
}

// columnType chooses a column's type from the declared one and the values. A type other
// than ANY is chosen only if every value already has its class, so that nothing is
// converted. The reason is "" if the type is the one that the declaration asks for.
func columnType(declared string, n classes) (chosen, reason string) {
	wanted, byValues := wantedType(declared, n)
	switch single := n.single(); {
	case wanted == "ANY", n.fits, n.values() == 0, single == wanted && !byValues:
		return wanted, ""
	case single == wanted:
		return wanted, fmt.Sprintf("all values are of this class (%s)", n)
	case single == "":
		return "ANY", fmt.Sprintf("the values are of several classes: %s", n)
	}
	return "ANY", fmt.Sprintf("the values do not fit the declared type: %s", n)
}

// wantedType returns the type for a declaration by SQLite's affinity rules
// (https://sqlite.org/datatype3.html#determination_of_column_affinity). Where they say
// NUMERIC, which STRICT tables do not have, the values decide.
func wantedType(declared string, n classes) (wanted string, byValues bool) {
	declared = strings.ToUpper(declared)
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(declared, word) {
				return true
			}
		}
		return false
	}
	switch {
	case declared == "" || declared == "ANY":
		return "ANY", false
	case has("INT"):
		return "INTEGER", false
	case has("CHAR", "CLOB", "TEXT"):
		return "TEXT", false
	case has("BLOB"):
		return "BLOB", false
	case has("REAL", "FLOA", "DOUB"):
		return "REAL", false
	case has("BOOL"):
		return "INTEGER", false
	case has("DEC", "NUM", "MONEY"):
		if n.single() == "INTEGER" {
			return "INTEGER", true
		}
		return "REAL", true
	}
	if single := n.single(); single != "" {
		return single, true
	}
	return "TEXT", true
}
