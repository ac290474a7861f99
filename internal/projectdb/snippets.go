package projectdb

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// FTS5 makes snippets itself, but compares each match in a text with each other one, and
// nothing can stop it meanwhile. These take linear time.

// Snippet is a part of a text in which something was found.
type Snippet struct {
	Text  string   `json:"text" doc:"Plain text."`
	Marks [][2]int `json:"marks" doc:"What was found: the first character and the number of characters."`
}

// The sizes of snippets.
const (
	snippetWords      = 24
	snippetCharacters = 64 // with the tokenizer trigram, which knows no words
	leadIn            = 4  // words or characters before the first mark
)

// piece is a part of a text that is compared as a whole: a word or, with the tokenizer
// trigram, a character.
type piece struct {
	from, to int // bytes
	folded   string
}

// piecesOf splits a text.
func piecesOf(text, tokenizer string) (pieces []piece) {
	add := func(from, to int) {
		if from < to {
			pieces = append(pieces, piece{from, to, string(sqlite.AppendFolded(nil, []byte(text[from:to])))})
		}
	}
	begin := 0
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case tokenizer == "trigram":
			add(i, i+size)
		case !isOfWord(r):
			add(begin, i)
			begin = i + size
		}
		i += size
	}
	if tokenizer != "trigram" {
		add(begin, len(text))
	}
	return pieces
}

// isOfWord reports whether the tokenizer unicode61 takes a character for part of a word.
func isOfWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.N, unicode.Co, unicode.Mn)
}

// sought is a word or phrase to be marked.
type sought struct {
	pieces []string // folded
	begins bool     // the last one may be the beginning of a longer word
}

// soughtIn returns what is looked for by a search expression in the syntax of FTS5: its
// strings and words, without operators and names of columns.
func soughtIn(expression, tokenizer string) (all []sought) {
	for rest := expression; rest != ""; {
		term, after, quoted := nextOperand(rest)
		rest = after
		behind := strings.TrimLeft(rest, " \t\r\n")
		if !quoted && (isOperator(term) || strings.HasPrefix(behind, ":")) {
			continue
		}
		s := sought{begins: strings.HasPrefix(behind, "*") || tokenizer == "trigram"}
		for _, p := range piecesOf(term, tokenizer) {
			s.pieces = append(s.pieces, p.folded)
		}
		if len(s.pieces) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// nextOperand returns the first word or string of an expression, and what follows it.
func nextOperand(text string) (term, rest string, quoted bool) {
	if text[0] == '"' {
		for end := 1; end < len(text); end++ {
			switch {
			case text[end] != '"':
			case strings.HasPrefix(text[end+1:], `"`):
				end++
			default:
				return strings.ReplaceAll(text[1:end], `""`, `"`), text[end+1:], true
			}
		}
		return strings.ReplaceAll(text[1:], `""`, `"`), "", true
	}
	end := strings.IndexFunc(text, func(r rune) bool { return r < utf8.RuneSelf && r != '_' && !isOfWord(r) })
	switch {
	case end < 0:
		end = len(text)
	case end == 0:
		return "", text[1:], false
	}
	return text[:end], text[end:], false
}

// isOperator reports whether a word of an expression is not looked for.
func isOperator(word string) bool {
	return word == "AND" || word == "OR" || word == "NOT" || word == "NEAR"
}

// matches reports whether the pieces begin with what is looked for.
func (s sought) matches(pieces []piece) bool {
	if len(pieces) < len(s.pieces) {
		return false
	}
	last := len(s.pieces) - 1
	for i, want := range s.pieces {
		if got := pieces[i].folded; got != want && !(i == last && s.begins && strings.HasPrefix(got, want)) {
			return false
		}
	}
	return true
}

// snippetOf returns the part of a text with the most words of what is looked for; without
// marks if there is nothing.
func snippetOf(text, tokenizer string, all []sought) (out Snippet) {
	pieces := piecesOf(text, tokenizer)
	found := make([]int, len(pieces)) // how many pieces from here on are one match
	for i := range pieces {
		for _, s := range all {
			if len(s.pieces) > found[i] && s.matches(pieces[i:]) {
				found[i] = len(s.pieces)
			}
		}
	}
	size := snippetWords
	if tokenizer == "trigram" {
		size = snippetCharacters
	}
	first, last := densest(found, size)
	from, to, before, after := 0, len(text), "", ""
	if first > 0 {
		from, before = pieces[first].from, "…"
	}
	if last < len(pieces) {
		to, after = pieces[last-1].to, "…"
	}
	out.Text = before + text[from:to] + after
	at, characters := from, utf8.RuneCountInString(before)
	for i := first; i < last; i++ {
		if found[i] == 0 {
			continue
		}
		end := min(i+found[i], last)
		for next := i + 1; next < end; next++ { // what overlaps is one mark
			end = max(end, min(next+found[next], last))
		}
		characters += utf8.RuneCountInString(text[at:pieces[i].from])
		length := utf8.RuneCountInString(text[pieces[i].from:pieces[end-1].to])
		out.Marks = append(out.Marks, [2]int{characters, length})
		characters, at, i = characters+length, pieces[end-1].to, end-1
	}
	return out
}

// densest returns the span of at most size pieces in which most matches begin: the first
// one of several. It begins a little before its first match.
func densest(found []int, size int) (first, last int) {
	if len(found) <= size {
		return 0, len(found)
	}
	n, most := 0, 0
	for i := range found {
		if found[i] > 0 {
			n++
		}
		if i >= size && found[i-size] > 0 {
			n--
		}
		if n > most {
			most, last = n, i+1
		}
	}
	first = max(last-size, 0)
	for first < len(found) && found[first] == 0 {
		first++
	}
	first = min(max(first-leadIn, 0), len(found)-size)
	return first, first + size
}
