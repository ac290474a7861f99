package server

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/storage"
)

func TestReadinessSaysWhyNot(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	app, err := Open(folder, Settings{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	probe := func(ctx context.Context, stopping bool) (int, string) {
		answer := httptest.NewRecorder()
		app.readiness(answer, httptest.NewRequestWithContext(ctx, "GET", "/readyz", nil), stopping)
		return answer.Code, answer.Body.String()
	}
	check := func(what string, ctx context.Context, stopping bool, wantStatus int, want string) {
		t.Helper()
		if status, body := probe(ctx, stopping); status != wantStatus || !strings.HasPrefix(body, want) || strings.Contains(body, folder) {
			t.Errorf("%s: %d %q, want %d %q", what, status, body, wantStatus, want)
		}
	}
	check("intact", t.Context(), false, 200, "ready\n")
	check("stopping", t.Context(), true, 503, "not ready: the server is stopping\n")

	app.room, err = storage.OpenRoom(t.TempDir(), storage.RoomOptions{Reserve: 1 << 20, Free: func(string) (free, total int64, err error) { return 1000, 1 << 30, nil }})
	if err != nil {
		t.Fatal(err)
	}
	check("a full disk", t.Context(), false, 200, "ready\ndegraded: the disk is nearly full")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	check("no answer", gone, false, 503, "not ready: server.db cannot be read: it did not answer")

	app.Registry, err = registry.Open(filepath.Join(folder, "another.db"), app.Projects, registry.Options{})
	if err == nil {
		err = app.Registry.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	check("no database", t.Context(), false, 503, "not ready: server.db cannot be read: The")
}
