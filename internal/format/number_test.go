package format

import (
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// isReal is IsReal without shortcuts.
func isReal(text string) bool {
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) && !(f == 0 && math.Signbit(f)) && string(appendReal(nil, f)) == text
}

func TestIsReal(t *testing.T) {
	for _, text := range []string{"", "-", "1", "1.0", "-1.5", "-0.0", "0.0", "1e21", "1e+21", "1e-07", "1.5e-07", "1e", "1-2", "2026-06-02", "1.2.3", "+1.0",
		"0x1p4", "1_0.0", "Infinity", "NaN", "1e400", "1.50", "2026-06-02T01:23:45Z", "1+1", "--1.0", "e1", ".5"} {
		if got := IsReal([]byte(text)); got != isReal(text) {
			t.Errorf("%q: %v", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{0,3}[.e+\-x]?[0-9]{0,3}[.e+\-]{0,2}[0-9]{0,2}`).Draw(t, "text")
		if got := IsReal([]byte(text)); got != isReal(text) {
			t.Fatalf("%q: %v", text, got)
		}
	})
}

func TestRealsBecomeAnother(t *testing.T) {
	check := func(t rapid.TB, f float64) {
		var b sqlite.Batch
		b.Reset(1)
		b.Append(sqlite.FloatValue(f))
		written := appendCSVReal(nil, f)
		if got := BecomesAnother(&b, b.Row(0)[0]); got == isReal(string(written)) {
			t.Fatalf("%s: %v", written, got)
		}
	}
	for _, f := range []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e20, 1e21, 1e-6, 1e-7, 0.1} {
		check(t, f)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Float64().Draw(t, "f")) })
}
