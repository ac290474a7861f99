package projectdb

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// define creates a table with its own CREATE TABLE statement, as an import does, and
// runs further statements.
func define(t testing.TB, db *DB, name, create string, more ...string) {
	t.Helper()
	err := db.sql.Restructure(context.Background(), func(c *sqlite.Conn) error {
		if err := c.Exec(create); err != nil {
			return err
		}
		if err := c.Exec("INSERT INTO _tables (table_name, created_at, updated_at) VALUES (?, '', '')", name); err != nil {
			return err
		}
		const columns = "INSERT INTO _columns (table_id, column_name, created_at, updated_at) SELECT ?, name, '', '' FROM pragma_table_xinfo(?) ORDER BY cid"
		if err := c.Exec(columns, c.LastInsertRowID(), name); err != nil {
			return err
		}
		for _, statement := range more {
			if err := c.Exec(statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return db.changed(c)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// other opens the project's file a second time, independently of the code under test.
func other(t testing.TB, db *DB) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.OpenFile(db.sql.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask runs a statement and returns its rows: values as SQL literals separated by |,
// one row per line.
func ask(t interface{ Fatal(...any) }, c *sqlite.Conn, query string, args ...any) string {
	var rows []string
	err := c.Query(query, args, func(s *sqlite.Stmt) error {
		values := make([]string, s.Columns())
		for i := range values {
			values[i] = literal(s.Value(i))
		}
		rows = append(rows, strings.Join(values, "|"))
		return nil
	})
	if err != nil {
		t.Fatal(query, err)
	}
	return strings.Join(rows, "\n")
}

// dump returns everything in the file of a project, except for the commit counter.
func dump(t interface{ Fatal(...any) }, c *sqlite.Conn) string {
	var b strings.Builder
	b.WriteString(ask(t, c, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"))
	err := c.Query("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name <> '_project' ORDER BY name", nil, func(s *sqlite.Stmt) error {
		rowid := "rowid, "
		if s.Int(1) != 0 {
			rowid = ""
		}
		b.WriteString("\n" + s.Text(0) + "\n" + ask(t, c, "SELECT "+rowid+"* FROM "+quote(s.Text(0))))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sound checks the file and its foreign keys.
func sound(t interface{ Fatal(...any) }, c *sqlite.Conn) {
	if got := ask(t, c, "PRAGMA integrity_check"); got != "'ok'" {
		t.Fatal("integrity_check:", got)
	}
	if got := ask(t, c, "PRAGMA foreign_key_check"); got != "" {
		t.Fatal("foreign_key_check:", got)
	}
}

// complaint returns what a client sees of an error: the code and the fields at fault.
func complaint(err error) string {
	if err == nil {
		return "ok"
	}
	e := problem.From(err)
	s := string(e.Code)
	for _, d := range e.Details {
		s += " " + d.Field
	}
	return s
}

// put inserts rows into a table.
func put(t testing.TB, db *DB, table string, rows ...string) {
	t.Helper()
	_, err := db.InsertRecords(context.Background(), new(problem.Faults), table, jsontext.Value("["+strings.Join(rows, ",")+"]"), InsertOptions{ReturnNone: true})
	if err != nil {
		t.Fatal(err)
	}
}

// asJSON returns a value as the API would write it.
func asJSON(v sqlite.Value) string {
	var b sqlite.Batch
	b.Reset(1)
	b.Append(v)
	return string(format.AppendValue(nil, &b, b.Row(0)[0], format.JSONOptions{}))
}

// ctx is for calls that are never canceled.
var ctx = context.Background()

func ptr[T any](v T) *T { return &v }

// run runs statements as they are, with foreign keys off.
func run(t testing.TB, db *DB, statements ...string) {
	t.Helper()
	err := db.sql.Restructure(context.Background(), func(c *sqlite.Conn) error {
		for _, statement := range statements {
			if err := c.Exec(statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return db.changed(c)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// openWith opens a project with the given tables in a folder of its own, without
// syncing to disk.
func openWith(t testing.TB, options DirOptions, tables ...NewTable) *DB {
	t.Helper()
	options.Relaxed = true
	dir, err := OpenDir(t.TempDir(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	err = dir.Create(ctx, 1, func(db *DB) error {
		for _, table := range tables {
			if _, err := db.CreateTable(ctx, new(problem.Faults), table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	db, release, err := dir.Lease(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return db
}

// viewed turns fn into a function of a transaction, which it calls with the
// transaction's catalog.
func viewed(fn func(*sqlite.Conn, *catalog) error) func(*Tx) error {
	return func(tx *Tx) error {
		cat, err := tx.catalog()
		if err != nil {
			return err
		}
		return fn(tx.c, cat)
	}
}
