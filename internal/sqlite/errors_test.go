package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

func TestFaults(t *testing.T) {
	db := open(t, Options{})
	script(t, db, `CREATE TABLE p (a INTEGER, b TEXT NOT NULL, n INTEGER CHECK (n > 0), PRIMARY KEY (a, b)) STRICT;
		CREATE TABLE k (id INTEGER PRIMARY KEY, "odd name" TEXT UNIQUE) STRICT;
		CREATE TABLE l (v TEXT) STRICT; INSERT INTO l VALUES ('taken');
		CREATE TABLE c (k INTEGER REFERENCES k (id)) STRICT;
		CREATE TABLE r (k INTEGER REFERENCES k (id) ON DELETE RESTRICT) STRICT;
		CREATE UNIQUE INDEX lower_v ON l (lower(v));
		INSERT INTO p VALUES (1, 'x', 1); INSERT INTO k VALUES (1, 'taken'); INSERT INTO r VALUES (1);`)
	tests := []struct {
		sql     string
		fault   Fault
		columns []string
		message string
	}{
		{"INSERT INTO p VALUES (1, 'x', 2)", Unique, []string{"a", "b"}, "UNIQUE constraint failed: p.a, p.b"},
		{"INSERT INTO k VALUES (1, 'free')", Unique, []string{"id"}, "UNIQUE constraint failed: k.id"},
		{"INSERT INTO k VALUES (2, 'taken')", Unique, []string{"odd name"}, "UNIQUE constraint failed: k.odd name"},
		{"INSERT INTO l VALUES ('TAKEN')", Unique, nil, "UNIQUE constraint failed: index 'lower_v'"},
		{"INSERT INTO p VALUES (2, NULL, 2)", NotNull, []string{"b"}, "NOT NULL constraint failed: p.b"},
		{"INSERT INTO p VALUES (2, 'y', 0)", Check, nil, "CHECK constraint failed: n > 0"},
		{"INSERT INTO p VALUES ('one', 'y', 1)", DataType, []string{"a"}, "cannot store TEXT value in INTEGER column p.a"},
		{"INSERT INTO k VALUES (3, x'00')", DataType, []string{"odd name"}, "cannot store BLOB value in TEXT column k.odd name"},
		{"INSERT INTO c VALUES (9)", ForeignKey, nil, "FOREIGN KEY constraint failed"},
		{"DELETE FROM k WHERE id = 1", ForeignKey, nil, "FOREIGN KEY constraint failed"},
		{"SELECT nmae FROM k", BadSQL, nil, "no such column: nmae"},
		{"SELECT * FROM nowhere", BadSQL, nil, "no such table: nowhere"},
		{"SELEC 1", BadSQL, nil, `near "SELEC": syntax error`},
		{"SELECT length(zeroblob(2000000000))", TooBig, nil, ""},
		{"UPDATE k SET id = NULL", DataType, nil, "datatype mismatch"},
		{"INSERT INTO k VALUES (9, json_extract('{bad', '$.a'))", Expression, nil, "malformed JSON"},
		{"INSERT INTO p VALUES (3, 'z', abs(-9223372036854775808))", Expression, nil, "integer overflow"},
	}
	for _, test := range tests {
		for kind, write := range map[string]func(func(*Conn) error) error{
			"alone":    func(fn func(*Conn) error) error { return db.Exclusive(t.Context(), fn) },
			"in group": func(fn func(*Conn) error) error { return together(t, db, fn, func(*Conn) error { return nil })[0] },
			"wrapped": func(fn func(*Conn) error) error {
				return fmt.Errorf("insert row: %w", db.Exclusive(t.Context(), fn))
			},
		} {
			err := write(func(c *Conn) error { return c.Exec(test.sql) })
			if got := FaultOf(err); got != test.fault {
				t.Errorf("%s, %s: fault %d (%v), want %d", test.sql, kind, got, err, test.fault)
			}
			if got := ConstraintColumns(err); !slices.Equal(got, test.columns) {
				t.Errorf("%s, %s: columns %q, want %q", test.sql, kind, got, test.columns)
			}
			if got := Message(err); test.message != "" && got != test.message {
				t.Errorf("%s, %s: message %q, want %q", test.sql, kind, got, test.message)
			}
		}
	}
}

// TestEveryResultCode checks the kind of every SQLite result code, and of every
// extended code that has no kind of its own.
func TestEveryResultCode(t *testing.T) {
	primary := map[zs.ResultCode]Fault{
		zs.ResultInternal: Other, zs.ResultPerm: IO, zs.ResultAbort: Busy, zs.ResultBusy: Busy, zs.ResultLocked: Busy,
		zs.ResultNoMem: NoMemory, zs.ResultReadOnly: IO, zs.ResultInterrupt: Interrupted, zs.ResultIOErr: IO,
		zs.ResultCorrupt: Damaged, zs.ResultNotFound: Other, zs.ResultFull: Full, zs.ResultCantOpen: IO,
		zs.ResultProtocol: Busy, zs.ResultSchema: Busy, zs.ResultTooBig: TooBig, zs.ResultConstraint: Constraint,
		zs.ResultMismatch: DataType, zs.ResultMisuse: Other, zs.ResultNoLFS: IO, zs.ResultAuth: Denied,
		zs.ResultRange: Other, zs.ResultNotADB: Damaged,
	}
	const unused = 16 // SQLITE_EMPTY
	for code := zs.ResultInternal; code <= zs.ResultNotADB; code++ {
		if _, listed := primary[code]; !listed && code != unused && code != lib.SQLITE_FORMAT {
			t.Errorf("the result code %d (%s) has no kind here", code, code.Message())
		}
	}
	own := map[zs.ResultCode]Fault{
		zs.ResultConstraintCheck: Check, zs.ResultConstraintForeignKey: ForeignKey, zs.ResultConstraintNotNull: NotNull,
		zs.ResultConstraintPrimaryKey: Unique, zs.ResultConstraintTrigger: ForeignKey, zs.ResultConstraintUnique: Unique,
		zs.ResultIOErrSHMSize: Full, zs.ResultConstraintRowID: Unique, lib.SQLITE_CONSTRAINT_DATATYPE: DataType,
	}
	const extended = 40 // more than any result code has
	for code, want := range primary {
		for n := range zs.ResultCode(extended) {
			want := want
			if kind, ok := own[code|n<<8]; ok {
				want = kind
			}
			if got := FaultOf((code | n<<8).ToError()); got != want {
				t.Errorf("code %d, extended by %d: fault %d, want %d", code, n, got, want)
			}
		}
	}
}

func TestOtherErrorsAreNoFaults(t *testing.T) {
	for _, err := range []error{nil, io.EOF, context.Canceled, ErrClosed, ErrTrailing, ErrNoStatement, errors.Join(io.EOF, io.EOF), &BrokenReference{"a", "b"}} {
		if got := FaultOf(err); got != Other {
			t.Errorf("%v is fault %d", err, got)
		}
		if got := ConstraintColumns(err); got != nil {
			t.Errorf("%v has columns %q", err, got)
		}
	}
}

func TestDamagedBusyAndUnreachableFiles(t *testing.T) {
	read := func(path string) error {
		c, err := OpenFile(path)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Int("SELECT count(*) FROM sqlite_schema")
		return err
	}
	folder := t.TempDir()
	text := filepath.Join(folder, "text.db")
	if err := os.WriteFile(text, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, append([]byte("hello, world, no database here"), make([]byte, 4096)...), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Fault{
		text:                                Damaged,
		filepath.Join(folder, "missing.db"): IO,
		folder:                              IO,
	} {
		if err := read(path); FaultOf(err) != want {
			t.Errorf("%s: fault %d (%v), want %d", filepath.Base(path), FaultOf(err), err, want)
		} else if CannotOpen(err) != (filepath.Base(path) == "missing.db") {
			t.Errorf("%s: cannot be opened: %t (%v)", filepath.Base(path), CannotOpen(err), err)
		}
	}

	db := open(t, Options{})
	stranger, err := openConn(db.Path(), zs.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	stranger.c.SetBusyTimeout(0)
	err = db.Exclusive(t.Context(), func(*Conn) error { return stranger.Exec("BEGIN IMMEDIATE") })
	if FaultOf(err) != Busy {
		t.Errorf("a second writer: %v", err)
	}
	err = db.Exclusive(t.Context(), func(c *Conn) error {
		if err := c.Exec("PRAGMA max_page_count = 1"); err != nil {
			return err
		}
		return c.Exec("INSERT INTO item (name) VALUES (printf('%.*c', 100000, 'x'))")
	})
	if FaultOf(err) != Full {
		t.Errorf("a full file: %v", err)
	}
}
