package format

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

func openWorkbook(file []byte) (*Workbook, error) {
	return OpenWorkbook(bytes.NewReader(file), int64(len(file)))
}

// headed returns how to read a sheet with or without a header.
func headed(header bool) ReadDialect {
	if header {
		return ReadDialect{Header: WithHeader}
	}
	return ReadDialect{Header: WithoutHeader}
}

// readSheet returns the names of the columns and all rows.
func readSheet(file []byte, sheet string, header bool) (names, rows string, err error) {
	w, err := openWorkbook(file)
	if err != nil {
		return "", "", err
	}
	r, err := w.Sheet(sheet, headed(header))
	if err != nil {
		return "", "", err
	}
	rows, err = readTable(r, 3)
	return columnNames(r.Columns()), rows, errors.Join(err, r.Close())
}

func TestXLSXReaderReadsWhatWeWrite(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		width := rapid.IntRange(1, 4).Draw(rt, "width")
		names := rapid.SliceOfN(rapid.StringMatching(`[a-z&<"é_x0-9\r]{1,12}`), width, width).Draw(rt, "names")
		rows := rowsOf(rt, width)
		var want strings.Builder
		for _, row := range rows {
			line := ""
			for _, v := range row {
				text, _ := asField(v)
				switch {
				case v.Kind == sqlite.Blob, v.Kind == sqlite.Real && math.IsInf(v.Float, 0), v.Kind == sqlite.Integer && (v.Int > 1<<53 || v.Int < -1<<53):
					v = sqlite.TextValue(text)
				case v.Kind == sqlite.Text:
					text = string([]rune(text))
				}
				line += fmt.Sprintf("%c:%s|", "nirtb"[v.Kind], text)
			}
			want.WriteString(line + "\n")
		}
		file := writeXLSX(t, columns(names...), XLSXOptions{Sheet: "t"}, batch(width, rows...))
		header, got, err := readSheet(file, "", true)
		if wantHeader := columnNames(columns(names...)); err != nil || header != wantHeader || got != want.String() {
			rt.Fatalf("read %q %q, %v, want %q %q", header, got, err, wantHeader, want.String())
		}
	})
}

// excelize writes shared texts, styles and values as Excel does.
func TestXLSXReaderReadsExcelize(t *testing.T) {
	f := excelize.NewFile()
	defer f.Close()
	style := func(code string) int {
		id, err := f.NewStyle(&excelize.Style{CustomNumFmt: &code})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	set := func(cell string, value any, code string) {
		if err := f.SetCellValue("Sheet1", cell, value); err != nil {
			t.Fatal(err)
		}
		if code == "" {
			return
		}
		if err := f.SetCellStyle("Sheet1", cell, cell, style(code)); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"id", "name", "", "when"} {
		set(string(rune('A'+i))+"2", name, "")
	}
	set("A4", 1, "")
	set("B4", "two\nlines _x0041_ \x01", "")
	set("C4", true, "")
	set("D4", time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC), "yyyy-mm-dd")
	set("A5", 1.5, "0.00")
	set("B5", "two\nlines _x0041_ \x01", "")
	set("D5", time.Date(1999, 12, 31, 23, 59, 59, 500000000, time.UTC), `[$-409]d/m/yy h:mm AM/PM;@`)
	set("A6", 0.25, "h:mm:ss")
	set("B6", 1.25, "[h]:mm")
	set("C6", 45000, `"day" 0`)
	set("D6", 45000, "mmmm")
	set("A9", "", "")
	set("A10", int64(9007199254740993), "")
	set("B10", -0.1, "General")
	if _, err := f.NewSheet("other & more"); err != nil {
		t.Fatal(err)
	}
	if err := f.SetCellFormula("other & more", "B2", "1+1"); err != nil {
		t.Fatal(err)
	}
	if err := f.SetCellRichText("other & more", "C3", []excelize.RichTextRun{{Text: "rich "}, {Text: "text", Font: &excelize.Font{Bold: true}}}); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := f.Write(&file); err != nil {
		t.Fatal(err)
	}
	w, err := openWorkbook(file.Bytes())
	if err != nil || fmt.Sprint(w.Sheets()) != "[Sheet1 other & more]" {
		t.Fatalf("sheets %q, %v", w.Sheets(), err)
	}
	names, got, err := readSheet(file.Bytes(), "Sheet1", true)
	// excelize turns U+0001 into U+FFFD and does not decode escapes.
	text := "two\nlines A \ufffd"
	want := "i:1|t:" + text + "|i:1|t:2026-06-02|\n" + "r:1.5|t:" + text + "|n:|t:1999-12-31 23:59:59.5|\n" +
		"t:06:00:00|r:1.25|i:45000|t:2023-03-15|\n" + "t:|n:|n:|n:|\n" + "i:9007199254740993|r:-0.1|n:|n:|\n"
	if err != nil || names != "id,name,C,when" || got != want {
		t.Errorf("read %s %s, %v, want %s", names, got, err, want)
	}
	names, got, err = readSheet(file.Bytes(), "other & more", false)
	if err != nil || names != "A,B,C" || got != "n:|n:|t:rich text|\n" {
		t.Errorf("read %s %s, %v", names, got, err)
	}
}

// sheetFile returns one of our workbooks with its sheet replaced.
func sheetFile(t *testing.T, rows string) []byte {
	t.Helper()
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	for _, part := range [][2]string{
		{"_rels/.rels", xlsxRels}, {"xl/workbook.xml", workbook([]string{"t"})}, {"xl/_rels/workbook.xml.rels", workbookRels(1)}, {"xl/styles.xml", xlsxStyles},
		{"xl/worksheets/sheet1.xml", `<x:worksheet xmlns:x="` + sheetNS + `"><x:sheetData>` + rows + `</x:sheetData></x:worksheet>`},
	} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: part[0], Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(part[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestXLSXReaderSheets(t *testing.T) {
	for _, c := range []struct{ name, rows, want string }{
		{"no places", `<row><c><v>1</v></c><c/><c t="str"><f>A1</f><v>x</v></c></row>`, "A,B,C i:1|n:|t:x|\n"},
		{"prefixes", `<x:row><x:c r="B1" t="b"><x:v>0</x:v></x:c></x:row>`, "A,B n:|i:0|\n"},
		{"phonetic", `<row><c t="inlineStr"><is><r><t>a</t></r><rPh><t>b</t></rPh><r><t>c</t></r></is></c></row>`, "A t:ac|\n"},
		{"pairs", `<row><c t="inlineStr"><is><t>_xD83D__xDE00_ _xD83D_ _x00</t></is></c></row>`, "A t:😀 \ufffd _x00|\n"},
		{"error", `<row><c t="e"><v>#N/A</v></c><c><v>1E3</v></c></row>`, "A,B t:#N/A|r:1000.0|\n"},
		{"empty text", `<row><c t="inlineStr"><is><t/></is></c><c><v></v></c></row>`, "A t:|\n"},
		{"nothing", ``, " "},
	} {
		names, rows, err := readSheet(sheetFile(t, c.rows), "t", false)
		if got := names + " " + rows; err != nil || got != c.want {
			t.Errorf("%s: read %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestXLSXReaderFaults(t *testing.T) {
	cell := func(s string) []byte { return sheetFile(t, `<row r="3">`+s+`</row>`) }
	for _, c := range []struct {
		file   []byte
		sheet  string
		header bool
		want   string
	}{
		{[]byte("id,name\n"), "", true, "The file is not an Excel workbook (.xlsx), or it is damaged: zip: not a valid zip file"},
		{compressZIP(t), "", true, "The file is not an Excel workbook: it has no xl/workbook.xml."},
		{cell(""), "other", true, `The workbook has no sheet "other".`},
		{cell(""), "", true, "The sheet has no header row: it is empty."},
		{cell(`<c r="B3"><v>x</v></c>`), "", false, `cell B3: "x" is not a number`},
		{cell(`<c r="B3" t="s"><v>0</v></c>`), "", false, "cell B3: the cell refers to a text that the workbook does not have"},
		{cell(`<c r="ZZZZZ3"><v>1</v></c>`), "", false, "cell "},
		{cell(`<c r="A3"><v>1</c`), "", false, "The workbook is damaged: xl/worksheets/sheet1.xml: XML syntax error"},
	} {
		_, _, err := readSheet(c.file, c.sheet, c.header)
		var fault *FileError
		if !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// compressZIP returns a ZIP file that is not a workbook.
func compressZIP(t *testing.T) []byte {
	var file bytes.Buffer
	z := NewZIP(&file)
	if _, err := z.Create("readme.txt", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestNumberFormats(t *testing.T) {
	for code, want := range map[string]numberFormat{
		"General": plainNumber, "0.00": plainNumber, `#,##0 "days"`: plainNumber, "[h]:mm:ss": plainNumber, "0.00E+00": plainNumber, `\d0`: plainNumber, "[Red]0": plainNumber,
		"yyyy-mm-dd": showsDate, "mmmm": showsDate, "d.m.yy": showsDate, "[$-407]d. mmmm yyyy;@": showsDate, "h:mm": showsTime, "mm:ss.0": showsTime,
		"dd/mm/yyyy hh:mm": showsDate | showsTime,
	} {
		if got := formatOf(code); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

func TestExcelDates(t *testing.T) {
	for _, c := range []struct {
		days   float64
		format numberFormat
		from   bool
		want   string
	}{
		{1, showsDate, false, "1900-01-01"}, {59, showsDate, false, "1900-02-28"}, {61, showsDate, false, "1900-03-01"}, {45000, showsDate, false, "2023-03-15"},
		{0, showsDate, true, "1904-01-01"}, {2958465, showsDate, false, "9999-12-31"}, {45000.5, showsDate, false, "2023-03-15 12:00:00"},
		{45000, showsDate | showsTime, false, "2023-03-15 00:00:00"}, {0.999999999, showsTime, false, "00:00:00"}, {0.75, showsTime, false, "18:00:00"},
	} {
		got, ok := c.format.date(c.days, c.from)
		if !ok || got != c.want {
			t.Errorf("%v: %s, want %s", c.days, got, c.want)
		}
	}
	if got, ok := showsDate.date(-1, false); ok {
		t.Errorf("-1 is %s", got)
	}
}

func FuzzXLSXSheet(f *testing.F) {
	f.Add(`<row r="1"><c r="A1" s="1"><v>1</v></c><c t="inlineStr"><is><t>_x0041_</t></is></c></row>`)
	f.Fuzz(func(t *testing.T, rows string) {
		_, _, err := readSheet(sheetFile(t, rows), "", false)
		var fault *FileError
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("%T: %v", err, err)
		}
	})
}

// TestSharedTextsAreBounded adds texts beyond the limit, as even a small file can.
func TestSharedTextsAreBounded(t *testing.T) {
	const most = 8 << 20
	for _, text := range []string{"", "a", strings.Repeat("x", 40<<10), strings.Repeat("x", 3<<20)} {
		s := sharedTexts{max: most}
		var err error
		for n := 0; err == nil && n < most; n++ {
			err = s.add([]byte(text))
		}
		var fault *FileError
		if !errors.As(err, &fault) || !strings.Contains(fault.Error(), strconv.Itoa(most)) {
			t.Fatalf("%d texts of %d bytes: %v", s.count(), len(text), err)
		}
		held := 0
		for _, places := range s.places {
			held += placeSize * len(places)
		}
		for _, piece := range s.pieces {
			held += cap(piece)
		}
		if held > most {
			t.Errorf("%d texts of %d bytes take %d bytes", s.count(), len(text), held)
		}
		for i := range s.count() {
			if got, err := s.text(strconv.Itoa(i)); err != nil || string(got) != text {
				t.Fatalf("text %d has %d bytes, %v", i, len(got), err)
			}
		}
	}
}

// count returns the number of texts.
func (s *sharedTexts) count() (n int) {
	for _, places := range s.places {
		n += len(places)
	}
	return n
}

// hostileBook returns a workbook with the given parts in addition to those that every
// workbook has.
func hostileBook(t *testing.T, parts map[string]string) []byte {
	t.Helper()
	all := map[string]string{
		"_rels/.rels":                `<Relationships><Relationship Id="r1" Type="x/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml":            `<workbook><sheets><sheet name="one" r:id="r1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Type="x/worksheet" Target="sheet1.xml"/></Relationships>`,
		"xl/sheet1.xml":              `<worksheet><sheetData><row><c t="inlineStr"><is><t>a</t></is></c></row></sheetData></worksheet>`,
	}
	for name, text := range parts {
		all[name] = text
	}
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	for name, text := range all {
		part, err := z.Create(name)
		if err == nil {
			_, err = part.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestXLSXReaderBoundsWhatPartsName(t *testing.T) {
	far := strings.Repeat(`<row><c r="XFD1"><v>1</v></c></row>`, 1000)
	for _, test := range []struct{ name, part, text, want string }{
		{"sheets", "xl/workbook.xml", "<workbook><sheets>" + strings.Repeat(`<sheet name="a" r:id="r1"/>`, maxSheets+1) + "</sheets></workbook>", "more than 1000 sheets"},
		{"a cell far to the right", "xl/sheet1.xml", "<worksheet><sheetData>" + far + "</sheetData></worksheet>", "column 16384, but a table has at most 2000"},
	} {
		_, _, err := readSheet(hostileBook(t, map[string]string{test.part: test.text}), "", true)
		var fault *FileError
		if !errors.As(err, &fault) || !strings.Contains(fault.Error(), test.want) {
			t.Errorf("%s: %v, want a fault that says %q", test.name, err, test.want)
		}
	}
}

// TestXLSXReaderReadsSharedTextsOnce has a thousand relations refer to the shared texts:
// they are read only once, no matter how often the workbook is opened.
func TestXLSXReaderReadsSharedTextsOnce(t *testing.T) {
	relations := `<Relationship Id="r1" Type="x/worksheet" Target="sheet1.xml"/>` + strings.Repeat(`<Relationship Id="r2" Type="x/sharedStrings" Target="texts.xml"/>`, 1000)
	file := hostileBook(t, map[string]string{
		"xl/_rels/workbook.xml.rels": "<Relationships>" + relations + "</Relationships>",
		"xl/texts.xml":               "<sst>" + strings.Repeat("<si><t>abc</t></si>", 100) + "</sst>",
	})
	book, err := openWorkbook(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if book, err = book.On(bytes.NewReader(file), int64(len(file))); err != nil {
			t.Fatal(err)
		}
		sheet, err := book.Sheet("one", ReadDialect{})
		if err != nil {
			t.Fatal(err)
		}
		if err := sheet.Close(); err != nil {
			t.Fatal(err)
		}
		if n := book.texts.count(); n != 100 {
			t.Errorf("the workbook holds %d shared texts, want 100", n)
		}
	}
}

// stoppedFile is a file whose reading is stopped after opening.
type stoppedFile struct {
	*bytes.Reader
	err error
}

func (f *stoppedFile) Err() error { return f.err }

func TestXLSXReaderStops(t *testing.T) {
	row := `<row><c t="inlineStr"><is><t>a</t></is></c></row>`
	content := hostileBook(t, map[string]string{"xl/sheet1.xml": "<worksheet><sheetData>" + strings.Repeat(row, 50_000) + "</sheetData></worksheet>"})
	file := &stoppedFile{Reader: bytes.NewReader(content)}
	book, err := OpenWorkbook(file, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := book.Sheet("one", ReadDialect{})
	if err != nil {
		t.Fatal(err)
	}
	defer sheet.Close()
	file.err = errors.New("enough")
	var b sqlite.Batch
	rows := 0
	for err == nil && rows < 50_000 {
		_, err = sheet.Read(&b, 100)
		rows += b.Rows
	}
	if err == nil || !strings.Contains(err.Error(), "enough") || rows > 1000 {
		t.Errorf("%d rows, %v", rows, err)
	}
}
