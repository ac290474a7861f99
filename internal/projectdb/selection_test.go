package projectdb

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// sample is a value as a client writes it, and as handwritten SQL.
type sample struct {
	json, sql string
	asText    string // the SQL if a TEXT column converts a number to a different text than SQLite would
}

// of returns the SQL of a value that is compared with a column. A number compared with
// texts takes the form in which a TEXT column would store it.
func (s sample) of(column string) string {
	if column == "s" && s.asText != "" {
		return s.asText
	}
	return s.sql
}

func textSample(s string) sample {
	b, _ := json.Marshal(s)
	return sample{json: string(b), sql: "'" + strings.ReplaceAll(s, "'", "''") + "'"}
}

func blobSample(b string) sample {
	return sample{json: `"` + base64.StdEncoding.EncodeToString([]byte(b)) + `"`, sql: "x'" + hex.EncodeToString([]byte(b)) + "'"}
}

var (
	integers = []sample{{json: "-9223372036854775808", sql: "(-9223372036854775807 - 1)"}, {json: "-1", sql: "-1"}, {json: "0", sql: "0"}, {json: "1", sql: "1"}, {json: "2", sql: "2"}, {json: "9007199254740992", sql: "9007199254740992"}, {json: "9007199254740993", sql: "9007199254740993"}, {json: "9223372036854775807", sql: "9223372036854775807"}}
	reals    = []sample{{json: "-1.5", sql: "-1.5"}, {json: "0.0", sql: "0.0"}, {json: "0.1", sql: "0.1"}, {json: "2.0", sql: "2.0"}, {json: "1e300", sql: "1e300", asText: "'1e+300'"}, {json: "9007199254740992.0", sql: "9007199254740992.0", asText: "'9007199254740992.0'"}}
	texts    = []sample{textSample(""), textSample("a"), textSample("A"), textSample("ab"), textSample("ä"), textSample("Ä"), textSample("10"), textSample("2"), textSample("it's"), textSample("🐎"), textSample("\x7f")}
	blobs    = []sample{blobSample(""), blobSample("\x00"), blobSample("\x00\xff"), blobSample("a")}
	columns  = map[string][]sample{"i": integers, "r": reals, "s": texts, "b": blobs, "a": slices.Concat(integers, reals, texts)}
	names    = []string{"i", "r", "s", "b", "a"}

	numeric = slices.Concat(integers, reals, []sample{{json: `"10"`, sql: "10"}, {json: `" -1.50"`, sql: "-1.5"}, {json: "true", sql: "1"}})
	strange = map[string][]sample{"i": numeric, "r": numeric, "s": columns["a"], "b": blobs, "a": slices.Concat(columns["a"], []sample{{json: "false", sql: "0"}})}
)

// keyed are the same columns with keys of different kinds.
var keyed = []string{
	"CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER, i INTEGER, r REAL, s TEXT, b BLOB, a ANY) STRICT",
	"CREATE TABLE t (n INTEGER, i INTEGER, r REAL, s TEXT, b BLOB, a ANY) STRICT",
	"CREATE TABLE t (n INTEGER, i INTEGER, r REAL, s TEXT, b BLOB, a ANY, k TEXT, l INTEGER, PRIMARY KEY (k, l)) STRICT",
	"CREATE TABLE t (n INTEGER, i INTEGER, r REAL, s TEXT, b BLOB, a ANY, k TEXT, l INTEGER, PRIMARY KEY (k, l)) STRICT, WITHOUT ROWID",
	"CREATE TABLE t (n INTEGER, i INTEGER, r REAL, s TEXT COLLATE NOCASE, b BLOB, a ANY, k ANY, l REAL, PRIMARY KEY (l DESC, k)) STRICT",
	"CREATE TABLE t (n INTEGER, i INTEGER, r REAL, s TEXT COLLATE NOCASE, b BLOB, a ANY, k TEXT COLLATE NOCASE, l INTEGER, PRIMARY KEY (k COLLATE BINARY, l)) STRICT",
}

var keyOrders = [][]string{{"id"}, {"rowid"}, {"k", "l"}, {"k", "l"}, {"l", "k"}, {"k COLLATE BINARY", "l"}}

// question is a selection together with the same in handwritten SQL.
type question struct {
	filters, where string
	sort           string
	descending     bool
	order          string
	limit, offset  int64
}

func (q question) sql() string {
	s := "SELECT n FROM t WHERE " + q.where + " ORDER BY " + q.order
	if q.limit > 0 {
		s += fmt.Sprintf(" LIMIT %d OFFSET %d", q.limit, q.offset)
	}
	return s
}

func (q question) selection() Selection {
	return Selection{Columns: []string{"n"}, Filters: jsontext.Value(q.filters), Sort: q.sort, Descending: q.descending, Limit: q.limit, Offset: q.offset}
}

func drawQuestion(t *rapid.T, key []string) question {
	var q question
	q.filters, q.where = drawFilters(t)
	q.descending = rapid.Bool().Draw(t, "descending")
	last := q.descending
	var sorts, order []string
	switch rapid.IntRange(0, 2).Draw(t, "sorted") {
	case 1:
		sorts, order = []string{rapid.SampledFrom(names).Draw(t, "sort")}, nil
		order = append(order, sorts[0]+map[bool]string{true: " DESC"}[q.descending])
	case 2:
		q.descending = false
		for _, name := range rapid.Permutation(names).Draw(t, "sorts")[:rapid.IntRange(1, 4).Draw(t, "number of sorts")] {
			last = rapid.Bool().Draw(t, "descends")
			sort, term := name, name
			if last {
				sort, term = "-"+name, name+" DESC"
			}
			if nulls := rapid.SampledFrom([]string{"", "first", "last"}).Draw(t, "nulls"); nulls != "" {
				sort, term = sort+".nulls"+nulls, term+" NULLS "+nulls
			}
			sorts, order = append(sorts, sort), append(order, term)
		}
	}
	q.sort = strings.Join(sorts, ",")
	for _, term := range key {
		order = append(order, term+map[bool]string{true: " DESC"}[last])
	}
	q.order = strings.Join(order, ", ")
	return q
}

// drawFilters returns filters in one of their forms and the equivalent SQL.
func drawFilters(t *rapid.T) (filters, where string) {
	elements, sql := drawElements(t, 0)
	filters, where = "["+strings.Join(elements, ",")+"]", strings.Join(append(sql, "1"), " AND ")
	if group := rapid.SampledFrom([]string{"", "", "and", "or", "not"}).Draw(t, "whole"); group != "" {
		return `{"` + group + `":` + filters + "}", groupSQL(group, sql)
	}
	return filters, where
}

func drawElements(t *rapid.T, depth int) (elements, sql []string) {
	n := rapid.SampledFrom([]int{0, 1, 1, 2, 2, 2, 3, 25 / (1 + depth*depth)}).Draw(t, "elements")
	for range n {
		if depth > 3 || rapid.IntRange(0, 3).Draw(t, "group") > 0 {
			c, s := drawCondition(t)
			elements, sql = append(elements, c), append(sql, s)
			continue
		}
		group := rapid.SampledFrom([]string{"and", "or", "not"}).Draw(t, "kind of group")
		inner, parts := drawElements(t, depth+1)
		elements = append(elements, `{"`+group+`":[`+strings.Join(inner, ",")+`]}`)
		sql = append(sql, groupSQL(group, parts))
	}
	return elements, sql
}

func groupSQL(group string, parts []string) string {
	bracketed := make([]string, len(parts))
	for i, part := range parts {
		bracketed[i] = "(" + part + ")"
	}
	all := strings.Join(append(slices.Clone(bracketed), "1"), " AND ")
	switch group {
	case "or":
		return "(" + strings.Join(append(bracketed, "0"), " OR ") + ")"
	case "not":
		return "(NOT (" + all + "))"
	}
	return "(" + all + ")"
}

// shellConditions give the SQL of each operator. {column} is the column and {value}
// the value, or all values.
var shellConditions = map[string]string{
	"=": "{column} = {value}", "!=": "{column} != {value}", ">": "{column} > {value}", ">=": "{column} >= {value}", "<": "{column} < {value}", "<=": "{column} <= {value}",
	"like": "{column} LIKE {value}", "not_like": "{column} NOT LIKE {value}",
	"in": "{column} IN ({value})", "not_in": "{column} NOT IN ({value})",
	"between":     "{column} >= {low} AND {column} <= {high}",
	"starts_with": "CASE typeof({column}) WHEN 'blob' THEN 0 ELSE substr({column}, 1, length({value})) = {value} COLLATE BINARY END",
	"ends_with":   "CASE typeof({column}) WHEN 'null' THEN NULL WHEN 'blob' THEN 0 ELSE {value} = '' OR substr({column}, -length({value})) = {value} COLLATE BINARY END",
	"contains":    "CASE typeof({column}) WHEN 'blob' THEN 0 ELSE instr({column}, {value}) > 0 END",
	"is_empty":    "{column} = ''",
	"is_null":     "{column} IS NULL", "not_null": "{column} IS NOT NULL",
}

// foldedConditions are the shellConditions without regard to case and accents, for
// values other than BLOBs.
var foldedConditions = map[string]string{
	"=":           "{column} = {value}",
	"!=":          "{column} = {value}",
	"starts_with": "substr({column}, 1, length({value})) = {value}",
	"ends_with":   "({value} = '' OR substr({column}, -length({value})) = {value})",
	"contains":    "instr({column}, {value}) > 0",
}

// foldedInShell returns such a condition in SQL that folds the letters of the samples.
func foldedInShell(op string) string {
	fold := func(text string) string { return "lower(replace(replace(" + text + ", 'ä', 'a'), 'Ä', 'A'))" }
	sql := strings.NewReplacer("{column}", fold("{column}"), "{value}", fold("{value}")).Replace(foldedConditions[op])
	sql = "CASE typeof({column}) WHEN 'null' THEN NULL WHEN 'blob' THEN 0 ELSE " + sql + " END"
	if op == "!=" {
		return "NOT " + sql
	}
	return sql
}

var searchedTexts = []sample{textSample("%"), textSample("a%"), textSample("_"), textSample("%1%"), textSample("Ä"), textSample(""), textSample("A"), textSample("1%"), textSample("2_"), textSample("Ä%"), textSample("%t's"), textSample("\x7f%"), textSample("A_%"), textSample("%B%"), textSample("_%_"), textSample("a"), textSample("1"), textSample("."), textSample("'s")}

func drawCondition(t *rapid.T) (condition, sql string) {
	column := rapid.SampledFrom(names).Draw(t, "column")
	op := rapid.SampledFrom(operators).Draw(t, "op")
	sql, ok := shellConditions[op.Name]
	if !ok {
		t.Fatalf("there is nothing to compare %s with", op.Name)
	}
	fold := op.folded != "" && rapid.Bool().Draw(t, "fold")
	if fold {
		sql = foldedInShell(op.Name)
	}
	// Occasionally a value of another type that the column could store.
	pool := columns[column]
	if rapid.IntRange(0, 3).Draw(t, "strange") == 0 {
		pool = strange[column]
	}
	if op.Text || fold {
		pool = searchedTexts
	}
	n := op.Arity
	if n == AnyNumber {
		n = rapid.IntRange(0, 3).Draw(t, "values")
	}
	var values, literals []string
	for range n {
		v := rapid.SampledFrom(pool).Draw(t, "value")
		values, literals = append(values, v.json), append(literals, v.of(column))
	}
	condition = fmt.Sprintf(`{"column":%q,"op":%q`, column, op.Name)
	switch op.Arity {
	case 0:
	case 1:
		condition += `,"value":` + values[0]
	default:
		condition += `,"value":[` + strings.Join(values, ",") + "]"
	}
	if fold {
		condition += `,"fold":true`
	}
	replace := []string{"{column}", column, "{value}", strings.Join(literals, ", ")}
	if n == 2 {
		replace = append(replace, "{low}", literals[0], "{high}", literals[1])
	}
	return condition + "}", strings.NewReplacer(replace...).Replace(sql)
}

// drawRow returns a row with the given number in n. NULLs and repeated values are
// frequent.
func drawRow(t *rapid.T, key []string, n int) string {
	members := []string{fmt.Sprintf(`"n":%d`, n)}
	for _, name := range names {
		if rapid.IntRange(0, 3).Draw(t, "null") > 0 {
			members = append(members, `"`+name+`":`+rapid.SampledFrom(columns[name]).Draw(t, name).json)
		}
	}
	if len(key) == 2 {
		members = append(members, `"k":`+rapid.SampledFrom(texts[:6]).Draw(t, "k").json, fmt.Sprintf(`"l":%d`, rapid.IntRange(0, 40).Draw(t, "l")))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// shell runs statements that return one column of integers, all in one run of the
// sqlite3 shell.
func shell(t *rapid.T, program, path string, statements []string) [][]string {
	var script strings.Builder
	for _, s := range statements {
		script.WriteString("SELECT '-';\n" + s + ";\n")
	}
	cmd := exec.Command(program, "-batch", "-bail", "-readonly", path)
	cmd.Stdin = strings.NewReader(script.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var answers [][]string
	for _, line := range strings.Fields(string(out)) {
		if line == "-" {
			answers = append(answers, nil)
			continue
		}
		answers[len(answers)-1] = append(answers[len(answers)-1], line)
	}
	return answers
}

// numbers returns the column n of a page.
func numbers(page Page) (list []string) {
	for i := range page.Len() {
		list = append(list, strconv.FormatInt(page.Batch.Row(i)[0].Int(), 10))
	}
	return list
}

func TestSelectionsAnswerAsTheShellDoes(t *testing.T) {
	program := testkit.Tool(t, "sqlite3")
	testkit.Checks(t, 25)
	var projects []*DB
	for _, create := range keyed {
		db := openProject(t)
		// SQLite uses such an index for the start of a pattern.
		define(t, db, "t", create, "CREATE INDEX by_s ON t (s COLLATE NOCASE)")
		projects = append(projects, db)
	}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.IntRange(0, len(keyed)-1).Draw(t, "kind")
		db, key := projects[kind], keyOrders[kind]
		if _, err := db.DeleteRecords(ctx, new(problem.Faults), "t", Match{All: true}); err != nil {
			t.Fatal(err)
		}
		insert := func(n int) {
			_, err := db.InsertRecord(ctx, new(problem.Faults), "t", jsontext.Value(drawRow(t, key, n)), InsertOptions{})
			if err != nil && !problem.Is(err, problem.CodeConflict) {
				t.Fatal(err)
			}
		}
		for n := range rapid.IntRange(0, 25).Draw(t, "rows") {
			insert(n + 1)
		}
		var questions []question
		var statements []string
		for range 8 {
			q := drawQuestion(t, key)
			questions = append(questions, q)
			statements = append(statements, q.sql())
			q.limit, q.offset = int64(rapid.IntRange(1, 10).Draw(t, "limit")), int64(rapid.IntRange(0, 10).Draw(t, "offset"))
			questions = append(questions, q)
			statements = append(statements, q.sql())
		}
		answers := shell(t, program, db.sql.Path(), statements)
		for i, q := range questions {
			s := q.selection()
			if s.Limit == 0 {
				s.Limit = 500
			}
			page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: s, Count: true})
			if err != nil {
				t.Fatal(err)
			}
			if got := numbers(page); !slices.Equal(got, answers[i]) {
				t.Fatalf("%s\nasked as %+v\n got %v\nwant %v", statements[i], q, got, answers[i])
			}
			whole := answers[i-i%2]
			if want := q.limit > 0 && int64(len(whole)) > q.limit+q.offset; page.HasMore != want || *page.Total != int64(len(whole)) {
				t.Fatalf("%s: more %v of %d, want %v of %d", statements[i], page.HasMore, *page.Total, want, len(whole))
			}
		}
		// Consecutive pages add up to the whole, whatever is inserted meanwhile.
		q := questions[0]
		s := q.selection()
		s.Limit = int64(rapid.IntRange(1, 7).Draw(t, "page"))
		var got []string
		for after, more, next := "", true, -1; more; next-- {
			page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: s, After: after})
			if err != nil {
				t.Fatal(err)
			}
			if page.HasMore != (page.NextCursor != "") || int64(page.Len()) > s.Limit || page.HasMore && int64(page.Len()) < s.Limit {
				t.Fatalf("a page of %d rows, more %v, cursor %q", page.Len(), page.HasMore, page.NextCursor)
			}
			for _, n := range numbers(page) {
				if n[0] != '-' {
					got = append(got, n)
				}
			}
			after, more = page.NextCursor, page.HasMore
			if next > -20 {
				insert(next)
			}
		}
		if !slices.Equal(got, answers[0]) {
			t.Fatalf("pages of %d of %s\n got %v\nwant %v", s.Limit, statements[0], got, answers[0])
		}
		// So they do backwards, from the end and from where a walk turns around.
		all := statements[0]
		whole := shell(t, program, db.sql.Path(), []string{all})[0]
		if got := walkBack(t, db, s, edgeOf(t, db, s)); !slices.Equal(got, whole) {
			t.Fatalf("pages of %d of %s, backwards\n got %v\nwant %v", s.Limit, all, got, whole)
		}
		turnAround(t, db, s, whole)
	})
}

// edgeOf returns the cursor after the last row, or "" if there are no rows.
func edgeOf(t fataler, db *DB, s Selection) string {
	s.Offset = 1000
	page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: s})
	if err != nil || page.Len() > 0 || page.HasMore {
		t.Fatalf("beyond the end: %d rows, %v", page.Len(), err)
	}
	return page.PrevCursor
}

type fataler interface{ Fatalf(string, ...any) }

// walkBack returns the rows of all pages before the cursor, in order.
func walkBack(t fataler, db *DB, s Selection, before string) (rows []string) {
	for before != "" {
		page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: s, Before: before})
		if err != nil {
			t.Fatalf("%v", err)
		}
		if full := int64(page.Len()) == s.Limit; page.Len() == 0 || page.PrevCursor != "" && !full || page.HasMore != (page.NextCursor != "") {
			t.Fatalf("a page of %d rows before %q, more %v, cursors %q and %q", page.Len(), before, page.HasMore, page.PrevCursor, page.NextCursor)
		}
		rows, before = append(numbers(page), rows...), page.PrevCursor
	}
	return rows
}

// turnAround walks forwards, and from each page back and forth again.
func turnAround(t fataler, db *DB, s Selection, whole []string) {
	list := func(o ListOptions) Page {
		o.Selection = s
		page, err := db.ListRecords(ctx, new(problem.Faults), "t", o)
		if err != nil {
			t.Fatalf("%v", err)
		}
		return page
	}
	for at, page := 0, list(ListOptions{}); ; page = list(ListOptions{After: page.NextCursor}) {
		if got := numbers(page); !slices.Equal(got, whole[at:at+len(got)]) || (page.PrevCursor != "") != (at > 0) {
			t.Fatalf("the page at %d is %v, cursor %q, of %v", at, got, page.PrevCursor, whole)
		}
		if page.PrevCursor != "" {
			back := list(ListOptions{Before: page.PrevCursor})
			if got, want := numbers(back), whole[max(0, at-int(s.Limit)):at]; !slices.Equal(got, want) {
				t.Fatalf("before %d of %v: %v", at, whole, got)
			}
			if again := list(ListOptions{After: back.NextCursor}); !slices.Equal(numbers(again), numbers(page)) {
				t.Fatalf("there and back from %d of %v: %v", at, whole, numbers(again))
			}
		}
		if at += page.Len(); !page.HasMore {
			return
		}
	}
}

func TestScanAndCountAgreeWithList(t *testing.T) {
	db := openProject(t, contacts)
	var rows []string
	for i := range 4500 {
		rows = append(rows, fmt.Sprintf(`{"email":"e%d","age":%d}`, i, i%7))
	}
	put(t, db, "contacts", rows...)
	snapshot, err := db.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	table, err := snapshot.Table("contacts")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		s    Selection
		want int64
	}{
		{Selection{}, 4500}, {Selection{Limit: 4100, Offset: 300}, 4100}, {Selection{Offset: 4400}, 100}, {Selection{Offset: 9000}, 0},
		{Selection{Filters: jsontext.Value(`{"age":3}`), Sort: "email", Descending: true}, 643}, {Selection{Filters: jsontext.Value(`{"age":99}`)}, 0},
	} {
		scan, err := snapshot.Scan(table, test.s)
		if err != nil {
			t.Fatal(err)
		}
		var b sqlite.Batch
		var n int64
		for {
			more, err := scan.Next(&b)
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			n += int64(b.Rows)
		}
		scan.Close()
		if count, err := snapshot.Count(table, test.s); n != test.want || count != test.want || err != nil {
			t.Errorf("%+v: %d rows, counted %d (%v), want %d", test.s, n, count, err, test.want)
		}
	}
}

func TestCursorsAreBound(t *testing.T) {
	db := openProject(t, contacts, NewTable{Name: "others"})
	put(t, db, "contacts", `{"email":"a","age":1}`, `{"email":"b","age":1}`, `{"email":"c","age":1}`)
	at := Selection{Limit: 1, Sort: "age", Filters: jsontext.Value(`{"age": 1}`)}
	page, err := db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: at})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		table string
		with  func(o *ListOptions)
		want  string
	}{
		{"the same", "contacts", func(o *ListOptions) {}, "ok"},
		{"the same, written otherwise", "CONTACTS", func(o *ListOptions) { o.Filters = jsontext.Value(`{ "age" :1}`); o.Sort = "AGE" }, "ok"},
		{"another page size and columns", "1", func(o *ListOptions) { o.Limit = 2; o.Columns = []string{"email"} }, "ok"},
		{"another table", "others", func(o *ListOptions) { o.Selection = Selection{Limit: 1} }, "validation_failed after"},
		{"other filters", "contacts", func(o *ListOptions) { o.Filters = jsontext.Value(`{"age":2}`) }, "validation_failed after"},
		{"no filters", "contacts", func(o *ListOptions) { o.Filters = nil }, "validation_failed after"},
		{"another sort", "contacts", func(o *ListOptions) { o.Sort = "email" }, "validation_failed after"},
		{"another order", "contacts", func(o *ListOptions) { o.Descending = true }, "validation_failed after"},
		{"an offset", "contacts", func(o *ListOptions) { o.Offset = 1 }, "validation_failed after"},
		{"cut off", "contacts", func(o *ListOptions) { o.After = o.After[:len(o.After)-3] }, "validation_failed after"},
		{"nonsense", "contacts", func(o *ListOptions) { o.After = "!" }, "validation_failed after"},
		{"before and after", "contacts", func(o *ListOptions) { o.Before = o.After }, "validation_failed before"},
		{"before, with an offset", "contacts", func(o *ListOptions) { o.Before, o.After, o.Offset = o.After, "", 1 }, "validation_failed before"},
		{"before, of another sort", "contacts", func(o *ListOptions) { o.Before, o.After, o.Sort = o.After, "", "email" }, "validation_failed before"},
		{"before", "contacts", func(o *ListOptions) { o.Before, o.After = o.After, "" }, "ok"},
		{"faults elsewhere too", "contacts", func(o *ListOptions) { o.After = "!"; o.Sort = "zz" }, "validation_failed sort after"},
	} {
		o := ListOptions{Selection: at, After: page.NextCursor}
		test.with(&o)
		_, err := db.ListRecords(ctx, new(problem.Faults), test.table, o)
		if got := complaint(err); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// A page is found with an index, however far from the start it is.
func TestPagesAreFoundInAnIndex(t *testing.T) {
	for _, create := range keyed[:4] {
		db := openProject(t)
		define(t, db, "t", create, "CREATE INDEX by_i ON t (i)", "CREATE INDEX by_s ON t (s)")
		err := db.View(ctx, viewed(func(c *sqlite.Conn, cat *catalog) error {
			table := &cat.tables[0]
			for _, sort := range []string{"", "i", "s"} {
				for _, descending := range []bool{false, true} {
					var faults problem.Faults
					q := Selection{Sort: sort, Descending: descending, Limit: 10}.plan(table, &faults, "")
					for _, first := range []sqlite.Value{sqlite.IntValue(5), {}} {
						after := cursor{[]sqlite.Value{first, sqlite.IntValue(1), sqlite.IntValue(2)}[:len(q.place())]}
						for i, s := range q.segments(after) {
							query := q.selectSQL(q.list, q.where.and(s.where), s.order) + q.limits()
							plan := explainPlan(t, c, query, s.where.args)
							// An index of such a table ends with the rowid, not with the key.
							tiesAreSorted := sort != "" && len(table.PrimaryKey) > 1 && !table.WithoutRowid
							found := strings.Contains(plan, "SEARCH t USING") || strings.Contains(query, "IS NOT NULL")
							if !found || !tiesAreSorted && strings.Contains(plan, "TEMP B-TREE FOR ORDER BY") {
								t.Errorf("%s\nsort %q, descending %v, segment %d: %s\n%s", create, sort, descending, i, query, plan)
							}
						}
						if sort == "" {
							break // keys are never NULL
						}
					}
				}
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
}

func explainPlan(t *testing.T, c *sqlite.Conn, query string, args []any) string {
	var plan []string
	err := c.Query("EXPLAIN QUERY PLAN "+query, args, func(s *sqlite.Stmt) error {
		plan = append(plan, s.Text(3))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

func TestLimitsOfFilters(t *testing.T) {
	db := openProject(t, contacts)
	put(t, db, "contacts", `{"email":"a"}`)
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	deep := func(n int) string {
		return "[" + strings.Repeat(`{"or":[`, n) + `{"column":"age","value":1}` + strings.Repeat("]}", n) + "]"
	}
	for _, test := range []struct {
		name, filters, want string
	}{
		{"many values", `[{"column":"age","op":"in","value":[` + many(maxFilterSize-1, "1") + `]}]`, "ok"},
		{"too many values", `[{"column":"age","op":"in","value":[` + many(maxFilterSize+1, "1") + `]}]`, "validation_failed filters"},
		{"many conditions", `[` + many(900, `{"column":"age","op":"!=","value":1}`) + `]`, "ok"},
		{"many alternatives", `[{"or":[` + many(5000, `{"column":"age","value":1}`) + `]}]`, "ok"},
		{"too many alternatives", `[{"or":[` + many(maxFilterSize+1, `{"column":"age","value":1}`) + `]}]`, "validation_failed filters"},
		{"too many alternatives without values", `[{"or":[` + many(maxFilterSize+1, `{"column":"age","op":"is_null"}`) + `]}]`, "validation_failed filters"},
		{"deep and broad", "[" + strings.Repeat(`{"or":[`+many(580, `{"column":"age","value":1}`)+",", maxFilterDepth) + `{"column":"age","value":1}` + strings.Repeat("]}", maxFilterDepth) + "]", "ok"},
		{"many empty groups", `[` + many(9000, `{"or":[]}`) + `]`, "ok"},
		{"deep", deep(maxFilterDepth), "ok"},
		{"too deep", deep(maxFilterDepth + 1), "validation_failed filters[0]" + strings.Repeat(".or[0]", maxFilterDepth) + ".or"},
		{"and", `[{"and":[{"column":"age","value":1},{"column":"email","value":"a"}]}]`, "ok"},
		{"groups of all kinds", `{"not":[{"or":[{"and":[{"column":"age","value":1}]},{"not":[]}]},{"column":"email","op":"not_null"}]}`, "ok"},
		{"a group with another member", `[{"and":[],"or":[]}]`, "validation_failed filters[0]"},
		{"a group with a column", `[{"not":[],"column":"age"}]`, "validation_failed filters[0]"},
		{"a group that is no array", `[{"not":{"column":"age","value":1}}]`, "validation_failed filters[0].not"},
		{"a whole group that is no array", `{"or":{"age":1}}`, "validation_failed filters.or"},
		{"two whole groups", `{"or":[],"and":[]}`, "validation_failed filters.or filters.and"},
		{"faults deep inside", `{"or":[{"and":[{"column":"age","value":"x"},{"column":"nick"}]},{"xor":[]}]}`, "validation_failed filters.or[0].and[0].value filters.or[0].and[1].column filters.or[1].xor filters.or[1].column"},
		{"deep groups of all kinds", strings.Repeat(`{"not":[{"and":[`, maxFilterDepth/2) + `{"column":"age","value":1}` + strings.Repeat("]}]}", maxFilterDepth/2), "ok"},
		{"too deep groups of all kinds", "[" + strings.Repeat(`{"not":[{"and":[`, maxFilterDepth/2+1) + `{"column":"age","value":1}` + strings.Repeat("]}]}", maxFilterDepth/2+1) + "]", "validation_failed filters[0]" + strings.Repeat(".not[0].and[0]", maxFilterDepth/2) + ".not"},
		{"many in a whole group", `{"not":[` + many(5000, `{"column":"age","op":"!=","value":1}`) + `]}`, "ok"},
		{"many groups of many", `[` + many(100, `{"and":[`+many(90, `{"column":"email","op":"contains","value":"x"}`)+`]}`) + `]`, "ok"},
		{"a long pattern", `[{"column":"email","op":"like","value":"` + strings.Repeat("%a", 25_000) + `"}]`, "ok"},
		{"too long a pattern", `[{"column":"email","op":"like","value":"` + strings.Repeat("%a", 25_001) + `"}]`, "validation_failed filters[0].value"},
		{"a long text", `[{"column":"email","op":"contains","value":"` + strings.Repeat("%a", 25_000) + `"}]`, "ok"},
		{"too long a text", `[{"column":"email","op":"ends_with","value":"` + strings.Repeat("%a", 25_001) + `"}]`, "validation_failed filters[0].value"},
		{"one bound", `[{"column":"age","op":"between","value":[1]}]`, "validation_failed filters[0].value"},
		{"three bounds", `[{"column":"age","op":"between","value":[1,2,3]}]`, "validation_failed filters[0].value"},
		{"a bound is no array", `[{"column":"age","op":"between","value":1}]`, "validation_failed filters[0].value"},
		{"a bound is null", `[{"column":"age","op":"between","value":[1,null]}]`, "validation_failed filters[0].value[1]"},
		{"a list is no array", `[{"column":"age","op":"not_in","value":1}]`, "validation_failed filters[0].value"},
		{"many values to leave out", `[{"column":"age","op":"not_in","value":[` + many(maxFilterSize-1, "1") + `]}]`, "ok"},
		{"null in a list", `[{"column":"age","op":"in","value":[1,null]}]`, "validation_failed filters[0].value[1]"},
		{"broken", `[{"column":"age","value":1}`, "validation_failed filters"},
		{"something behind", `{"age":1} {}`, "validation_failed filters"},
		{"a name twice", `{"age":1,"age":2}`, "validation_failed filters"},
		{"blank", ` `, "ok"},
	} {
		if testkit.Race {
			db.bounds.Records = 10 * time.Minute
		}
		_, err := db.ListRecords(ctx, new(problem.Faults), "contacts", ListOptions{Selection: Selection{Limit: 1, Filters: jsontext.Value(test.filters)}})
		if got := complaint(err); got != test.want {
			t.Errorf("%s: got %.200s, want %s (%.300v)", test.name, got, test.want, err)
		}
	}
}

// A pattern that begins with letters uses a case-insensitive index.
func TestLikeIsFoundInAnIndex(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT, c TEXT, d ANY) STRICT",
		"CREATE INDEX by_a ON t (a)", "CREATE INDEX by_b ON t (b COLLATE NOCASE)", "CREATE INDEX by_c ON t (c)", "CREATE INDEX by_d ON t (d COLLATE NOCASE)")
	err := db.View(ctx, viewed(func(c *sqlite.Conn, cat *catalog) error {
		table, err := cat.table("t")
		for column, searched := range map[string]bool{"a": true, "b": true, "c": false, "d": false} {
			for pattern, begins := range map[string]bool{"Ab%": true, "ab": true, "z_": true, "%ab": false, "_b": false, "": false, "äb%": false} {
				var faults problem.Faults
				filters := fmt.Sprintf(`[{"column":%q,"op":"like","value":%q}]`, column, pattern)
				q := Selection{Filters: jsontext.Value(filters)}.plan(table, &faults, "")
				plan := explainPlan(t, c, q.sql(), q.where.args)
				if got := strings.Contains(plan, "SEARCH t USING INDEX by_"+column+" ("+column+">? AND "+column+"<?)"); got != (searched && begins) {
					t.Errorf("%s like %s: %s", column, pattern, plan)
				}
			}
		}
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// A prefix search uses an index, whatever characters the prefix has.
func TestBeginningsAreFoundInAnIndex(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT COLLATE NOCASE, c ANY) STRICT",
		"CREATE INDEX by_a ON t (a)", "CREATE INDEX by_b ON t (b COLLATE BINARY)", "CREATE INDEX by_c ON t (c)")
	err := db.View(ctx, viewed(func(c *sqlite.Conn, cat *catalog) error {
		table, err := cat.table("t")
		for column, searched := range map[string]bool{"a": true, "b": true, "c": false} {
			for _, text := range []string{"ab", "%", "_x", "ä", "\x7f", "a\x00b", "🐎", ""} {
				value, _ := json.Marshal(text)
				filters := fmt.Sprintf(`[{"column":%q,"op":"starts_with","value":%s}]`, column, value)
				q := Selection{Filters: jsontext.Value(filters)}.plan(table, new(problem.Faults), "")
				plan := explainPlan(t, c, q.sql(), q.where.args)
				if got := strings.Contains(plan, "SEARCH t USING INDEX by_"+column+" ("+column+">? AND "+column+"<?)"); got != (searched && text != "") {
					t.Errorf("%s starts_with %q: %s", column, text, plan)
				}
			}
		}
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// A bulk change whose conditions hold for every row is refused like one without
// conditions.
func TestGroupsOfNothingAreNoConditions(t *testing.T) {
	db := openProject(t, contacts)
	put(t, db, "contacts", `{"email":"a"}`)
	for filters, want := range map[string]string{
		`{"and":[]}`: "validation_failed where", `[{"and":[]}]`: "validation_failed where", `[{"and":[{"and":[]}]}]`: "validation_failed where", `[{"and":[]},{"and":[]}]`: "validation_failed where", `[{"not":[{"or":[]}]}]`: "validation_failed where",
		`{"or":[{"column":"age","op":"is_null"},{"and":[]}]}`: "validation_failed where", `{"or":[]}`: "ok", `[{"not":[]}]`: "ok", `[{"and":[]},{"or":[]}]`: "ok",
	} {
		done, err := db.DeleteRecords(ctx, new(problem.Faults), "contacts", Match{Filters: jsontext.Value(filters)})
		if got := complaint(err); got != want || done.Rows != 0 {
			t.Errorf("%s: %s, %d rows", filters, got, done.Rows)
		}
	}
}

// A column may have the name of a group.
func TestColumnsNamedAsGroups(t *testing.T) {
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{{Name: "or"}, {Name: "not"}}})
	put(t, db, "t", `{"or":"a","not":"b"}`, `{"or":"b"}`)
	for filters, want := range map[string]int{`{"or":"a"}`: 1, `{"not":null}`: 1, `{"or":"b","not":null}`: 1, `{"or":[{"column":"or","value":"a"},{"column":"or","value":"b"}]}`: 2, `[{"not":[{"column":"not","value":"x"}]}]`: 1} {
		page, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 9, Filters: jsontext.Value(filters)}})
		if err != nil || page.Len() != want {
			t.Errorf("%s: %d rows, want %d (%v)", filters, page.Len(), want, err)
		}
	}
}

// Alternatives that check for interrupts use indexes as others do.
func TestManyAlternativesAreFoundInIndexes(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT) STRICT", "CREATE INDEX by_a ON t (a)", "CREATE INDEX by_b ON t (b)")
	var alternatives []string
	for i := range maxPlanned / 2 {
		alternatives = append(alternatives, fmt.Sprintf(`{"column":"a","op":"in","value":["a%d"]},{"column":"b","op":"in","value":["b%d"]}`, i, i))
	}
	err := db.View(ctx, viewed(func(c *sqlite.Conn, cat *catalog) error {
		var faults problem.Faults
		table, err := cat.table("t")
		if err != nil {
			return err
		}
		q := Selection{Filters: jsontext.Value(`[{"or":[` + strings.Join(alternatives, ",") + `]}]`)}.plan(table, &faults, "")
		plan := explainPlan(t, c, q.sql(), q.where.args)
		if !strings.Contains(q.sql(), sqlite.GoesOnFunction) || strings.Contains(plan, "SCAN") || strings.Count(plan, "SEARCH") != maxPlanned {
			t.Errorf("%s\n%s", q.sql(), plan)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}
