package projectdb

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// openBounded opens a project with a table t and the given bounds.
func openBounded(t *testing.T, b Bounds) *DB {
	t.Helper()
	return openWith(t, DirOptions{Bounds: b}, NewTable{Name: "t", Columns: []NewColumn{{Name: "a"}, {Name: "n", Type: "INTEGER"}}})
}

// slowFilters returns filters that take minutes to match against a text of a million
// a's: a pattern with _ between other characters is not matched in linear time.
func slowFilters() jsontext.Value {
	return jsontext.Value(`[{"column":"a","op":"like","value":"%` + strings.Repeat("a", 20_000) + `_b%"}]`)
}

// A call that runs too long ends in time with a problem and changes nothing, and other
// calls are answered meanwhile.
func TestCallsEndInTime(t *testing.T) {
	t.Parallel()
	const limit = 400 * time.Millisecond
	db := openBounded(t, Bounds{Wait: 10 * time.Second})
	put(t, db, "t", `{"a":"`+strings.Repeat("a", 5_000_000)+`","n":1}`, `{"a":"b","n":2}`)
	db.bounds.Records = limit
	page := func(o ListOptions) func() error {
		return func() error {
			o.Limit = 10
			_, err := db.ListRecords(ctx, new(problem.Faults), "t", o)
			return err
		}
	}
	slow := map[string]func() error{
		"a list":              page(ListOptions{Selection: Selection{Filters: slowFilters()}}),
		"a count":             page(ListOptions{Selection: Selection{Filters: slowFilters()}, Count: true}),
		"many folded filters": page(ListOptions{Selection: Selection{Filters: jsontext.Value(`[{"or":[` + strings.TrimSuffix(strings.Repeat(`{"column":"a","op":"contains","fold":true,"value":"aaab"},`, 9000), ",") + `]}]`)}}),
		"many filters":        page(ListOptions{Selection: Selection{Filters: jsontext.Value(`[{"or":[` + strings.TrimSuffix(strings.Repeat(`{"column":"a","op":"like","value":"%aaab%"},`, 9000), ",") + `]}]`)}}),
		"an update": func() error {
			_, err := db.UpdateRecords(ctx, new(problem.Faults), "t", jsontext.Value(`{"n":3}`), Match{Filters: slowFilters()})
			return err
		},
		"a deletion": func() error {
			_, err := db.DeleteRecords(ctx, new(problem.Faults), "t", Match{Filters: slowFilters()})
			return err
		},
	}
	var wg sync.WaitGroup
	for name, call := range slow {
		wg.Go(func() {
			began := time.Now()
			if err := call(); !problem.Is(err, problem.CodeQueryTimeout) {
				t.Errorf("%s: %v", name, err)
			}
			// Both changes wait for the same writer.
			if took := time.Since(began); took > 2*limit+testkit.Slack {
				t.Errorf("%s took %v", name, took)
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			answered(t, "a read meanwhile", func() error {
				_, err := db.GetRecord(ctx, new(problem.Faults), "t", "2", Selection{Columns: []string{"n"}})
				return err
			})
			answered(t, "a write meanwhile", func() error {
				_, err := db.InsertRecord(ctx, new(problem.Faults), "t", jsontext.Value(fmt.Sprintf(`{"a":"m","n":%d}`, 10+i)), InsertOptions{})
				return err
			})
		}
	})
	wg.Wait()
	if got := ask(t, other(t, db), "SELECT count(*), sum(n) FROM t"); got != "22|393" {
		t.Errorf("afterwards the table has %s", got)
	}
}

// answered makes a quick call until it is answered: on a busy machine even such a call
// may need longer than a test gives the slow ones.
func answered(t *testing.T, name string, call func() error) {
	t.Helper()
	err := call()
	for deadline := time.Now().Add(testkit.Slack); problem.Is(err, problem.CodeQueryTimeout) && time.Now().Before(deadline); {
		err = call()
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// SQLite does not check for interrupts between conditions on one row, each of which
// loads another value of several megabytes.
func TestManyConditionsOnLargeValuesEndInTime(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	db := openBounded(t, Bounds{})
	define(t, db, "u", "CREATE TABLE u (id INTEGER PRIMARY KEY, a TEXT, b TEXT, g INTEGER AS (length(upper(a)))) STRICT")
	put(t, db, "u", `{"a":"`+strings.Repeat("a", 12_000_000)+`","b":"`+strings.Repeat("b", 12_000_000)+`"}`)
	db.bounds.Records = limit
	a, b := `{"column":"a","op":"%s","value":"x"},`, `{"column":"b","op":"%s","value":"x"},`
	for name, test := range map[string]struct{ conditions, op, form string }{
		"all hold":                 {strings.Repeat(a+b, 1500), "!=", `[%s]`},
		"none holds":               {strings.Repeat(a+b, 1500), ">", `[{"or":[%s]}]`},
		"a generated one":          {strings.Repeat(`{"column":"g","op":"%s","value":1},`, 1000), "<", `[{"or":[%s]}]`},
		"some are never looked at": {strings.Repeat(`{"or":[`+strings.ReplaceAll(a, "%s", "!=")+strings.TrimSuffix(b, ",")+`]},{"or":[`+strings.ReplaceAll(b, "%s", "!=")+strings.TrimSuffix(a, ",")+`]},`, 800), "=", `[%s]`},
	} {
		began := time.Now()
		filters := fmt.Sprintf(test.form, strings.TrimSuffix(strings.ReplaceAll(test.conditions, "%s", test.op), ","))
		_, err := db.ListRecords(ctx, new(problem.Faults), "u", ListOptions{Selection: Selection{Columns: []string{"id"}, Limit: 1, Filters: jsontext.Value(filters)}})
		if took := time.Since(began); !problem.Is(err, problem.CodeQueryTimeout) || took > limit+testkit.Slack {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}

// A read ends when its caller goes away.
func TestReadsEndWithTheirCaller(t *testing.T) {
	t.Parallel()
	db := openBounded(t, Bounds{})
	put(t, db, "t", `{"a":"`+strings.Repeat("a", 5_000_000)+`"}`)
	gone, leave := context.WithTimeout(ctx, 100*time.Millisecond)
	defer leave()
	var wg sync.WaitGroup
	began := time.Now()
	for range 8 {
		wg.Go(func() {
			if _, err := db.ListRecords(gone, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1, Filters: slowFilters()}}); err == nil || problem.Is(err, problem.CodeQueryTimeout) {
				t.Errorf("a read whose caller has gone: %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > testkit.Slack {
		t.Errorf("the reads ended after %v", took)
	}
}

// A call that waits too long is answered with busy and told when to retry.
func TestWaitingForTheWriterIsBusy(t *testing.T) {
	t.Parallel()
	db := openBounded(t, Bounds{Wait: 50 * time.Millisecond, Schema: 2 * time.Second})
	held, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.changeTable(ctx, new(problem.Faults), SchemaTransaction, "t", func(*Tx, *Table) error {
			close(held)
			<-end
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-held
	name := "new"
	for what, call := range map[string]func() error{
		"an insert": func() error {
			_, err := db.InsertRecord(ctx, new(problem.Faults), "t", jsontext.Value(`{}`), InsertOptions{})
			return err
		},
		"many inserts": func() error {
			_, err := db.InsertRecords(ctx, new(problem.Faults), "t", jsontext.Value(`[{}]`), InsertOptions{})
			return err
		},
		"a new table": func() error { _, err := db.CreateTable(ctx, new(problem.Faults), NewTable{Name: "u"}); return err },
		"a new column": func() error {
			_, _, err := db.AddColumn(ctx, new(problem.Faults), "t", NewColumn{Name: "z"})
			return err
		},
		"another name": func() error {
			_, err := db.UpdateTable(ctx, new(problem.Faults), "t", TablePatch{NewName: &name})
			return err
		},
		"a blueprint": func() error {
			_, err := db.Build(ctx, Blueprint{Tables: []BlueprintTable{{NewTable: NewTable{Name: "v"}}}})
			return err
		},
		"a call by key": func() error { _, _, err := insertOnce(db, Receipt{Key: "k"}, `{}`); return err },
	} {
		err := call()
		if e := problem.From(err); e.Code != problem.CodeBusy || e.RetryAfter == 0 {
			t.Errorf("%s while the schema changes: %v", what, err)
		}
	}
	if _, err := db.ListRecords(ctx, new(problem.Faults), "t", ListOptions{Selection: Selection{Limit: 1}}); err != nil {
		t.Errorf("a read while the schema changes: %v", err)
	}
	// A transaction that loads whole tables waits for its turn.
	loaded := make(chan error)
	go func() { loaded <- db.Load(ctx, func(*Loader) error { return nil }) }()
	time.Sleep(100 * time.Millisecond)
	close(end)
	if err := <-loaded; err != nil {
		t.Errorf("an import that waited: %v", err)
	}
	wg.Wait()
}

// A schema change may hold the writer for longer than other calls, but not
// indefinitely.
func TestSchemaChangesEnd(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	db := openBounded(t, Bounds{Records: 10 * time.Millisecond, Schema: limit})
	endless := func(c *sqlite.Conn) error {
		return c.Exec("INSERT INTO t (n) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i % 1000000 = 0")
	}
	for what, call := range map[string]func() error{
		"a change": func() error {
			return db.changeTable(ctx, new(problem.Faults), SchemaTransaction, "t", func(tx *Tx, _ *Table) error { return endless(tx.c) })
		},
		"a rebuild": func() error {
			return db.changeTable(ctx, new(problem.Faults), RebuildTransaction, "t", func(tx *Tx, _ *Table) error { return endless(tx.c) })
		},
		"an import": func() error { return db.Load(ctx, func(l *Loader) error { return endless(l.c) }) },
	} {
		began := time.Now()
		err := call()
		if took := time.Since(began); !problem.Is(err, problem.CodeQueryTimeout) || took < limit || took > limit+testkit.Slack {
			t.Errorf("%s: %v after %v", what, err, took)
		}
	}
	if got := ask(t, other(t, db), "SELECT count(*) FROM t"); got != "0" {
		t.Errorf("%s rows are there", got)
	}
}
