package format

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

// appendReal appends a finite real in the shortest form that reads back as the
// same value and cannot be taken for an integer.
func appendReal(dst []byte, f float64) []byte {
	// Two decimals are by far the most common reals. A decimal of at most 15
	// digits is the only one of that length for its float64, hence the shortest.
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
	dst = strconv.AppendInt(dst, n/100, 10)
	tens, ones := byte(n%100/10), byte(n%10)
	dst = append(dst, '.', '0'+tens)
	if ones != 0 {
		dst = append(dst, '0'+ones)
	}
	return dst
}

func appendBase64(dst, b []byte) []byte {
	return base64.StdEncoding.AppendEncode(dst, b)
}

// Eight bytes are looked at in one step: lows has a one in each byte, highs the
// top bit of each.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

func word(s []byte) uint64 { return binary.LittleEndian.Uint64(s) }

// zeros is not 0 if and only if some byte of x is 0.
func zeros(x uint64) uint64 { return (x - lows) &^ x & highs }

// every repeats a byte eight times.
func every(c byte) uint64 { return lows * uint64(c) }
