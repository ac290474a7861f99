package ingest

import (
	"os"
	"testing"

	"github.com/zangtable/zangtable/internal/worker"
)

func TestMain(m *testing.M) {
	worker.Main()
	os.Exit(m.Run())
}
