package server

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/problem"
)

// damages are things that can happen to a database file.
var damages = map[string]func(path string) error{
	"cut":       func(path string) error { return os.Truncate(path, 5000) },
	"cut short": func(path string) error { return os.Truncate(path, 100) },
	"emptied":   func(path string) error { return os.Truncate(path, 0) },
	"removed":   os.Remove,
	"random": func(path string) error {
		return os.WriteFile(path, []byte(strings.Repeat("no database ", 5000)), 0o600)
	},
	"a page of zeros": func(path string) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(make([]byte, 4096), 4096)
		return errors.Join(err, f.Close())
	},
	"a folder":               func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	"a link to nothing":      func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/nowhere", path)) },
	"a link to another file": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/hostname", path)) },
	"another program's":      func(path string) error { return copyOf(filepath.Join(filepath.Dir(path), "server.db"), path) },
	"a log that is no log":   func(path string) error { return os.WriteFile(path+"-wal", make([]byte, 3000), 0o600) },
}

func copyOf(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// furnished creates a data folder with a project and a ready export.
func furnished(t *testing.T) (folder string, m export.Manifest) {
	t.Helper()
	folder = t.TempDir()
	app, err := Open(folder, Settings{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ready, err := Prepare(t.Context(), app, "")
	if err != nil {
		t.Fatal(err)
	}
	app.Exports.Start()
	m, err = app.Exports.Create(t.Context(), new(problem.Faults), export.Request{
		Project: export.ProjectRef{ID: ready.Project.ID, Slug: ready.Project.Slug}, Kind: export.SchemaExport,
	})
	if err == nil {
		m, err = app.Exports.Wait(t.Context(), ready.Project.ID, m.ID)
	}
	if err := errors.Join(err, app.Close()); err != nil {
		t.Fatal(err)
	}
	return folder, m
}

// eachDamage runs a test once for each kind of damage, with a copy of a data folder in
// which that has happened to one of its databases.
func eachDamage(t *testing.T, original, database string, test func(t *testing.T, kind, folder string)) {
	for kind, damage := range damages {
		if database == "server.db" && (kind == "another program's" || kind == "a log that is no log") {
			continue
		}
		t.Run(database+"/"+kind, func(t *testing.T) {
			folder := copyFolder(t, original)
			if err := damage(filepath.Join(folder, database)); err != nil {
				t.Fatal(err)
			}
			test(t, kind, folder)
		})
	}
}

func copyFolder(t *testing.T, original string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(folder, os.DirFS(original)); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestReplaceableDatabasesAreReplaced starts the server with each replaceable database
// damaged in every way.
func TestReplaceableDatabasesAreReplaced(t *testing.T) {
	t.Parallel()
	original, m := furnished(t)
	for _, database := range []string{"exports.db", "imports.db", "journal.db"} {
		eachDamage(t, original, database, func(t *testing.T, name, folder string) {
			for start := range 2 {
				app, err := Open(folder, Settings{}, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatalf("start %d: %v", start, err)
				}
				harmless := name == "a log that is no log"
				if told := len(app.degraded.list()) > 0; told != (start == 0 && !harmless) {
					t.Errorf("start %d: degraded: %q", start, app.degraded.list())
				}
				answer := httptest.NewRecorder()
				app.readiness(answer, httptest.NewRequest("GET", "/readyz", nil), false)
				if body := answer.Body.String(); answer.Code != 200 || strings.Contains(body, "degraded: "+database) != (len(app.degraded.list()) > 0) {
					t.Errorf("start %d: %d %q", start, answer.Code, body)
				}
				artifact, err := app.Exports.Artifact(t.Context(), 1, m.ID)
				if err != nil {
					t.Errorf("start %d: the artifact: %v", start, err)
				} else {
					artifact.File.Close()
				}
				if err := app.Close(); err != nil {
					t.Error(err)
				}
			}
			kept, err := filepath.Glob(filepath.Join(folder, database+".damaged-*"))
			if wanted := name != "removed" && name != "a log that is no log"; err != nil || (len(kept) > 0) != wanted {
				t.Errorf("kept are %v, %v", kept, err)
			}
		})
	}
}

// TestDatabasesDamagedInUse damages each replaceable database while the server runs.
func TestDatabasesDamagedInUse(t *testing.T) {
	t.Parallel()
	original, m := furnished(t)
	for _, database := range []string{"exports.db", "imports.db", "journal.db"} {
		t.Run(database, func(t *testing.T) {
			folder := copyFolder(t, original)
			// So far, SQLite has read nothing but the header.
			app, err := Open(folder, Settings{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(folder, database))
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(filepath.Join(folder, database), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte(strings.Repeat("no page ", int(info.Size()-4096)/8)), 4096)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			_, exports := app.Exports.Get(t.Context(), 1, m.ID)
			_, imports := app.Imports.Get(t.Context(), 1, "imp_1")
			_, join := app.Journal.Join(t.Context(), journal.Caller{ProjectID: 1, TokenID: 1}, "key", "")
			for name, err := range map[string]error{"exports.db": exports, "imports.db": imports, "journal.db": join} {
				wanted := name == database && name != "journal.db"
				if problem.Is(err, problem.CodeBusy) != wanted || problem.Is(err, problem.CodeInternal) {
					t.Errorf("%s: %v", name, err)
				}
			}
			answer := httptest.NewRecorder()
			app.readiness(answer, httptest.NewRequest("GET", "/readyz", nil), false)
			if body := answer.Body.String(); answer.Code != 200 || strings.Count(body, "degraded: "+database) != 1 {
				t.Errorf("%d %q", answer.Code, body)
			}
			_ = app.Close() // the last checkpoint of a damaged database can fail
			app, err = Open(folder, Settings{}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := app.Exports.Get(t.Context(), 1, m.ID); err != nil {
				t.Errorf("after the next start: %v", err)
			}
			if err := app.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestServerDBIsNotBegunAnew damages server.db, which nothing can replace.
func TestServerDBIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	original, _ := furnished(t)
	eachDamage(t, original, "server.db", func(t *testing.T, _, folder string) {
		app, err := Open(folder, Settings{}, slog.New(slog.DiscardHandler))
		if err == nil {
			app.Close()
			t.Fatal("it starts")
		}
		if !strings.Contains(err.Error(), "check --repair") {
			t.Errorf("the sentence says no way out: %v", err)
		}
		if _, err := os.Stat(filepath.Join(folder, "projects", "1.db")); errors.Is(err, fs.ErrNotExist) {
			t.Error("the project is gone")
		}
	})
}
