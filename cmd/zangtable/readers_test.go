package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/xuri/excelize/v2"

	"github.com/zangtable/zangtable/internal/testkit"
)

// The readers represent each value as values does: by its type and its bytes in
// hexadecimal. Readers of formats with fewer types have only those types: CSV has text,
// and JSON and XLSX have numbers, given by their own digits.

// readAs reads the rows of a table from a file.
func readAs(t *testing.T, name, path string, o *oracle) [][]string {
	t.Helper()
	switch name {
	case "csv":
		return fields(t, readFile(t, path), o.columns)
	case "json":
		return agreesWithJQ(t, path, ".[]", o.columns, objects(t, readFile(t, path), o.columns))
	case "ndjson":
		return agreesWithJQ(t, path, ".", o.columns, objects(t, readFile(t, path), o.columns))
	case "xlsx":
		return sheet(t, path, o.columns)
	case "parquet":
		return rowGroups(t, path, o.columns)
	}
	return values(t, testkit.Tool(t, "sqlite3"), path, o.name, o.columns)
}

// held returns the form in which a reader of the format should return a value of the
// shell, from a column of the given type.
func held(name, columnType, told string) string {
	kind, digits, _ := strings.Cut(told, " ")
	if kind == "null" || name == "sqlite" || name == "sql" {
		return told
	}
	decoded, _ := hex.DecodeString(digits) // the shell's digits are valid
	text := string(decoded)
	switch {
	case kind == "blob" && (name != "parquet" || columnType != "BLOB"):
		return tellText(base64.StdEncoding.EncodeToString(decoded))
	case kind == "text" && name != "csv":
		return tellText(wellFormed(text))
	case kind == "integer" && name == "csv", kind == "integer" && name == "parquet" && columnType != "INTEGER":
		return tellText(text)
	}
	switch name {
	case "json", "ndjson":
		if kind == "integer" {
			return "number " + text
		}
		if kind == "real" && isInfinite(digits) {
			return "null "
		}
	case "xlsx":
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case kind == "integer" && err == nil && n <= 1<<53 && n >= -1<<53:
			return "number " + text
		case kind == "integer":
			return tellText(text)
		case kind == "real" && isInfinite(digits):
			return tellText(map[string]string{"7FF0000000000000": "Infinity", "FFF0000000000000": "-Infinity"}[digits])
		}
	}
	return told
}

// same reports whether a reader has read the expected value. A real read from text has
// many forms, all of which are right if they have the same 64 bits; but it must not
// look like an integer.
func same(got, want string) bool {
	kind, text, _ := strings.Cut(got, " ")
	if got == want || !strings.HasPrefix(want, "real ") || kind != "text" && kind != "number" {
		return got == want
	}
	if kind == "text" {
		b, _ := hex.DecodeString(text) // written by tellText
		text = string(b)
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && tellReal(f) == want && strings.ContainsAny(text, ".eIN")
}

func isInfinite(digits string) bool { return strings.HasSuffix(digits, "FF0000000000000") }

// wellFormed replaces each byte that is not valid UTF-8.
func wellFormed(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

// cannotBeIn counts the values that the format cannot represent, which a manifest
// counts as replaced.
func (o *oracle) cannotBeIn(name string) (n int) {
	if name == "sqlite" || name == "sql" {
		return 0
	}
	for _, row := range o.rows {
		for j, told := range row {
			kind, digits, _ := strings.Cut(told, " ")
			text, _ := hex.DecodeString(digits) // the shell's digits are valid
			switch {
			case kind == "text" && name != "csv" && !utf8.Valid(text),
				kind == "real" && isInfinite(digits) && strings.HasSuffix(name, "json"),
				o.types[j] == "ANY" && looksLikeAnother(name, kind, digits, string(text)):
				n++
			}
		}
	}
	return n
}

// looksLikeAnother reports whether a value in a column of any type has a form from
// which its type cannot be told.
func looksLikeAnother(name, kind, digits, text string) bool {
	switch {
	case kind == "blob":
		return true
	case name == "csv":
		return kind == "text" && looksLikeNumber.MatchString(text) || kind == "real" && (isInfinite(digits) || digits == "8000000000000000")
	case name == "xlsx":
		n, err := strconv.ParseInt(text, 10, 64)
		return kind == "real" && isInfinite(digits) || kind == "integer" && err == nil && (n > 1<<53 || n < -1<<53)
	}
	return name == "parquet" && kind != "text" && kind != "null"
}

// looksLikeNumber matches the hardTexts that look like numbers in CSV.
var looksLikeNumber = regexp.MustCompile(`^-?[1-9][0-9]*(\.[0-9]+)?$`)

// fields reads the rows of a CSV.
func fields(t *testing.T, content []byte, columns []string) [][]string {
	t.Helper()
	agreesWithEncodingCSV(t, "csv", content)
	records := split(content)
	if len(records) == 0 || !slices.Equal(records[0], columns) {
		t.Fatalf("the header is not %v", columns)
	}
	for _, record := range records[1:] {
		for i, raw := range record {
			if raw == "" {
				record[i] = "null "
			} else {
				record[i] = tellText(unquoted(raw))
			}
		}
	}
	return records[1:]
}

func tellText(s string) string { return "text " + strings.ToUpper(hex.EncodeToString([]byte(s))) }

// objects reads objects, either in an array or one after another.
func objects(t *testing.T, content []byte, columns []string) (rows [][]string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(content))
	if bytes.HasPrefix(content, []byte("[")) {
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
	}
	d.UseNumber()
	for d.More() {
		var object map[string]any
		if err := d.Decode(&object); err != nil {
			t.Fatal(err)
		}
		if len(object) != len(columns) {
			t.Fatalf("object %d has %d members", len(rows)+1, len(object))
		}
		var row []string
		for _, column := range columns {
			switch v := object[column].(type) {
			case nil:
				row = append(row, "null ")
			case string:
				row = append(row, tellText(v))
			default:
				row = append(row, fmt.Sprint("number ", v))
			}
		}
		rows = append(rows, row)
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return rows
}

// agreesWithJQ has jq read the texts of some rows too, and returns them. jq rounds
// numbers.
func agreesWithJQ(t *testing.T, path, each string, columns []string, rows [][]string) [][]string {
	t.Helper()
	filter := each + ` | to_entries[] | .key, (.value | if type == "string" then @base64 else type end)`
	cmd := exec.Command(testkit.Tool(t, "jq"), "-r", filter, path)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("jq: %v", err)
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) != 2*len(rows)*len(columns)+1 {
		t.Fatalf("jq tells %d lines, there are %d rows of %d", len(lines), len(rows), len(columns))
	}
	for i, row := range rows {
		for j, told := range row {
			at := 2 * (i*len(columns) + j)
			kind, digits, _ := strings.Cut(told, " ")
			if text, _ := hex.DecodeString(digits); kind == "text" { // written by tellText
				kind = base64.StdEncoding.EncodeToString(text)
			}
			if lines[at] != columns[j] || lines[at+1] != kind {
				t.Fatalf("row %d: jq reads %s: %.200s, want %s: %.200s", i+1, lines[at], lines[at+1], columns[j], kind)
			}
		}
	}
	return rows
}

// sheet reads the first sheet of a workbook.
func sheet(t *testing.T, path string, columns []string) (rows [][]string) {
	t.Helper()
	book, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	name := book.GetSheetName(0)
	// The number of rows is that of the sheet, even if it ends with empty rows.
	all, err := book.Rows(name)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; all.Next(); n++ {
		var row []string
		for j, column := range columns {
			told := cell(t, book, name, j+1, n)
			if n == 1 && told != tellText(column) {
				t.Fatalf("the header has %s, want %s", told, column)
			}
			row = append(row, told)
		}
		rows = append(rows, row)
	}
	return rows[1:]
}

func cell(t *testing.T, book *excelize.File, sheet string, column, row int) string {
	t.Helper()
	name, err := excelize.CoordinatesToCellName(column, row)
	if err != nil {
		t.Fatal(err)
	}
	kind, err := book.GetCellType(sheet, name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := book.GetCellValue(sheet, name, excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case kind == excelize.CellTypeInlineString:
		return tellText(text)
	case (kind == excelize.CellTypeUnset || kind == excelize.CellTypeNumber) && text == "":
		return "null "
	case kind == excelize.CellTypeUnset:
		return "number " + text
	}
	t.Fatalf("cell %s is of type %d", name, kind)
	return ""
}

// rowGroups reads the rows of a Parquet file.
func rowGroups(t *testing.T, path string, columns []string) (rows [][]string) {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, column := range columns {
		if got := r.MetaData().Schema.Column(i).Name(); got != column {
			t.Fatalf("column %d is called %q, want %q", i+1, got, column)
		}
	}
	for g := range r.NumRowGroups() {
		group := r.RowGroup(g)
		rows = append(rows, make([][]string, group.NumRows())...)
		for i := range columns {
			told := columnChunk(t, group, i)
			for n, value := range told {
				at := &rows[len(rows)-len(told)+n]
				*at = append(*at, value)
			}
		}
	}
	return rows
}

func columnChunk(t *testing.T, group *file.RowGroupReader, i int) (told []string) {
	t.Helper()
	chunk, err := group.Column(i)
	if err != nil {
		t.Fatal(err)
	}
	levels := make([]int16, group.NumRows())
	var total int64
	switch chunk := chunk.(type) {
	case *file.Int64ColumnChunkReader:
		v := make([]int64, len(levels))
		total, _, err = chunk.ReadBatch(int64(len(levels)), v, levels, nil)
		told = present(levels, func(n int) string {
			return "integer " + strings.ToUpper(hex.EncodeToString(strconv.AppendInt(nil, v[n], 10)))
		})
	case *file.Float64ColumnChunkReader:
		v := make([]float64, len(levels))
		total, _, err = chunk.ReadBatch(int64(len(levels)), v, levels, nil)
		told = present(levels, func(n int) string { return tellReal(v[n]) })
	case *file.ByteArrayColumnChunkReader:
		v := make([]parquet.ByteArray, len(levels))
		total, _, err = chunk.ReadBatch(int64(len(levels)), v, levels, nil)
		kind := "blob "
		if chunk.Descriptor().LogicalType().String() == "String" {
			kind = "text "
		}
		told = present(levels, func(n int) string { return kind + strings.ToUpper(hex.EncodeToString(v[n])) })
	default:
		t.Fatalf("column %d is read by a %T", i+1, chunk)
	}
	if err = errors.Join(err, chunk.Err()); err != nil || total != int64(len(levels)) {
		t.Fatalf("column %d: %d of %d values, %v", i+1, total, len(levels), err)
	}
	return told
}

// present returns NULL where the level is 0, and the next value elsewhere.
func present(levels []int16, tell func(n int) string) (told []string) {
	n := 0
	for _, level := range levels {
		if level == 0 {
			told = append(told, "null ")
			continue
		}
		told = append(told, tell(n))
		n++
	}
	return told
}
