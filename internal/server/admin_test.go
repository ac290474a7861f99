package server

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

func dial(t *testing.T, folder string) *Admin {
	t.Helper()
	admin, err := Dial(t.Context(), folder, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	return admin
}

func TestCommandsReachWhoeverHasTheFolder(t *testing.T) {
	t.Parallel()
	for name, folder := range map[string]string{
		"short path": filepath.Join(t.TempDir(), "data"),
		"long path":  filepath.Join(t.TempDir(), strings.Repeat("a-very-long-name/", 12), "data"),
	} {
		t.Run(name, func(t *testing.T) {
			owner, guest := dial(t, folder), dial(t, folder)
			made, err := CreateProject.Call(t.Context(), guest, NewProject{Slug: "Shop", Name: "The shop"})
			if err != nil || made.Slug != "shop" {
				t.Fatalf("made %+v, %v", made, err)
			}
			seen, err := ListProjects.Call(t.Context(), owner, None{})
			if err != nil || len(seen) != 1 || !reflect.DeepEqual(seen[0], made) {
				t.Errorf("the owner of the folder sees %+v, %v", seen, err)
			}
			info, err := os.Stat(filepath.Join(folder, "admin.sock"))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the socket is %v, %v", info, err)
			}
			if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the folder is %v, %v", info, err)
			}
		})
	}
}

func TestFailureOfACommandKeepsItsFields(t *testing.T) {
	admin := dial(t, t.TempDir())
	_, err := CreateProject.Call(t.Context(), admin, NewProject{Slug: "not a slug", Name: ""})
	p := problem.From(err)
	if p.Code != problem.CodeValidationFailed || len(p.Details) != 2 || p.Details[0].Field != "project_slug" || p.Details[1].Field != "project_name" {
		t.Errorf("got %v", err)
	}
}

// Whoever fixes a blueprint learns at once about all faults of form and of meaning.
func TestBootstrapTellsAllFaults(t *testing.T) {
	app, err := Open(t.TempDir(), Settings{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	_, err = Bootstrap.run(t.Context(), app, Blueprint{Body: []byte(`{"project_slug":"not a slug","tabels":[],"tables":[{"table_name":"t","columns":[{"name":"a","type":"WORD"}]}]}`)})
	var fields []string
	for _, d := range problem.From(err).Details {
		fields = append(fields, d.Field)
	}
	for _, want := range []string{"tabels", "project_name", "project_slug", "tables[0].columns[0].column_type"} {
		if !slices.Contains(fields, want) {
			t.Errorf("the faults are of %v, without %s", fields, want)
		}
	}
}

func TestDialGivesUpOnAnOwnerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	app, err := Open(folder, Settings{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, folder, slog.New(slog.DiscardHandler)); err != ErrInUse {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

func TestNextCommandTakesTheFolderWhenTheOwnerLeaves(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	owner := dial(t, folder)
	time.AfterFunc(100*time.Millisecond, func() { owner.Close() })
	for i := range 20 {
		admin, err := Dial(t.Context(), folder, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
		if _, err := ListProjects.Call(t.Context(), admin, None{}); err != nil && !strings.Contains(err.Error(), "speak to the server") {
			t.Errorf("call %d: %v", i, err)
		}
		admin.Close()
		time.Sleep(10 * time.Millisecond)
	}
}

// TestLimitProject sets the quota of a project, which must survive a restart.
func TestLimitProject(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	show := func(admin *Admin) projectdb.Usage {
		t.Helper()
		details, err := ShowProject.Call(t.Context(), admin, Slug{"shop"})
		if err != nil {
			t.Fatal(err)
		}
		return details.Usage
	}
	owner := dial(t, folder)
	if _, err := CreateProject.Call(t.Context(), owner, NewProject{Slug: "shop", Name: "The shop"}); err != nil {
		t.Fatal(err)
	}
	if u := show(owner); u.Max != 0 || u.Used <= 0 {
		t.Errorf("a new project has %+v", u)
	}
	limit, negative := int64(1<<20), int64(-1)
	if _, err := LimitProject.Call(t.Context(), owner, Limit{"shop", &limit}); err != nil {
		t.Fatal(err)
	}
	if u := show(owner); u.Max != limit {
		t.Errorf("the limit is %d", u.Max)
	}
	for _, wrong := range []Limit{{"shop", &negative}, {"nothing", &limit}} {
		if _, err := LimitProject.Call(t.Context(), owner, wrong); err == nil {
			t.Errorf("%+v was taken", wrong)
		}
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	again := dial(t, folder)
	if u := show(again); u.Max != limit {
		t.Errorf("after a restart the limit is %d", u.Max)
	}
	if _, err := LimitProject.Call(t.Context(), again, Limit{"shop", nil}); err != nil {
		t.Fatal(err)
	}
	if u := show(again); u.Max != 0 {
		t.Errorf("taken back, the limit is %d", u.Max)
	}
}
