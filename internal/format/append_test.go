package format

import (
	"math"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestAppendInt(t *testing.T) {
	check := func(t rapid.TB, n int64) {
		if got, want := string(appendInt([]byte("x"), n)), "x"+strconv.FormatInt(n, 10); got != want {
			t.Fatalf("%d is written %s", n, got)
		}
	}
	for _, n := range []int64{0, math.MaxInt64, math.MinInt64} {
		check(t, n)
	}
	for power := int64(1); power > 0 && power <= 1e18; power *= 10 {
		for _, n := range []int64{power - 1, power, power + 1} {
			check(t, n)
			check(t, -n)
		}
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Int64().Draw(t, "n")) })
}
