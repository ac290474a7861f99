package testkit

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// Unchanged checks that migrations are still those that existing data folders were made
// by: each is given by the beginning of its SHA-256.
func Unchanged(t testing.TB, migrations []string, want ...string) {
	t.Helper()
	if len(migrations) != len(want) {
		t.Errorf("there are %d migrations, and %d are known", len(migrations), len(want))
	}
	for i, text := range migrations {
		sum := sha256.Sum256([]byte(text))
		if got := hex.EncodeToString(sum[:8]); i >= len(want) || got != want[i] {
			t.Errorf("the migration %d has the hash %s", i, got)
		}
	}
}
