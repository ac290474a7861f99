package projectdb

import (
	"context"
	"math"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/sqlite"
)

func TestDescribeDefault(t *testing.T) {
	for _, test := range []struct{ expression, value, other string }{
		{"", "null", ""},
		{"NULL", "null", ""},
		{"0", "0", ""},
		{"-9223372036854775808", "-9223372036854775808", ""},
		{"+7", "7", ""},
		{"1.0", "1.0", ""},
		{"1e3", "1000.0", ""},
		{"true", "1", ""},
		{"FALSE", "0", ""},
		{"'it''s'", `"it's"`, ""},
		{"''", `""`, ""},
		{"x'00FF'", `"AP8="`, ""},
		{"CAST(X'6100' AS TEXT)", `"a\u0000"`, ""},
		{"CURRENT_TIMESTAMP", "null", "CURRENT_TIMESTAMP"},
		{"9e999", "null", "9e999"},
		{"'a' || 'b'", "null", "'a' || 'b'"},
		{"'a'''b'", "null", "'a'''b'"},
		{"1 + 1", "null", "1 + 1"},
		{"--1", "null", "--1"},
		{"0x10", "null", "0x10"},
		{"abs(-1)", "null", "abs(-1)"},
		{"x'0'", "null", "x'0'"},
		{"xyz", "null", "xyz"},
		{"nan", "null", "nan"},
		{"1_000", "null", "1_000"},
	} {
		value, other := describeDefault(test.expression)
		got := ""
		if other != nil {
			got = *other
		}
		if string(value) != test.value || got != test.other {
			t.Errorf("default %s: got %s, %q; want %s, %q", test.expression, value, got, test.value, test.other)
		}
	}
}

func TestParseLiteralReadsWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(
			rapid.Map(rapid.Int64(), sqlite.IntValue),
			rapid.Map(rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) }), sqlite.FloatValue),
			rapid.Map(rapid.String(), sqlite.TextValue),
			rapid.Map(rapid.SliceOf(rapid.Byte()), sqlite.BlobValue),
		).Draw(t, "value")
		got, ok := parseLiteral(literal(v))
		if !ok || got.Kind != v.Kind || got.Int != v.Int || got.Float != v.Float || string(got.Bytes) != string(v.Bytes) {
			t.Fatalf("%s was read as %+v, %v", literal(v), got, ok)
		}
	})
}

func TestColumnObject(t *testing.T) {
	db := openProject(t, NewTable{Name: "t", Columns: []NewColumn{
		{Name: "email", Unique: true, NotNull: true, Default: []byte(`"none"`)},
	}})
	table, err := db.Table(context.Background(), "t")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, column := range table.ColumnObjects() {
		column.CreatedAt, column.UpdatedAt = "now", "now"
		text, err := json.Marshal(column)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	want := []string{
		`{"id":1,"table_name":"t","column_name":"id","column_type":"INTEGER","is_nullable":0,"default_value":null,"default_expression":null,"is_primary":1,"is_unique":1,"created_at":"now","updated_at":"now"}`,
		`{"id":2,"table_name":"t","column_name":"email","column_type":"TEXT","is_nullable":0,"default_value":"none","default_expression":null,"is_primary":0,"is_unique":1,"created_at":"now","updated_at":"now"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}
