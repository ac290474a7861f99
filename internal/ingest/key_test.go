package ingest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/problem"
)

// TestNewTablesGetTheKeyThatIsAskedFor checks the resulting schema in SQLite.
func TestNewTablesGetTheKeyThatIsAskedFor(t *testing.T) {
	t.Parallel()
	late := "id,n\n"
	for i := range guessRows + 10 {
		late += fmt.Sprintf("%d,%d\n", i, i)
	}
	for _, test := range []struct {
		name, content string
		options       Options
		schema        string // columns and more
		rejects       []string
		rows          string // the first three
	}{
		{"a number", "name,id\nb,7\na,3\n", Options{Target: Target{Key: []string{"ID"}}},
			`"name" TEXT, "id" INTEGER PRIMARY KEY AUTOINCREMENT`, []string{}, "a|3\nb|7\n"},
		{"a text", "code,n\nx,1\ny,2\n", Options{Target: Target{Key: []string{"code"}}},
			`"code" TEXT, "n" INTEGER, PRIMARY KEY ("code")`, []string{}, "x|1\ny|2\n"},
		{"several", "a,b\n1,x\n1,y\n", Options{Target: Target{Key: []string{"b", "a"}}},
			`"a" INTEGER, "b" TEXT, PRIMARY KEY ("b", "a")`, []string{}, "1|x\n1|y\n"},
		{"another name", "Nr.,n\n4,1\n", Options{Target: Target{Key: []string{"number"}, Columns: map[string]string{"Nr.": "number"}}},
			`"number" INTEGER PRIMARY KEY AUTOINCREMENT, "n" INTEGER`, []string{}, "4|1\n"},
		{"a type that is said", "id\n4\n", Options{Target: Target{Key: []string{"id"}, Types: map[string]string{"id": "TEXT"}}},
			`"id" TEXT, PRIMARY KEY ("id")`, []string{}, "4\n"},
		{"a type that the last row asks for", late + "x,1\n", Options{Target: Target{Key: []string{"id"}}},
			`"id" TEXT, "n" INTEGER, PRIMARY KEY ("id")`, []string{}, "0|0\n1|1\n2|2\n"},
		{"rows that have the same", "id,n\n1,a\n2,b\n1,c\n", Options{Target: Target{Key: []string{"id"}}, OnError: Skip},
			`"id" INTEGER PRIMARY KEY AUTOINCREMENT, "n" TEXT`, []string{"4|id|1|Another row already has this value."}, "1|a\n2|b\n"},
		{"texts that are the same", "c,n\nx,a\nx,b\n", Options{Target: Target{Key: []string{"c"}}, OnError: Skip},
			`"c" TEXT, "n" TEXT, PRIMARY KEY ("c")`, []string{"3|c|x|Another row already has this value."}, "x|a\n"},
		{"rows without", "id,n\n1,a\n,b\n", Options{Target: Target{Key: []string{"id"}}, OnError: Skip},
			`"id" INTEGER PRIMARY KEY AUTOINCREMENT, "n" TEXT`, []string{"3|id||The value is NULL, but it belongs to the primary key."}, "1|a\n"},
		{"rows without one of several", "a,b\n1,x\n,y\n", Options{Target: Target{Key: []string{"a", "b"}}, OnError: Skip},
			`"a" INTEGER, "b" TEXT, PRIMARY KEY ("a", "b")`, []string{"3|a||The value is NULL, but it belongs to the primary key."}, "1|x\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			path := write(t, "x.csv", test.content)
			preview := p.preview(t, path, test.options)
			report, err := p.take(path, test.options)
			if err != nil {
				t.Fatal(err)
			}
			schema := strings.Fields(shell(t, p.path, "SELECT sql FROM sqlite_schema WHERE name = 'x';\n"))
			if diff := cmp.Diff(`CREATE TABLE "x" ( `+test.schema+` ) STRICT`, strings.Join(schema, " ")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.rows, shell(t, p.path, "SELECT * FROM x LIMIT 3;\n")); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.rejects, rejected(report.Rejects)); diff != "" {
				t.Errorf("rejects: %s", diff)
			}
			if diff := cmp.Diff(test.rejects, rejected(preview.Rejects)); diff != "" {
				t.Errorf("rejects of the preview: %s", diff)
			}
		})
	}
}

// TestKeysOfNewTablesOfADatabase gives a key to a table that has none.
func TestKeysOfNewTablesOfADatabase(t *testing.T) {
	path := database(t, "CREATE TABLE a (x, y TEXT); INSERT INTO a VALUES (2, 'b'), (1, 'a'); CREATE TABLE b (x INTEGER, y TEXT); INSERT INTO b VALUES (3, 'c');")
	p := newProject(t)
	_, err := p.take(path, Options{Tables: map[string]Target{
		"a": {Key: []string{"x"}, Types: map[string]string{"x": "INTEGER"}},
		"b": {Table: "a", Mode: Append},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := shell(t, p.path, "SELECT rowid, * FROM a;\n"); got != "1|1|a\n2|2|b\n3|3|c\n" {
		t.Errorf("got %s", got)
	}
	if report, err := p.take(write(t, "a.csv", "x,y\n3,z\n4,d\n"), Options{Target: Target{Table: "a", Mode: Upsert}}); err != nil || report.Tables[0].Updated != 1 {
		t.Errorf("upsert by the key: %+v, %v", report, err)
	}
}

func TestFaultsOfNewKeys(t *testing.T) {
	t.Parallel()
	zip := zipped(t, "a.csv", "id,n\n1,x\n", "b.csv", "n\ny\n")
	for _, test := range []struct {
		name, file, content string
		options             Options
		field, want         string
	}{
		{"unknown", "x.csv", "id\n1\n", Options{Target: Target{Key: []string{"idd"}}}, "key[0]", `Did you mean "id"?`},
		{"twice", "x.csv", "id\n1\n", Options{Target: Target{Key: []string{"id", "ID"}}}, "key[1]", "already"},
		{"skipped", "x.csv", "id,n\n1,x\n", Options{Target: Target{Key: []string{"id"}, Skip: []string{"id"}}}, "key[0]", `no column "id"`},
		{"rows that have the same", "x.csv", "id\n1\n1\n", Options{Target: Target{Key: []string{"id"}}}, "file", "Another row already has this value."},
		{"a further table without it", "x.zip", zip, Options{Tables: map[string]Target{"a": {Key: []string{"id"}}, "b": {Table: "a", Mode: Append}}}, "tables.b.key", "no values for id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			_, err := p.take(write(t, test.file, test.content), test.options)
			var fault *problem.Error
			if !errors.As(err, &fault) || fault.Code != problem.CodeValidationFailed {
				t.Fatalf("got %v", err)
			}
			if d := fault.Details[0]; d.Field != test.field || !strings.Contains(d.Message, test.want) {
				t.Errorf("got %+v", fault.Details)
			}
			if tables := mustTables(t, p); len(tables) > 0 {
				t.Errorf("there are tables now: %v", tables)
			}
		})
	}
}
