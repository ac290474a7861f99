package registry

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/testkit"
	"github.com/zangtable/zangtable/internal/worker"
)

func TestMain(m *testing.M) {
	worker.Main()
	goleak.VerifyTestMain(m)
}

func newClock() *testkit.Clock {
	return testkit.NewClock(time.Date(2026, 6, 2, 1, 23, 45, 0, time.UTC))
}

// house is a registry together with its projects in a folder of its own.
type house struct {
	*Registry
	folder string
	clock  *testkit.Clock
	dir    *projectdb.Dir
	forget func(ctx context.Context, projectID ids.Project) error
}

func open(t testing.TB) *house {
	t.Helper()
	h := &house{folder: t.TempDir(), clock: newClock()}
	h.open(t)
	t.Cleanup(func() { h.close(t) })
	return h
}

func (h *house) open(t testing.TB) {
	t.Helper()
	dir, err := projectdb.OpenDir(filepath.Join(h.folder, "projects"), projectdb.DirOptions{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(filepath.Join(h.folder, "server.db"), dir, Options{Now: h.clock.Now, Forget: h.forget})
	if err != nil {
		t.Fatal(err)
	}
	h.Registry, h.dir = r, dir
}

func (h *house) close(t testing.TB) {
	t.Helper()
	if h.Registry == nil {
		return
	}
	if err := h.Registry.Close(); err != nil {
		t.Error(err)
	}
	if err := h.dir.Close(); err != nil {
		t.Error(err)
	}
	h.Registry = nil
}

// project creates a project and returns the operator's workspace in it.
func (h *house) project(t testing.TB, slug string) *Workspace {
	t.Helper()
	if _, err := h.CreateProject(t.Context(), NewProject{Slug: slug, Name: "Project " + slug}, nil); err != nil {
		t.Fatal(err)
	}
	ws, err := h.Operator(t.Context(), slug)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

// use runs fn with the database of a workspace.
func use(t testing.TB, ws *Workspace, fn func(*projectdb.DB) error) {
	t.Helper()
	if err := ws.Use(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func (ws *Workspace) mustMint(t testing.TB, request TokenRequest) MintedToken {
	t.Helper()
	minted, err := ws.Mint(t.Context(), new(problem.Faults), request)
	if err != nil {
		t.Fatal(err)
	}
	return minted
}

// enter authenticates with a secret, which must be valid.
func (h *house) enter(t testing.TB, slug, secret string) *Workspace {
	t.Helper()
	ws, err := h.Authenticate(t.Context(), slug, secret)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func (h *house) isValid(t testing.TB, slug, secret string) bool {
	t.Helper()
	_, err := h.Authenticate(context.Background(), slug, secret)
	if err == nil {
		return true
	}
	if !problem.Is(err, problem.CodeInvalidToken) || err.Error() != "invalid_token: The token is not valid for this project." {
		t.Errorf("refused with %v", err)
	}
	return false
}

func wantCode(t testing.TB, what string, err error, code problem.Code) {
	t.Helper()
	if !problem.Is(err, code) {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}
