package projectdb

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// What is marked in a short text is what FTS5 itself highlights.
func TestSnippetsMarkWhatFTS5Highlights(t *testing.T) {
	testkit.Checks(t, 200)
	db := openProject(t)
	err := db.Change(ctx, new(problem.Faults), SchemaTransaction, func(tx *Tx) error {
		for name, options := range tokenizers {
			if err := tx.c.Exec("CREATE VIRTUAL TABLE _f_" + name + " USING fts5(v, tokenize=" + `'` + options + `')`); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"apple", "Apples", "Äpfel", "apfel", "app", "crème", "CREME", "x1", "42", "ßa", "straße", "日本語", "o'clock", "a-b"})
		tokenizer := rapid.SampledFrom([]string{"unicode61", "trigram"}).Draw(t, "tokenizer")
		most := map[string]int{"unicode61": 12, "trigram": 5}[tokenizer] // so that the snippet is the whole text
		text := strings.Join(rapid.SliceOfN(word, 1, most).Draw(t, "text"), rapid.SampledFrom([]string{" ", ", ", " – ", "\n"}).Draw(t, "between"))
		var terms []string
		for _, term := range rapid.SliceOfN(rapid.SampledFrom([]string{`"apple"`, `"app"*`, `"crème apple"`, `"Apfel"`, `"x1"`, `"42 apple"`, `"日本語"`, `"o'clock"`, `"pple"`, `"apple app"*`}), 1, 4).Draw(t, "terms") {
			if tokenizer != "trigram" || utf8.RuneCountInString(strings.Trim(term, `"*`)) > 2 {
				terms = append(terms, term)
			}
		}
		expression := strings.Join(terms, " OR ")
		if expression == "" {
			return
		}
		var want string
		err := db.Change(ctx, new(problem.Faults), SharedTransaction, func(tx *Tx) error {
			name := "_f_" + tokenizer
			if err := tx.c.Exec("DELETE FROM " + name); err != nil {
				return err
			}
			if err := tx.c.Exec("INSERT INTO "+name+" VALUES (?)", text); err != nil {
				return err
			}
			return tx.c.Query("SELECT highlight("+name+", 0, '<', '>') FROM "+name+"(?)", []any{expression}, func(s *sqlite.Stmt) error {
				want = s.Text(0)
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		got := snippetOf(text, tokenizer, soughtIn(expression, tokenizer))
		if show := marked(got); want != "" && show != want || want == "" && len(got.Marks) > 0 {
			t.Fatalf("%q in %q by %s: %q, FTS5 has %q", expression, text, tokenizer, show, want)
		}
	})
}

// marked puts the marks of a snippet into its text.
func marked(s Snippet) string {
	var out strings.Builder
	characters := []rune(s.Text)
	at := 0
	for _, mark := range s.Marks {
		out.WriteString(string(characters[at:mark[0]]) + "<" + string(characters[mark[0]:mark[0]+mark[1]]) + ">")
		at = mark[0] + mark[1]
	}
	return out.String() + string(characters[at:])
}

func TestSnippetsOfLongTexts(t *testing.T) {
	t.Parallel()
	filler := strings.Repeat("word ", 1000)
	for _, test := range []struct{ text, expression, tokenizer, want string }{
		{filler + "an apple and another apple. " + filler, `apple`, "unicode61", "…word word word an <apple> and another <apple>." + strings.Repeat(" word", 16) + "…"},
		{"apple " + filler, `"apple"`, "unicode61", "<apple>" + strings.Repeat(" word", 23) + "…"},
		{filler + "the end", `title: "the end" NOT NEAR(AND OR)`, "unicode61", "…" + strings.Repeat("word ", 22) + "<the end>"},
		{strings.Repeat("-", 200) + "needle" + strings.Repeat("-", 200), "needle", "trigram", "…----<needle>" + strings.Repeat("-", 54) + "…"},
		{"\xff\xfeapple\xff", "apple", "unicode61", "\ufffd\ufffd<apple>\ufffd"},
		{"apple", "AND", "unicode61", "apple"},
		{"", "apple", "unicode61", ""},
	} {
		if got := marked(snippetOf(test.text, test.tokenizer, soughtIn(test.expression, test.tokenizer))); got != test.want {
			t.Errorf("%q in %.20q:\ngot  %q\nwant %q", test.expression, test.text, got, test.want)
		}
	}
}

// A row whose every word is found, again and again, costs no more than others.
func TestSearchesOfRepetitions(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT) STRICT")
	put(t, db, "t", `{"s":"`+strings.Repeat("a ", maxSearched/2)+`"}`)
	searchable(t, db, "t", NewSearchIndex{Columns: []string{"s"}})
	for _, search := range []Search{{Text: "a"}, {Text: strings.Repeat("a ", maxSearchTerms)}, {Text: strings.TrimSuffix(strings.Repeat("a OR ", maxSearchTerms), " OR "), FTS5: true}} {
		got, page := searchFor(t, db, "t", Selection{Search: search})
		if len(got) != 1 || len(page.Found[0].Snippets["s"].Marks) != snippetWords {
			t.Errorf("%.20q: %v, %d marks", search.Text, got, len(page.Found[0].Snippets["s"].Marks))
		}
	}
	_, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Search: Search{Text: strings.Repeat("a OR ", maxSearchTerms) + "a", FTS5: true}, Limit: 1}})
	if got := complaint(err); got != "validation_failed search" {
		t.Errorf("33 terms: %s", got)
	}
	// More text is refused, whoever stores it, and nothing else changes.
	long := jsontext.Value(`{"s":"` + strings.Repeat("b", maxSearched+1) + `"}`)
	_, inserted := db.InsertRecord(ctx, new(problem.Faults), "t", long, InsertOptions{})
	_, updated := db.UpdateRecord(ctx, new(problem.Faults), "t", "1", long)
	for name, err := range map[string]error{"insert": inserted, "update": updated} {
		if complaint(err) != "validation_failed" || !strings.Contains(fmt.Sprint(err), "256 KiB") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, _ := searchFor(t, db, "t", Selection{Search: Search{Text: "a"}}); len(got) != 1 {
		t.Errorf("afterwards %v are found", got)
	}
	if _, err := db.DropSearchIndex(ctx, "t"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.InsertRecord(ctx, new(problem.Faults), "t", long, InsertOptions{}); err != nil {
		t.Fatal(err)
	}
	err = db.Change(ctx, new(problem.Faults), SchemaTransaction, func(tx *Tx) error {
		_, err := tx.CreateSearchIndex(new(problem.Faults), "t", NewSearchIndex{Columns: []string{"S"}})
		return err
	})
	if got := complaint(err); got != "conflict columns" {
		t.Errorf("an index of a text that is too long: %s (%v)", got, err)
	}
	intact(t, db)
}
