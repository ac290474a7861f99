package projectdb

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// The bounds of a search.
const (
	maxSearch      = 1024 // bytes
	maxSearchTerms = 32
)

// Search selects records by the words in the columns of the search index.
type Search struct {
	Text string // "" selects every record
	FTS5 bool   // Text is in the syntax of FTS5, not words and "phrases"
}

// Found says why a record was found.
type Found struct {
	// Rank is smaller, further below 0, the better the record matches; nil if the
	// records are not in this order.
	Rank     *float64           `json:"rank,omitzero" doc:"Smaller, further below 0, for better matches; only when the records are in this order."`
	Snippets map[string]Snippet `json:"snippets" doc:"A part of the text of each column in which something was found, if the column was asked for."`
}

// rankColumn is the column of a searched table that says how well a row matches. No
// column of a table can have its name.
var rankColumn = &Column{Name: "_search_rank", Type: "REAL"}

// expression returns the search in the syntax of FTS5 and notes every fault.
func (s Search) expression(faults *problem.Faults, field string, t *Table) string {
	switch {
	case t.Search == nil:
		faults.Add(field, "The table %s has no search index. POST …/search-index/%s makes one.", t.Name, t.Name)
	case len(s.Text) > maxSearch:
		faults.Add(field, "The search has %d bytes; at most %d are allowed.", len(s.Text), maxSearch)
	case strings.ContainsRune(s.Text, 0) || !utf8.ValidString(s.Text):
		faults.Add(field, "The search is not a text.")
	case s.FTS5 && s.Text[0] == '*':
		faults.Add(field, "An expression does not begin with *.") // FTS5 has commands that do
	case s.FTS5:
		checkTerms(len(soughtIn(s.Text, DefaultTokenizer)), faults, field)
		return s.Text
	default:
		return s.words(faults, field, t.Search.Tokenizer)
	}
	return ""
}

// words turns words, "phrases" and beginnings* into an expression that needs them all.
func (s Search) words(faults *problem.Faults, field, tokenizer string) string {
	var terms []string
	for rest := strings.TrimSpace(s.Text); rest != ""; rest = strings.TrimSpace(rest) {
		var term string
		if term, rest = nextTerm(rest); term == "" {
			continue
		}
		if tokenizer == "trigram" && utf8.RuneCountInString(strings.TrimSuffix(term, "*")) < 3 {
			faults.Add(field, "This search index finds parts of at least three characters: %q is shorter.", term)
		}
		end := ""
		if word, ok := strings.CutSuffix(term, "*"); ok {
			term, end = word, "*"
		}
		terms = append(terms, `"`+strings.ReplaceAll(term, `"`, `""`)+`"`+end)
	}
	if len(terms) == 0 {
		faults.Add(field, "Search for at least one word.")
	}
	checkTerms(len(terms), faults, field)
	return strings.Join(terms, " ")
}

// checkTerms bounds how many words and phrases are looked for: FTS5 keeps each match of
// each of them in memory while it ranks a row.
func checkTerms(n int, faults *problem.Faults, field string) {
	if n > maxSearchTerms {
		faults.Add(field, "The search has %d terms; at most %d are allowed.", n, maxSearchTerms)
	}
}

// nextTerm returns the first word or phrase of a text without its quotes, with the *
// behind it, and what follows. A quote that is not closed lasts until the end.
func nextTerm(text string) (term, rest string) {
	if text[0] != '"' {
		end := strings.IndexFunc(text, func(r rune) bool { return r == '"' || unicode.IsSpace(r) })
		if end < 0 {
			end = len(text)
		}
		return strings.TrimLeft(text[:end], "*"), text[end:]
	}
	term, rest, _ = strings.Cut(text[1:], `"`)
	if term != "" && strings.HasPrefix(rest, "*") {
		term, rest = term+"*", rest[1:]
	}
	return term, rest
}

// search makes the query select the rows that match, in the order of their rank unless
// another order was asked for.
func (q *query) search(s Search, faults *problem.Faults, prefix string) {
	if s.Text == "" {
		return
	}
	q.searched = s.expression(faults, prefix+"search", q.table)
}

// from returns what the rows are selected from.
func (q query) from() string {
	if q.searched == "" {
		return quote(q.table.Name)
	}
	name, rowid := quote(q.table.Name), q.table.rowidName()
	// FTS5 itself would take a comparison with its rank for a choice of the function.
	return "(SELECT " + name + ".*, " + name + "." + rowid + " AS " + rowid + ", +found.rank AS " + rankColumn.Name +
		" FROM " + quote(searchName(q.table.ID)) + "(" + format.QuoteText(q.searched) + ") AS found CROSS JOIN " + name + " ON " + name + "." + rowid + " = found.rowid)"
}

// isRanked reports whether the rows are in the order of their rank.
func (q query) isRanked() bool { return len(q.sorts) == 1 && q.sorts[0].column == rankColumn }

// explainSearch turns the failure of a search expression into a fault.
func (q query) explainSearch(err error) error {
	if q.searched == "" || !sqlite.FaultOf(err).InSQL() {
		return err
	}
	return problem.Invalid("search", "SQLite cannot search for this. It says: "+withoutValues(strings.TrimPrefix(sqlite.Message(err), "fts5: "))+".")
}

// found returns why the rows of a page were found.
func (q query) found(c *sqlite.Conn, page Page) ([]Found, error) {
	list := make([]Found, page.Len())
	columns, all := q.snippetColumns(), soughtIn(q.searched, q.table.Search.Tokenizer)
	for i := range list {
		list[i].Snippets = map[string]Snippet{}
		place := page.Batch.Row(i)[len(q.columns):][:len(q.placeBeside())]
		if len(place) == 0 {
			continue
		}
		if q.isRanked() {
			rank := page.Batch.Value(place[0]).Float
			list[i].Rank = &rank
		}
		if len(columns) == 0 {
			continue
		}
		key := make([]any, 0, len(place))
		for _, cell := range place[len(q.sorts):] {
			key = append(key, page.Batch.Value(cell))
		}
		if err := q.addSnippets(c, list[i].Snippets, columns, all, key); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// snippetColumns returns the searched columns among those asked for.
func (q query) snippetColumns() (names []string) {
	for _, name := range q.table.Search.Columns {
		if slices.ContainsFunc(q.columns, func(c format.Column) bool { return c.Name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// addSnippets adds the snippets of the row with the given key. It reads the texts again,
// because the row may have them cut.
func (q query) addSnippets(c *sqlite.Conn, snippets map[string]Snippet, columns []string, all []sought, key []any) error {
	var conditions []string
	for _, part := range q.table.key() {
		conditions = append(conditions, part.name+" = ?")
	}
	query := "SELECT " + identList(columns) + " FROM " + quote(q.table.Name) + " WHERE " + strings.Join(conditions, " AND ")
	return c.Query(query, key, func(s *sqlite.Stmt) error {
		for i, name := range columns {
			if snippet := snippetOf(s.Text(i), q.table.Search.Tokenizer, all); len(snippet.Marks) > 0 {
				snippets[name] = snippet
			}
		}
		return nil
	})
}
