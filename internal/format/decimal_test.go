package format

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseDecimalRefuses(t *testing.T) {
	for _, text := range []string{"", "-", "+", ".", "e1", ".e1", "1e", "1e+", "--1", "+-1", "1.2.3", "1e1.5", "0x10", "1_0", "NaN", "Inf", " 1", "1 ", "1,5", "١", "1e--1"} {
		if d, ok := ParseDecimal(text); ok {
			t.Errorf("%q is read as %+v", text, d)
		}
	}
}

func TestDecimalsHaveEnormousExponents(t *testing.T) {
	for text, want := range map[string]struct{ whole, fits bool }{
		"1e999999999999999999999": {true, false}, "-1e999999999": {true, false}, "1e-999999999999999999999": {false, false},
		"0e999999999999999999999": {true, true}, "0." + strings.Repeat("0", 100_000) + "1e100001": {true, true}, "1" + strings.Repeat("0", 100_000) + "e-100000": {true, true},
	} {
		d, ok := ParseDecimal(text)
		if _, fits := d.Int(); !ok || d.Whole() != want.whole || fits != want.fits {
			t.Errorf("%.30s: read %v, whole %v, fits %v", text, ok, d.Whole(), fits)
		}
	}
}

// Every answer matches exact arithmetic.
func TestDecimalsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?(0{0,3}(92233720368547758|90071992547409|)[0-9]{1,5}|0)(\.(0{0,3}|[0-9]{1,4}))?([eE][+-]?[0-9])?`).Draw(t, "text")
		d, ok := ParseDecimal(text)
		exact, known := new(big.Rat).SetString(text)
		if !ok || !known {
			t.Fatalf("%q is not read (%v, %v)", text, ok, known)
		}
		floor := new(big.Int).Div(exact.Num(), exact.Denom()) // Euclidean, so it rounds down
		ceil := new(big.Int).Set(floor)
		if !exact.IsInt() {
			ceil.Add(ceil, big.NewInt(1))
		}
		check := func(name string, n int64, ok bool, want *big.Int, possible bool) {
			if possible = possible && want.IsInt64(); ok != possible || ok && n != want.Int64() {
				t.Fatalf("%s of %s: %d %v, want %s %v", name, text, n, ok, want, possible)
			}
		}
		n, ok := d.Int()
		check("int", n, ok, floor, exact.IsInt())
		n, ok = d.Floor()
		check("floor", n, ok, floor, true)
		n, ok = d.Ceil()
		check("ceil", n, ok, ceil, true)
		f, _ := exact.Float64()
		written, _ := new(big.Rat).SetString(strconv.FormatFloat(f, 'e', -1, 64))
		if d.Writes(f) != (written.Cmp(exact) == 0) || d.Negative() != (exact.Sign() < 0) || d.Whole() != exact.IsInt() {
			t.Fatalf("%s: writes %v, negative %v, whole %v", text, d.Writes(f), d.Negative(), d.Whole())
		}
	})
}
