package rehearsal

import (
	"context"
	"errors"
	"slices"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/projectdb"
)

// compare compares each restored table with what the manifest says about it.
func (r *Rehearsal) compare(ctx context.Context, db *projectdb.DB, m *export.Manifest, report ingest.Report) (err error) {
	snapshot, err := db.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	for i := range m.Tables {
		if err := r.compareTable(snapshot, &m.Tables[i], report); err != nil {
			return err
		}
	}
	for _, t := range snapshot.Tables {
		if !slices.ContainsFunc(m.Tables, func(want export.TableResult) bool { return want.Name == t.Name }) {
			r.fault("The file has a table %s, which the manifest does not list.", t.Name)
		}
	}
	return nil
}

func (r *Rehearsal) compareTable(snapshot *projectdb.Snapshot, want *export.TableResult, report ingest.Report) error {
	result := Table{Name: want.Name, RowsExpected: want.RowCount, ExpectedHash: want.ContentHash}
	at := slices.IndexFunc(snapshot.Tables, func(t projectdb.Table) bool { return t.Name == want.Name })
	if at < 0 {
		r.Tables = append(r.Tables, result)
		r.fault("The table %s was not restored.", want.Name)
		return nil
	}
	t := &snapshot.Tables[at]
	if want.SchemaSHA256 != "" {
		result.SchemaEqual = new(t.SchemaSHA256() == want.SchemaSHA256)
	}
	columns, equal := columnsOf(t, want, report)
	result.ColumnsEqual = equal
	if columns != nil {
		content, err := snapshot.Content(t, columns)
		if err != nil {
			return err
		}
		result.RowCount, result.ContentHash = content.Rows, content.Hash()
	}
	result.ContentEqual = result.RowCount == want.RowCount && result.ContentHash == want.ContentHash
	r.Tables = append(r.Tables, result)
	r.RowCount += result.RowCount
	r.judge(&result, want)
	return nil
}

// columnsOf returns the columns of a restored table that hold the values of the
// artifact's columns, and whether they have the same types. It returns nil if a column
// is missing.
func columnsOf(t *projectdb.Table, want *export.TableResult, report ingest.Report) (names []string, equal bool) {
	equal = true
	for i, column := range want.Columns {
		restored := t.Column(column.Name)
		if restored == nil {
			// A column of a query may have a name that tables do not allow.
			restored = renamed(t, want.Name, i, report)
		}
		if restored == nil {
			return nil, false
		}
		names = append(names, restored.Name)
		equal = equal && restored.Type == column.Type
	}
	return names, equal
}

// renamed returns the restored table's column that was made from column i of the file.
func renamed(t *projectdb.Table, name string, i int, report ingest.Report) *projectdb.Column {
	for _, made := range report.Tables {
		if made.Name == name && i < len(made.Columns) {
			return t.Column(made.Columns[i].Name)
		}
	}
	return nil
}

// judge reports what differs from the snapshot.
func (r *Rehearsal) judge(result *Table, want *export.TableResult) {
	if !result.ColumnsEqual {
		r.fault("The table %s was restored with different columns.", result.Name)
	}
	if result.SchemaEqual != nil && !*result.SchemaEqual {
		r.fault("The table %s was restored with different keys, constraints or indexes.", result.Name)
	}
	switch {
	case result.RowCount != want.RowCount:
		r.fault("The table %s was restored with %d rows, the snapshot had %d.", result.Name, result.RowCount, want.RowCount)
	case result.ContentEqual:
	case want.ContentHash == "":
		r.fault("The manifest says nothing about the values of the table %s.", result.Name)
	case want.Replaced > 0:
		r.fault("The table %s was restored with different values: this format could not hold %d of them.", result.Name, want.Replaced)
	default:
		r.fault("The table %s was restored with different values.", result.Name)
	}
}
