package projectdb

import (
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// writtenTable is what only the text of a CREATE TABLE statement tells: no
// pragma shows it. The text comes from sqlite_schema, so SQLite has parsed it
// before; this reader only has to find the pieces.
type writtenTable struct {
	autoincrement bool
	checks        []string
	columns       map[string]writtenColumn // by folded name
	deferred      []bool                   // of the foreign keys, in the order of the text
	conflicts     []string                 // conflict clauses other than ABORT
}

type writtenColumn struct {
	collation string
	generated string
}

// complete adds to t what the pragmas have not told.
func (w writtenTable) complete(t *Table) {
	for i := range t.Columns {
		column := &t.Columns[i]
		written := w.columns[sqlite.Fold(column.Name)]
		column.Collation = written.collation
		column.Generated = written.generated
	}
	for i := range t.ForeignKeys {
		if i < len(w.deferred) {
			t.ForeignKeys[i].Deferred = w.deferred[i]
		}
	}
	t.dropOwnCollations()
}

// dropOwnCollations takes the collation off key parts where it is that of the
// column anyway.
func (t *Table) dropOwnCollations() {
	strip := func(parts []KeyPart) {
		for i := range parts {
			own := "BINARY"
			if column := t.Column(parts[i].Column); column != nil && column.Collation != "" {
				own = column.Collation
			}
			if strings.EqualFold(parts[i].Collation, own) {
				parts[i].Collation = ""
			}
		}
	}
	strip(t.PrimaryKey)
	for _, u := range t.Uniques {
		strip(u.Columns)
	}
	for _, x := range t.Indexes {
		strip(x.Parts)
	}
}

// parseCreateTable reads a CREATE TABLE statement as SQLite keeps it.
func parseCreateTable(statement string) writtenTable {
	w := writtenTable{columns: map[string]writtenColumn{}}
	tokens := scanSQL(statement)
	open := 0
	for open < len(tokens) && tokens[open].text != "(" {
		open++
	}
	for _, definition := range splitList(tokens[min(open, len(tokens)):]) {
		w.addDefinition(statement, definition)
	}
	return w
}

func (w *writtenTable) addDefinition(statement string, tokens []token) {
	var column writtenColumn
	name := ""
	if len(tokens) > 0 && !tokens[0].is("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN") {
		name = tokens[0].name()
		tokens = tokens[1:]
	}
	for i := 0; i < len(tokens); i++ {
		switch tok := tokens[i]; {
		case tok.text == "(":
			i = closing(tokens, i) // of a type, or of a list of columns
		case tok.is("AUTOINCREMENT"):
			w.autoincrement = true
		case tok.is("DEFAULT"):
			i++ // what follows may look like a keyword
			if i < len(tokens) && tokens[i].text == "(" {
				i = closing(tokens, i)
			}
		case tok.is("CHECK"):
			i = w.takeCheck(statement, tokens, i+1)
		case tok.is("COLLATE") && i+1 < len(tokens):
			i++
			column.collation = tokens[i].name()
		case tok.is("AS"):
			end := closing(tokens, i+1)
			column.generated = inside(statement, tokens, i+1, end)
			i = end
		case tok.is("REFERENCES"):
			w.deferred = append(w.deferred, isDeferred(tokens[i:]))
		case tok.is("CONFLICT") && i+1 < len(tokens) && tokens[i+1].is("ROLLBACK", "FAIL", "IGNORE", "REPLACE"):
			w.conflicts = append(w.conflicts, "ON CONFLICT "+strings.ToUpper(tokens[i+1].text))
		}
	}
	if name != "" {
		w.columns[sqlite.Fold(name)] = column
	}
}

// takeCheck adds the expression whose opening parenthesis is tokens[at] and
// returns the place of the closing one.
func (w *writtenTable) takeCheck(statement string, tokens []token, at int) int {
	end := closing(tokens, at)
	w.checks = append(w.checks, inside(statement, tokens, at, end))
	return end
}

// isDeferred reports whether the foreign key clause at the head of tokens is
// INITIALLY DEFERRED.
func isDeferred(tokens []token) bool {
	for i := 1; i < len(tokens) && !tokens[i].is("REFERENCES", "CONSTRAINT"); i++ {
		if tokens[i].is("INITIALLY") && i+1 < len(tokens) {
			return tokens[i+1].is("DEFERRED") && !(i >= 2 && tokens[i-2].is("NOT"))
		}
	}
	return false
}

// parseCreateIndex reads a CREATE INDEX statement as SQLite keeps it: the text
// of each indexed part, without COLLATE, ASC and DESC, and the condition.
func parseCreateIndex(statement string) (parts []string, where string) {
	tokens := scanSQL(statement)
	open := 0
	for open < len(tokens) && tokens[open].text != "(" {
		open++
	}
	for _, part := range splitList(tokens[min(open, len(tokens)):]) {
		parts = append(parts, textOf(statement, withoutOrder(part)))
	}
	if after := closing(tokens, open) + 1; after < len(tokens) && tokens[after].is("WHERE") {
		where = textOf(statement, tokens[after+1:])
	}
	return parts, where
}

// withoutOrder takes COLLATE, ASC and DESC off the end of an indexed part.
func withoutOrder(tokens []token) []token {
	if n := len(tokens); n > 0 && tokens[n-1].is("ASC", "DESC") {
		tokens = tokens[:n-1]
	}
	if n := len(tokens); n > 1 && tokens[n-2].is("COLLATE") {
		tokens = tokens[:n-2]
	}
	return tokens
}

// splitList splits the list in the parentheses that tokens begins with at its
// outer commas.
func splitList(tokens []token) [][]token {
	if len(tokens) == 0 {
		return nil
	}
	end := closing(tokens, 0)
	var list [][]token
	start := 1
	for i := 1; i < end; i++ {
		switch tokens[i].text {
		case "(":
			i = closing(tokens, i)
		case ",":
			list = append(list, tokens[start:i])
			start = i + 1
		}
	}
	return append(list, tokens[min(start, end):end])
}

// closing returns the place of the parenthesis that closes tokens[open], or
// that of the last token.
func closing(tokens []token, open int) int {
	depth := 0
	for i := open; i < len(tokens); i++ {
		switch tokens[i].text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(tokens) - 1
}

// inside returns the text between two parentheses, without comments at its
// ends: one that a line end closes would swallow what is written after it.
func inside(statement string, tokens []token, open, end int) string {
	if open >= end {
		return ""
	}
	return textOf(statement, tokens[open+1:end])
}

// withoutComments returns an expression without comments at its ends.
func withoutComments(expression string) string {
	return textOf(expression, scanSQL(expression))
}

// RenameColumns returns an expression in which columns bear other names; names
// maps the folded old name to the new one.
func RenameColumns(expression string, names map[string]string) string {
	var b strings.Builder
	done := 0
	tokens := scanSQL(expression)
	for i, tok := range tokens {
		name, renamed := names[sqlite.Fold(tok.name())]
		isCall := i+1 < len(tokens) && tokens[i+1].text == "("
		if !renamed || isCall || tok.text[0] == '\'' {
			continue
		}
		b.WriteString(expression[done:tok.start] + format.QuoteIdent(name))
		done = tok.end
	}
	b.WriteString(expression[done:])
	return b.String()
}

// LiteralDefault returns the default of a column, as SQLite's pragma shows it,
// so that it means the same in parentheses: there, a bare word or a text in
// double quotes would be a column.
func LiteralDefault(expression string) string {
	tokens := scanSQL(expression)
	if len(tokens) != 1 {
		return expression
	}
	switch tok := tokens[0]; {
	case tok.is("NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"):
		return expression
	case tok.text[0] == '\'', !isWordByte(tok.text[0]) && tok.name() == tok.text:
		return expression
	case tok.text[0] == '.' || '0' <= tok.text[0] && tok.text[0] <= '9':
		return expression
	default:
		return literal(sqlite.TextValue(tok.name()))
	}
}

func textOf(statement string, tokens []token) string {
	if len(tokens) == 0 {
		return ""
	}
	return statement[tokens[0].start:tokens[len(tokens)-1].end]
}

// token is one word, literal or sign of an SQL statement.
type token struct {
	text       string
	start, end int // in the statement
}

// is reports whether the token is one of the given keywords, written bare.
func (t token) is(keywords ...string) bool {
	for _, k := range keywords {
		if strings.EqualFold(t.text, k) {
			return true
		}
	}
	return false
}

// name returns the identifier that the token stands for, without its quotes.
func (t token) name() string {
	if len(t.text) < 2 {
		return t.text
	}
	switch quote := t.text[0]; quote {
	case '"', '`', '\'':
		q := string(quote)
		return strings.ReplaceAll(t.text[1:len(t.text)-1], q+q, q)
	case '[':
		return t.text[1 : len(t.text)-1]
	}
	return t.text
}

// scanSQL splits a statement into tokens and leaves out blanks and comments.
func scanSQL(s string) []token {
	var tokens []token
	for i := 0; i < len(s); {
		end := tokenEnd(s, i)
		if !isBlank(s[i]) && !isComment(s[i:]) {
			tokens = append(tokens, token{s[i:end], i, end})
		}
		i = end
	}
	return tokens
}

func tokenEnd(s string, i int) int {
	switch c := s[i]; {
	case strings.HasPrefix(s[i:], "--"):
		return endAfter(s, i+2, "\n")
	case strings.HasPrefix(s[i:], "/*"):
		return endAfter(s, i+2, "*/")
	case c == '"', c == '`', c == '\'':
		return quotedEnd(s, i)
	case c == '[':
		return endAfter(s, i+1, "]")
	case isWordByte(c):
		end := i + 1
		for end < len(s) && isWordByte(s[end]) {
			end++
		}
		return end
	}
	return i + 1
}

func endAfter(s string, from int, mark string) int {
	if i := strings.Index(s[from:], mark); i >= 0 {
		return from + i + len(mark)
	}
	return len(s)
}

// quotedEnd returns the end of the quoted text that begins at i; a doubled
// quote stands for one.
func quotedEnd(s string, i int) int {
	quote := s[i]
	for j := i + 1; j < len(s); j++ {
		if s[j] != quote {
			continue
		}
		if j+1 < len(s) && s[j+1] == quote {
			j++
			continue
		}
		return j + 1
	}
	return len(s)
}

func isComment(s string) bool { return strings.HasPrefix(s, "--") || strings.HasPrefix(s, "/*") }

func isBlank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '$' || c == '.' || c >= 0x80
}
