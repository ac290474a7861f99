package sqltext

import (
	"slices"
	"strings"
	"testing"
)

func FuzzTokens(f *testing.F) {
	f.Add("SELECT a, 'it''s', x'00' FROM \"t\" WHERE b = ?1 -- end\n; /* more */ \v")
	f.Add("\ufeff$a::b(c) [d] 0x1f 1.5e+3 ->> !")
	f.Fuzz(func(t *testing.T, text string) {
		var all strings.Builder
		for rest := text; rest != ""; {
			kind, size := Next(rest)
			if bytesKind, bytesSize := Next([]byte(rest)); size < 1 || kind != bytesKind || size != bytesSize {
				t.Fatalf("%q: %d bytes of kind %d, %d of kind %d as bytes", rest, size, kind, bytesSize, bytesKind)
			}
			all.WriteString(rest[:size])
			rest = rest[size:]
		}
		if all.String() != text {
			t.Errorf("%q has become %q", text, all.String())
		}
		end := 0
		for _, token := range Tokens(text) {
			if SkipBlank(text[end:token.Start]) != "" || text[token.Start:token.End] != token.Text {
				t.Errorf("%q: between the tokens stands %q", text, text[end:token.Start])
			}
			end = token.End
		}
		if SkipBlank(text[end:]) != "" || len(SkipEmpty(text)) > len(SkipBlank(text)) {
			t.Errorf("%q: behind the tokens stands %q", text, text[end:])
		}
	})
}

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		`a`: "a", `"a""b"`: `a"b`, "`a``b`": "a`b", "[a]]": "a", "[a[b]": "a[b", "'it''s'": "it's", `"`: `"`, `x'00'`: "x'00'", "ä.b": "ä", `""`: "",
	} {
		if got := First(text).Name(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestKeywordsKnowTheCaseOfASCIIOnly(t *testing.T) {
	for _, text := range []string{"SELECT", "select", "sElEcT"} {
		if !First(text).Is("WITH", "SELECT") {
			t.Error(text)
		}
	}
	for _, text := range []string{"\u017felect", "SELECTS", "'select'", "se"} {
		if First(text).Is("SELECT") {
			t.Error(text)
		}
	}
}

func TestFirstWords(t *testing.T) {
	for text, want := range map[string][]string{
		"-- a\n create TABLE \"x y\"(a)": {"create", "TABLE", `"x y"`, "("},
		"pragma a.b":                     {"pragma", "a", ".", "b"},
		"end;":                           {"end", ";", "", ""},
		"":                               {"", "", "", ""},
		strings.Repeat("€", 100):         {strings.Repeat("€", 33) + "\ufffd", "", "", ""},
	} {
		if got := FirstWords(text, 4); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
