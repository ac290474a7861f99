package projectdb

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/worker"
)

func TestMain(m *testing.M) {
	worker.Main()
	goleak.VerifyTestMain(m)
}
