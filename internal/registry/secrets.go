package registry

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// A secret is "pat_", 30 random characters and a checksum of 6, so that a mistyped one
// is refused without a lookup and scanners can recognize it.
const (
	secretPrefix   = "pat_"
	secretRandom   = 30
	secretChecksum = 6
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// hash is the SHA-256 of a secret, which is all that is ever stored of it.
type hash [sha256.Size]byte

func hashOf(secret string) hash { return sha256.Sum256([]byte(secret)) }

func newSecret(random io.Reader) (string, error) {
	secret := []byte(secretPrefix)
	r := bufio.NewReaderSize(random, 64)
	for len(secret) < len(secretPrefix)+secretRandom {
		b, err := r.ReadByte()
		if err != nil {
			return "", fmt.Errorf("read randomness: %w", err)
		}
		// 248 is the largest multiple of 62 that fits in a byte: using larger values
		// would make the first characters more frequent than the others.
		if b < 248 {
			secret = append(secret, base62[b%62])
		}
	}
	return string(secret) + checksum(string(secret)), nil
}

// hintOf returns the part of a secret by which people tell tokens apart. It belongs to
// the checksum, so that none of the random characters is stored.
func hintOf(secret string) string { return secret[len(secret)-4:] }

func checksum(text string) string {
	var digits [secretChecksum]byte
	sum := crc32.ChecksumIEEE([]byte(text))
	for i := range digits {
		digits[len(digits)-1-i] = base62[sum%62]
		sum /= 62
	}
	return string(digits[:])
}

// isSecret reports whether the text has the form of a secret, including a valid
// checksum.
func isSecret(text string) bool {
	const body = len(secretPrefix) + secretRandom
	return len(text) == body+secretChecksum &&
		strings.HasPrefix(text, secretPrefix) &&
		strings.Trim(text[len(secretPrefix):], base62) == "" &&
		checksum(text[:body]) == text[body:]
}
