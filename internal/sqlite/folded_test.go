package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

// foldWhole folds a whole text with the tools of x/text, without any table.
func foldWhole(t interface{ Fatal(...any) }, text string) string {
	for range 2 {
		marks := runes.Predicate(func(r rune) bool {
			return unicode.Is(unicode.Mn, r) || norm.NFKD.PropertiesString(string(r)).CCC() != 0
		})
		out, _, err := transform.String(transform.Chain(norm.NFKD, runes.Remove(marks), cases.Fold()), text)
		if err != nil {
			t.Fatal(err)
		}
		text = strokes.Replace(out)
	}
	var hangul strings.Builder // only syllables are composed: the rest stays as it is
	for _, part := range strings.SplitAfter(norm.NFC.String(text), "") {
		if r := []rune(part); len(r) == 1 && hangulSyllable <= r[0] && r[0] < 0xd7a4 {
			hangul.WriteString(part)
		} else {
			hangul.WriteString(norm.NFD.String(part))
		}
	}
	return hangul.String()
}

func TestFoldedForms(t *testing.T) {
	for text, want := range map[string]string{
		"Straße": "strasse", "STRASSE": "strasse", "Ärger": "arger", "A\u0308rger": "arger", "Łódź": "lodz", "Ørsted": "orsted", "Đà Nẵng": "da nang", "İstanbul": "istanbul", "ISTANBUL": "istanbul",
		"ﬁne": "fine", "Ｆｕｌｌ１２": "full12", "ｶﾞ": "カ", "ガ": "カ", "Ὀδυσσεύς": "οδυσσευσ", "ſ": "s", "①": "1", "Æsir Œuvre": "aesir oeuvre", "한글": "한글", "\u1112\u1161\u11ab\u1100\u1173\u11af": "한글", "ㄱㅏ": "가",
		"日本": "日本", "\xff\xc3": "\xff\xc3", "a\x00B": "a\x00b", "\u0301": "", "И\u0306": "и", "ﷺ": "صلى الله عليه وسلم", "🐎": "🐎",
	} {
		if got := string(AppendFolded(nil, []byte(text))); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Folding character by character must give what folding the whole text does, for every
// character that Unicode has.
func TestFoldingIsOfWholeTexts(t *testing.T) {
	const block = 0x400
	for first := rune(0); first <= unicode.MaxRune; first += block {
		var characters []string
		for r := first; r < first+block; r++ {
			if unicode.IsGraphic(r) || unicode.IsMark(r) {
				characters = append(characters, string(r))
			}
		}
		text := strings.Join(characters, "\n")
		got, want := strings.Split(string(AppendFolded(nil, []byte(text))), "\n"), strings.Split(foldWhole(t, text), "\n")
		for i, character := range characters {
			if norm.NFC.String(got[i]) != norm.NFC.String(want[i]) {
				t.Errorf("%U: %q, want %q", []rune(character), got[i], want[i])
			}
		}
	}
}

var foldedPiece = rapid.SampledFrom([]string{"a", "A", "ä", "a\u0308", "Ä", "b", "ß", "SS", "s", "ﬁ", "fi", "\u0301", "\u0323", "ᄒ", "ᅡ", "ᆫ", "하", "한", "İ", "i", "ı", "ø", "O", "ﷺ", "Ａ", "ｶ", "ﾞ", "カ", "é", "É", "\U0001d15e", " "})

// The functions agree with comparing whole folded texts, also where pieces meet.
func TestFoldedFunctions(t *testing.T) {
	c := reader(t)
	functions := map[string]func(text, part string) bool{FoldedContainsFunction: strings.Contains, FoldedStartsWithFunction: strings.HasPrefix, FoldedEndsWithFunction: strings.HasSuffix, FoldedEqualsFunction: func(a, b string) bool { return a == b }}
	fold := func(text string) string { return string(AppendFolded(nil, []byte(text))) }
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string, most int) string {
			return strings.Join(rapid.SliceOfN(foldedPiece, 0, most).Draw(t, label), "")
		}
		if text := draw("whole", 12); norm.NFC.String(foldWhole(t, text)) != norm.NFC.String(fold(text)) {
			t.Fatalf("%q: %q, want %q", text, fold(text), foldWhole(t, text))
		}
		filler := rapid.SampledFrom([]string{"", "", "", "x", "ᅡ", "é", "\u0301"}).Draw(t, "filler")
		for range 10 {
			part, text := draw("part", 4), draw("text", 12)
			if filler != "" {
				text = strings.Repeat(filler, maxWindow/len(fold(filler+" "))*rapid.IntRange(1, 2).Draw(t, "pieces")-rapid.IntRange(0, 12).Draw(t, "before")) + text
			}
			if rapid.Bool().Draw(t, "part of it") {
				part = text[len(text)-min(len(text), rapid.IntRange(0, 9).Draw(t, "end")):]
			}
			for name, same := range functions {
				got, err := c.Int("SELECT "+name+"(?, ?)", text, part)
				if want := same(fold(text), fold(part)); err != nil || (got == 1) != want {
					t.Fatalf("%s(%.60q of %d bytes, %q): %d, want %v (%v)", name, text, len(text), part, got, want, err)
				}
			}
		}
	})
	for call, want := range map[string]int64{"(NULL, 'a')": -1, "('a', NULL)": -1, "(x'61', 'a')": 0, "('a', x'61')": 0, "(1, '1')": 1, "('', '')": 1} {
		for name := range functions {
			if got, err := c.Int("SELECT coalesce(" + name + call + ", -1)"); err != nil || got != want {
				t.Errorf("%s%s: %d, want %d (%v)", name, call, got, want, err)
			}
		}
	}
}

// Folding a large text can be interrupted, and needs no memory for all of it.
func TestFoldingIsInterrupted(t *testing.T) {
	c := reader(t)
	text := strings.Repeat("ﷺ", 2<<20/3) // eleven times as long when folded
	held, err := c.Int("SELECT "+FoldedContainsFunction+"(?, 'zzz')", text)
	if err != nil || held != 0 {
		t.Fatal(held, err)
	}
	for _, m := range c.matchers {
		if cap(m.window) > 16*maxWindow {
			t.Errorf("a window has %d bytes", cap(m.window))
		}
	}
	stopping, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	defer c.bound(stopping)()
	err = c.Query("SELECT sum("+FoldedContainsFunction+"(?1, 'z' || value)) FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 1000000) SELECT value FROM n)", []any{text}, nil)
	if FaultOf(err) != Interrupted {
		t.Errorf("it was not interrupted: %v", fmt.Sprint(errors.Unwrap(err), err))
	}
}
