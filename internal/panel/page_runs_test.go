package panel

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/journal"
)

// Every bar is on the line, bars begin in the order of their calls, and no pause hides
// the calls beside it.
func TestCallsAreLinedUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var calls []journal.RunCall
		end := 0.0
		for i := range rapid.IntRange(0, 60).Draw(t, "calls") {
			gap := rapid.SampledFrom([]float64{0, 0.5, 30, 250, 400_000}).Draw(t, "gap")
			if i == 0 {
				gap = 0
			}
			call := journal.RunCall{OffsetMS: end + gap, GapMS: gap}
			call.TookMS = rapid.SampledFrom([]float64{0, 0.3, 12, 900}).Draw(t, "took")
			end = call.OffsetMS + call.TookMS
			calls = append(calls, call)
		}
		lined, before := lineUp(calls), 0
		if len(lined) != len(calls) {
			t.Fatalf("%d of %d calls", len(lined), len(calls))
		}
		for i, call := range lined {
			if call.X < before || call.X < 0 || call.Length < 2 || call.X+call.Length > lineWidth {
				t.Fatalf("call %d is at %d, %d long, after %d", i, call.X, call.Length, before)
			}
			if isFolded(call.GapMS, end) != (call.Fold != "") {
				t.Fatalf("call %d after %v ms of %v: %q", i, call.GapMS, end, call.Fold)
			}
			before = call.X
		}
	})
}

func TestDurationsAreReadable(t *testing.T) {
	t.Parallel()
	for ms, want := range map[float64]string{0.04: "0.0 ms", 9.96: "10.0 ms", 12.4: "12 ms", 1230: "1.23 s", 420_000: "7 min"} {
		if got := duration(ms); got != want {
			t.Errorf("%v: %q, want %q", ms, got, want)
		}
	}
}

func TestTimesAreReadable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"2026-12-01T01:09:06.421854Z": "2026-12-01 01:09:06", "2026-12-01T01:09:06Z": "2026-12-01 01:09:06", "": ""} {
		if got := readableTime(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
