package format

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// appendReal appends a finite real in the shortest form that reads back as the same
// value and does not look like an integer.
func appendReal(dst []byte, f float64) []byte {
	// Two decimals are by far the most common reals. A decimal of at most 15 digits is
	// the only one of that length for its float64, hence the shortest.
	if n := f * 100; n > -1e15 && n < 1e15 && n != 0 {
		if i := int64(n); float64(i) == n && float64(i)/100 == f {
			return appendHundredths(dst, i)
		}
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

func appendHundredths(dst []byte, n int64) []byte {
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	dst = appendInt(dst, n/100)
	tens, ones := byte(n%100/10), byte(n%10)
	dst = append(dst, '.', '0'+tens)
	if ones != 0 {
		dst = append(dst, '0'+ones)
	}
	return dst
}

// appendInt appends an integer in decimal digits. It writes them in place: strconv
// copies them from a buffer, which takes several times as long.
func appendInt(dst []byte, n int64) []byte {
	u := uint64(n)
	if n < 0 {
		dst, u = append(dst, '-'), -u
	}
	digits := countDigits(u)
	dst = slices.Grow(dst, digits)[:len(dst)+digits]
	i := len(dst)
	for ; u >= 100; u /= 100 {
		i -= 2
		pair := u % 100 * 2
		dst[i], dst[i+1] = pairs[pair], pairs[pair+1]
	}
	if u < 10 {
		dst[i-1] = '0' + byte(u)
	} else {
		dst[i-2], dst[i-1] = pairs[u*2], pairs[u*2+1]
	}
	return dst
}

// countDigits returns the number of decimal digits of n.
func countDigits(n uint64) int {
	// The base-2 logarithm gives the number of digits, or one too many.
	digits := bits.Len64(n|1)*1233>>12 + 1
	if n|1 < powers[digits-1] {
		digits--
	}
	return digits
}

// pairs holds the two digits of each number below 100, powers the powers of ten.
var pairs, powers = digitPairs(), powersOfTen()

func digitPairs() (pairs [200]byte) {
	for i := range len(pairs) / 2 {
		pairs[2*i], pairs[2*i+1] = '0'+byte(i/10), '0'+byte(i%10)
	}
	return pairs
}

func powersOfTen() (powers [20]uint64) {
	for i, power := 0, uint64(1); i < len(powers); i++ {
		powers[i] = power
		power *= 10
	}
	return powers
}

func appendBase64(dst, b []byte) []byte {
	return base64.StdEncoding.AppendEncode(dst, b)
}

// Eight bytes are examined in one step: lows has a one in each byte, highs the top bit
// of each.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

func word(s []byte) uint64 { return binary.LittleEndian.Uint64(s) }

// zeros is nonzero if and only if some byte of x is 0.
func zeros(x uint64) uint64 { return (x - lows) &^ x & highs }

// every repeats a byte eight times.
func every(c byte) uint64 { return lows * uint64(c) }
