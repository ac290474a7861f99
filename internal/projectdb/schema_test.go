package projectdb

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// inDatabase runs fn on an empty SQLite database that is not a project's, in a
// transaction.
func inDatabase(t *testing.T, fn func(*sqlite.Conn) error) {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Exclusive(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestReadTableReadsEverythingThatCreateSQLWrites(t *testing.T) {
	for _, want := range []Table{
		{
			Name:    "plain",
			Columns: []Column{{Name: "a", Type: "TEXT"}, {Name: "select", Type: "ANY", NotNull: true}, {Name: "order by", Type: "BLOB"}},
		},
		{
			Name:          "counted",
			Columns:       []Column{{Name: "id", Type: "INTEGER"}, {Name: "n", Type: "INTEGER", Default: "-1"}},
			PrimaryKey:    []KeyPart{{Column: "id"}},
			Autoincrement: true, RowidKey: true,
		},
		{
			Name: "keyed",
			Columns: []Column{
				{Name: "a", Type: "TEXT", NotNull: true, Collation: "NOCASE", Default: "'x -- y'"},
				{Name: "b", Type: "INTEGER", NotNull: true},
				{Name: "double", Type: "INTEGER", Generated: "b * 2"},
				{Name: "kept", Type: "TEXT", Generated: "a || ')'", Stored: true},
			},
			PrimaryKey:   []KeyPart{{Column: "a", Descending: true}, {Column: "b"}},
			WithoutRowid: true,
			Uniques:      []Unique{{[]KeyPart{{Column: "b"}}}, {[]KeyPart{{Column: "a", Collation: "BINARY"}, {Column: "b"}}}},
			Checks:       []string{"b > 0", "a <> '('"},
			ForeignKeys: []ForeignKey{
				{Columns: []string{"b"}, Parent: "counted", OnUpdate: "CASCADE", OnDelete: "SET NULL"},
				{Columns: []string{"a", "b"}, Parent: "keyed", ParentColumns: []string{"a", "b"}, OnUpdate: "NO ACTION", OnDelete: "RESTRICT"},
			},
			Indexes: []Index{
				{Name: "i", Table: "keyed", Unique: true, Origin: "c", Parts: []KeyPart{{Expression: "lower(a)", Descending: true}, {Column: "b"}}, Where: "b > 1 OR a = 'WHERE'"},
			},
		},
	} {
		t.Run(want.Name, func(t *testing.T) {
			inDatabase(t, func(c *sqlite.Conn) error {
				if err := c.Exec(want.CreateSQL()); err != nil {
					return err
				}
				for _, x := range want.Indexes {
					if err := c.Exec(x.CreateSQL()); err != nil {
						return err
					}
				}
				got, err := ReadTable(c, want.Name)
				if err != nil {
					return err
				}
				var managed []Index
				for _, x := range got.Indexes {
					if x.Managed() {
						managed = append(managed, x)
					}
				}
				got.Indexes = managed
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(Table{})); diff != "" {
					t.Errorf("%s\n%s", diff, want.CreateSQL())
				}
				return nil
			})
		})
	}
}

func TestReadTableTellsTheRowidFromOtherKeys(t *testing.T) {
	for statement, want := range map[string]bool{
		"CREATE TABLE t (id INTEGER PRIMARY KEY)":                      true,
		"CREATE TABLE t (id integer, x, PRIMARY KEY (id))":             true,
		"CREATE TABLE t (id INTEGER PRIMARY KEY ASC)":                  true,
		"CREATE TABLE t (id INTEGER, PRIMARY KEY (id DESC))":           true,
		"CREATE TABLE t (id INTEGER PRIMARY KEY DESC)":                 false,
		"CREATE TABLE t (id INT PRIMARY KEY)":                          false,
		"CREATE TABLE t (id BIGINT PRIMARY KEY)":                       false,
		"CREATE TABLE t (id INTEGER PRIMARY KEY) WITHOUT ROWID":        false,
		"CREATE TABLE t (id INTEGER, x, PRIMARY KEY (id, x))":          false,
		"CREATE TABLE t (id INTEGER UNIQUE)":                           false,
		"CREATE TABLE t (id INT, PRIMARY KEY (id)) STRICT":             false,
		"CREATE TABLE t (id INTEGER PRIMARY KEY, x ANY UNIQUE) STRICT": true,
	} {
		inDatabase(t, func(c *sqlite.Conn) error {
			if err := c.Exec(statement); err != nil {
				return err
			}
			got, err := ReadTable(c, "t")
			if err == nil && got.RowidKey != want {
				t.Errorf("%s: %v", statement, got.RowidKey)
			}
			return err
		})
	}
}

func TestReadTableUnderstandsDeclaredTypesOfGeneratedColumns(t *testing.T) {
	inDatabase(t, func(c *sqlite.Conn) error {
		if err := c.Exec("CREATE TABLE t (a, b INT GENERATED ALWAYS AS (a), c AS (a), d NVARCHAR(10) AS (a) STORED)"); err != nil {
			return err
		}
		got, err := ReadTable(c, "t")
		if err != nil {
			return err
		}
		want := []Column{{Name: "a"}, {Name: "b", Type: "INT", Generated: "a"}, {Name: "c", Generated: "a"}, {Name: "d", Type: "NVARCHAR(10)", Generated: "a", Stored: true}}
		if diff := cmp.Diff(want, got.Columns); diff != "" {
			t.Error(diff)
		}
		return nil
	})
}
