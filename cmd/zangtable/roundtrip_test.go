package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/testkit"
)

// These tests take real files through the whole program, in through the quickstart and
// out as the CSVs of its database export, and let others judge: the sqlite3 shell reads
// the files at both ends, and the CSVs are parsed by a splitter of the test's own and
// by encoding/csv. None of these is code of the product.

// realFile returns the path of a file in the folder $ZANGTABLE_TEST_DATA.
func realFile(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("ZANGTABLE_TEST_DATA")
	if folder == "" {
		t.Skip("ZANGTABLE_TEST_DATA does not name a folder of real files")
	}
	return filepath.Join(folder, name)
}

// quickstartOn runs the main job on a file and returns the data folder and the CSVs of
// the database export by member name.
func quickstartOn(t *testing.T, file, slug string) (data string, members map[string][]byte) {
	t.Helper()
	data = t.TempDir()
	var out, errs bytes.Buffer
	args := []string{"quickstart", "--once", "--data", data, "--listen", "127.0.0.1:0", "--from", file}
	if code := run(t.Context(), args, &out, &errs); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
	z, err := zip.OpenReader(filepath.Join(data, "quickstart", slug, slug+"_database_export.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	members = map[string][]byte{}
	for _, m := range z.File {
		r, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		if members[m.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return data, members
}

func TestChinookComesInAndGoesOutUnchanged(t *testing.T) {
	t.Parallel()
	shell := testkit.Tool(t, "sqlite3")
	original := realFile(t, "chinook.sqlite")
	data, members := quickstartOn(t, original, "chinook")
	copied := filepath.Join(data, "projects", "1.db")
	tables := strings.Fields(query(t, shell, original, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"))
	if len(tables) != len(members) {
		t.Errorf("%d members for %d tables", len(members), len(tables))
	}
	for _, table := range tables {
		columns := strings.Split(strings.TrimSpace(query(t, shell, original, "SELECT name FROM pragma_table_info('"+table+"')")), "\n")
		was, is := values(t, shell, original, table, columns), values(t, shell, copied, table, columns)
		if !slices.EqualFunc(was, is, slices.Equal) {
			t.Errorf("%s: the shell reads other values from the project than from the original", table)
		}
		compareCSV(t, table, members[table+".csv"], columns, was)
	}
}

func query(t *testing.T, shell, file, sql string) string {
	t.Helper()
	cmd := exec.Command(shell, "-readonly", file, sql)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, errs.String())
	}
	return string(out)
}

// values has the shell print each value of a table exactly: its type and its bytes in
// hexadecimal, for a real those of its IEEE 754 form, because the shell's printf rounds
// the largest real and hides the sign of zero. Rows are in the order of the primary
// key, or of the rowids if there is none.
func values(t *testing.T, shell, file, table string, columns []string) [][]string {
	t.Helper()
	var parts []string
	for _, c := range columns {
		parts = append(parts, fmt.Sprintf(`typeof("%[1]s") || ' ' || hex(CASE typeof("%[1]s") WHEN 'real' THEN ieee754_to_blob("%[1]s") ELSE CAST("%[1]s" AS BLOB) END)`, c))
	}
	order := strings.TrimSpace(query(t, shell, file, `SELECT group_concat('"' || name || '"') FROM (SELECT name FROM pragma_table_info('`+table+`') WHERE pk ORDER BY pk)`))
	if order == "" {
		order = "rowid"
	}
	var rows [][]string
	for line := range strings.Lines(query(t, shell, file, "SELECT "+strings.Join(parts, ", ")+` FROM "`+table+`" ORDER BY `+order)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "|"))
	}
	return rows
}

// compareCSV compares an exported CSV with what the shell printed.
func compareCSV(t *testing.T, table string, file []byte, columns []string, want [][]string) {
	t.Helper()
	records := split(file)
	if len(records) == 0 || !slices.Equal(records[0], columns) {
		t.Fatalf("%s: the header is not %v", table, columns)
	}
	records = records[1:]
	if len(records) != len(want) {
		t.Fatalf("%s: %d records for %d rows", table, len(records), len(want))
	}
	for i, record := range records {
		for j, raw := range record {
			if got := told(raw, want[i][j]); got != want[i][j] {
				t.Fatalf("%s: row %d, column %s: the file has %s, the original %s", table, i+1, columns[j], raw, want[i][j])
			}
		}
	}
	agreesWithEncodingCSV(t, table, file)
}

// split splits a CSV into fields and keeps their quotes.
func split(file []byte) (records [][]string) {
	var record []string
	start, quoted := 0, false
	for i, c := range file {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ',':
			record = append(record, string(file[start:i]))
			start = i + 1
		case c == '\n':
			records = append(records, append(record, strings.TrimSuffix(string(file[start:i]), "\r")))
			record, start = nil, i+1
		}
	}
	if start < len(file) {
		records = append(records, append(record, string(file[start:])))
	}
	return records
}

// unquoted returns the content of a field.
func unquoted(raw string) string {
	if strings.HasPrefix(raw, `"`) {
		return strings.ReplaceAll(raw[1:len(raw)-1], `""`, `"`)
	}
	return raw
}

// told returns a CSV field in the form in which the shell would print a value of the
// same type as want.
func told(raw, want string) string {
	kind, _, _ := strings.Cut(want, " ")
	text := unquoted(raw)
	switch {
	case raw == "":
		return "null "
	case kind == "real":
		if is, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, ".eIN") {
			return tellReal(is)
		}
		return "real " + text
	case kind == "blob":
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return err.Error()
		}
		text = string(b)
	}
	return kind + " " + strings.ToUpper(hex.EncodeToString([]byte(text)))
}

func tellReal(f float64) string { return fmt.Sprintf("real %016X", math.Float64bits(f)) }

// agreesWithEncodingCSV has the standard library read the file too. It reads CR LF
// inside a field as LF, and skips empty lines, which are NULL in a table with one
// column.
func agreesWithEncodingCSV(t *testing.T, name string, file []byte) {
	t.Helper()
	theirs, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatalf("%s: encoding/csv: %v", name, err)
	}
	ours := slices.DeleteFunc(split(file), func(record []string) bool { return len(record) == 1 && record[0] == "" })
	if len(theirs) != len(ours) {
		t.Fatalf("%s: encoding/csv reads %d records, there are %d", name, len(theirs), len(ours))
	}
	for i := range ours {
		for j := range ours[i] {
			if want := strings.ReplaceAll(unquoted(ours[i][j]), "\r\n", "\n"); theirs[i][j] != want {
				t.Fatalf("%s: record %d, field %d: encoding/csv reads %q, not %q", name, i, j, theirs[i][j], want)
			}
		}
	}
}

func TestCSVsComeInAndGoOutUnchanged(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ file, slug, member string }{
		{"tweets.csv", "tweets", "tweets.csv"},
		{"police-deaths.csv", "police-deaths", "police_deaths.csv"},
	} {
		t.Run(test.slug, func(t *testing.T) {
			original := realFile(t, test.file)
			_, members := quickstartOn(t, original, test.slug)
			content, err := os.ReadFile(original)
			if err != nil {
				t.Fatal(err)
			}
			was, is := split(content), split(members[test.member])
			if len(was) != len(is) {
				t.Fatalf("%d records went in, %d came out", len(was), len(is))
			}
			for i := range was {
				for j := range was[i] {
					if unquoted(was[i][j]) != unquoted(is[i][j]) || (was[i][j] == "") != (is[i][j] == "") {
						t.Fatalf("record %d, field %d: %q went in, %q came out", i+1, j+1, was[i][j], is[i][j])
					}
				}
			}
			agreesWithEncodingCSV(t, test.member, members[test.member])
		})
	}
}
