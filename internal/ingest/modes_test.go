package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

func receipt(key string) projectdb.Receipt {
	return projectdb.Receipt{Key: key, Kind: projectdb.LoadTransaction}
}

const people = `
CREATE TABLE team (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO team VALUES (1, 'red'), (2, 'blue');
CREATE TABLE person (
	id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER CHECK (age < 200), email TEXT UNIQUE COLLATE NOCASE,
	team INTEGER REFERENCES team (id), score REAL DEFAULT 0.5, photo BLOB, upper TEXT AS (upper(name)), boss INTEGER REFERENCES person (id)
);
INSERT INTO person (id, name, age, email) VALUES (1, 'Ada', 36, 'ada@example.org'), (2, 'Bob', 50, 'bob@example.org');
`

const allPeople = "SELECT id, name, age, email, team, score, hex(photo), upper, boss FROM person ORDER BY id;\n"

// rejected formats rejects as lines that are easy to compare.
func rejected(list []Reject) []string {
	out := []string{}
	for _, r := range list {
		out = append(out, fmt.Sprintf("%d|%s|%s|%s", r.Line, r.Column, r.Value, r.Reason))
	}
	return out
}

func TestModes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, content string
		target        Target
		want          string // changes in person
		counts        string // inserted, updated, deleted
	}{
		{"append", "id,name,age\n,Cy,7\n9,Di,\n", Target{Mode: Append}, "3|Cy|7|||0.5||CY|\n9|Di||||0.5||DI|\n", "2 0 0"},
		{"append with a column renamed and one skipped", "Full name,x\nCy,1\n", Target{Mode: Append, Columns: map[string]string{"Full name": "name"}, Skip: []string{"x"}}, "3|Cy||||0.5||CY|\n", "1 0 0"},
		{"append without a header goes by place when the table is as wide", "9,Di,8,,1,2.5,AP8=,x,\n", Target{Mode: Append}, "9|Di|8||1|2.5|00FF|DI|\n", "1 0 0"},
		{"names of columns are matched as a new table would have them", "ID,Name,É-mail\n9,Di,d@x\n", Target{Mode: Append, Columns: map[string]string{"É-mail": "EMAIL"}}, "9|Di||d@x||0.5||DI|\n", "1 0 0"},
		{"generated columns of an export are left out", "id,name,upper\n9,Di,DI\n", Target{Mode: Append}, "9|Di||||0.5||DI|\n", "1 0 0"},
		{"replace", "id,name\n5,Eve\n", Target{Mode: Replace}, "5|Eve||||0.5||EVE|\n", "1 0 2"},
		{"upsert by the primary key", "id,name,age\n2,Rob,51\n3,Cy,7\n", Target{Mode: Upsert}, "2|Rob|51|bob@example.org||0.5||ROB|\n3|Cy|7|||0.5||CY|\n", "1 1 0"},
		{"upsert by a unique column, in its collation", "email,age\nBOB@example.org,52\n", Target{Mode: Upsert, Key: []string{"email"}}, "2|Bob|52|bob@example.org||0.5||BOB|\n", "0 1 0"},
		{"upsert of a part of the columns of a row that is there", "id,age\n2,9\n", Target{Mode: Upsert}, "2|Bob|9|bob@example.org||0.5||BOB|\n", "0 1 0"},
		{"upsert by another key keeps the ids of rows that come without", "id,email,age\n,bob@example.org,52\n", Target{Mode: Upsert, Key: []string{"email"}}, "2|Bob|52|bob@example.org||0.5||BOB|\n", "0 1 0"},
		{"update by another key keeps the ids of rows that come without", "id,email,age\n,bob@example.org,52\n", Target{Mode: Update, Key: []string{"email"}}, "2|Bob|52|bob@example.org||0.5||BOB|\n", "0 1 0"},
		{"the last of several rows with one key counts", "id,name\n7,G\n7,H\n", Target{Mode: Upsert}, "7|H||||0.5||H|\n", "1 1 0"},
		{"update", "id,score\n1,1.5\n2,2\n", Target{Mode: Update}, "1|Ada|36|ada@example.org||1.5||ADA|\n2|Bob|50|bob@example.org||2.0||BOB|\n", "0 2 0"},
		{"update of nothing but keys", "id\n1\n", Target{Mode: Update}, "", "0 1 0"},
		{"rows that refer to later rows of the file", "id,name,boss\n8,Hu,9\n9,Iv,8\n", Target{Mode: Append}, "8|Hu||||0.5||HU|9\n9|Iv||||0.5||IV|8\n", "2 0 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			p.mustTake(t, database(t, people))
			before := shell(t, p.path, allPeople)
			test.target.Table = "person"
			report, err := p.take(write(t, "x.csv", test.content), Options{Target: test.target})
			if err != nil {
				t.Fatal(err)
			}
			after := shell(t, p.path, allPeople)
			var changed strings.Builder
			for line := range strings.Lines(after) {
				if !strings.Contains(before, line) {
					changed.WriteString(line)
				}
			}
			if diff := cmp.Diff(test.want, changed.String()); diff != "" {
				t.Errorf("rows: %s\nall:\n%s", diff, after)
			}
			r := report.Tables[0]
			if got := fmt.Sprint(r.Inserted, r.Updated, r.Deleted); got != test.counts || r.Rows != r.Inserted+r.Updated {
				t.Errorf("counts %s, want %s; %d rows", got, test.counts, r.Rows)
			}
			if want := strings.Contains(test.name, "keeps the ids"); want != strings.Contains(fmt.Sprint(report.Notes), "1 row has no value in the primary key") {
				t.Errorf("notes: %v", report.Notes)
			}
			if r.Mode != test.target.Mode || r.Name != "person" {
				t.Errorf("report: %+v", r)
			}
		})
	}
}

func TestRowsThatCannotComeInAreToldAndTheOthersTaken(t *testing.T) {
	const content = `id,name,age,email,team,score,photo
3,Cy,seven,c@x,1,1.5,AP8=
4,,8,d@x,1,1.5,
5,Eve,201,e@x,1,1.5,
6,Fay,9,ADA@example.org,1,1.5,
7,Gil,9,g@x,3,high,????
1,Hu,9,h@x,1,1.5,
8,Iv,9,i@x
9,Jo,9007199254740993,j@x,2,2,
10,Kim,9,k@x,3,1,
11,Lu,12,l@x,2,12345678901234567890,AA==
12,"M
m",9,m@x,2,1e3,AA==
`
	want := []string{
		"2|age|seven|The column holds numbers, but the text is not one.",
		"3|name||A value is required.",
		"4|||The row does not satisfy the table: CHECK constraint failed: age < 200.",
		"5|email|ADA@example.org|Another row already has this value.",
		"6|score|high|The column holds numbers, but the text is not one.",
		"6|photo|????|A BLOB must be a base64 string, and this is not valid base64.",
		"7|id|1|Another row already has this value.",
		"8|||The row has 4 fields, but there are 7 columns.",
		"9|||The row does not satisfy the table: CHECK constraint failed: age < 200.",
		"10|team|3|The table team has no row that this one refers to.",
	}
	path := write(t, "x.csv", content)
	p := newProject(t)
	p.mustTake(t, database(t, people))
	before := shell(t, p.path, allPeople)
	target := Target{Table: "person", Mode: Append, ReadOptions: format.ReadOptions{Ragged: format.RefuseRagged}}
	if preview := p.preview(t, path, Options{Target: target}); preview.RejectedRows != 9 {
		t.Errorf("%d rejected rows in the preview", preview.RejectedRows)
	} else if diff := cmp.Diff(want, rejected(preview.Rejects)); diff != "" {
		t.Errorf("rejects of the preview: %s", diff)
	}
	report, err := p.take(path, Options{Target: target})
	var fault *problem.Error
	if !errors.As(err, &fault) || fault.Code != problem.CodeValidationFailed || len(fault.Details) < 9 {
		t.Fatalf("got %v", err)
	}
	if after := shell(t, p.path, allPeople); after != before {
		t.Errorf("an import that failed has changed rows: %s", cmp.Diff(before, after))
	}
	if diff := cmp.Diff(want, rejected(report.Rejects)); diff != "" {
		t.Errorf("rejects of one that failed: %s", diff)
	}
	report, err = p.take(path, Options{Target: target, OnError: Skip})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rejected(report.Rejects)); diff != "" {
		t.Errorf("rejects: %s", diff)
	}
	if r := report.Tables[0]; report.RejectedRows != 9 || r.Rejected != 9 || r.Inserted != 2 {
		t.Errorf("counts: %+v", report)
	}
	const rows = "SELECT id, typeof(score), score, hex(photo) FROM person WHERE id > 2;\n"
	if got := shell(t, p.path, rows); got != "11|real|1.23456789012346e+19|00\n12|real|1000.0|00\n" {
		t.Errorf("rows: %s", got)
	}
}

// preview runs a preview and checks that it changes nothing.
func (p project) preview(t *testing.T, path string, o Options) Preview {
	t.Helper()
	source, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	before := shell(t, p.path, ".dump\n")
	preview, err := source.Preview(t.Context(), p.DB, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, shell(t, p.path, ".dump\n")); diff != "" {
		t.Errorf("a preview has changed the project: %s", diff)
	}
	return preview
}

// TestPreviewTriesRowsInTheirTables finds, in every mode, faults that show only against
// the project's rows and the whole file.
func TestPreviewTriesRowsInTheirTables(t *testing.T) {
	p := newProject(t)
	p.mustTake(t, database(t, people))
	for _, test := range []struct {
		mode        Mode
		table, rows string
		want        []string
	}{
		{Append, "team", "2,x\n5,y\n5,z\n", []string{"2|id|2|Another row already has this value.", "4|id|5|Another row already has this value."}},
		{Replace, "team", "1,x\n2,y\n2,z\n", []string{"4|id|2|Another row already has this value."}},
		{Upsert, "team", "1,x\n,y\n7,\n", []string{"4|name||A value is required."}},
		{Update, "team", "1,x\n9,y\n", []string{"3|id|9|The table has no row with this key."}},
	} {
		path := write(t, "x.csv", "id,name\n"+test.rows)
		preview := p.preview(t, path, Options{Target: Target{Table: test.table, Mode: test.mode}})
		if diff := cmp.Diff(test.want, rejected(preview.Rejects)); diff != "" {
			t.Errorf("%s: %s", test.mode, diff)
		}
	}
}

// TestRowsThatAreRefusedAmongMany checks that refused rows are reported one by one and
// the others are inserted, just as the shell accepts them row by row.
func TestRowsThatAreRefusedAmongMany(t *testing.T) {
	t.Parallel()
	const shape = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, n INTEGER CHECK (n < 90), half INTEGER AS (n / 2)%s);\n"
	for name, generated := range map[string]string{"plain": "", "generated": " STORED"} {
		t.Run(name, func(t *testing.T) {
			statement := fmt.Sprintf(shape, generated)
			if generated == "" {
				statement = strings.Replace(statement, ", half INTEGER AS (n / 2)", "", 1)
			}
			p := newProject(t)
			p.mustTake(t, database(t, statement+"INSERT INTO t (id, name, n) VALUES (17, 'there', 1);"))
			random := rand.New(rand.NewPCG(1, 2))
			var content, script strings.Builder
			content.WriteString("id,name,n\n")
			for range 3000 {
				id, name, n := random.IntN(4000), fmt.Sprintf("'name %d'", random.IntN(20_000)), random.IntN(95)
				if random.IntN(50) == 0 {
					name = "NULL"
				}
				fmt.Fprintf(&content, "%d,%s,%d\n", id, strings.Trim(strings.Replace(name, "NULL", "", 1), "'"), n)
				fmt.Fprintf(&script, "INSERT OR IGNORE INTO t (id, name, n) VALUES (%d, %s, %d);\n", id, name, n)
			}
			oracle := database(t, statement+"INSERT INTO t (id, name, n) VALUES (17, 'there', 1);\nBEGIN;\n"+script.String()+"COMMIT;\n")
			report, err := p.take(write(t, "x.csv", content.String()), Options{Target: Target{Table: "t", Mode: Append}, OnError: Skip})
			if err != nil {
				t.Fatal(err)
			}
			const rows = "SELECT * FROM t ORDER BY id;\n"
			want := shell(t, oracle, rows)
			if got := shell(t, p.path, rows); got != want {
				t.Error(cmp.Diff(want, got))
			}
			if r := report.Tables[0]; r.Inserted != int64(strings.Count(want, "\n")-1) || r.Inserted+r.Rejected != 3000 || r.Rejected == 0 {
				t.Errorf("%d inserted, %d rejected", r.Inserted, r.Rejected)
			}
		})
	}
}

// endlessRows is a row source that never ends.
type endlessRows struct {
	noRows
	n int64
}

func (r *endlessRows) Next() ([]sqlite.Value, error) {
	r.n++
	return []sqlite.Value{sqlite.IntValue(r.n % 5000), sqlite.TextValue("x")}, nil
}
func (r *endlessRows) Line() int64 { return r.n }

// TestTrialOfManyRowsGivesWay checks that a trial stops before other writers wait long,
// whatever it is doing.
func TestTrialOfManyRowsGivesWay(t *testing.T) {
	t.Parallel()
	for mode, rows := range map[Mode]int{Append: 1, Replace: 300_000} {
		p := newProject(t)
		p.mustTake(t, database(t, fmt.Sprintf("CREATE TABLE numbers (n INTEGER PRIMARY KEY, text TEXT); WITH RECURSIVE r (n) AS (SELECT 10000 UNION ALL SELECT n + 1 FROM r LIMIT %d) INSERT INTO numbers SELECT n, 'text' FROM r;", rows)))
		wide := source.Table{Name: "x", Open: func(context.Context) (source.Rows, error) {
			return &endlessRows{noRows: noRows{{Name: "n"}, {Name: "text"}}}, nil
		}}
		load := &tableLoad{mappings: []tableMapping{{Table: wide, target: Target{Table: "numbers", Mode: mode}}}, profiles: make([]*profile, 1), unchanged: func() error { return nil }}
		var said []source.Note
		done := make(chan error)
		go func() {
			done <- load.tryTables(t.Context(), p.DB, []*columnMapping{{tableMapping: load.mappings[0]}}, &said)
		}()
		time.Sleep(trialTime / 10)
		began := time.Now()
		if _, err := p.UpdateTable(t.Context(), new(problem.Faults), "numbers", projectdb.TablePatch{DisplayName: new(new("Numbers"))}); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited > 4*trialTime {
			t.Errorf("%s: a writer has waited for %v", mode, waited)
		}
		if err := <-done; err != nil || len(said) != 1 {
			t.Errorf("%s: %v, %v", mode, said, err)
		}
		if got := shell(t, p.path, "SELECT count(*) FROM numbers;\n"); got != fmt.Sprintln(rows) {
			t.Errorf("%s: %s rows are left of %d", mode, got, rows)
		}
		if mode == Append && load.rejects.rows == 0 {
			t.Error("what was found is not told")
		}
	}
}

func TestOptionsThatDoNotFitAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, content string
		options       Options
		field, want   string
	}{
		{"unknown column", "id,nmae\n9,x\n", Options{Target: Target{Table: "person", Mode: Append}}, "columns.nmae", `Did you mean "name"?`},
		{"unknown table", "id\n9\n", Options{Target: Target{Table: "persons", Mode: Append}}, "table", `Did you mean "person"?`},
		{"unknown mode", "id\n9\n", Options{Target: Target{Mode: "merge"}}, "mode", "create, append"},
		{"mapping of a column that the file lacks", "id,name\n9,x\n", Options{Target: Target{Table: "person", Mode: Append, Columns: map[string]string{"full": "name"}}}, "columns.full", `no column "full"`},
		{"mapping to a column that the table lacks", "id,x\n9,y\n", Options{Target: Target{Table: "person", Mode: Append, Columns: map[string]string{"x": "nme"}}}, "columns.x", `Did you mean "name"?`},
		{"skip of a column that the file lacks", "id,name\n9,x\n", Options{Target: Target{Skip: []string{"id", "nam"}}}, "skip[1]", `Did you mean "name"?`},
		{"two columns into one", "name,n\nx,y\n", Options{Target: Target{Table: "person", Mode: Append, Columns: map[string]string{"n": "name"}}}, "columns.n", "already gets the values of name"},
		{"key that the table lacks", "id\n9\n", Options{Target: Target{Table: "person", Mode: Upsert, Key: []string{"idd"}}}, "key[0]", `Did you mean "id"?`},
		{"key that is not unique", "id,age\n9,1\n", Options{Target: Target{Table: "person", Mode: Upsert, Key: []string{"age"}}}, "key", "Several rows"},
		{"key that the file lacks", "name\nx\n", Options{Target: Target{Table: "person", Mode: Update}}, "key", "no values for id"},
		{"key without a use", "name\nx\n", Options{Target: Target{Table: "person", Mode: Append, Key: []string{"id"}}}, "key", "upsert and update"},
		{"unknown type", "a\nx\n", Options{Target: Target{Types: map[string]string{"a": "INT"}}}, "types.a", "INTEGER, REAL"},
		{"type of a column that is there", "name\nx\n", Options{Target: Target{Table: "person", Mode: Append, Types: map[string]string{"name": "TEXT"}}}, "types", "already has its types"},
		{"generated column", "id,u\n9,x\n", Options{Target: Target{Table: "person", Mode: Append, Columns: map[string]string{"u": "upper"}}}, "columns.u", "generated"},
		{"table of the file", "id\n9\n", Options{Tables: map[string]Target{"y": {}}}, "tables.y", `no table "y"`},
		{"no header that shows", "1,2\n3,4\n", Options{Target: Target{Table: "person", Mode: Append}}, "header", "2 columns while person has 9"},
		{"everything skipped", "id\n9\n", Options{Target: Target{Skip: []string{"id"}}}, "skip", "Every column"},
		{"sheet of a file without", "id\n9\n", Options{Include: []string{"z"}}, "include_tables[0]", `no table "z"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			p.mustTake(t, database(t, people))
			_, err := p.take(write(t, "x.csv", test.content), test.options)
			var fault *problem.Error
			if !errors.As(err, &fault) || fault.Code != problem.CodeValidationFailed {
				t.Fatalf("got %v", err)
			}
			if d := fault.Details[0]; d.Field != test.field || !strings.Contains(d.Message, test.want) {
				t.Errorf("got %+v", fault.Details)
			}
		})
	}
}

func TestReplaceThatLeavesOrphansIsRefused(t *testing.T) {
	p := newProject(t)
	p.mustTake(t, database(t, people+"UPDATE person SET team = 2;"))
	source, err := Open(t.Context(), source.Opening{Workers: workers, Path: write(t, "x.csv", "id,name\n1,green\n")})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	if _, err := source.Preview(t.Context(), p.DB, Options{Target: Target{Table: "team", Mode: Replace}}); !problem.Is(err, problem.CodeConflict) {
		t.Errorf("the preview gets %v", err)
	}
	_, err = p.take(write(t, "x.csv", "id,name\n1,green\n"), Options{Target: Target{Table: "team", Mode: Replace}})
	if !problem.Is(err, problem.CodeConflict) {
		t.Fatalf("got %v", err)
	}
	if got := shell(t, p.path, "SELECT count(*) FROM team;\n"); got != "2\n" {
		t.Errorf("%s teams", got)
	}
	report, err := p.take(write(t, "x.csv", "id,name\n2,blue\n7,green\n"), Options{Target: Target{Table: "team", Mode: Replace}})
	if err != nil || report.Tables[0].Deleted != 2 {
		t.Fatalf("%v %+v", err, report)
	}
}

func TestTheFirstThousandFaultsAreTold(t *testing.T) {
	p := newProject(t)
	path := write(t, "x.csv", "a,b\n"+strings.Repeat("1,2,3\n", 5000)+"1,2\n")
	strict := Target{ReadOptions: format.ReadOptions{Ragged: format.RefuseRagged}}
	report, err := p.take(path, Options{Target: strict})
	if !problem.Is(err, problem.CodeValidationFailed) || len(report.Rejects) != 1000 {
		t.Fatalf("%d rejects, %v", len(report.Rejects), err)
	}
	report, err = p.take(path, Options{Target: strict, OnError: Skip})
	if err != nil || len(report.Rejects) != 1000 || report.RejectedRows != 5000 || report.Tables[0].Inserted != 1 {
		t.Fatalf("%d rejects of %d, %v", len(report.Rejects), report.RejectedRows, err)
	}
}

func TestAReceiptMakesAnImportOnce(t *testing.T) {
	p := newProject(t)
	path := write(t, "x.csv", "a\n1\n")
	source, err := Open(t.Context(), source.Opening{Workers: workers, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	first, err := source.LoadOnce(t.Context(), p.DB, Options{}, receipt("one"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := source.LoadOnce(t.Context(), p.DB, Options{}, receipt("one"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	tables, err := p.Tables(context.Background())
	if err != nil || len(tables) != 1 {
		t.Errorf("%d tables, %v", len(tables), err)
	}
}
