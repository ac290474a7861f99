package sqlite

import (
	"bytes"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// The names of functions that every connection has and that compare without regard to
// case and accents: both texts are folded by [AppendFolded] first. They take linear
// time, and memory for the part that is searched for, not for the whole text. Apart
// from that they are like ContainsFunction.
const (
	FoldedEqualsFunction     = "text_equals_folded"
	FoldedContainsFunction   = "text_contains_folded"
	FoldedStartsWithFunction = "text_starts_with_folded"
	FoldedEndsWithFunction   = "text_ends_with_folded"
)

// strokes are letters that people take for others with a mark, but that Unicode does
// not decompose.
var strokes = strings.NewReplacer("ł", "l", "ø", "o", "đ", "d", "ħ", "h", "ŧ", "t", "ı", "i", "æ", "ae", "œ", "oe")

// foldings maps every character that folding changes to what it becomes. Folding is
// done character by character: once marks are gone, what normalization would reorder
// or compose is gone as well, except for Hangul, see appendRune.
var foldings = sync.OnceValue(func() map[rune]string {
	table := make(map[rune]string, 8192)
	caser := cases.Fold()
	for _, block := range foldedBlocks {
		for r := block[0]; r <= block[1]; r++ {
			if to := foldRune(caser, r); to != string(r) {
				table[r] = to
			}
		}
	}
	return table
})

// foldedBlocks are the ranges of characters that folding may change. What is between
// them is not assigned, or ideographs, syllables and private characters that have
// neither case nor marks.
var foldedBlocks = [][2]rune{{utf8.RuneSelf, 0x33ff}, {0xa480, 0xabff}, {0xf900, 0xffff}, {0x10000, 0x16fff}, {0x1b000, 0x1ffff}, {0x2f800, 0x2fa1f}, {0xe0100, 0xe01ef}}

// foldRune decomposes a character, removes marks and case, and does so again because a
// folded character may decompose further.
func foldRune(caser cases.Caser, r rune) string {
	text := string(r)
	for range 2 {
		text = strokes.Replace(caser.String(withoutMarks(norm.NFKD.String(text))))
	}
	return norm.NFC.String(text) // composes Hangul syllables
}

// withoutMarks removes the marks that take no room of their own, and the others that
// normalization may reorder.
func withoutMarks(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) || norm.NFKD.PropertiesString(string(r)).CCC() != 0 {
			return -1
		}
		return r
	}, text)
}

// AppendFolded appends text in the form in which case, accents and compatibility
// variants of characters make no difference: NFKC, Unicode case folding and removal of
// marks. Bytes that are not UTF-8 stay as they are.
func AppendFolded(b, text []byte) []byte {
	for len(text) > 0 {
		b, text = foldSome(b, text, len(b)+len(text))
	}
	return b
}

// foldSome appends the folded form of the beginning of text until b has at least the
// given size, and returns what is left of text. It never stops inside a syllable.
func foldSome(b, text []byte, size int) (folded, rest []byte) {
	table := foldings()
	for len(text) > 0 {
		if c := text[0]; c < utf8.RuneSelf {
			if len(b) >= size {
				break
			}
			b, text = append(b, lowered[c]), text[1:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		switch to, changes := table[r]; {
		case r == utf8.RuneError && n == 1:
			b = append(b, text[0])
		case len(b) >= size && (!changes || to != "") && !followsInSyllable(r):
			return b, text
		case changes:
			for _, r := range to {
				b = appendRune(b, r)
			}
		default:
			b = appendRune(b, r)
		}
		text = text[n:]
	}
	return b, text
}

// The characters that Hangul syllables are composed of, and how many of each there
// are, as Unicode numbers them.
const (
	hangulLead, leads   = 0x1100, 19
	hangulVowel, vowels = 0x1161, 21
	hangulTail, tails   = 0x11a7, 28 // the first stands for no tail
	hangulSyllable      = 0xac00
)

// followsInSyllable reports whether r may be part of the syllable before it.
func followsInSyllable(r rune) bool {
	return hangulVowel <= r && r < hangulVowel+vowels || hangulTail < r && r < hangulTail+tails
}

// appendRune appends r, composing it with the Hangul syllable before it. Otherwise
// part of a syllable would be found as if it were the whole.
func appendRune(b []byte, r rune) []byte {
	if !followsInSyllable(r) {
		return utf8.AppendRune(b, r)
	}
	last, n := utf8.DecodeLastRune(b)
	switch syllable := last - hangulSyllable; {
	case r < hangulTail && hangulLead <= last && last < hangulLead+leads:
		r = hangulSyllable + ((last-hangulLead)*vowels+r-hangulVowel)*tails
	case r > hangulTail && 0 <= syllable && syllable < leads*vowels*tails && syllable%tails == 0:
		r = last + r - hangulTail
	default:
		n = 0
	}
	return utf8.AppendRune(b[:len(b)-n], r)
}

// lowered maps the capitals of ASCII to lower case.
var lowered = &folded

// parseFolded returns a function that parses like the given one, but folds the text
// first.
func parseFolded(parse func([]byte) *pattern) func([]byte) *pattern {
	return func(source []byte) *pattern {
		p := parse(AppendFolded(nil, source))
		p.folds = true
		return p
	}
}

// parseEqual returns the pattern that only the text itself matches.
func parseEqual(source []byte) *pattern {
	p := parseExact(source, 0, 1)
	p.every = false
	return p
}

// maxWindow is how many bytes of folded text are looked at together, if the text
// searched for is not longer.
const maxWindow = 4 << 10

// likeFolded is like for patterns of folded text. It folds and compares the text in
// pieces.
func (m *matcher) likeFolded(text []byte, p *pattern) bool {
	part, anyBefore, anyAfter := &p.parts[0], false, len(p.parts) > 1
	if anyAfter && len(part.literal) == 0 {
		part, anyBefore, anyAfter = &p.parts[1], true, len(p.parts) > 2
	}
	literal, size := part.literal, len(part.literal)+1
	if anyBefore {
		size = max(maxWindow, 4*size)
	}
	window := m.window[:0]
	defer func() { m.window = window[:0] }()
	for {
		before := len(text)
		window, text = foldSome(window, text, size)
		if !m.spend(1 + before - len(text)) {
			return false
		}
		switch {
		case !anyBefore && !anyAfter:
			return len(text) == 0 && bytes.Equal(window, literal)
		case !anyBefore:
			return bytes.HasPrefix(window, literal)
		case anyAfter && m.find(window, 0, part) >= 0:
			return true
		case len(text) == 0:
			return !anyAfter && bytes.HasSuffix(window, literal)
		}
		// A match may begin in this piece and end in the next one.
		window = append(window[:0], window[max(0, len(window)-len(literal)):]...)
	}
}
