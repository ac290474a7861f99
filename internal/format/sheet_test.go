package format

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// grid returns the rows of a sheet, given as lines of cells between bars: numbers as they
// are, everything else as text. Empty cells are left out, as are empty rows.
func grid(lines ...string) string {
	var s strings.Builder
	for i, line := range lines {
		fmt.Fprintf(&s, `<row r="%d">`, i+1)
		for j, cell := range strings.Split(line, "|") {
			place := fmt.Sprintf("%s%d", columnLetters(j), i+1)
			switch {
			case cell == "":
			case strings.Trim(cell, "0123456789.") == "":
				fmt.Fprintf(&s, `<c r="%s"><v>%s</v></c>`, place, cell)
			case cell == "''":
				fmt.Fprintf(&s, `<c r="%s" t="str"><f>""</f><v></v></c>`, place)
			default:
				fmt.Fprintf(&s, `<c r="%s" t="inlineStr"><is><t>%s</t></is></c>`, place, cell)
			}
		}
		s.WriteString("</row>")
	}
	return s.String()
}

// readLaidOut returns the names of the columns, the rows and the notes of a sheet.
func readLaidOut(t *testing.T, file []byte, o ReadOptions) (names, rows, notes string, err error) {
	t.Helper()
	w, err := openWorkbook(file)
	if err != nil {
		return "", "", "", err
	}
	var faults problem.Faults
	r, err := w.Sheet("", o.Dialect(&faults, ""))
	if err = errors.Join(faults.Err(), err); err != nil {
		return "", "", "", err
	}
	rows, err = readTable(r, 3)
	return columnNames(r.Columns()), strings.ReplaceAll(rows, "\n", "/"), strings.Join(r.Notes(), " "), errors.Join(err, r.Close())
}

func TestSheetsAreLaidOut(t *testing.T) {
	plain := []string{"id|name|qty", "1|Ada|3", "2|Bob|4"}
	titled := append([]string{"Report", ""}, plain...)
	for _, c := range []struct {
		name              string
		cells             string
		o                 ReadOptions
		names, rows, note string // note is a part of the notes, "-" for none
	}{
		{"nothing around", grid(plain...), ReadOptions{}, "id,name,qty", "i:1|t:Ada|i:3|/i:2|t:Bob|i:4|/", "-"},
		{"a title", grid(titled...), ReadOptions{}, "id,name,qty", "i:1|t:Ada|i:3|/i:2|t:Bob|i:4|/", `Row 1 above the header was left out: "Report".`},
		{"a title that is wanted", grid(titled...), ReadOptions{SkipRows: new(0)}, "Report,B,C", "t:id|t:name|t:qty|/i:1|t:Ada|i:3|/i:2|t:Bob|i:4|/", "no names for the columns B, C"},
		{"the row of the names", grid(titled...), ReadOptions{HeaderRow: new(3), SkipRows: new(1)}, "id,name,qty", "i:2|t:Bob|i:4|/", "-"},
		{"skipped rows", grid(titled...), ReadOptions{SkipRows: new(3)}, "1,Ada,3", "i:2|t:Bob|i:4|/", "-"},
		{"a range", grid(titled...), ReadOptions{Range: "b3:c4"}, "name,qty", "t:Ada|i:3|/", "-"},
		{"columns of a range", grid(plain...), ReadOptions{Range: "$B:$C"}, "name,qty", "t:Ada|i:3|/t:Bob|i:4|/", "-"},
		{"a range without names", grid(plain...), ReadOptions{Range: "B2", Header: new(false)}, "B,C", "t:Ada|i:3|/t:Bob|i:4|/", "-"},
		{"a remark beside", grid("id|name", "1|Ada", "2|Bob||seen", "3|Cy"), ReadOptions{}, "id,name,C,D", "i:1|t:Ada|n:|n:|/i:2|t:Bob|n:|t:seen|/i:3|t:Cy|n:|n:|/", "no names for the columns C, D"},
		{"formulas that give nothing", grid("id|name|''", "1|Ada|''"), ReadOptions{}, "id,name", "i:1|t:Ada|/", "-"},
		{"one name is missing", grid("id|name", "1|Ada|x", "2|Bob|y"), ReadOptions{}, "id,name,C", "i:1|t:Ada|t:x|/i:2|t:Bob|t:y|/", "the column"},
		{"one name of two", grid("id", "1|Ada", "2|Bob"), ReadOptions{}, "id,B", "i:1|t:Ada|/i:2|t:Bob|/", "column"},
		{"sparse rows", grid("a|b|c|d", "1|x", "2|y", "3|||z"), ReadOptions{}, "a,b,c,d", "i:1|t:x|n:|n:|/i:2|t:y|n:|n:|/i:3|n:|n:|t:z|/", "-"},
		{"years", grid("Sales", "region|2022|2023", "North|10|20"), ReadOptions{}, "region,2022,2023", "t:North|i:10|i:20|/", "Row 1"},
		{"numbers for names", grid("1|2", "3|4"), ReadOptions{}, "1,2", "i:3|i:4|/", "Set header to false"},
		{"two rows of names", grid("2023||2024", "q1|q2|q1|q2", "1|2|3|4"), ReadOptions{}, "2023 q1,2023 q2,2024 q1,2024 q2", "i:1|i:2|i:3|i:4|/", "joined from the rows 1 and 2"},
		{"merged names", grid("who|sales", "|first|second", "Ada|1|2") + `</x:sheetData><x:mergeCells><x:mergeCell ref="B1:C1"/><x:mergeCell ref="A1:A2"/></x:mergeCells><x:sheetData>`,
			ReadOptions{}, "who,sales first,sales second", "t:Ada|i:1|i:2|/", "joined from the rows 1 and 2"},
		{"a gap in the names is no second header", grid("id||city", "Ada|x|Rome", "Bob|y|Oslo"), ReadOptions{}, "id,B,city", "t:Ada|t:x|t:Rome|/t:Bob|t:y|t:Oslo|/", "B"},
		{"only a header", grid("a|b"), ReadOptions{}, "a,b", "", "-"},
	} {
		names, rows, notes, err := readLaidOut(t, sheetFile(t, c.cells), c.o)
		if err != nil || names != c.names || rows != c.rows || (c.note == "-") != (notes == "") || c.note != "-" && !strings.Contains(notes, c.note) {
			t.Errorf("%s: %q %q, notes %q, %v; want %q %q, %q", c.name, names, rows, notes, err, c.names, c.rows, c.note)
		}
	}
}

// TestSheetsAreAsWideAsTheirWidestRow has a row far below the sampled ones that is wider
// than the others.
func TestSheetsAreAsWideAsTheirWidestRow(t *testing.T) {
	styled := `<c s="1"/><c s="1"/>`
	for name, cells := range map[string]string{
		"with places":    strings.Repeat(`<row><c r="A1"><v>1</v></c></row>`, 2000) + `<row><c r="C1"><v>2</v></c></row>`,
		"without places": strings.Repeat(`<row><c><v>1</v></c></row>`, 2000) + `<row><c><v>1</v></c><c/><c><v>2</v></c>` + styled + `</row>`,
		"other quotes":   strings.Repeat(`<row><c r='A1'><v>1</v></c></row>`, 2000) + `<row><c r='C1'><v>2</v></c></row>`,
		"UTF-16":         strings.Repeat(`<row><c><v>1</v></c></row>`, 2000) + `<row><c><v>1</v></c><c/><c><v>2</v></c></row>`,
	} {
		file := sheetFile(t, cells)
		if name == "UTF-16" {
			file = hostileBook(t, map[string]string{"xl/sheet1.xml": utf16le(`<?xml version="1.0" encoding="UTF-16"?><worksheet><sheetData>` + cells + `</sheetData></worksheet>`)})
		}
		names, rows, _, err := readLaidOut(t, file, ReadOptions{Header: new(false)})
		if err != nil || names != "A,B,C" || !strings.HasSuffix(rows, "i:2|/") {
			t.Errorf("%s: %s, %v", name, names, err)
		}
	}
}

func utf16le(s string) string {
	out := []byte("\xff\xfe")
	for _, c := range []byte(s) {
		out = append(out, c, 0)
	}
	return string(out)
}

func TestWorkbooksOfOtherPrograms(t *testing.T) {
	relations := func(target string) string {
		return `<Relationships><Relationship Id="r1" Type="http://purl.oclc.org/ooxml/officeDocument/relationships/worksheet" Target="` + target + `"/></Relationships>`
	}
	sheet := `<worksheet><sheetData><row><c t="inlineStr"><is><t>a</t></is></c></row><row><c><v> 7 </v></c></row></sheetData></worksheet>`
	for name, parts := range map[string]map[string]string{
		"an absolute target": {"xl/_rels/workbook.xml.rels": relations("/xl/sheet1.xml"), "xl/sheet1.xml": sheet},
		"capitals":           {"xl/_rels/workbook.xml.rels": relations("Other.XML"), "xl/OTHER.xml": sheet},
		"backslashes":        {"xl/_rels/workbook.xml.rels": relations(`sub\other.xml`), `xl\sub\other.xml`: sheet},
		"escapes":            {"xl/_rels/workbook.xml.rels": relations("my%20sheet.xml"), "xl/my sheet.xml": sheet},
		"another encoding":   {"xl/sheet1.xml": `<?xml version="1.0" encoding="ISO-8859-1"?>` + sheet},
		"a byte order mark":  {"xl/sheet1.xml": "\ufeff" + sheet},
		"UTF-16":             {"xl/sheet1.xml": utf16le(`<?xml version="1.0" encoding="utf-16"?>` + sheet)},
		"no parts for styles and texts": {"xl/_rels/workbook.xml.rels": strings.Replace(relations("sheet1.xml"), "</", `<Relationship Id="r2" Type="x/styles" Target="s.xml"/>`+
			`<Relationship Id="r3" Type="x/sharedStrings" Target="t.xml"/></`, 1), "xl/sheet1.xml": sheet},
	} {
		names, rows, notes, err := readLaidOut(t, hostileBook(t, parts), ReadOptions{})
		if err != nil || names != "a" || rows != "i:7|/" || notes != "" {
			t.Errorf("%s: %q %q %q, %v", name, names, rows, notes, err)
		}
	}
}

func TestCellsThatHoldSeveralThings(t *testing.T) {
	names, rows, notes, err := readLaidOut(t, sheetFile(t, `<row>`+
		`<c t="inlineStr"><is><t>1.</t></is><v>1.0</v></c><c t="str"><f>A1</f></c><c><f>A2</f><v></v></c><c t="inlineStr"><v>x</v></c><c t="b"><v> true </v></c></row>`), ReadOptions{Header: new(false)})
	if err != nil || names != "A,B,C,D,E" || rows != "t:1.|n:|n:|t:x|i:1|/" || !strings.Contains(notes, "without a saved value: 1, the first in B1.") {
		t.Errorf("%s %s %s, %v", names, rows, notes, err)
	}
}

func TestSheetOptionsFaults(t *testing.T) {
	file := sheetFile(t, grid("a|b", "1|2"))
	for _, c := range []struct {
		o    ReadOptions
		want string
	}{
		{ReadOptions{Range: "A0"}, "range: Must be a range of cells such as B3:F20"},
		{ReadOptions{Range: "C3:A1"}, "range: Must be a range"},
		{ReadOptions{Range: "A1:B2:C3"}, "range: Must be a range"},
		{ReadOptions{Range: "ZZZZ1"}, "range: Must be a range"},
		{ReadOptions{Range: "Sheet1!A1"}, "range: Must be a range"},
		{ReadOptions{Range: ":"}, "range: Must be a range"},
		{ReadOptions{Range: "A3:B9", HeaderRow: new(1)}, "header_row: Must be a row of the range."},
		{ReadOptions{HeaderRow: new(0)}, "header_row: Must be between 1 and"},
		{ReadOptions{HeaderRow: new(1), Header: new(false)}, "header_row: Cannot be set together"},
		{ReadOptions{SkipRows: new(-1)}, "skip_rows: Must be between 0 and"},
		{ReadOptions{HeaderRow: new(7)}, "The sheet has no header row: it is empty."},
	} {
		if _, _, _, err := readLaidOut(t, file, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.o, err, c.want)
		}
	}
}

// FuzzSheetSurvey compares the quick look at a sheet with reading it.
func FuzzSheetSurvey(f *testing.F) {
	f.Add(grid("a|b", "1|2|3"))
	f.Add(`<row><c r="AB1"><v>1</v></c><x:c><x:v>2</x:v></x:c></row>`)
	f.Fuzz(func(t *testing.T, cells string) {
		w, err := openWorkbook(sheetFile(t, cells))
		if err != nil {
			t.Skip()
		}
		s := w.source(w.sheets[0])
		survey, err := s.survey()
		var fault *FileError
		if err != nil && !errors.As(err, &fault) {
			t.Fatal(err)
		}
		if survey.width > XLSXColumns*30 {
			t.Fatalf("a width of %d", survey.width)
		}
	})
}

func TestHiddenSheetsAreTold(t *testing.T) {
	file := hostileBook(t, map[string]string{"xl/workbook.xml": `<workbook><sheets><sheet name="one" state="veryHidden" r:id="r1"/></sheets></workbook>`})
	if _, _, notes, err := readLaidOut(t, file, ReadOptions{}); err != nil || !strings.Contains(notes, "hidden") {
		t.Errorf("%s, %v", notes, err)
	}
}

func TestEmptyValuesCountAsNone(t *testing.T) {
	if !isEmpty(sqlite.Value{}) || !isEmpty(sqlite.TextValue("")) || isEmpty(sqlite.TextValue(" ")) || isEmpty(sqlite.IntValue(0)) {
		t.Error("only NULL and the empty text are empty")
	}
}
