package journal

import (
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"
)

// spread is a histogram of durations with buckets that are at most an eighth wider than
// their lower bound: bucket to count. It is stored as pairs of varints.
type spread map[int]int64

// bucketOf returns the bucket of a duration, in microseconds: one for each of the first
// eight, and then eight for each power of two.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 8 {
		return int(us)
	}
	power := bits.Len64(us) - 4 // 0 for 8 to 15
	return 8 + 8*power + int(us>>power) - 8
}

// boundOf returns the upper bound of a bucket.
func boundOf(bucket int) time.Duration {
	if bucket < 8 {
		return time.Duration(bucket+1) * time.Microsecond
	}
	power, eighth := (bucket-8)/8, (bucket-8)%8
	return time.Duration(min(uint64(9+eighth)<<power, math.MaxInt64/1000)) * time.Microsecond
}

func (s spread) add(d time.Duration) { s[bucketOf(d)]++ }

// quantile returns a duration that the given share of the durations does not exceed, 0
// if there are none.
func (s spread) quantile(share float64) time.Duration {
	var total int64
	for _, n := range s {
		total += n
	}
	rank := int64(math.Ceil(share * float64(total)))
	for _, bucket := range slices.Sorted(maps.Keys(s)) {
		if rank -= s[bucket]; rank <= 0 {
			return boundOf(bucket)
		}
	}
	return 0
}

func (s spread) encode() []byte {
	b := []byte{}
	for _, bucket := range slices.Sorted(maps.Keys(s)) {
		b = binary.AppendUvarint(b, uint64(bucket))
		b = binary.AppendUvarint(b, uint64(s[bucket]))
	}
	return b
}

// maxBucket is the last bucket that a duration can be in.
const maxBucket = 8 + 8*61

// addEncoded adds a stored histogram; damaged pairs are left out.
func (s spread) addEncoded(b []byte) {
	for len(b) > 0 {
		bucket, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}
		count, m := binary.Uvarint(b[n:])
		if m <= 0 || bucket > maxBucket {
			return
		}
		s[int(bucket)] += int64(count)
		b = b[n+m:]
	}
}
