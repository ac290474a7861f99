package registry

import (
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSecretForm(t *testing.T) {
	form := regexp.MustCompile(`^pat_[0-9A-Za-z]{36}$`)
	seen := make(map[string]bool, 100_000)
	var counts [256]int
	for range 100_000 {
		secret, err := newSecret(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(secret) || !isSecret(secret) {
			t.Fatalf("%s is not a secret", secret)
		}
		if seen[secret] {
			t.Fatalf("%s came twice", secret)
		}
		seen[secret] = true
		for _, b := range []byte(secret[len(secretPrefix) : len(secretPrefix)+secretRandom]) {
			counts[b]++
		}
	}
	// Each character is expected 48,387 times with a standard deviation of 218.
	for _, b := range []byte(base62) {
		if counts[b] < 46_800 || counts[b] > 50_000 {
			t.Errorf("%c came %d times", b, counts[b])
		}
	}
}

// The checksum is the CRC-32 of zip files, so other programs can check it too.
func TestChecksumIsTheUsualOne(t *testing.T) {
	// The CRC-32 of "123456789" is 0xcbf43926 = 3421780262.
	if got := checksum("123456789"); got != "3jZRME" {
		t.Errorf("got %s", got)
	}
	if got := checksum(""); got != "000000" {
		t.Errorf("got %s", got)
	}
}

func TestEveryTypingErrorIsFound(t *testing.T) {
	secret, err := newSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(secret) {
		for b := range 256 {
			wrong := []byte(secret)
			wrong[i] = byte(b)
			if string(wrong) != secret && isSecret(string(wrong)) {
				t.Errorf("%q passes for %s", wrong, secret)
			}
		}
		if isSecret(secret[:i] + secret[i+1:]) {
			t.Errorf("the secret without character %d passes", i)
		}
		if isSecret(secret[:i] + "x" + secret[i:]) {
			t.Errorf("the secret with a character more at %d passes", i)
		}
		if i > 0 && secret[i] != secret[i-1] {
			swapped := secret[:i-1] + secret[i:i+1] + secret[i-1:i] + secret[i+1:]
			if isSecret(swapped) {
				t.Errorf("%s passes for %s", swapped, secret)
			}
		}
	}
	for _, text := range []string{"", "pat_", strings.Repeat("x", 40), "PAT_" + secret[4:], secret + "\n", " " + secret} {
		if isSecret(text) {
			t.Errorf("%q passes", text)
		}
	}
}

func TestNoRandomnessNoSecret(t *testing.T) {
	if secret, err := newSecret(strings.NewReader("short")); err == nil {
		t.Errorf("got %s", secret)
	}
}

func TestIsSecretNeverPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if text := rapid.String().Draw(t, "text"); isSecret(text) {
			t.Fatalf("%q passes", text)
		}
	})
}
