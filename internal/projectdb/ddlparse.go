package projectdb

import (
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// writtenTable holds what only the text of a CREATE TABLE statement says and no pragma
// shows. The text comes from sqlite_schema, so SQLite has already parsed it; this
// parser only has to find the pieces.
type writtenTable struct {
	autoincrement bool
	checks        []string
	columns       map[string]writtenColumn // by folded name
	deferred      []bool                   // of the foreign keys, in textual order
	conflicts     []string                 // conflict clauses other than ABORT
}

type writtenColumn struct {
	collation string
	generated string
}

// complete adds to t what the pragmas leave out.
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

// dropOwnCollations removes the collation of key parts that only repeat the one of
// their column.
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

// parseCreateTable parses a CREATE TABLE statement as SQLite stores it.
func parseCreateTable(statement string) writtenTable {
	w := writtenTable{columns: map[string]writtenColumn{}}
	tokens := sqltext.Tokens(statement)
	open := 0
	for open < len(tokens) && tokens[open].Text != "(" {
		open++
	}
	for _, definition := range splitList(tokens[min(open, len(tokens)):]) {
		w.addDefinition(statement, definition)
	}
	return w
}

func (w *writtenTable) addDefinition(statement string, tokens []sqltext.Token) {
	var column writtenColumn
	name := ""
	if len(tokens) > 0 && !tokens[0].Is("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN") {
		name = tokens[0].Name()
		tokens = tokens[1:]
	}
	for i := 0; i < len(tokens); i++ {
		switch tok := tokens[i]; {
		case tok.Text == "(":
			i = closing(tokens, i) // of a type, or of a list of columns
		case tok.Is("AUTOINCREMENT"):
			w.autoincrement = true
		case tok.Is("DEFAULT"):
			i++ // what follows may look like a keyword
			if i < len(tokens) && tokens[i].Text == "(" {
				i = closing(tokens, i)
			}
		case tok.Is("CHECK"):
			i = w.takeCheck(statement, tokens, i+1)
		case tok.Is("COLLATE") && i+1 < len(tokens):
			i++
			column.collation = tokens[i].Name()
		case tok.Is("AS"):
			end := closing(tokens, i+1)
			column.generated = inside(statement, tokens, i+1, end)
			i = end
		case tok.Is("REFERENCES"):
			w.deferred = append(w.deferred, isDeferred(tokens[i:]))
		case tok.Is("CONFLICT") && i+1 < len(tokens) && tokens[i+1].Is("ROLLBACK", "FAIL", "IGNORE", "REPLACE"):
			w.conflicts = append(w.conflicts, "ON CONFLICT "+strings.ToUpper(tokens[i+1].Text))
		}
	}
	if name != "" {
		w.columns[sqlite.Fold(name)] = column
	}
}

// takeCheck adds the expression whose opening parenthesis is tokens[at] and returns
// the index of the closing one.
func (w *writtenTable) takeCheck(statement string, tokens []sqltext.Token, at int) int {
	end := closing(tokens, at)
	w.checks = append(w.checks, inside(statement, tokens, at, end))
	return end
}

// isDeferred reports whether the foreign key clause at the start of tokens is
// INITIALLY DEFERRED.
func isDeferred(tokens []sqltext.Token) bool {
	for i := 1; i < len(tokens) && !tokens[i].Is("REFERENCES", "CONSTRAINT"); i++ {
		if tokens[i].Is("INITIALLY") && i+1 < len(tokens) {
			return tokens[i+1].Is("DEFERRED") && !(i >= 2 && tokens[i-2].Is("NOT"))
		}
	}
	return false
}

// parseCreateIndex parses a CREATE INDEX statement as SQLite stores it: the text of
// each indexed part, without COLLATE, ASC and DESC, and the condition.
func parseCreateIndex(statement string) (parts []string, where string) {
	tokens := sqltext.Tokens(statement)
	open := 0
	for open < len(tokens) && tokens[open].Text != "(" {
		open++
	}
	for _, part := range splitList(tokens[min(open, len(tokens)):]) {
		parts = append(parts, textOf(statement, withoutOrder(part)))
	}
	if after := closing(tokens, open) + 1; after < len(tokens) && tokens[after].Is("WHERE") {
		where = textOf(statement, tokens[after+1:])
	}
	return parts, where
}

// withoutOrder removes COLLATE, ASC and DESC from the end of an indexed part.
func withoutOrder(tokens []sqltext.Token) []sqltext.Token {
	if n := len(tokens); n > 0 && tokens[n-1].Is("ASC", "DESC") {
		tokens = tokens[:n-1]
	}
	if n := len(tokens); n > 1 && tokens[n-2].Is("COLLATE") {
		tokens = tokens[:n-2]
	}
	return tokens
}

// splitList splits the parenthesized list at the start of tokens at its outer commas.
func splitList(tokens []sqltext.Token) [][]sqltext.Token {
	if len(tokens) == 0 {
		return nil
	}
	end := closing(tokens, 0)
	var list [][]sqltext.Token
	start := 1
	for i := 1; i < end; i++ {
		switch tokens[i].Text {
		case "(":
			i = closing(tokens, i)
		case ",":
			list = append(list, tokens[start:i])
			start = i + 1
		}
	}
	return append(list, tokens[min(start, end):end])
}

// closing returns the index of the parenthesis that closes tokens[open], or of the
// last token if none does.
func closing(tokens []sqltext.Token, open int) int {
	depth := 0
	for i := open; i < len(tokens); i++ {
		switch tokens[i].Text {
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

// inside returns the text between two parentheses without leading and trailing
// comments: a line comment would swallow what is written after it.
func inside(statement string, tokens []sqltext.Token, open, end int) string {
	if open >= end {
		return ""
	}
	return textOf(statement, tokens[open+1:end])
}

// withoutComments returns an expression without leading and trailing comments.
func withoutComments(expression string) string {
	return textOf(expression, sqltext.Tokens(expression))
}

// RenameColumns returns an expression with columns renamed; names maps folded old
// names to new ones.
func RenameColumns(expression string, names map[string]string) string {
	var b strings.Builder
	done := 0
	tokens := sqltext.Tokens(expression)
	for i, tok := range tokens {
		name, renamed := names[sqlite.Fold(tok.Name())]
		isOther := i+1 < len(tokens) && tokens[i+1].Is("(", ".") // a function, or the table qualifying a column
		if !renamed || isOther || !tok.IsName() {
			continue
		}
		b.WriteString(expression[done:tok.Start] + format.QuoteIdent(name))
		done = tok.End
	}
	b.WriteString(expression[done:])
	return b.String()
}

// LiteralDefault rewrites a column default, as SQLite's pragma shows it, so that it
// means the same in parentheses: there, a bare word or a text in double quotes would
// be a column.
func LiteralDefault(expression string) string {
	tokens := sqltext.Tokens(expression)
	if len(tokens) != 1 {
		return expression
	}
	if tok := tokens[0]; tok.IsName() && !tok.Is("NULL", "TRUE", "FALSE", "CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP") {
		return literal(sqlite.TextValue(tok.Name()))
	}
	return expression
}

func textOf(statement string, tokens []sqltext.Token) string {
	if len(tokens) == 0 {
		return ""
	}
	return statement[tokens[0].Start:tokens[len(tokens)-1].End]
}
