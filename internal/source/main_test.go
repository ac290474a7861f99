package source

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/zangtable/zangtable/internal/testkit"
	"github.com/zangtable/zangtable/internal/worker"
)

// workers is the pool that all tests share.
var workers *worker.Pool

// Short names for helpers that all tests use.
var (
	shell   = testkit.Shell
	write   = testkit.WriteFile
	gzipped = testkit.Gzipped
	zipped  = testkit.Zipped
	zstdOf  = testkit.Zstd
)

func TestMain(m *testing.M) {
	worker.Main()
	os.Exit(testkit.RunWith(m, func(folder string) (_ io.Closer, err error) {
		workers, err = worker.Open(worker.Options{Folder: folder})
		return workers, err
	}))
}

// database creates a SQLite file with the sqlite3 shell.
func database(t testing.TB, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source.sqlite")
	shell(t, path, script)
	return path
}

func texts(list []Note) []string {
	out := []string{}
	for _, n := range list {
		out = append(out, n.String())
	}
	return out
}
