package projectdb

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// openStaff opens a project whose people refer to companies, those to people, and seats
// by two columns.
func openStaff(t *testing.T) *DB {
	t.Helper()
	db := openProject(t)
	define(t, db, "companies", "CREATE TABLE companies (id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE UNIQUE, owner_id INTEGER REFERENCES people) STRICT")
	define(t, db, "seats", "CREATE TABLE seats (row INTEGER, seat TEXT, PRIMARY KEY (row, seat)) STRICT, WITHOUT ROWID")
	define(t, db, "people", "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, company_id INTEGER REFERENCES companies, code TEXT REFERENCES companies (code), r INTEGER, s TEXT, boss INTEGER REFERENCES people, FOREIGN KEY (r, s) REFERENCES seats) STRICT")
	put(t, db, "seats", `{"row":1,"seat":"a"}`, `{"row":2,"seat":"b"}`)
	put(t, db, "companies", `{"id":1,"code":"acme"}`, `{"id":2,"code":"Beta"}`)
	put(t, db, "people", `{"id":1,"name":"Ada","company_id":1,"code":"ACME","r":2,"s":"b"}`, `{"id":2,"name":"Bob","company_id":2,"code":"acme","boss":1}`, `{"id":3,"name":"Cy","company_id":1,"r":1}`)
	run(t, db, "UPDATE companies SET owner_id = 3 - id", "INSERT INTO people (id, name, boss) VALUES (4, 'Di', NULL)")
	return db
}

// shownRows returns rows as short text: the first column of each, and in parentheses
// the records that it refers to.
func shownRows(rows Rows) string {
	var list []string
	for i := range rows.Len() {
		list = append(list, rows.shown(i))
	}
	return strings.Join(list, " ")
}

func (r Rows) shown(i int) string {
	text := string(format.AppendValue(nil, r.Batch, r.Batch.Row(i)[0], format.JSONOptions{}))
	var nested []string
	for _, e := range r.Expanded {
		record := "null"
		if of := e.Of[i]; of >= 0 {
			record = e.Rows.shown(of)
		}
		nested = append(nested, e.Name+"="+record)
	}
	if len(nested) > 0 {
		text += "(" + strings.Join(nested, ",") + ")"
	}
	return text
}

func expanded(db *DB, o ListOptions, paths ...string) (Page, error) {
	o.Expand = paths
	if o.Limit == 0 {
		o.Limit = 100
	}
	return db.ListRecords(ctx, new(problem.Faults), "people", o)
}

func TestExpandFollowsForeignKeys(t *testing.T) {
	t.Parallel()
	db := openStaff(t)
	for path, want := range map[string]string{
		"company":                       `1(company_id=1) 2(company_id=2) 3(company_id=1) 4(company_id=null)`,
		"COMPANY_ID":                    `1(company_id=1) 2(company_id=2) 3(company_id=1) 4(company_id=null)`,
		"code":                          `1(code=1) 2(code=1) 3(code=null) 4(code=null)`,
		"boss":                          `1(boss=null) 2(boss=1) 3(boss=null) 4(boss=null)`,
		"r+s":                           `1(r+s=2) 2(r+s=null) 3(r+s=null) 4(r+s=null)`,
		"s r":                           `1(r+s=2) 2(r+s=null) 3(r+s=null) 4(r+s=null)`,
		"company.owner.company":         `1(company_id=1(owner_id=2(company_id=2))) 2(company_id=2(owner_id=1(company_id=1))) 3(company_id=1(owner_id=2(company_id=2))) 4(company_id=null)`,
		"boss,company,company.owner":    `1(boss=null,company_id=1(owner_id=2)) 2(boss=1,company_id=2(owner_id=1)) 3(boss=null,company_id=1(owner_id=2)) 4(boss=null,company_id=null)`,
		"company.owner,company,boss":    `1(company_id=1(owner_id=2),boss=null) 2(company_id=2(owner_id=1),boss=1) 3(company_id=1(owner_id=2),boss=null) 4(company_id=null,boss=null)`,
		"company,company_id,company_id": `1(company_id=1) 2(company_id=2) 3(company_id=1) 4(company_id=null)`,
	} {
		for name, o := range map[string]ListOptions{
			"all columns": {},
			"few columns": {Selection: Selection{Columns: []string{"id"}}},
			"sorted":      {Selection: Selection{Columns: []string{"id"}, Sort: "id"}},
			"cut":         {Selection: Selection{Columns: []string{"id", "code"}, CellLimit: 16}},
		} {
			page, err := expanded(db, o, strings.Split(path, ",")...)
			if got := ""; err != nil {
				t.Errorf("%s, %s: %v", path, name, err)
			} else if got = shownRows(page.Rows); got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s", path, name, got, want)
			}
		}
	}
	one, err := db.GetRecord(ctx, new(problem.Faults), "people", "2", Selection{Columns: []string{"name"}, Expand: []string{"company.owner"}})
	if got := shownRows(one); err != nil || got != `"Bob"(company_id=2(owner_id=1))` {
		t.Error(got, err)
	}
}

// A file that was changed by another program may have references to nothing.
func TestExpandOfDanglingReferences(t *testing.T) {
	t.Parallel()
	db := openStaff(t)
	err := db.View(ctx, func(tx *Tx) error {
		people, err := tx.table("people")
		if err != nil {
			return err
		}
		rows := newRows(people, []format.Column{{Name: "company_id"}})
		for _, id := range []int64{2, 77, 1, 77} {
			rows.Batch.Append(sqlite.IntValue(id))
		}
		keys, err := tx.expandedKeys(people, []string{"company.owner"}, new(problem.Faults))
		if err != nil {
			return err
		}
		err = tx.expand(query{columns: rows.Columns}, &rows, keys, maxPageBytes)
		if got := shownRows(rows); got != "2(company_id=2(owner_id=1)) 77(company_id=null) 1(company_id=1(owner_id=2)) 77(company_id=null)" {
			t.Error(got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestExpandFaults(t *testing.T) {
	t.Parallel()
	db := openStaff(t)
	define(t, db, "odd", "CREATE TABLE odd (id INTEGER PRIMARY KEY, a INTEGER REFERENCES nowhere) STRICT")
	for path, want := range map[string]string{
		"compani": "validation_failed expand[0]", "name": "validation_failed expand[0]", "": "validation_failed expand[0]",
		"company.": "validation_failed expand[0]", "r": "validation_failed expand[0]", "company.nick": "validation_failed expand[0]",
		"boss.boss.boss.boss": "validation_failed expand[0]", "boss,name": "validation_failed expand[1]",
		"boss,boss,boss,boss,boss,boss,boss,boss,boss,boss,boss": "validation_failed expand",
	} {
		if _, err := expanded(db, ListOptions{}, strings.Split(path, ",")...); complaint(err) != want {
			t.Errorf("%q: %s, want %s", path, complaint(err), want)
		}
	}
	_, err := db.ListRecords(ctx, new(problem.Faults), "odd", ListOptions{Selection: Selection{Limit: 1, Expand: []string{"a"}}})
	if complaint(err) != "validation_failed expand[0]" {
		t.Error("a foreign key to no table:", err)
	}
	people, err := db.Table(ctx, "people")
	if err != nil {
		t.Fatal(err)
	}
	some := db.As(tableRights{people.ID: true})
	if _, err := expanded(some, ListOptions{}, "boss"); err != nil {
		t.Error(err)
	}
	if _, err := expanded(some, ListOptions{}, "boss.company"); complaint(err) != "permission_denied" {
		t.Error("a table that may not be read:", err)
	}
	if _, err := some.GetRecord(ctx, new(problem.Faults), "people", "1", Selection{Expand: []string{"company"}}); complaint(err) != "permission_denied" {
		t.Error("a table that may not be read:", err)
	}
}

// What is expanded counts as bytes of the page, each time that it is shown.
func TestExpandIsBounded(t *testing.T) {
	t.Parallel()
	db := openStaff(t)
	run(t, db, "UPDATE companies SET code = 'acme' || CAST(zeroblob(100000) AS TEXT) WHERE FALSE", "DELETE FROM people", "UPDATE companies SET owner_id = NULL")
	run(t, db, "ALTER TABLE companies ADD COLUMN logo BLOB", "UPDATE companies SET logo = zeroblob(100000)")
	run(t, db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO people (id, company_id) SELECT i, 1 + i % 2 FROM n")
	seen, after, pages := 0, "", 0
	for {
		page, err := expanded(db, ListOptions{Selection: Selection{Limit: 400}, After: after}, "company")
		if err != nil {
			t.Fatal(err)
		}
		if bytes, _ := page.expanded(); bytes > maxPageBytes || page.Memory() < bytes {
			t.Fatal("a page shows", bytes, "bytes of expanded records, and says", page.Memory())
		}
		for i := range page.Len() {
			if seen++; page.shown(i) != fmt.Sprintf("%d(company_id=%d)", seen, 1+seen%2) {
				t.Fatal(page.shown(i), "is row", seen)
			}
		}
		pages++
		if !page.HasMore {
			break
		}
		if !page.EndedByBytes {
			t.Fatal("a page ended early without saying so")
		}
		after = page.NextCursor
	}
	if seen != 400 || pages < 5 {
		t.Error(seen, "rows in", pages, "pages")
	}
	if _, err := expanded(db, ListOptions{Selection: Selection{Limit: 400}, Whole: true}, "company"); complaint(err) != "validation_failed after columns" {
		t.Error("a whole page:", complaint(err))
	}
	run(t, db, "UPDATE companies SET logo = zeroblob(9000000)")
	if _, err := expanded(db, ListOptions{Selection: Selection{Limit: 400}}, "company"); complaint(err) != "validation_failed expand" {
		t.Error("a record that is too large:", complaint(err))
	}
	if _, err := db.GetRecord(ctx, new(problem.Faults), "people", "1", Selection{Expand: []string{"company"}}); complaint(err) != "validation_failed expand" {
		t.Error("a record that is too large:", complaint(err))
	}
	run(t, db, "UPDATE companies SET logo = NULL", "UPDATE people SET boss = id % 400 + 1, code = 'acme', r = 1, s = 'a'")
	if page, err := expanded(db, ListOptions{Selection: Selection{Limit: 400}}, "boss.boss.boss", "company", "code", "boss.company", "boss.code", "r+s", "boss.r+s"); err != nil || page.Len() != 400 {
		t.Error(err)
	}
	if _, err := expanded(db, ListOptions{Selection: Selection{Limit: 400}}, "boss.boss.boss", "boss.boss.company", "boss.boss.code", "boss.boss.r+s", "boss.company.owner", "boss.code", "boss.r+s", "company", "code", "r+s"); err != nil {
		t.Error("4,400 records:", err)
	}
	run(t, db, "UPDATE companies SET owner_id = 1")
	if _, err := expanded(db, ListOptions{Selection: Selection{Limit: 400}}, "boss.boss.boss", "boss.boss.company", "boss.boss.code", "boss.boss.r+s", "boss.company.owner", "boss.code.owner", "boss.r+s", "company.owner", "code.owner", "r+s"); complaint(err) != "validation_failed expand" {
		t.Error("more than 5,000 records:", complaint(err))
	}
}

// Keys are compared as the foreign key compares them, whatever the types.
func TestExpandComparesAsForeignKeysDo(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "num", "CREATE TABLE num (k REAL UNIQUE, v TEXT) STRICT")
	define(t, db, "txt", "CREATE TABLE txt (k TEXT COLLATE NOCASE PRIMARY KEY, v TEXT) STRICT")
	define(t, db, "blo", "CREATE TABLE blo (k BLOB PRIMARY KEY, v TEXT) STRICT")
	define(t, db, "c", "CREATE TABLE c (id INTEGER PRIMARY KEY, n INTEGER REFERENCES num (k), t ANY REFERENCES txt, b BLOB REFERENCES blo) STRICT")
	put(t, db, "num", `{"k":1,"v":"one"}`, `{"k":2.5,"v":"half"}`)
	put(t, db, "txt", `{"k":"ab","v":"text"}`, `{"k":"7","v":"seven"}`)
	put(t, db, "blo", `{"k":"AAE=","v":"blob"}`)
	put(t, db, "c", `{"id":1,"n":1,"t":"AB","b":"AAE="}`, `{"id":2,"t":7}`, `{"id":3,"t":"ab"}`)
	page, err := db.ListRecords(ctx, new(problem.Faults), "c", ListOptions{Selection: Selection{Limit: 9, Expand: []string{"n", "t", "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `1(n=1.0,t="ab",b="AAE=") 2(n=null,t="7",b=null) 3(n=null,t="ab",b=null)`
	if got := shownRows(page.Rows); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestExpandOfTheWidestTable(t *testing.T) {
	t.Parallel()
	wide := NewTable{Name: "wide", Columns: []NewColumn{{Name: "id", Type: "INTEGER", Primary: true}, {Name: "up", Type: "INTEGER", References: &Target{Table: "wide"}}}}
	for i := len(wide.Columns); i < MaxColumns; i++ {
		wide.Columns = append(wide.Columns, NewColumn{Name: "c" + itoa(i)})
	}
	db := openProject(t, wide)
	put(t, db, "wide", `{"id":1,"up":1}`, `{"id":2,"up":1}`, `{"id":3}`)
	list := func(s Selection, after string) (Page, error) {
		return db.ListRecords(ctx, new(problem.Faults), "wide", ListOptions{Selection: s, After: after})
	}
	page, err := list(Selection{Limit: 1, Expand: []string{"up.up"}}, "")
	if err != nil || shownRows(page.Rows) != "1(up=1(up=1))" {
		t.Fatal(err)
	}
	page, err = list(Selection{Limit: 2, Expand: []string{"up"}}, page.NextCursor)
	if err != nil || shownRows(page.Rows) != "2(up=1) 3(up=null)" {
		t.Error(err)
	}
	if _, err := list(Selection{Limit: 2, CellLimit: 16, Expand: []string{"up"}}, ""); complaint(err) != "validation_failed expand" {
		t.Error(complaint(err))
	}
}
