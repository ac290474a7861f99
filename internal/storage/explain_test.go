package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// raised returns the error that a statement causes in a new database.
func raised(t *testing.T, statements ...string) error {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"), sqlite.Options{Schema: sqlite.Schema{Migrations: []string{"CREATE TABLE t (a PRIMARY KEY, b BLOB)"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return db.Exclusive(t.Context(), func(c *sqlite.Conn) error {
		for _, statement := range statements {
			if err := c.Exec(statement); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestExplain(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "such", "folder")
	_, cannotOpen := sqlite.OpenFile(missing)
	system := func(n syscall.Errno) error { return &fs.PathError{Op: "write", Path: "/secret", Err: n} }
	known := problem.NotFound("The table", "t")
	for name, test := range map[string]struct {
		err  error
		want problem.Code
	}{
		"full, says SQLite":     {raised(t, "PRAGMA max_page_count = 4", "INSERT INTO t VALUES (1, zeroblob(100000))"), problem.CodeStorageFull},
		"full, says the system": {system(syscall.ENOSPC), problem.CodeStorageFull},
		"over the quota":        {system(syscall.EDQUOT), problem.CodeStorageFull},
		"no descriptor":         {system(syscall.EMFILE), problem.CodeBusy},
		"none in the system":    {system(syscall.ENFILE), problem.CodeBusy},
		"SQLite cannot open":    {cannotOpen, problem.CodeBusy},
		"disk error":            {system(syscall.EIO), problem.CodeBusy},
		"read-only disk":        {system(syscall.EROFS), problem.CodeBusy},
		"no right":              {system(syscall.EACCES), problem.CodeBusy},
		"no memory":             {sqlite.ErrorOf(7), problem.CodeBusy},
		"closed":                {sqlite.ErrClosed, problem.CodeBusy},
		"waited too long":       {sqlite.ErrWaited, problem.CodeBusy},
		"a problem":             {known, problem.CodeNotFound},
		"a constraint":          {raised(t, "INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (1, 1)"), ""},
		"bad SQL":               {raised(t, "SELEC"), ""},
		"not there":             {system(syscall.ENOENT), ""},
		"something else":        {errors.New("other"), ""},
		"given up":              {context.Canceled, ""},
	} {
		if test.err == nil {
			t.Errorf("%s: the test has raised no error", name)
		}
		wrapped := fmt.Errorf("do something: %w", test.err)
		got := Explain(wrapped)
		var p *problem.Error
		if isProblem := errors.As(got, &p); isProblem != (test.want != "") || isProblem && p.Code != test.want {
			t.Errorf("%s: %v, want %q", name, got, test.want)
		}
		if !errors.Is(got, test.err) {
			t.Errorf("%s: the cause is lost in %v", name, got)
		}
		if p != nil && p != known && p.Code == problem.CodeBusy && p.RetryAfter == 0 {
			t.Errorf("%s: nobody is told when to come back", name)
		}
	}
	if Explain(nil) != nil {
		t.Error("no error is explained")
	}
}
