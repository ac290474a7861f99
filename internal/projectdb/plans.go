package projectdb

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// PlanStep is one line of SQLite's plan for a statement.
type PlanStep struct {
	ID     int64  `json:"id"`
	Parent int64  `json:"parent" doc:"The step that it belongs to, or 0."`
	Detail string `json:"detail" doc:"What SQLite says."`
}

// Plan is how SQLite would run a statement.
type Plan struct {
	Tree      []PlanStep
	Sentences []string        // the same in words
	Index     *SuggestedIndex // one that might help, or nil
	NoRows    Rows            // the result, as the statement has not run
}

// SuggestedIndex is an index that might make a statement faster.
type SuggestedIndex struct {
	Table   string   `json:"table_name"`
	Columns []string `json:"columns"`
}

// PlanQuery returns how SQLite would run a query, without running it.
func (db *DB) PlanQuery(ctx context.Context, q Query) (plan Plan, err error) {
	if err := db.CheckQuery(ctx, q); err != nil {
		return plan, err
	}
	explained := q
	if tokens := sqltext.Tokens(q.SQL); !tokens[0].Is("EXPLAIN") {
		explained.SQL = "EXPLAIN QUERY PLAN " + q.SQL
	}
	explained.Limit = 1000
	result, err := db.Query(ctx, explained)
	if err != nil {
		return plan, err
	}
	plan.NoRows = newRows(&Table{}, nil)
	for i := range result.Len() {
		row := result.Batch.Row(i)
		step := PlanStep{row[0].Int(), row[1].Int(), string(result.Batch.Bytes(row[3]))}
		plan.Tree = append(plan.Tree, step)
		plan.Sentences = append(plan.Sentences, planSentence(step.Detail))
	}
	err = db.View(ctx, func(tx *Tx) error {
		cat, err := tx.catalog()
		if err == nil {
			plan.Index = suggestIndex(cat, q, plan.Tree)
		}
		return err
	})
	return plan, err
}

// planSentences say what the steps of plans mean.
var planSentences = []struct {
	pattern  *regexp.Regexp
	sentence string
}{
	{regexp.MustCompile(`^SCAN (\S+) USING COVERING INDEX (\S+)`), "Reads all of the index $2, which has every value of $1 that is needed."},
	{regexp.MustCompile(`^SCAN (\S+) USING INDEX (\S+)`), "Reads all rows of $1 in the order of the index $2."},
	{regexp.MustCompile(`^SCAN CONSTANT ROW`), "Makes a row without reading a table."},
	{regexp.MustCompile(`^SCAN (\S+)`), "Reads all rows of $1."},
	{regexp.MustCompile(`^SEARCH (\S+) USING INTEGER PRIMARY KEY \((.*)\)`), "Finds rows of $1 by the key ($2)."},
	{regexp.MustCompile(`^SEARCH (\S+) USING PRIMARY KEY \((.*)\)`), "Finds rows of $1 by the key ($2)."},
	{regexp.MustCompile(`^SEARCH (\S+) USING AUTOMATIC (?:PARTIAL )?(?:COVERING )?INDEX \((.*)\)`), "Builds an index of $1 for this statement alone ($2), and finds rows by it."},
	{regexp.MustCompile(`^SEARCH (\S+) USING COVERING INDEX (\S+) \((.*)\)`), "Finds rows of $1 in the index $2 ($3), which has every value that is needed."},
	{regexp.MustCompile(`^SEARCH (\S+) USING INDEX (\S+) \((.*)\)`), "Finds rows of $1 by the index $2 ($3)."},
	{regexp.MustCompile(`^USE TEMP B-TREE FOR (.+)`), "Sorts rows for $1."},
	{regexp.MustCompile(`^MULTI-INDEX OR`), "Finds rows by several indexes, one for each part of an OR."},
	{regexp.MustCompile(`^CORRELATED (?:SCALAR|LIST) SUBQUERY \d+`), "Runs a subquery again for each row."},
	{regexp.MustCompile(`^(?:SCALAR|LIST) SUBQUERY \d+`), "Runs a subquery once."},
	{regexp.MustCompile(`^MATERIALIZE (\S+)`), "Keeps the result of $1 in a temporary table."},
	{regexp.MustCompile(`^CO-ROUTINE (\S+)`), "Makes the rows of $1 as they are needed."},
	{regexp.MustCompile(`^COMPOUND QUERY`), "Combines several results."},
}

// planSentence says what a step of a plan means, or repeats it.
func planSentence(detail string) string {
	for _, s := range planSentences {
		if at := s.pattern.FindStringSubmatchIndex(detail); at != nil {
			return string(s.pattern.ExpandString(nil, s.sentence, detail, at))
		}
	}
	return detail
}

var (
	automaticIndex = regexp.MustCompile(`^SEARCH (\S+) USING AUTOMATIC (?:PARTIAL )?(?:COVERING )?INDEX \((.*)\)`)
	scannedTable   = regexp.MustCompile(`^SCAN (\S+)( USING COVERING INDEX \S+)?$`)
	comparedColumn = regexp.MustCompile(`(\w+)[=<>]`)
)

// suggestIndex returns an index that might help: the one that SQLite itself builds for
// the statement, or one on the columns of a table, read as a whole, that the statement
// compares with something.
func suggestIndex(cat *catalog, q Query, tree []PlanStep) *SuggestedIndex {
	tokens := sqltext.Tokens(q.SQL)
	for _, step := range tree {
		if m := automaticIndex.FindStringSubmatch(step.Detail); m != nil {
			if t := cat.aliased(tokens, m[1]); t != nil && q.mayRead(t) {
				var names []string
				for _, column := range comparedColumn.FindAllStringSubmatch(m[2], -1) {
					names = append(names, column[1])
				}
				return t.suggest(names)
			}
		}
	}
	for _, step := range tree {
		if m := scannedTable.FindStringSubmatch(step.Detail); m != nil {
			if t := cat.aliased(tokens, m[1]); t != nil && q.mayRead(t) {
				if index := t.suggest(t.comparedIn(tokens)); index != nil {
					return index
				}
			}
		}
	}
	return nil
}

// aliased returns the table that a statement calls by a name, its own or another, or
// nil.
func (cat *catalog) aliased(tokens []sqltext.Token, name string) *Table {
	for i := range tokens {
		t := cat.named(tokens[i].Name())
		next := i + 1
		if next < len(tokens) && tokens[next].Is("AS") {
			next++
		}
		if t != nil && next < len(tokens) && sqlite.SameName(tokens[next].Name(), name) {
			return t
		}
	}
	return cat.named(name)
}

// mayRead reports whether the query may read the table: else nothing is said about it.
func (q Query) mayRead(t *Table) bool { return q.Readable == nil || slices.Contains(q.Readable, t.ID) }

// comparedIn returns the columns of the table that stand before a comparison in a
// statement: those compared for equality come first, then one of the others.
func (t *Table) comparedIn(tokens []sqltext.Token) (names []string) {
	var other string
	for i := range len(tokens) - 1 {
		column := t.Column(tokens[i].Name())
		if column == nil || tokens[i].Kind != sqltext.Word && tokens[i].Kind != sqltext.Quoted {
			continue
		}
		switch next := tokens[i+1]; {
		case next.Text == "=" || next.Text == "==" || next.Is("IN", "IS"):
			if !slices.Contains(names, column.Name) {
				names = append(names, column.Name)
			}
		case strings.HasPrefix(next.Text, "<") || strings.HasPrefix(next.Text, ">") || next.Is("BETWEEN"):
			other = column.Name
		}
	}
	if other != "" && !slices.Contains(names, other) {
		names = append(names, other)
	}
	return names
}

// suggest returns an index on the named columns, unless there is one or they are none.
func (t *Table) suggest(names []string) *SuggestedIndex {
	if len(names) == 0 || len(names) == 1 && t.RowidKey && t.IsPrimary(names[0]) {
		return nil
	}
	for _, name := range names {
		if t.Column(name) == nil {
			return nil
		}
	}
	return &SuggestedIndex{t.Name, names}
}
