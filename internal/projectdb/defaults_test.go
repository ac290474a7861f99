package projectdb

import (
	"regexp"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
)

func TestComputedDefaults(t *testing.T) {
	t.Parallel()
	db := openProject(t, NewTable{Name: "notes", Columns: []NewColumn{
		{Name: "key", Primary: true, DefaultExpression: "UUID"}, {Name: "text"},
		{Name: "made", DefaultExpression: "current_timestamp", NotNull: true}, {Name: "ms", Type: "INTEGER", DefaultExpression: "now_ms"},
	}})
	put(t, db, "notes", `{"text":"a"}`, `{"text":"b"}`, `{"text":"c","made":"never","ms":1}`)
	c := other(t, db)
	valid := regexp.MustCompile(`^'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'$`)
	keys := strings.Split(ask(t, c, "SELECT key FROM notes"), "\n")
	for i, key := range keys {
		if !valid.MatchString(key) || strings.Count(strings.Join(keys, " "), key) != 1 {
			t.Error("row", i, "has the key", key)
		}
	}
	const near = "SELECT count(*) FROM notes WHERE abs(unixepoch(made) - unixepoch()) < 600 AND abs(ms / 1000 - unixepoch()) < 600"
	if got := ask(t, c, near); got != "2" {
		t.Error("rows with the present time:", got, ask(t, c, "SELECT made, ms FROM notes"))
	}
	// In a table with rows, each gets a value of its own.
	if _, added, err := db.AddColumn(ctx, new(problem.Faults), "notes", NewColumn{Name: "other", Unique: true, NotNull: true, DefaultExpression: "uuid"}); err != nil {
		t.Fatal(err)
	} else if added.Default != uuidSQL {
		t.Error(added.Default)
	}
	if got := ask(t, c, "SELECT count(DISTINCT other) FROM notes"); got != "3" {
		t.Error("different values in a new column:", got)
	}
	now, err := db.Table(ctx, "notes")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"key": "uuid", "made": "CURRENT_TIMESTAMP", "ms": "now_ms", "other": "uuid"} {
		if got := now.ColumnObject(now.Column(name)).DefaultExpression; got == nil || *got != want {
			t.Errorf("the default of %s is shown as %v", name, got)
		}
	}
	if err := now.CheckExpressions(); err != nil {
		t.Error(err)
	}
}

func TestComputedDefaultsChange(t *testing.T) {
	t.Parallel()
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{{Name: "a", Default: []byte(`"x"`)}, {Name: "n", Type: "INTEGER"}, {Name: "any", Type: "ANY"}}})
	patch := func(column string, p ColumnPatch) string {
		_, _, err := db.UpdateColumn(ctx, new(problem.Faults), "t", column, p)
		return complaint(err)
	}
	for _, test := range []struct {
		column string
		patch  ColumnPatch
		want   string
		left   string // the default afterwards
	}{
		{"a", ColumnPatch{DefaultExpression: ptr("uuid")}, "ok", uuidSQL},
		{"a", ColumnPatch{DefaultExpression: ptr("now_ms")}, "validation_failed default_expression", uuidSQL},
		{"a", ColumnPatch{DefaultExpression: ptr("random()")}, "validation_failed default_expression", uuidSQL},
		{"a", ColumnPatch{Type: ptr("INTEGER")}, "validation_failed column_type", uuidSQL},
		{"a", ColumnPatch{Type: ptr("INTEGER"), DefaultExpression: ptr("now_ms")}, "ok", computedDefaults["now_ms"].sql},
		{"a", ColumnPatch{NewName: ptr("b")}, "ok", ""},
		{"b", ColumnPatch{Default: []byte(`5`), DefaultExpression: ptr("now_ms")}, "validation_failed default_expression", computedDefaults["now_ms"].sql},
		{"b", ColumnPatch{Default: []byte(`null`), DefaultExpression: ptr("now_ms")}, "ok", computedDefaults["now_ms"].sql},
		{"b", ColumnPatch{DefaultExpression: ptr("")}, "ok", ""},
		{"b", ColumnPatch{Default: []byte(`7`), DefaultExpression: ptr("")}, "ok", "7"},
		{"any", ColumnPatch{DefaultExpression: ptr("now_ms")}, "ok", computedDefaults["now_ms"].sql},
		{"n", ColumnPatch{DefaultExpression: ptr("CURRENT_TIMESTAMP")}, "validation_failed default_expression", ""},
	} {
		if got := patch(test.column, test.patch); got != test.want {
			t.Errorf("%s %+v: %s, want %s", test.column, test.patch, got, test.want)
		}
		now, err := db.Table(ctx, "t")
		if err != nil {
			t.Fatal(err)
		}
		if column := now.Column(test.column); column != nil && column.Default != test.left {
			t.Errorf("%s %+v: the default is %s", test.column, test.patch, column.Default)
		}
	}
	if _, err := db.CreateTable(ctx, new(problem.Faults), NewTable{Name: "u", Columns: []NewColumn{{Name: "a", Default: []byte("1"), DefaultExpression: "uuid"}, {Name: "b", Type: "BLOB", DefaultExpression: "uuid"}}}); complaint(err) != "validation_failed columns[0].default_expression columns[1].default_expression" {
		t.Error(complaint(err))
	}
}
