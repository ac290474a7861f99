package projectdb

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// TestUpsertOfPartOfARow checks that a row that exists needs only what is to change,
// and a new one every required column.
func TestUpsertOfPartOfARow(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "stock", `CREATE TABLE stock (id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT NOT NULL, qty INTEGER, word TEXT COLLATE NOCASE UNIQUE,
		shelf TEXT NOT NULL DEFAULT 'a', UNIQUE (name, qty)) STRICT`)
	define(t, db, "pairs", "CREATE TABLE pairs (a INTEGER, b TEXT, c TEXT NOT NULL, d TEXT, PRIMARY KEY (a, b)) STRICT, WITHOUT ROWID")
	put(t, db, "stock", `{"sku":"x","name":"X","qty":1,"word":"Ex"}`, `{"sku":"y","name":"Y","qty":2}`)
	put(t, db, "pairs", `{"a":1,"b":"z","c":"C"}`)
	for _, test := range []struct {
		what, table, rows string
		key               []string
		ignore            bool
		want              string
	}{
		{"update", "stock", `[{"sku":"x","qty":9}]`, []string{"sku"}, false, `{"id":1,"sku":"x","name":"X","qty":9,"word":"Ex","shelf":"a"}`},
		{"the key alone", "stock", `[{"sku":"x"}]`, []string{"sku"}, false, `{"id":1,"sku":"x","name":"X","qty":9,"word":"Ex","shelf":"a"}`},
		{"null for the id", "stock", `[{"id":null,"sku":"y","qty":null}]`, []string{"sku"}, false, `{"id":2,"sku":"y","name":"Y","qty":null,"word":null,"shelf":"a"}`},
		{"another spelling", "stock", `[{"word":"EX","qty":3}]`, []string{"word"}, false, `{"id":1,"sku":"x","name":"X","qty":3,"word":"Ex","shelf":"a"}`},
		{"skip", "stock", `[{"sku":"x","qty":7}]`, []string{"sku"}, true, ``},
		{"one that this call inserts", "stock", `[{"sku":"n","name":"N"},{"sku":"n","qty":4}]`, []string{"sku"}, false,
			`{"id":3,"sku":"n","name":"N","qty":null,"word":null,"shelf":"a"}{"id":3,"sku":"n","name":"N","qty":4,"word":null,"shelf":"a"}`},
		{"composite", "pairs", `[{"b":"z","d":"D","a":1}]`, []string{"b", "a"}, false, `{"a":1,"b":"z","c":"C","d":"D"}`},
		{"new", "stock", `[{"sku":"q","qty":1}]`, []string{"sku"}, false, "validation_failed data[0].name"},
		{"new and skipped", "stock", `[{"sku":"q","qty":1}]`, []string{"sku"}, true, "validation_failed data[0].name"},
		{"without the key", "stock", `[{"qty":1}]`, []string{"sku"}, false, "validation_failed data[0].name"},
		{"null for the key", "stock", `[{"sku":null,"qty":1}]`, []string{"sku"}, false, "validation_failed data[0].name"},
		{"null for what is required", "stock", `[{"sku":"x","name":null}]`, []string{"sku"}, false, "validation_failed data[0].name"},
		{"several new", "stock", `[{"sku":"x"},{"sku":"q"},{"sku":"r"}]`, []string{"sku"}, false, "validation_failed data[1].name data[2].name"},
		{"wrong and new", "stock", `[{"sku":"q","qty":"one"}]`, []string{"sku"}, false, "validation_failed data[0].qty data[0].name"},
		{"a wrong key", "pairs", `[{"a":"one","b":"z","d":"D"}]`, []string{"a", "b"}, false, "validation_failed data[0].a"},
		{"after a fault", "stock", `[{"sku":"q","name":"Q","qty":"one"},{"sku":"q","qty":2}]`, []string{"sku"}, false, "validation_failed data[0].qty"},
		{"half of the key", "pairs", `[{"b":"z","d":"D"}]`, []string{"b", "a"}, false, "validation_failed data[0].a data[0].c"},
		{"another row has the value", "stock", `[{"sku":"y","qty":3,"word":"ex"}]`, []string{"sku"}, false, "conflict data[0].word"},
		{"no such key", "stock", `[{"qty":3}]`, []string{"qty"}, false, "validation_failed on_conflict.columns data[0].name"},
	} {
		done, err := db.InsertRecords(ctx, new(problem.Faults), test.table, jsontext.Value(test.rows), InsertOptions{OnConflict: &OnConflict{Columns: test.key, Update: !test.ignore}})
		got := complaint(err)
		if err == nil {
			got = objects(done.Rows)
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.what, got, test.want)
		}
	}
	if got := ask(t, other(t, db), "SELECT count(*) FROM stock"); got != "3" {
		t.Errorf("there are %s rows after calls that failed", got)
	}
}
