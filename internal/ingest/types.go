package ingest

import (
	"fmt"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// classes counts the values of a column by storage class.
type classes struct {
	rows, integer, real, text, blob int64
}

func (n classes) null() int64 { return n.rows - n.values() }

func (n classes) values() int64 { return n.integer + n.real + n.text + n.blob }

// single returns the column type of the one class that all values have, or "".
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

// countClasses scans a table once and counts the storage classes of each
// column.
func countClasses(c *sqlite.Conn, t *projectdb.Table) ([]classes, error) {
	counts := make([]classes, len(t.Columns))
	// SQLite gives at most 2,000 columns.
	const perScan = 480
	for start := 0; start < len(t.Columns); start += perScan {
		part := t.Columns[start:min(start+perScan, len(t.Columns))]
		if err := countSome(c, t.Name, part, counts[start:]); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

func countSome(c *sqlite.Conn, table string, columns []projectdb.Column, counts []classes) error {
	query := "SELECT count(*)"
	for _, column := range columns {
		class := "typeof(" + format.QuoteIdent(column.Name) + ")"
		for _, name := range []string{"integer", "real", "text", "blob"} {
			query += ", sum(" + class + " = '" + name + "')"
		}
	}
	query += " FROM " + format.QuoteIdent(table) + " NOT INDEXED"
	return c.Query(query, nil, func(s *sqlite.Stmt) error {
		for i := range columns {
			at := 1 + 4*i
			counts[i] = classes{s.Int(0), s.Int(at), s.Int(at + 1), s.Int(at + 2), s.Int(at + 3)}
		}
		return nil
	})
}

// columnType chooses the type of a column from the declared one and from the
// values. A type other than ANY is chosen only if every value has its class
// already, so that nothing is converted. The reason is "" when the type is what
// the declaration asks for.
func columnType(declared string, n classes) (chosen, reason string) {
	wanted, byValues := wantedType(declared, n)
	switch single := n.single(); {
	case wanted == "ANY", n.values() == 0, single == wanted && !byValues:
		return wanted, ""
	case single == wanted:
		return wanted, fmt.Sprintf("all values are of this class (%s)", n)
	case single == "":
		return "ANY", fmt.Sprintf("the values are of several classes: %s", n)
	}
	return "ANY", fmt.Sprintf("the values do not fit the declared type: %s", n)
}

// wantedType follows SQLite's rules of affinity
// (https://sqlite.org/datatype3.html#determination_of_column_affinity). Where
// they say NUMERIC, which STRICT tables do not have, the values decide.
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
