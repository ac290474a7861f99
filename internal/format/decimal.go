package format

import (
	"math"
	"strconv"
	"strings"
)

// Decimal is a decimal number with all its digits. Equal numbers are equal Go values,
// however they were written.
type Decimal struct {
	negative bool
	digits   string // without zeros at either end; "" is zero
	point    int    // number of digits before the decimal point; may be negative or exceed the digits
}

// maxPoint bounds the exponents that are distinguished, far beyond those of a REAL.
const maxPoint = 1 << 20

// ParseDecimal parses digits with an optional sign, fraction and exponent. Its cost does
// not depend on the size of the exponent.
func ParseDecimal(text string) (d Decimal, ok bool) {
	rest := strings.TrimLeft(text, "+-")
	if len(text)-len(rest) > 1 {
		return d, false
	}
	mantissa, exponent, hasExponent := cutExponent(rest)
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return d, false
	}
	if hasExponent {
		if d.point, ok = parseExponent(exponent); !ok {
			return d, false
		}
	}
	d.negative = text[0] == '-'
	d.digits = strings.TrimLeft(digits, "0")
	d.point += len(whole) - (len(digits) - len(d.digits))
	if d.digits = strings.TrimRight(d.digits, "0"); d.digits == "" {
		return Decimal{}, true
	}
	d.point = max(-maxPoint, min(d.point, maxPoint))
	return d, true
}

func cutExponent(text string) (mantissa, exponent string, found bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

func parseExponent(text string) (int, bool) {
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	// If out of range, n is the largest or smallest int.
	n, _ := strconv.Atoi(text)
	return max(-maxPoint, min(n, maxPoint)), true
}

// Whole reports whether the number is an integer of any size.
func (d Decimal) Whole() bool { return len(d.digits) <= d.point || d.digits == "" }

// Int returns the number if it is a 64-bit integer.
func (d Decimal) Int() (n int64, ok bool) {
	if !d.Whole() {
		return 0, false
	}
	return d.truncated()
}

// Floor returns the greatest integer not greater than the number, if it fits in 64 bits.
func (d Decimal) Floor() (n int64, ok bool) {
	n, ok = d.truncated()
	if d.negative && !d.Whole() {
		return n - 1, ok && n > math.MinInt64
	}
	return n, ok
}

// Ceil returns the least integer not less than the number, if it fits in 64 bits.
func (d Decimal) Ceil() (n int64, ok bool) {
	n, ok = d.truncated()
	if !d.negative && !d.Whole() {
		return n + 1, ok && n < math.MaxInt64
	}
	return n, ok
}

// Negative reports whether the number is less than zero.
func (d Decimal) Negative() bool { return d.negative }

// truncated returns the number without its fraction, if it fits in 64 bits.
func (d Decimal) truncated() (n int64, ok bool) {
	const longest = 19 // digits that fit in 64 bits
	if d.point > longest {
		return 0, false
	}
	digits := d.digits[:min(max(d.point, 0), len(d.digits))]
	if digits == "" {
		return 0, true
	}
	digits += strings.Repeat("0", d.point-len(digits))
	if d.negative {
		digits = "-" + digits
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// Writes reports whether the number has exactly the digits that f is printed with, the
// fewest that distinguish it from other reals.
func (d Decimal) Writes(f float64) bool {
	written, ok := ParseDecimal(strconv.FormatFloat(f, 'e', -1, 64))
	return ok && written == d
}
