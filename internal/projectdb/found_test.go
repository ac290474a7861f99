package projectdb

import (
	"context"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

// TestNothingIsDoneWhileThereAreFaults calls every mutating method with a fault that
// its caller has found. None may change anything or wait for the writer, and each
// reports what else is wrong.
func TestNothingIsDoneWhileThereAreFaults(t *testing.T) {
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{{Name: "n", Type: "INTEGER", Unique: true}}})
	define(t, db, "kept", "CREATE INDEX kept ON t (n)")
	put(t, db, "t", `{"n":1}`)
	writer := as(t, db, "t") // may not read
	before := dump(t, other(t, db))
	name, kind := "1bad", "FOO"
	held, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- db.Change(ctx, new(problem.Faults), OwnTransaction, func(*Tx) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	object, none := jsontext.Value(`{"x":1}`), InsertOptions{}
	for _, test := range []struct {
		method string
		call   func(context.Context, *problem.Faults) error
		field  string // the additional fault; "" for none
	}{
		{"CreateTable", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.CreateTable(ctx, f, NewTable{Name: name})
			return err
		}, "table_name"},
		{"UpdateTable", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.UpdateTable(ctx, f, "t", TablePatch{NewName: &name})
			return err
		}, "new_table_name"},
		{"AddColumn", func(ctx context.Context, f *problem.Faults) error {
			_, _, err := db.AddColumn(ctx, f, "t", NewColumn{Name: name})
			return err
		}, "column_name"},
		{"UpdateColumn", func(ctx context.Context, f *problem.Faults) error {
			_, _, err := db.UpdateColumn(ctx, f, "t", "n", ColumnPatch{Type: &kind})
			return err
		}, "column_type"},
		{"UpdateColumns", func(ctx context.Context, f *problem.Faults) error {
			return db.UpdateColumns(ctx, f, "t", []NamedPatch{{Column: "n"}, {Column: "x"}})
		}, "columns[1]"},
		{"DeleteColumn", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.DeleteColumn(ctx, f, "t", "id")
			return err
		}, "column"},
		{"DeleteColumn of another", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.DeleteColumn(ctx, f, "t", "n")
			return err
		}, ""},
		{"CreateIndex", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.CreateIndex(ctx, f, "t", NewIndex{Columns: []string{"x"}})
			return err
		}, "columns[0]"},
		{"DropIndex", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.DropIndex(ctx, f, "t", "sqlite_autoindex_t_1")
			return err
		}, "index"},
		{"DropIndex of another", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.DropIndex(ctx, f, "t", "kept")
			return err
		}, ""},
		{"InsertRecord", func(ctx context.Context, f *problem.Faults) error {
			_, err := writer.InsertRecord(ctx, f, "t", object, none)
			return err
		}, "x"},
		{"InsertRecord of a good one", func(ctx context.Context, f *problem.Faults) error {
			_, err := writer.InsertRecord(ctx, f, "t", jsontext.Value(`{"n":2}`), none)
			return err
		}, ""},
		{"InsertRecords", func(ctx context.Context, f *problem.Faults) error {
			_, err := writer.InsertRecords(ctx, f, "t", jsontext.Value(`[{"n":2},{"x":1}]`), none)
			return err
		}, "data[1].x"},
		{"UpdateRecord", func(ctx context.Context, f *problem.Faults) error {
			_, err := writer.UpdateRecord(ctx, f, "t", "1", object)
			return err
		}, "x"},
		{"UpdateRecords", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.UpdateRecords(ctx, f, "t", object, Match{All: true})
			return err
		}, "data.x"},
		{"DeleteRecords", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.DeleteRecords(ctx, f, "t", Match{})
			return err
		}, "where"},
		{"DeleteRecords of all", func(ctx context.Context, f *problem.Faults) error {
			_, err := db.DeleteRecords(ctx, f, "t", Match{All: true})
			return err
		}, ""},
	} {
		var faults problem.Faults
		faults.Add("found", "Wrong.")
		want := "validation_failed found"
		if test.field != "" {
			want += " " + test.field
		}
		if got := complaint(test.call(ctx, &faults)); got != want {
			t.Errorf("%s: got %s, want %s", test.method, got, want)
		}
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if after := dump(t, other(t, db)); after != before {
		t.Errorf("something has changed:\n%s\nwas\n%s", after, before)
	}
}
