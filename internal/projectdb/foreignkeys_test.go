package projectdb

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// A violation names the direction, the table and the column.
func TestForeignKeysTellWhichRowIsMissing(t *testing.T) {
	db := openProject(t)
	define(t, db, "team", "CREATE TABLE team (id INTEGER PRIMARY KEY, code TEXT UNIQUE, region TEXT, nr INTEGER, UNIQUE (region, nr)) STRICT")
	define(t, db, "person", "CREATE TABLE person (id INTEGER PRIMARY KEY, team_id INTEGER REFERENCES team, code TEXT REFERENCES team (code) ON UPDATE CASCADE, region TEXT, nr INTEGER, boss INTEGER REFERENCES person ON DELETE RESTRICT, FOREIGN KEY (region, nr) REFERENCES team (region, nr)) STRICT")
	define(t, db, "lazy", "CREATE TABLE lazy (id INTEGER PRIMARY KEY, team_id INTEGER REFERENCES team ON DELETE CASCADE) STRICT")
	put(t, db, "team", `{"id":1,"code":"a","region":"n","nr":1}`, `{"id":2,"code":"b","region":"n","nr":2}`, `{"id":3,"code":"c"}`)
	put(t, db, "person", `{"id":1,"team_id":1}`, `{"id":2,"code":"b","region":"n","nr":2}`, `{"id":3,"boss":1}`)
	put(t, db, "lazy", `{"id":1,"team_id":3}`)
	insert := func(rows string) error {
		_, err := db.InsertRecords(ctx, new(problem.Faults), "person", jsontext.Value(rows), InsertOptions{})
		return err
	}
	update := func(table, id, patch string) error {
		_, err := db.UpdateRecord(ctx, new(problem.Faults), table, id, jsontext.Value(patch))
		return err
	}
	updateMany := func(table, patch, filters string) error {
		_, err := db.UpdateRecords(ctx, new(problem.Faults), table, jsontext.Value(patch), Match{Filters: jsontext.Value(filters)})
		return err
	}
	remove := func(table, id string) error { _, err := db.DeleteRecord(ctx, table, id); return err }
	for name, test := range map[string]struct {
		err                error
		field, says, never string
	}{
		"insert":                       {insert(`[{"id":8,"team_id":1},{"id":9,"team_id":99}]`), "data[1].team_id", "No record of the table team has 99 in id.", ""},
		"insert by a text":             {insert(`[{"code":"zz"}]`), "data[0].code", "has 'zz' in code", ""},
		"insert by a long text":        {insert(`[{"code":"` + strings.Repeat("x", 500) + `"}]`), "data[0].code", "has this value", "xxx"},
		"insert by two columns":        {insert(`[{"region":"n","nr":3}]`), "data[0].region data[0].nr", "has 3 in nr", ""},
		"insert into itself":           {insert(`[{"boss":77}]`), "data[0].boss", "the table person has 77 in id", ""},
		"update":                       {update("person", "1", `{"team_id":50}`), "team_id", "has 50 in id", ""},
		"update of a part of a key":    {update("person", "2", `{"nr":3}`), "region nr", "has 3 in nr", ""},
		"update of many":               {updateMany("person", `{"team_id":50}`, `{"id":2}`), "team_id", "has 50 in id", ""},
		"update of a referenced key":   {update("team", "1", `{"id":10}`), "id", "A record of the table person refers to it by team_id.", ""},
		"update of two columns":        {updateMany("team", `{"region":"s"}`, `[{"column":"id","op":"=","value":2}]`), "region nr", "refers to it by nr", ""},
		"delete":                       {remove("team", "1"), "id", "refers to it by team_id", ""},
		"delete of what restricts":     {remove("person", "1"), "id", "refers to it by boss", ""},
		"delete by another unique key": {remove("team", "2"), "code", "refers to it by code", ""},
	} {
		e := problem.From(test.err)
		var fields, messages []string
		for _, d := range e.Details {
			fields, messages = append(fields, d.Field), append(messages, d.Message)
		}
		said := strings.Join(messages, " ")
		if e.Code != problem.CodeConflict || strings.Join(fields, " ") != test.field || !strings.Contains(said, test.says) || test.never != "" && strings.Contains(said, test.never) {
			t.Errorf("%s: %s %v %q", name, e.Code, fields, said)
		}
	}
	for _, err := range []error{remove("team", "3"), update("team", "2", `{"code":"bb"}`), update("person", "1", `{"team_id":null}`), remove("team", "1")} {
		if err != nil {
			t.Error(err)
		}
	}
}

// tableRights are the tables that may be read and written.
type tableRights map[ids.Table]bool

func (r tableRights) MayRead(id ids.Table) bool  { return r[id] }
func (r tableRights) MayWrite(id ids.Table) bool { return true }
func (tableRights) MayWriteAll() bool            { return true }

func TestForeignKeysNameOnlyReadableTables(t *testing.T) {
	db := openProject(t)
	define(t, db, "secret", "CREATE TABLE secret (id INTEGER PRIMARY KEY) STRICT")
	define(t, db, "open", "CREATE TABLE open (id INTEGER PRIMARY KEY, s INTEGER REFERENCES secret) STRICT")
	define(t, db, "hidden", "CREATE TABLE hidden (id INTEGER PRIMARY KEY, o INTEGER REFERENCES open) STRICT")
	put(t, db, "open", `{"id":1}`)
	put(t, db, "hidden", `{"id":1,"o":1}`)
	open, err := db.Table(ctx, "open")
	if err != nil {
		t.Fatal(err)
	}
	narrow := db.As(tableRights{open.ID: true})
	_, inserted := narrow.InsertRecord(ctx, new(problem.Faults), "open", jsontext.Value(`{"s":5}`), InsertOptions{})
	_, deleted := narrow.DeleteRecord(ctx, "open", "1")
	for _, err := range []error{inserted, deleted} {
		e := problem.From(err)
		if text := e.Error(); e.Code != problem.CodeConflict || len(e.Details) == 0 || strings.Contains(text, "secret") || strings.Contains(text, "hidden") || !strings.Contains(text, "another table") {
			t.Errorf("%v", err)
		}
	}
}
