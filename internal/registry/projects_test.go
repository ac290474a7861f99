package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

func (h *house) files(t testing.TB) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(h.folder, "projects"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (h *house) unfinished(t testing.TB) []ids.Project {
	t.Helper()
	left, err := list[ids.Project](context.Background(), h.Registry, "SELECT project_id FROM unfinished")
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestProjectLife(t *testing.T) {
	h := open(t)
	source := strings.Repeat("ab", 32)
	created, err := h.CreateProject(t.Context(), NewProject{
		Slug: "My-Shop", Name: "My shop", Source: &source,
		User:   &NewProjectUser{Username: "ada", Password: "correct horse"},
		Tokens: []NewToken{{Name: "first"}, {ProjectUsername: "ada", AccountUserID: 1}},
	}, func(db *projectdb.DB) error {
		_, err := db.CreateTable(t.Context(), new(problem.Faults), projectdb.NewTable{Name: "goods"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := created.Project; p.Slug != "my-shop" || p.Name != "My shop" || p.CreatedAt != "2026-06-02T01:23:45Z" || p.AccountID != 1 {
		t.Errorf("created %+v", p)
	}
	if u := created.User; u.Username != "ada" || u.Role != Admin || u.ID == 0 {
		t.Errorf("created %+v", u)
	}
	for _, token := range created.Tokens {
		ws := h.enter(t, "MY-SHOP", token.Secret)
		if !ws.May(ProjectAdmin) {
			t.Error("a first token has no full power")
		}
		use(t, ws, func(db *projectdb.DB) error {
			_, err := db.Table(t.Context(), "goods")
			return err
		})
	}
	found, err := h.ProjectsFrom(t.Context(), source)
	if err != nil || len(found) != 1 || found[0].ID != created.Project.ID {
		t.Errorf("by source: %v, %v", found, err)
	}

	ws := h.enter(t, "my-shop", created.Tokens[0].Secret)
	h.clock.Add(time.Hour)
	renamed, err := ws.Rename(t.Context(), new(problem.Faults), "Our shop")
	if err != nil || renamed.Name != "Our shop" || renamed.UpdatedAt != "2026-06-02T02:23:45Z" || renamed.CreatedAt != created.Project.CreatedAt {
		t.Errorf("renamed %+v, %v", renamed, err)
	}
	if again := h.enter(t, "my-shop", created.Tokens[0].Secret); again.Project.Name != "Our shop" {
		t.Errorf("the next request sees %+v", again.Project)
	} else {
	}
	for _, name := range []string{"", "  ", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 201)} {
		_, err := ws.Rename(t.Context(), new(problem.Faults), name)
		wantCode(t, fmt.Sprintf("rename to %q", name), err, problem.CodeValidationFailed)
	}

	if err := ws.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files := h.files(t); len(files) != 0 {
		t.Errorf("files are left: %v", files)
	}
	if h.isValid(t, "my-shop", created.Tokens[0].Secret) {
		t.Error("a token outlived its project")
	}
	if n := h.unfinished(t); len(n) != 0 {
		t.Errorf("unfinished projects are left: %v", n)
	}
	_, err = h.Operator(t.Context(), "my-shop")
	wantCode(t, "open a deleted project", err, problem.CodeNotFound)
	wantCode(t, "delete it again", h.DeleteProject(t.Context(), created.Project), problem.CodeNotFound)

	// A project with the old name is a different one.
	next := h.project(t, "my-shop")
	if next.Project.ID <= created.Project.ID {
		t.Errorf("the id %d was used again", next.Project.ID)
	}
	if h.isValid(t, "my-shop", created.Tokens[0].Secret) {
		t.Error("a token of the old project opens the new one")
	}
}

func TestProjectOrdersAreChecked(t *testing.T) {
	h := open(t)
	_, err := h.CreateProject(t.Context(), NewProject{
		Slug: "no spaces", Name: "",
		User:   &NewProjectUser{Username: "", Password: "", Role: "king"},
		Tokens: []NewToken{{AccountUserID: 9}, {ProjectUsername: "nobody"}, {Name: strings.Repeat("x", 300)}},
	}, nil)
	var p *problem.Error
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	var fields []string
	for _, d := range p.Details {
		fields = append(fields, d.Field)
	}
	want := "project_slug project_name initial_project_user.username initial_project_user.password initial_project_user.role " +
		"project_api_tokens[0].account_user_id project_api_tokens[1].project_username project_api_tokens[2].token_name"
	if got := strings.Join(fields, " "); p.Code != problem.CodeValidationFailed || got != want {
		t.Errorf("%s for %s", p.Code, got)
	}
	for _, slug := range []string{"", "a b", "a/b", "..", "ž", "a.b", strings.Repeat("a", 64), "a\n"} {
		_, err := h.CreateProject(t.Context(), NewProject{Slug: slug, Name: "x"}, nil)
		wantCode(t, fmt.Sprintf("slug %q", slug), err, problem.CodeValidationFailed)
	}
	for _, slug := range []string{"a", "-", "_", "0", "A-B_c9", strings.Repeat("a", 63)} {
		if _, err := h.CreateProject(t.Context(), NewProject{Slug: slug, Name: "x"}, nil); err != nil {
			t.Errorf("slug %q: %v", slug, err)
		}
	}
	if n := h.unfinished(t); len(n) != 0 {
		t.Errorf("unfinished projects are left: %v", n)
	}
}

func TestSlugIsTakenOnce(t *testing.T) {
	h := open(t)
	const tries = 12
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range tries {
		wg.Go(func() {
			_, err := h.CreateProject(t.Context(), NewProject{Slug: "Shop", Name: "x"}, nil)
			switch {
			case err == nil:
				won.Add(1)
			case problem.Is(err, problem.CodeConflict) && problem.From(err).Details[0].Field == "project_slug":
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != tries-1 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
	if files := h.files(t); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
	if n := h.unfinished(t); len(n) != 0 {
		t.Errorf("unfinished projects are left: %v", n)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	h := open(t)
	mine := errors.New("mine")
	_, err := h.CreateProject(t.Context(), NewProject{Slug: "shop", Name: "x"}, func(*projectdb.DB) error { return mine })
	if !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = h.CreateProject(ctx, NewProject{Slug: "shop", Name: "x"}, func(*projectdb.DB) error { cancel(); return nil })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	projects, listErr := h.Projects(t.Context())
	if listErr != nil || (err == nil) != (len(projects) == 1) || len(h.files(t)) != len(projects) || len(h.unfinished(t)) != 0 {
		t.Errorf("answered %v; projects %v, files %v, unfinished %v", err, projects, h.files(t), h.unfinished(t))
	}
}

// A crash can happen between any two steps of creating and deleting a project.
func TestSweepAfterACrash(t *testing.T) {
	h := open(t)
	kept := h.project(t, "kept").Project
	// The file was moved into place, but the row was not written.
	id, err := h.reserveID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.dir.Create(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	// The id was reserved, but nothing was built.
	if _, err := h.reserveID(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The row was deleted, but the file was not.
	deleted := h.project(t, "deleted").Project
	err = h.write(t.Context(), func(c *sqlite.Conn) error {
		return errors.Join(c.Exec("DELETE FROM projects WHERE id = ?", deleted.ID), c.Exec("INSERT INTO unfinished VALUES (?)", deleted.ID))
	})
	if err != nil {
		t.Fatal(err)
	}
	// A file without a row, as after the loss of server.db.
	const unknown = 500
	if err := h.dir.Create(t.Context(), unknown, nil); err != nil {
		t.Fatal(err)
	}
	h.close(t)
	h.open(t)
	for range 2 {
		if err := h.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if files := fmt.Sprint(h.files(t)); files != fmt.Sprintf("[%d.db %d.db]", kept.ID, unknown) {
		t.Errorf("files: %s", files)
	}
	if n := h.unfinished(t); len(n) != 0 {
		t.Errorf("unfinished projects are left: %v", n)
	}
	if next := h.project(t, "next").Project; next.ID <= unknown {
		t.Errorf("a new project got id %d, which may meet the unknown file", next.ID)
	}
	if _, err := h.Operator(t.Context(), "kept"); err != nil {
		t.Error(err)
	}
}

func TestDeleteWaitsForThoseInside(t *testing.T) {
	h := open(t)
	ws := h.project(t, "shop")
	project := ws.Project
	minted, err := ws.Mint(t.Context(), new(problem.Faults), TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	holder := h.enter(t, "shop", minted.Secret)
	deleted := make(chan error, 1)
	use(t, ws, func(db *projectdb.DB) error {
		go func() { deleted <- h.DeleteProject(t.Context(), project) }()
		nothing := func(*projectdb.DB) error { return nil }
		// Who came before is turned away a moment after the project is gone from the list.
		until(t, problem.CodeNotFound, func() error { _, err := h.Operator(t.Context(), "shop"); return err })
		until(t, problem.CodeInvalidToken, func() error { return holder.Use(t.Context(), nothing) })
		until(t, problem.CodeNotFound, func() error { return ws.Use(t.Context(), nothing) })
		if _, err := db.Tables(t.Context()); err != nil {
			t.Errorf("the one inside was cut off: %v", err)
		}
		select {
		case err := <-deleted:
			t.Errorf("did not wait: %v", err)
		default:
		}
		return nil
	})
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if files := h.files(t); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}

// until waits until the call is refused with the code.
func until(t *testing.T, code problem.Code, call func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(testkit.Slack); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err = call(); problem.Is(err, code) {
			return
		}
	}
	t.Fatalf("%v, want %s", err, code)
}

func TestDeleteGoesOnWhenNobodyWaits(t *testing.T) {
	h := open(t)
	ws := h.project(t, "shop")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	use(t, ws, func(*projectdb.DB) error { return h.DeleteProject(ctx, ws.Project) })
	h.close(t)
	if files := h.files(t); len(files) != 0 {
		t.Errorf("files: %v", files)
	}
}

func TestDamagedProjectHarmsNoOther(t *testing.T) {
	h := open(t)
	bad, good := h.project(t, "bad"), h.project(t, "good")
	badSecret, goodSecret := bad.mustMint(t, TokenRequest{}).Secret, good.mustMint(t, TokenRequest{}).Secret
	h.close(t)
	path := filepath.Join(h.folder, "projects", fmt.Sprint(bad.Project.ID)+".db")
	if err := os.WriteFile(path, []byte(strings.Repeat("garbage ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := h.enter(t, "bad", badSecret).Use(t.Context(), func(*projectdb.DB) error { return nil })
	wantCode(t, "open the damaged project", err, problem.CodeProjectDamaged)
	if h.isValid(t, "bad", goodSecret) || !h.isValid(t, "good", goodSecret) {
		t.Error("the other project is affected")
	}
	if err := h.DeleteProject(t.Context(), bad.Project); err != nil {
		t.Errorf("a damaged project cannot be deleted: %v", err)
	}
	if files := h.files(t); slices.Contains(files, fmt.Sprint(bad.Project.ID)+".db") {
		t.Errorf("files: %v", files)
	}
}

func TestPing(t *testing.T) {
	h := open(t)
	if err := h.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDeleteForgetsBeforeItWaits has a worker inside the project that only leaves when
// told to.
func TestDeleteForgetsBeforeItWaits(t *testing.T) {
	h := &house{folder: t.TempDir(), clock: newClock()}
	entered, leave := make(chan struct{}), make(chan struct{})
	var forgotten []ids.Project
	h.forget = func(_ context.Context, projectID ids.Project) error {
		forgotten = append(forgotten, projectID)
		close(leave)
		return nil
	}
	h.open(t)
	t.Cleanup(func() { h.close(t) })
	inside := h.project(t, "shop")
	go inside.Use(t.Context(), func(*projectdb.DB) error {
		close(entered)
		<-leave
		return nil
	})
	<-entered
	if err := h.DeleteProject(t.Context(), inside.Project); err != nil {
		t.Fatal(err)
	}
	if len(forgotten) != 1 || forgotten[0] != inside.Project.ID {
		t.Errorf("forgot %v, want the project %d", forgotten, inside.Project.ID)
	}
}

// TestRoot creates projects from projects, whose root stays the same when it is
// deleted.
func TestRoot(t *testing.T) {
	h := open(t)
	ws := h.project(t, "first")
	root := ws.Project.ID
	for _, slug := range []string{"second", "third", "fourth"} {
		if ws.Project.Slug == "third" { // its root may no longer exist
			first, err := h.Project(t.Context(), "first")
			if err == nil {
				err = h.DeleteProject(t.Context(), first)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		created, err := ws.CreateProject(t.Context(), new(problem.Faults), NewProject{Slug: slug, Name: slug}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ws, err = h.Operator(t.Context(), slug); err != nil {
			t.Fatal(err)
		}
		if created.Project.Root != root || ws.Project.Root != root {
			t.Errorf("the root of %s is %d when it is made and %d then, want %d", slug, created.Project.Root, ws.Project.Root, root)
		}
	}
	other := h.project(t, "other")
	if other.Project.Root != other.Project.ID {
		t.Errorf("the root of project %d, which the operator made, is %d", other.Project.ID, other.Project.Root)
	}
}

// TestOldRegistryKnowsNoRoots opens a registry created before projects had roots.
func TestOldRegistryKnowsNoRoots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "server.db")
	old := schema
	old.Migrations = schema.Migrations[:1]
	db, err := sqlite.Open(path, sqlite.Options{Schema: old})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Write(t.Context(), func(c *sqlite.Conn) error {
		return c.Exec("INSERT INTO projects VALUES (7, 1, 'old', 'Old', NULL, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')")
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if p, err := r.Project(t.Context(), "old"); err != nil || p.Root != 7 {
		t.Errorf("got %+v, %v, want the root 7", p, err)
	}
}
