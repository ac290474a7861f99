package projectdb

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// openReferences opens a project with the tables companies and people; the latter has
// no foreign keys.
func openReferences(t *testing.T) *DB {
	t.Helper()
	return openProject(t,
		NewTable{Name: "companies", Columns: []NewColumn{
			{Name: "id", Type: "INTEGER", Primary: true}, {Name: "code", Unique: true}, {Name: "name"},
			{Name: "region"}, {Name: "nr", Type: "INTEGER"}, {Name: "size", Type: "REAL", Unique: true},
		}},
		NewTable{Name: "people", Columns: []NewColumn{
			{Name: "id", Type: "INTEGER", Primary: true}, {Name: "company_id", Type: "INTEGER"}, {Name: "code", NotNull: true}, {Name: "boss", Type: "INTEGER"},
		}},
	)
}

// to returns a patch of the references of a column.
func to(target Target) ColumnPatch { return ColumnPatch{References: ptr(&target)} }

func patchColumn(db *DB, column string, patch ColumnPatch) error {
	_, _, err := db.UpdateColumn(ctx, new(problem.Faults), "people", column, patch)
	return err
}

func TestForeignKeysAreMadeAndDropped(t *testing.T) {
	t.Parallel()
	db := openReferences(t)
	put(t, db, "companies", `{"id":1,"code":"a"}`, `{"id":2,"code":"b"}`)
	put(t, db, "people", `{"id":1,"company_id":1,"code":"a"}`, `{"id":2,"company_id":null,"code":"b","boss":1}`)
	for _, step := range []struct {
		column string
		patch  ColumnPatch
	}{
		{"company_id", to(Target{Table: "Companies", OnDelete: "cascade"})},
		{"code", to(Target{Table: "companies", Columns: []string{"code"}, OnUpdate: "CASCADE"})},
		{"boss", to(Target{Table: "people", OnDelete: "set null"})},
	} {
		if err := patchColumn(db, step.column, step.patch); err != nil {
			t.Fatal(step.column, err)
		}
	}
	const want = `{"columns":["company_id"],"parent_table":"companies","parent_columns":["id"],"on_update":"NO ACTION","on_delete":"CASCADE","deferred":false}`
	if got := relationsOf(t, db, "people"); !strings.Contains(got, want) || !strings.Contains(got, `"referenced_by":[{"table":"people","columns":["boss"],"parent_columns":["id"],"on_delete":"SET NULL"}]`) {
		t.Error(got)
	}
	if _, err := db.InsertRecord(ctx, new(problem.Faults), "people", []byte(`{"code":"nowhere"}`), InsertOptions{}); complaint(err) != "conflict code" {
		t.Error("a new key is not enforced:", err)
	}
	if _, err := db.DeleteRecord(ctx, "people", "1"); err != nil {
		t.Error(err)
	}
	c := other(t, db)
	if got := ask(t, c, "SELECT id, boss FROM people"); got != "2|NULL" {
		t.Error("after the deletion:", got)
	}
	// Another key takes the place of the first.
	if err := patchColumn(db, "company_id", to(Target{Table: "companies"})); err != nil {
		t.Fatal(err)
	}
	if got := relationsOf(t, db, "people"); strings.Count(got, `["company_id"]`) != 1 || strings.Contains(got, "CASCADE\",\"deferred\":false},{\"columns\":[\"company_id") {
		t.Error(got)
	}
	for _, column := range []string{"company_id", "code", "boss"} {
		if err := patchColumn(db, column, ColumnPatch{References: ptr[*Target](nil)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := relationsOf(t, db, "people"); got != `{"foreign_keys":null,"referenced_by":null}` {
		t.Error("after they were dropped:", got)
	}
	sound(t, c)
}

func TestForeignKeysThatRowsViolate(t *testing.T) {
	t.Parallel()
	db := openReferences(t)
	put(t, db, "companies", `{"id":1,"code":"a"}`)
	for i := range 9 {
		put(t, db, "people", `{"id":`+itoa(10+i)+`,"company_id":`+itoa(i)+`,"code":"a"}`)
	}
	err := patchColumn(db, "company_id", to(Target{Table: "companies"}))
	e := problem.From(err)
	if complaint(err) != "conflict references" || !strings.Contains(e.Message, "8 rows") || !strings.Contains(e.Message, "10, 12, 13, 14, 15.") {
		t.Error(e.Message)
	}
	blind := db.As(tableRights{})
	if e := problem.From(patchColumn(blind, "company_id", to(Target{Table: "companies"}))); !strings.Contains(e.Message, "8 rows") || strings.Contains(e.Message, "12") {
		t.Error("told to one who may not read:", e.Message)
	}
	if _, _, err := db.AddColumn(ctx, new(problem.Faults), "people", NewColumn{Name: "other", Type: "INTEGER", Default: []byte("7"), References: &Target{Table: "companies"}}); complaint(err) != "conflict references" {
		t.Error("a default that refers to nothing:", err)
	}
	if _, err := db.UpdateTable(ctx, new(problem.Faults), "people", TablePatch{ForeignKeys: &[]NewForeignKey{{[]string{"code"}, Target{Table: "companies", Columns: []string{"code"}}}, {[]string{"company_id"}, Target{Table: "companies"}}}}); complaint(err) != "conflict foreign_keys[1]" {
		t.Error(err)
	}
	if got := relationsOf(t, db, "people"); got != `{"foreign_keys":null,"referenced_by":null}` {
		t.Error("a refused key was made:", got)
	}
	if _, _, err := db.AddColumn(ctx, new(problem.Faults), "people", NewColumn{Name: "other", Type: "INTEGER", Default: []byte("1"), References: &Target{Table: "companies"}}); err != nil {
		t.Error(err)
	}
	if _, _, err := db.AddColumn(ctx, new(problem.Faults), "people", NewColumn{Name: "single", Unique: true, References: &Target{Table: "companies", Columns: []string{"code"}}}); err != nil {
		t.Error(err)
	}
	if got := relationsOf(t, db, "people"); !strings.Contains(got, `["other"]`) || !strings.Contains(got, `["single"]`) {
		t.Error(got)
	}
	sound(t, other(t, db))
}

func TestForeignKeysOfSeveralColumns(t *testing.T) {
	t.Parallel()
	db := openReferences(t)
	seats := NewTable{Name: "seats", Columns: []NewColumn{{Name: "row", Type: "INTEGER", Primary: true}, {Name: "seat", Primary: true}}}
	if _, err := db.CreateTable(ctx, new(problem.Faults), seats); err != nil {
		t.Fatal(err)
	}
	tickets := NewTable{
		Name:        "tickets",
		Columns:     []NewColumn{{Name: "r", Type: "INTEGER"}, {Name: "s"}, {Name: "next", Type: "INTEGER", References: &Target{Table: "tickets"}}},
		ForeignKeys: []NewForeignKey{{[]string{"s", "r"}, Target{Table: "seats", Columns: []string{"seat", "row"}, OnDelete: "SET NULL"}}},
	}
	if _, err := db.CreateTable(ctx, new(problem.Faults), tickets); err != nil {
		t.Fatal(err)
	}
	put(t, db, "seats", `{"row":1,"seat":"a"}`)
	put(t, db, "tickets", `{"r":1,"s":"a"}`, `{"r":1}`)
	if _, err := db.InsertRecord(ctx, new(problem.Faults), "tickets", []byte(`{"r":1,"s":"b"}`), InsertOptions{}); complaint(err) != "conflict s r" {
		t.Error(complaint(err))
	}
	if _, _, err := db.UpdateColumn(ctx, new(problem.Faults), "tickets", "r", ColumnPatch{References: ptr[*Target](nil)}); err != nil {
		t.Fatal(err)
	}
	if got := relationsOf(t, db, "tickets"); strings.Contains(got, `"s"`) || !strings.Contains(got, `"next"`) {
		t.Error(got)
	}
	again := []NewForeignKey{{[]string{"r", "s"}, Target{Table: "seats"}}}
	if _, err := db.UpdateTable(ctx, new(problem.Faults), "tickets", TablePatch{NewName: ptr("passes"), ForeignKeys: &again}); err != nil {
		t.Fatal(err)
	}
	if got := relationsOf(t, db, "passes"); !strings.Contains(got, `"parent_columns":["row","seat"]`) || strings.Contains(got, "next") {
		t.Error(got)
	}
	sound(t, other(t, db))
}

func TestForeignKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	db := openReferences(t)
	define(t, db, "computed", "CREATE TABLE computed (id INTEGER PRIMARY KEY, twice INTEGER AS (id * 2)) STRICT")
	for name, test := range map[string]struct {
		key  NewForeignKey
		want string
	}{
		"no such table":         {NewForeignKey{[]string{"code"}, Target{Table: "company"}}, "foreign_keys[0].parent_table"},
		"an inner table":        {NewForeignKey{[]string{"code"}, Target{Table: "_tables"}}, "foreign_keys[0].parent_table"},
		"no such column":        {NewForeignKey{[]string{"cod"}, Target{Table: "companies"}}, "foreign_keys[0].columns[0]"},
		"no such parent column": {NewForeignKey{[]string{"code"}, Target{Table: "companies", Columns: []string{"cod"}}}, "foreign_keys[0].parent_columns"},
		"not a key":             {NewForeignKey{[]string{"code"}, Target{Table: "companies", Columns: []string{"name"}}}, "foreign_keys[0].parent_columns"},
		"another type":          {NewForeignKey{[]string{"code"}, Target{Table: "companies"}}, "foreign_keys[0].parent_columns"},
		"too many":              {NewForeignKey{[]string{"company_id", "code"}, Target{Table: "companies"}}, "foreign_keys[0].parent_columns"},
		"twice":                 {NewForeignKey{[]string{"code", "CODE"}, Target{Table: "companies", Columns: []string{"code"}}}, "foreign_keys[0].columns[1]"},
		"none":                  {NewForeignKey{nil, Target{Table: "companies"}}, "foreign_keys[0].columns"},
		"no parent columns":     {NewForeignKey{[]string{"code"}, Target{Table: "companies", Columns: []string{}}}, "foreign_keys[0].parent_columns"},
		"an unknown action":     {NewForeignKey{[]string{"company_id"}, Target{Table: "companies", OnDelete: "DESTROY"}}, "foreign_keys[0].on_delete"},
		"a null that cannot be": {NewForeignKey{[]string{"code"}, Target{Table: "companies", Columns: []string{"code"}, OnUpdate: "SET NULL"}}, "foreign_keys[0].on_update"},
		"a default that is not": {NewForeignKey{[]string{"code"}, Target{Table: "companies", Columns: []string{"code"}, OnDelete: "SET DEFAULT"}}, "foreign_keys[0].on_delete"},
	} {
		_, err := db.UpdateTable(ctx, new(problem.Faults), "people", TablePatch{ForeignKeys: &[]NewForeignKey{test.key}})
		if got := complaint(err); got != "validation_failed "+test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if _, _, err := db.UpdateColumn(ctx, new(problem.Faults), "computed", "twice", to(Target{Table: "companies"})); complaint(err) != "validation_failed references" {
		t.Error(complaint(err))
	}
	if err := patchColumn(db, "company_id", to(Target{Table: "companies", Columns: []string{"size"}})); err != nil {
		t.Error("a whole number that refers to a REAL:", err)
	}
	table := NewTable{Name: "2x", Columns: []NewColumn{{Name: "a", References: &Target{Table: "nowhere"}}, {Name: "b", Type: "INTEGER", References: &Target{Table: "2x"}}}}
	if _, err := db.CreateTable(ctx, new(problem.Faults), table); complaint(err) != "validation_failed table_name columns[0].references.table" {
		t.Error(complaint(err))
	}
	patches := []NamedPatch{{"company_id", to(Target{Table: "companies", Columns: []string{"name"}})}, {"boss", to(Target{Table: "nobody"})}}
	if err := db.UpdateColumns(ctx, new(problem.Faults), "people", patches); complaint(err) != "validation_failed columns[0].references.column columns[1].references.table" {
		t.Error(complaint(err))
	}
}

func TestBlueprintsRefer(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	blueprint := Blueprint{Tables: []BlueprintTable{
		{NewTable: NewTable{Name: "teams", Columns: []NewColumn{{Name: "name"}}}, Seed: []jsontext.Value{[]byte(`{"id":1,"name":"a"}`)}},
		{NewTable: NewTable{Name: "players", Columns: []NewColumn{{Name: "team_id", Type: "INTEGER", References: &Target{Table: "teams"}}}}, Seed: []jsontext.Value{[]byte(`{"team_id":1}`)}},
	}}
	var faults problem.Faults
	blueprint.Check(&faults)
	if _, err := db.Build(ctx, blueprint); err != nil || faults.Any() {
		t.Fatal(err, faults.Err())
	}
	if got := relationsOf(t, db, "teams"); !strings.Contains(got, `"table":"players"`) {
		t.Error(got)
	}
	blueprint.Tables[0], blueprint.Tables[1] = blueprint.Tables[1], blueprint.Tables[0]
	blueprint.Check(&faults)
	if got := complaint(faults.Err()); got != "validation_failed tables[0].columns[0].references.table" {
		t.Error(got)
	}
}
