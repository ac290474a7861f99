// Package sqltext reads SQL text as SQLite does: it splits it into tokens and into
// statements.
//
// A token is a word, a literal, a sign, white space or a comment. [Next] finds the end
// of the first one, by the rules of SQLite's own tokenizer; a test in package sqlite
// compares the two on random text. Nothing is parsed here, and no text is an error:
// whatever SQLite refuses is a token of kind [Illegal].
//
//   - Concatenating the tokens of a text gives the text.
//   - White space is space, tab, line feed, form feed, carriage return and the
//     byte order mark. A vertical tab counts as white space after another one of
//     these bytes, and is illegal elsewhere. No other Unicode character is white
//     space: it is a letter.
//   - A NUL ends whatever token it is in, since it ends the text for SQLite.
//
// [Splitter] splits long text that arrives in pieces into statements, as the sqlite3
// shell does.
package sqltext

import "strings"

// Text is SQL text.
type Text interface{ ~string | ~[]byte }

// Kind is the kind of a token.
type Kind uint8

// The kinds of tokens.
const (
	Illegal  Kind = iota
	Space         // white space
	Comment       // from -- up to the end of the line, or from /* to */
	Word          // a keyword or a name without quotes
	Quoted        // a name in double quotes, backticks or brackets
	String        // a text in single quotes
	Blob          // x'…'
	Number        // an integer or a real number, without its sign
	Variable      // a parameter, such as ? or :name
	Sign          // an operator or a mark
)

// Next returns the kind and the size of the first token of text; the size is 0 only at
// the end of the text.
func Next[T Text](text T) (Kind, int) {
	if len(text) == 0 {
		return Space, 0
	}
	switch c := text[0]; {
	case isSpace(c) && c != '\v':
		return Space, skip(text, 1, isSpace)
	case c == 0xef && at(text, 1) == 0xbb && at(text, 2) == 0xbf:
		return Space, 3
	case c == '-' && at(text, 1) == '-':
		return Comment, skip(text, 2, func(c byte) bool { return c != 0 && c != '\n' })
	case c == '/' && at(text, 1) == '*' && at(text, 2) != 0:
		return Comment, commentEnd(text)
	case c == '\'', c == '"', c == '`':
		return quoted(text)
	case c == '[':
		end := skip(text, 1, func(c byte) bool { return c != 0 && c != ']' })
		if at(text, end) == ']' {
			return Quoted, end + 1
		}
		return Illegal, end
	case (c == 'x' || c == 'X') && at(text, 1) == '\'':
		return blob(text)
	case isIDChar(c) && !isDigit(c) && c != '$':
		return Word, skip(text, 1, isIDChar)
	case isDigit(c), c == '.' && isDigit(at(text, 1)):
		return number(text)
	case c == '?':
		return Variable, skip(text, 1, isDigit)
	case c == '$', c == '@', c == '#', c == ':':
		return variable(text)
	case c == '!' && at(text, 1) != '=' || strings.IndexByte("()+-*/%=<>!|,&~;.", c) < 0:
		return Illegal, 1
	}
	for _, sign := range [...]string{"->>", "->", "==", "<=", "<>", "<<", ">=", ">>", "!=", "||"} {
		if len(text) >= len(sign) && string(text[:len(sign)]) == sign {
			return Sign, len(sign)
		}
	}
	return Sign, 1
}

func commentEnd[T Text](text T) int {
	for i := 2; at(text, i) != 0; i++ {
		if text[i] == '*' && at(text, i+1) == '/' {
			return i + 2
		}
	}
	return skip(text, 2, func(c byte) bool { return c != 0 })
}

func quoted[T Text](text T) (Kind, int) {
	quote := text[0]
	for i := 1; at(text, i) != 0; i++ {
		if text[i] != quote {
			continue
		}
		if at(text, i+1) == quote {
			i++ // a doubled quote stands for one
			continue
		}
		if quote == '\'' {
			return String, i + 1
		}
		return Quoted, i + 1
	}
	return Illegal, skip(text, 1, func(c byte) bool { return c != 0 })
}

func blob[T Text](text T) (Kind, int) {
	end := skip(text, 2, isHexDigit)
	if at(text, end) == '\'' && end%2 == 0 {
		return Blob, end + 1
	}
	if end = skip(text, end, func(c byte) bool { return c != 0 && c != '\'' }); at(text, end) != 0 {
		end++
	}
	return Illegal, end
}

func number[T Text](text T) (Kind, int) {
	digits := func(from int) int { return skip(text, from, func(c byte) bool { return isDigit(c) || c == '_' }) }
	end := 0
	if text[0] == '0' && at(text, 1)|0x20 == 'x' && isHexDigit(at(text, 2)) {
		end = skip(text, 3, func(c byte) bool { return isHexDigit(c) || c == '_' })
	} else {
		if end = digits(0); at(text, end) == '.' {
			end = digits(end + 1)
		}
		if at(text, end)|0x20 == 'e' {
			exponent := end + 1
			if sign := at(text, exponent); sign == '+' || sign == '-' {
				exponent++
			}
			if isDigit(at(text, exponent)) {
				end = digits(exponent)
			}
		}
	}
	if rest := skip(text, end, isIDChar); rest > end {
		return Illegal, rest
	}
	return Number, end
}

// variable reads a named parameter, which may have several parts and end in
// parentheses, as in Tcl: $a::b(c).
func variable[T Text](text T) (Kind, int) {
	named := false
	for i := 1; ; i++ {
		switch c := at(text, i); {
		case isIDChar(c):
			named = true
		case c == ':' && at(text, i+1) == ':':
			i++
		case c == '(' && named:
			end := skip(text, i+1, func(c byte) bool { return c != 0 && c != ')' && !isSpace(c) })
			if at(text, end) == ')' {
				return Variable, end + 1
			}
			return Illegal, end
		case named:
			return Variable, i
		default:
			return Illegal, i
		}
	}
}

// at returns byte i of the text, or 0 beyond its end.
func at[T Text](text T, i int) byte {
	if i < len(text) {
		return text[i]
	}
	return 0
}

// skip returns the index of the first byte, from i on, that does not belong.
func skip[T Text](text T, i int, belongs func(byte) bool) int {
	for i < len(text) && belongs(text[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHexDigit(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// isIDChar reports whether a byte may be part of an unquoted name.
func isIDChar(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || isDigit(c) || c == '_' || c == '$' || c >= 0x80
}

// SkipBlank returns the text without leading white space and comments.
func SkipBlank[T Text](text T) T {
	for len(text) > 0 && (isSpace(text[0]) || text[0] == '-' || text[0] == '/' || text[0] == 0xef) { // nothing else can be blank
		kind, size := Next(text)
		if kind != Space && kind != Comment {
			break
		}
		text = text[size:]
	}
	return text
}

// SkipEmpty returns the text without leading empty statements. The result is empty if
// SQLite would find no statement in it.
func SkipEmpty[T Text](text T) T {
	for {
		if text = SkipBlank(text); len(text) == 0 || text[0] != ';' {
			return text
		}
		text = text[1:]
	}
}

// Token is a token with its position in the text.
type Token struct {
	Kind       Kind
	Text       string
	Start, End int
}

// First returns the first token of a text.
func First(text string) Token {
	kind, size := Next(text)
	return Token{kind, text[:size], 0, size}
}

// Tokens returns the tokens of a text, except white space and comments.
func Tokens(text string) (tokens []Token) {
	for i := 0; i < len(text); {
		kind, size := Next(text[i:])
		if kind != Space && kind != Comment {
			tokens = append(tokens, Token{kind, text[i : i+size], i, i + size})
		}
		i += size
	}
	return tokens
}

// Is reports whether the token is one of the given keywords or signs.
func (t Token) Is(texts ...string) bool {
	for _, text := range texts {
		if Same(t.Text, text) {
			return true
		}
	}
	return false
}

// Same reports whether SQLite considers two names or keywords the same: only the case
// of ASCII letters is ignored.
func Same(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// IsName reports whether the token can be a name, quoted or not.
func (t Token) IsName() bool { return t.Kind == Word || t.Kind == Quoted }

// Name returns the name that the token stands for, without its quotes. Where SQLite
// expects a name, it also accepts a text in single quotes as one.
func (t Token) Name() string {
	if t.Kind != Quoted && t.Kind != String {
		return t.Text
	}
	inside, quote := t.Text[1:len(t.Text)-1], t.Text[:1]
	if quote == "[" {
		return inside
	}
	return strings.ReplaceAll(inside, quote+quote, quote)
}

// FirstWords returns the first n tokens of a statement; "" if there are no more. Long
// ones are truncated.
func FirstWords[T Text](text T, n int) []string {
	const enough = 100
	list := make([]string, n)
	for i := range list {
		text = SkipBlank(text)
		_, size := Next(text)
		list[i] = strings.ToValidUTF8(string(text[:min(size, enough)]), "\ufffd")
		text = text[size:]
	}
	return list
}
