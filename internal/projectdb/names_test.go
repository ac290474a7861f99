package projectdb

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

func TestAdjustName(t *testing.T) {
	for name, want := range map[string]string{
		"contacts": "contacts", "Order_Items_": "Order_Items_", "order items": "order_items", "_id": "id", "2024": "table_2024",
		"sqlite_x": "x_sqlite_x", "": "table", "🎉": "table", "Größe": "Grosse", "naïve café": "naive_cafe", "Łódź": "Lodz", "a.b-c": "a_b_c",
		"  padded  ": "padded", strings.Repeat("x", 70): strings.Repeat("x", 63), "select": "select", "a$b": "a_b",
	} {
		if got := AdjustName(name, "table", map[string]bool{}); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestAdjustNameAvoidsTakenNames(t *testing.T) {
	taken := map[string]bool{}
	for _, want := range []string{"A_b", "a_B_2", "a_b_3"} {
		name := map[string]string{"A_b": "A b", "a_B_2": "a B", "a_b_3": "a_b"}[want]
		if got := AdjustName(name, "table", taken); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestAdjustedNamesAreAllowedAndDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		taken, seen := map[string]bool{}, map[string]bool{}
		for _, name := range rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,70}`), rapid.SampledFrom([]string{"a", "A", "a_2", "_a"}))).Draw(t, "names") {
			adjusted := AdjustName(name, "column", taken)
			var faults problem.Faults
			CheckName(&faults, "name", adjusted)
			if err := faults.Err(); err != nil {
				t.Fatalf("%q became %q: %v", name, adjusted, err)
			}
			if seen[sqlite.Fold(adjusted)] {
				t.Fatalf("%q became %q, which is taken", name, adjusted)
			}
			seen[sqlite.Fold(adjusted)] = true
		}
	})
}
