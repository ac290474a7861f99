package testkit

import "testing"

// Scale returns how much of something a test does: little with -short and under
// the race detector, which makes SQLite several times slower, much otherwise. A
// test calls it for sizes and repetitions and proves the same with either; it
// asserts everything in both.
func Scale[T any](little, much T) T {
	if testing.Short() || Race {
		return little
	}
	return much
}

// Slow skips a test with -short: one that takes a second or more and cannot be
// made smaller. Something quicker covers the same code.
func Slow(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: skipped with -short")
	}
}
