package projectdb

import (
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
)

// A dropped column takes along the CHECKs that use it alone; those that use others too
// are named in the error.
func TestColumnsGoWithTheirChecks(t *testing.T) {
	db := openProject(t)
	define(t, db, "t", `CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER CHECK (n > 0) CHECK (7 <> "n"), m INTEGER, k INTEGER, "a b" TEXT CHECK (length([a b]) > 1), g INTEGER AS (k + 1), e TEXT, CHECK (m < 10 OR m IS NULL OR n > 5)) STRICT`,
		"CREATE INDEX by_e ON t (lower(e))", "CREATE INDEX some ON t (id) WHERE k > 0", `CREATE INDEX own ON t ("a b") WHERE "a b" <> ''`)
	put(t, db, "t", `{"n":6,"m":1,"a b":"xy"}`)
	remove := func(column string) (string, string) {
		_, err := db.DeleteColumn(ctx, new(problem.Faults), "t", column)
		return complaint(err), problem.From(err).Message
	}
	for _, test := range []struct{ column, want, says string }{
		{"n", "conflict", "CHECK (m < 10 OR m IS NULL OR n > 5)"},
		{"m", "conflict", "CHECK (m < 10"},
		{"k", "conflict", "the generated column g, the index some"},
		{"e", "conflict", "the index by_e"},
		{"a b", "ok", ""},
		{"g", "ok", ""},
	} {
		if got, message := remove(test.column); got != test.want || test.says != "" && !strings.Contains(message, test.says) {
			t.Errorf("%s: %s (%s)", test.column, got, message)
		}
	}
	if table, err := db.Table(ctx, "t"); err != nil || len(table.Checks) != 3 {
		t.Errorf("%d checks are left, want 3 (%v): %q", len(table.Checks), err, table.Checks)
	}
	_, err := db.InsertRecord(ctx, new(problem.Faults), "t", []byte(`{"n":7}`), InsertOptions{})
	if got, want := problem.From(err).Message, `The row does not satisfy the CHECK 7 <> "n" of the table.`; complaint(err) != "validation_failed" || got != want {
		t.Errorf("a check that stays: %q, want %q", got, want)
	}
}

// Commas between the parts of a key may be encoded, and so may the parts themselves.
func TestKeysWithEncodedCommas(t *testing.T) {
	db := openProject(t, NewTable{Name: "seats", Columns: []NewColumn{{Name: "seat", Primary: true}, {Name: "row", Type: "INTEGER", Primary: true}}}, NewTable{Name: "tags", Columns: []NewColumn{{Name: "tag", Primary: true}}})
	put(t, db, "seats", `{"seat":"a,b/c","row":1}`, `{"seat":"x","row":2}`)
	put(t, db, "tags", `{"tag":"p,q"}`)
	for _, test := range []struct{ table, id, want string }{
		{"seats", "a%2Cb%2Fc,1", "ok"}, {"seats", "a%252Cb%252Fc%2C1", "ok"}, {"seats", "x%2C2", "ok"}, {"seats", "x,2", "ok"},
		{"seats", "a%2Cb%2Fc%2C1", "not_found"}, {"seats", "x", "not_found"}, {"seats", "x%2C2%2C3", "not_found"}, {"tags", "p%2Cq", "ok"}, {"tags", "p%252Cq", "not_found"},
	} {
		_, err := db.GetRecord(ctx, new(problem.Faults), test.table, test.id, Selection{})
		if got := complaint(err); got != test.want {
			t.Errorf("%s/%s: %s", test.table, test.id, got)
		}
	}
}
