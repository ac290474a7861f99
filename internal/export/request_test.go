package export

import (
	"context"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

func TestCreateTellsEveryFaultAtOnce(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	never, tooLong := int64(0), int64(31*24*60*60)
	for _, test := range []struct {
		name    string
		request Request
		want    []string
	}{
		{"table", Request{Kind: TableExport, Table: "contacts", Format: "zip", ExpiresIn: &never, Selection: projectdb.Selection{
			Columns: []string{"email", "nmae"}, Filters: []byte(`{"x":1}`), Sort: "y", Limit: -1, Offset: -1,
		}}, []string{"format", "expires_in", "columns[1]", "filters.x", "sort", "limit", "offset"}},
		{"database", Request{Kind: DatabaseExport, Format: "csv", ExpiresIn: &tooLong,
			Include: []string{"x", "contacts"}, Exclude: []string{"contacts", "y"},
			TableOptions: map[string]TableOptions{
				"1": {Selection: projectdb.Selection{Sort: "z"}}, "contacts": {}, "companies": {}, "none": {},
			}}, []string{"format", "expires_in", "include_tables[0]", "exclude_tables[1]", "exclude_tables",
			"table_options.1.sort", "table_options.companies", "table_options.contacts", "table_options.none"}},
		{"dialects", Request{Kind: DatabaseExport, CSV: CSVOptions{Profile: "lotus"}, TableOptions: map[string]TableOptions{
			"contacts": {CSV: CSVOptions{Profile: "excell", Delimiter: ptr("x")}},
		}}, []string{"profile", "table_options.contacts.profile", "table_options.contacts.delimiter"}},
		{"dialect of JSON", Request{Kind: DatabaseExport, Format: "json", CSV: CSVOptions{NullText: ptr("")}, TableOptions: map[string]TableOptions{
			"contacts": {CSV: CSVOptions{BOM: ptr(true)}},
		}}, []string{"null_text", "table_options.contacts.bom"}},
		{"schema", Request{Kind: SchemaExport, Format: "xml"}, []string{"format"}},
	} {
		test.request.Project = shop
		_, err := f.Create(context.Background(), new(problem.Faults), test.request)
		var got []string
		for _, d := range problem.From(err).Details {
			got = append(got, d.Field)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || codeOf(err) != problem.CodeValidationFailed {
			t.Errorf("%s: faults (-want +got):\n%s\n%v", test.name, diff, err)
		}
	}
	if list, _, err := f.List(context.Background(), shop.ID, ListOptions{}); err != nil || len(list) != 0 {
		t.Errorf("refused orders are listed: %v, %v", list, err)
	}
}

func TestCreateOfAnUnknownTable(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	if _, err := f.Create(context.Background(), new(problem.Faults), Request{Project: shop, Kind: TableExport, Table: "none", Format: "x"}); codeOf(err) != problem.CodeNotFound {
		t.Errorf("got %v, want not_found", err)
	}
}

func TestCreateStoresAPendingManifest(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	run := "run-1"
	m := f.create(Request{Kind: DatabaseExport, Exclude: []string{"contacts"}, TokenID: 7, OperationRunID: &run})
	got, err := f.Get(context.Background(), shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("manifest (-created +got):\n%s", diff)
	}
	if !regexp.MustCompile(`^exp_20260601_182345_[0-9a-f]{10}$`).MatchString(m.ID) {
		t.Errorf("id is %s", m.ID)
	}
	if diff := cmp.Diff([]ids.Table{2}, m.TableIDs); diff != "" {
		t.Errorf("table ids (-want +got):\n%s", diff)
	}
	if m.Status != Pending || *m.CreatedByTokenID != 7 || *m.OperationRunID != "run-1" {
		t.Errorf("manifest is %+v", m)
	}
}
