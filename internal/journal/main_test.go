package journal

import (
	"errors"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClock() *testkit.Clock {
	return testkit.NewClock(time.Date(2026, 6, 2, 1, 23, 45, 123456789, time.UTC))
}

// open opens a journal that is closed when the test ends.
func open(t testing.TB, path string, options Options) *Journal {
	t.Helper()
	j, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil && !errors.Is(err, sqlite.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return j
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "journal.db") }

func join(t testing.TB, j *Journal, caller Caller, key, runID string) Operation {
	t.Helper()
	operation, err := j.Join(t.Context(), caller, key, runID)
	if err != nil {
		t.Fatal(err)
	}
	return operation
}

func generated(id string) bool {
	return regexp.MustCompile(`^oprun_\d{8}T\d{6}_\d{6}Z_[0-9a-f]{12}$`).MatchString(id)
}
