package testkit

import (
	"testing"
	"time"
)

// Slack is how much longer than its bound something may take in a test, on a machine
// that is busy or slow. What does not heed its bound takes far longer, or never ends.
const Slack = 20 * time.Second

// Scale returns little with -short and under the race detector, which makes SQLite
// several times slower, and much otherwise. Tests use it for sizes and repetitions;
// they must assert the same with either.
func Scale[T any](little, much T) T {
	if testing.Short() || Race {
		return little
	}
	return much
}

// Slow skips a test with -short. It is for tests that take a second or more and cannot
// be made smaller. A faster test must cover the same code.
func Slow(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: skipped with -short")
	}
}
