package journal

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The maximum lengths of keys, in characters, and run ids, in bytes.
const (
	maxKey   = 128
	maxRunID = len(runPrefix) + 122
)

const runPrefix = "oprun_"

// validKey reports whether a key has 1 to 128 characters, all of them printable.
func validKey(key string) bool {
	// A character has at most four bytes, so longer keys need not be counted.
	if key == "" || len(key) > 4*maxKey || !utf8.ValidString(key) || utf8.RuneCountInString(key) > maxKey {
		return false
	}
	return !strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) })
}

// validRunID reports whether id matches ^oprun_[A-Za-z0-9_-]{1,122}$.
func validRunID(id string) bool {
	rest, ok := strings.CutPrefix(id, runPrefix)
	if !ok || rest == "" || len(id) > maxRunID {
		return false
	}
	for i := range len(rest) {
		switch c := rest[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// newRunID returns an id such as oprun_20260602T012345_123456Z_abc123def456.
func newRunID(now time.Time, random io.Reader) (string, error) {
	var b [6]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	now = now.UTC()
	return fmt.Sprintf("%s%s_%06dZ_%s", runPrefix, now.Format("20060102T150405"), now.Nanosecond()/1000, hex.EncodeToString(b[:])), nil
}
