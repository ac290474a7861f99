package projectdb

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
)

// relationsOf returns the relations of a table as JSON, with the hidden tables left
// out.
func relationsOf(t *testing.T, db *DB, table string, hidden ...string) string {
	t.Helper()
	_, r, err := db.Relations(ctx, table, func(other *Table) bool { return !strings.Contains(strings.Join(hidden, " "), other.Name) })
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRelationsAreShownFromBothSides(t *testing.T) {
	t.Parallel()
	db := openProject(t)
	define(t, db, "team", "CREATE TABLE team (id INTEGER PRIMARY KEY, region TEXT, nr INTEGER, UNIQUE (region, nr)) STRICT")
	define(t, db, "person", "CREATE TABLE person (id INTEGER PRIMARY KEY, team_id INTEGER REFERENCES team ON DELETE CASCADE, region TEXT, nr INTEGER, boss INTEGER REFERENCES person, gone INTEGER REFERENCES nowhere, FOREIGN KEY (region, nr) REFERENCES team (region, nr) ON UPDATE CASCADE) STRICT")
	person, team := relationsOf(t, db, "person"), relationsOf(t, db, "TEAM")
	for _, want := range []string{
		`{"columns":["team_id"],"parent_table":"team","parent_columns":["id"],"on_update":"NO ACTION","on_delete":"CASCADE","deferred":false}`,
		`{"columns":["region","nr"],"parent_table":"team","parent_columns":["region","nr"],"on_update":"CASCADE","on_delete":"NO ACTION","deferred":false}`,
		`{"table":"person","columns":["boss"],"parent_columns":["id"],"on_delete":"NO ACTION"}`,
		`"parent_table":"nowhere"`,
	} {
		if !strings.Contains(person, want) {
			t.Errorf("%s is not in %s", want, person)
		}
	}
	const want = `[{"table":"person","columns":["team_id"],"parent_columns":["id"],"on_delete":"CASCADE"},{"table":"person","columns":["region","nr"],"parent_columns":["region","nr"],"on_delete":"NO ACTION"}]`
	if !strings.Contains(team, want) {
		t.Errorf("%s is not in %s", want, team)
	}
	if hidden := relationsOf(t, db, "team", "person"); strings.Contains(hidden, "person") {
		t.Error("a hidden table is shown:", hidden)
	}
	if hidden := relationsOf(t, db, "person", "team"); strings.Contains(hidden, "team_id") || !strings.Contains(hidden, "boss") {
		t.Error("a key to a hidden table is shown, or one of its own is not:", hidden)
	}
}

func TestLabelFollowsItsColumn(t *testing.T) {
	t.Parallel()
	db := openProject(t, NewTable{Name: "people", Columns: []NewColumn{{Name: "name"}, {Name: "age", Type: "INTEGER"}}})
	label := func(name *string) error {
		_, err := db.UpdateTable(ctx, new(problem.Faults), "people", TablePatch{LabelColumn: &name})
		return err
	}
	check := func(step, want string) {
		t.Helper()
		now, err := db.Table(ctx, "people")
		if err != nil || now.LabelColumn != want {
			t.Errorf("%s: %q %v, want %q", step, now.LabelColumn, err, want)
		}
	}
	check("at first", "")
	if err := label(ptr("NAME")); err != nil {
		t.Fatal(err)
	}
	check("set", "name")
	if err := label(ptr("nome")); complaint(err) != "validation_failed label_column" {
		t.Error(err)
	}
	if _, err := db.UpdateTable(ctx, new(problem.Faults), "people", TablePatch{NewName: ptr("2x"), LabelColumn: ptr(ptr("nome"))}); complaint(err) != "validation_failed new_table_name label_column" {
		t.Error(complaint(err))
	}
	if _, _, err := db.UpdateColumn(ctx, new(problem.Faults), "people", "name", ColumnPatch{NewName: ptr("title"), Unique: ptr(true)}); err != nil {
		t.Fatal(err)
	}
	check("its column renamed", "title")
	if _, err := db.UpdateTable(ctx, new(problem.Faults), "people", TablePatch{DisplayName: ptr(ptr("People"))}); err != nil {
		t.Fatal(err)
	}
	check("something else changed", "title")
	if _, err := db.DeleteColumn(ctx, new(problem.Faults), "people", "title"); err != nil {
		t.Fatal(err)
	}
	check("its column deleted", "")
	if err := label(ptr("age")); err != nil {
		t.Fatal(err)
	}
	check("set again", "age")
	if err := label(nil); err != nil {
		t.Fatal(err)
	}
	check("removed", "")
}
