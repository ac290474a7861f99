package ingest

import (
	"io"
	"os"
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
