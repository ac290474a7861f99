package projectdb

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// isFresh compares the catalog of a transaction with what reading everything in it
// gives.
func isFresh(c *sqlite.Conn, cat *catalog) error {
	fresh, err := loadCatalog(c, cat.version)
	if err != nil {
		return err
	}
	for i := range fresh.tables {
		// A table read alone must equal the one read with all others, except for what
		// other tables add to it.
		one, err := reloadOne(c, fresh.tables[i].ID)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(fresh.tables[i], *one, cmpopts.IgnoreUnexported(Table{})); diff != "" {
			return fmt.Errorf("read alone, the table differs: %s", diff)
		}
	}
	if diff := cmp.Diff(fresh.tables, cat.tables, cmpopts.EquateEmpty(), cmp.AllowUnexported(Table{})); diff != "" {
		return fmt.Errorf("the catalog differs from what is there: %s", diff)
	}
	return nil
}

// The catalog always matches the state it is used with, after changes and rollbacks
// and in older snapshots.
func TestCatalogIsNeverOld(t *testing.T) {
	testkit.Checks(t, 30)
	folder, tries := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		tries++
		dir, err := OpenDir(filepath.Join(folder, fmt.Sprint(tries)), DirOptions{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if err := dir.Create(ctx, 1, nil); err != nil {
			t.Fatal(err)
		}
		db, release, err := dir.Lease(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		var held []*Snapshot
		defer func() {
			for _, s := range held {
				s.Close()
			}
		}()
		names := []string{"a", "b", "c", "d"}
		name := func() string { return rapid.SampledFrom(names).Draw(t, "name") }
		refused := func(err error) {
			if p := (*problem.Error)(nil); err != nil && !errors.As(err, &p) {
				t.Fatal(err)
			}
		}
		faults := func() *problem.Faults { return new(problem.Faults) }
		actions := map[string]func(){
			"create": func() {
				_, err := db.CreateTable(ctx, faults(), NewTable{Name: name(), Columns: []NewColumn{{Name: "x", Type: "INTEGER", Unique: rapid.Bool().Draw(t, "unique")}, {Name: "y"}}})
				refused(err)
			},
			"create one that refers": func() {
				parent, child := name(), name()
				err := db.sql.Restructure(ctx, func(c *sqlite.Conn) error {
					cat, err := db.catalogInside(c)
					if err != nil {
						return err
					}
					if _, err := cat.table(child); err == nil {
						return nil
					}
					p, err := cat.table(parent)
					if err != nil || p.Column("x") == nil || !p.IsUnique("x") {
						return nil
					}
					if err := c.Exec("CREATE TABLE " + child + " (id INTEGER PRIMARY KEY, x INTEGER UNIQUE REFERENCES " + p.Name + " (x)) STRICT"); err != nil {
						return err
					}
					if err := c.Exec("INSERT INTO _tables (table_name, created_at, updated_at) VALUES (?, '', '')", child); err != nil {
						return err
					}
					id := c.LastInsertRowID()
					if err := c.Exec("INSERT INTO _columns (table_id, column_name, created_at, updated_at) VALUES (?1, 'id', '', ''), (?1, 'x', '', '')", id); err != nil {
						return err
					}
					return db.changed(c, ids.Table(id))
				})
				refused(err)
			},
			"rename": func() {
				to := rapid.SampledFrom([]string{"a", "b", "c", "d", "A", "B", "e"}).Draw(t, "to")
				_, err := db.UpdateTable(ctx, faults(), name(), TablePatch{NewName: &to})
				refused(err)
			},
			"title": func() {
				title := ptr(name())
				_, err := db.UpdateTable(ctx, faults(), name(), TablePatch{DisplayName: &title})
				refused(err)
			},
			"delete": func() { _, err := db.DeleteTable(ctx, name()); refused(err) },
			"add": func() {
				_, _, err := db.AddColumn(ctx, faults(), name(), NewColumn{Name: rapid.SampledFrom([]string{"z", "w"}).Draw(t, "column"), Unique: rapid.Bool().Draw(t, "unique")})
				refused(err)
			},
			"update": func() {
				to := rapid.SampledFrom([]string{"x", "y", "z", "v"}).Draw(t, "to")
				_, _, err := db.UpdateColumn(ctx, faults(), name(), rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "column"), ColumnPatch{NewName: &to, NotNull: ptr(rapid.Bool().Draw(t, "not null"))})
				refused(err)
			},
			"update several": func() {
				to, other := "u", "y"
				refused(db.UpdateColumns(ctx, faults(), name(), []NamedPatch{{"x", ColumnPatch{NewName: &to}}, {"y", ColumnPatch{NewName: ptr("x")}}, {"x", ColumnPatch{NewName: &other}}, {"u", ColumnPatch{NewName: ptr("x")}}}))
			},
			"drop": func() {
				_, err := db.DeleteColumn(ctx, faults(), name(), rapid.SampledFrom([]string{"y", "z", "w"}).Draw(t, "column"))
				refused(err)
			},
			"index": func() {
				_, err := db.CreateIndex(ctx, faults(), name(), NewIndex{Columns: []string{"x"}, Unique: rapid.Bool().Draw(t, "unique")})
				refused(err)
			},
			"drop index": func() {
				n := name()
				_, err := db.DropIndex(ctx, faults(), n, "idx_"+n+"_x")
				refused(err)
			},
			"build": func() {
				_, err := db.Build(ctx, Blueprint{Tables: []BlueprintTable{{NewTable: NewTable{Name: name()}}, {NewTable: NewTable{Name: name(), Columns: []NewColumn{{Name: "x"}}}, Indexes: []NewIndex{{Columns: []string{"x"}}}}}})
				refused(err)
			},
			"load": func() {
				err := db.Load(ctx, func(l *Loader) error {
					made, err := l.CreateTable(Table{Name: name(), Columns: []Column{{Name: "x", Type: "TEXT"}}})
					if err == nil && rapid.Bool().Draw(t, "with an index") {
						err = l.CreateIndex(Index{Name: "by_" + made.Name, Table: made.Name, Origin: "c", Parts: []KeyPart{{Column: "x"}}})
					}
					if err == nil && rapid.Bool().Draw(t, "fails") {
						err = problem.Invalid("x", "No.")
					}
					return err
				})
				refused(err)
			},
			"roll back": func() {
				no := errors.New("no")
				_, _, err := db.Once(ctx, Receipt{Key: "k", Kind: SchemaTransaction}, func(tx *Tx) ([]byte, error) {
					_, err := tx.CreateTable(faults(), NewTable{Name: name()})
					if err != nil {
						return nil, err
					}
					if err := viewed(isFresh)(tx); err != nil {
						t.Fatal(err)
					}
					return nil, no
				})
				if err != no {
					refused(err)
				}
			},
			"row": func() {
				_, err := db.InsertRecord(ctx, faults(), name(), jsontext.Value(`{}`), InsertOptions{})
				refused(err)
			},
			"hold": func() {
				s, err := db.Snapshot(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if held = append(held, s); len(held) > 2 {
					held[0].Close()
					held = held[1:]
				}
			},
			"forget": func() { db.known.newest = nil },
			"open anew": func() {
				*db.known = catalogs{changes: map[int64][]ids.Table{}}
			},
		}
		kinds := make([]string, 0, len(actions))
		for kind := range actions {
			kinds = append(kinds, kind)
		}
		slices.Sort(kinds)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			actions[rapid.SampledFrom(kinds).Draw(t, "action")]()
			if rapid.IntRange(0, 2).Draw(t, "look") == 0 {
				continue // several changes before the next look
			}
			if err := db.View(ctx, viewed(isFresh)); err != nil {
				t.Fatal(err)
			}
			for _, s := range held {
				cat, err := db.catalog(s.conn())
				if err != nil {
					t.Fatal(err)
				}
				if err := isFresh(s.conn(), cat); err != nil {
					t.Fatal("of a state held: ", err)
				}
			}
		}
	})
}

// Concurrent readers of many states each get the catalog of their own state.
func TestCatalogBesideWriters(t *testing.T) {
	db := openProject(t, contacts, NewTable{Name: "others"})
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := db.View(ctx, viewed(isFresh)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for w, table := range []string{"contacts", "others"} {
		writers.Go(func() {
			for i := range 25 {
				if _, _, err := db.AddColumn(ctx, new(problem.Faults), table, NewColumn{Name: fmt.Sprintf("c%d_%d", w, i), Unique: i%5 == 0}); err != nil {
					t.Error(err)
				}
				if _, err := db.CreateTable(ctx, new(problem.Faults), NewTable{Name: fmt.Sprintf("t%d_%d", w, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

// manyTables opens a project with n tables of ten columns and an index each.
func manyTables(t testing.TB, n int) *DB {
	db := openProject(t)
	err := db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		for i := range n {
			name := fmt.Sprintf("t%d", i)
			for _, statement := range []string{
				"CREATE TABLE " + name + " (id INTEGER PRIMARY KEY AUTOINCREMENT" + strings.ReplaceAll(manyColumns(9), "INTEGER", "TEXT") + ") STRICT",
				"CREATE INDEX by_" + name + " ON " + name + " (c1)",
			} {
				if err := c.Exec(statement); err != nil {
					return err
				}
			}
		}
		if err := c.Exec("INSERT INTO _tables (table_name, created_at, updated_at) SELECT name, '', '' FROM sqlite_schema WHERE type = 'table' AND name GLOB 't[0-9]*'"); err != nil {
			return err
		}
		if err := c.Exec("INSERT INTO _columns (table_id, column_name, created_at, updated_at) SELECT t.id, x.name, '', '' FROM _tables t, pragma_table_xinfo(t.table_name) x"); err != nil {
			return err
		}
		return db.changed(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func BenchmarkCallAfterSchemaChange(b *testing.B) {
	db := manyTables(b, 4000)
	if _, err := db.Tables(ctx); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		if _, _, err := db.AddColumn(ctx, new(problem.Faults), "t7", NewColumn{Name: fmt.Sprintf("n%d", i)}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := db.Table(ctx, "t3"); err != nil {
			b.Fatal(err)
		}
	}
}

// Callers may modify the list of tables that they get.
func TestListsOfTablesAreCopies(t *testing.T) {
	db := openProject(t, contacts, NewTable{Name: "others"})
	snapshot, err := db.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	tables, err := db.Tables(ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(tables)
	slices.Reverse(snapshot.Tables)
	if err := db.View(ctx, viewed(isFresh)); err != nil {
		t.Error(err)
	}
}
