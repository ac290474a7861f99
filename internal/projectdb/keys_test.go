package projectdb

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// TestHasKey compares HasKey and findKey with what SQLite accepts as the target of an upsert and
// of a foreign key.
func TestHasKey(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", `CREATE TABLE t (
		id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, c TEXT, d TEXT UNIQUE, e TEXT, f TEXT, UNIQUE (e, f)) STRICT`,
		"CREATE UNIQUE INDEX other_collation ON t (a COLLATE NOCASE)", "CREATE UNIQUE INDEX same_collation ON t (b)",
		"CREATE UNIQUE INDEX part ON t (c) WHERE c > 'x'", "CREATE INDEX plain ON t (f)")
	define(t, db, "keyless", "CREATE TABLE keyless (a TEXT) STRICT")
	c := other(t, db)
	for _, test := range []struct {
		table          string
		columns        []string
		upsert, parent bool
	}{
		{"t", []string{"id"}, true, true}, {"t", []string{"a"}, true, false}, {"t", []string{"B"}, true, true}, {"t", []string{"c"}, false, false},
		{"t", []string{"d"}, true, true}, {"t", []string{"e", "f"}, true, true}, {"t", []string{"f", "e"}, true, true}, {"t", []string{"e"}, false, false},
		{"t", []string{"e", "e"}, false, false}, {"t", []string{"id", "d"}, false, false},
		{"t", nil, false, false}, {"keyless", nil, false, false}, {"keyless", []string{"a"}, false, false},
	} {
		table, err := db.Table(ctx, test.table)
		if err != nil {
			t.Fatal(err)
		}
		if upsert, parent := table.findKey(test.columns, true) != nil, table.HasKey(test.columns); upsert != test.upsert || parent != test.parent {
			t.Errorf("%s %v: upsert %t, parent %t", test.table, test.columns, upsert, parent)
		}
		list := identList(test.columns)
		if err := compiles(c, "INSERT INTO "+test.table+" (a) VALUES ('') ON CONFLICT ("+list+") DO NOTHING"); (err == nil) != test.upsert {
			t.Errorf("%s %v: SQLite says of an upsert: %v", test.table, test.columns, err)
		}
		if len(test.columns) > 0 {
			var refers error
			undone := db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
				err := c.Exec("CREATE TABLE child (" + list + ", FOREIGN KEY (" + list + ") REFERENCES " + test.table + " (" + list + "))")
				refers = c.Exec("INSERT INTO child DEFAULT VALUES")
				return errors.Join(errUndo, err)
			})
			if !errors.Is(undone, errUndo) || (refers == nil) != test.parent {
				t.Errorf("%s %v: SQLite says of a foreign key: %v, %v", test.table, test.columns, undone, refers)
			}
		}
		_, err = db.InsertRecord(ctx, new(problem.Faults), test.table, jsontext.Value(`{"a":"x"}`), InsertOptions{OnConflict: &OnConflict{Columns: test.columns}})
		if refused := complaint(err) == "validation_failed on_conflict.columns"; refused == test.upsert {
			t.Errorf("%s %v: %v", test.table, test.columns, err)
		}
	}
}

var errUndo = errors.New("undone")

func compiles(c *sqlite.Conn, query string) error {
	s, err := c.Prepare(query)
	if err == nil {
		s.Close()
	}
	return err
}
