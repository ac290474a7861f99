package format

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/sqlite"
)

func TestReadJSONDatabase(t *testing.T) {
	const text = `{"project":"p","tables":{
"a":{"columns":[{"column_name":"x","column_type":"INTEGER","is_primary":1}],"rows":[{"x":1},{"x":2,"y":"more"}],"note":[]},
"b":{"rows":[]},
"c":{"columns":[{"column_name":"z","column_type":"BLOB"}],"rows":[{"z":null},{"z":"AA=="}]}},"after":{}}`
	tables, err := ScanJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = ReadJSONDatabase(strings.NewReader(text), tables, func(table JSONTable, rows TableReader) error {
		line := table.Name + " " + string(table.Described)
		var b sqlite.Batch
		if table.Name == "a" { // leave the other row unread
			if _, err := rows.Read(&b, 1); err != nil {
				return err
			}
			line += " " + strings.Repeat("row ", b.Rows)
		}
		for _, column := range rows.Columns() {
			line += " " + column.Name + ":" + column.Type
		}
		got = append(got, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`a [{"column_name":"x","column_type":"INTEGER","is_primary":1}] row  x:INTEGER y:`,
		`b `,
		`c [{"column_name":"z","column_type":"BLOB"}] z:BLOB`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cut := text[:strings.Index(text, `"AA=="`)]
	err = ReadJSONDatabase(strings.NewReader(cut), tables, func(JSONTable, TableReader) error { return nil })
	if err == nil || err.Error() != "line 4, column 83: the file ends in the middle of a value" {
		t.Errorf("got %v", err)
	}
}
