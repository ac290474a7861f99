package format

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"github.com/zangtable/zangtable/internal/sqlite"
	"pgregory.net/rapid"
)

func writeXLSX(t testing.TB, names []Column, o XLSXOptions, batches ...*sqlite.Batch) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewXLSX(&file, names, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Rows(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func openXLSX(t testing.TB, file []byte) *excelize.File {
	t.Helper()
	f, err := excelize.OpenReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// member returns a part of a workbook.
func member(t testing.TB, file []byte, name string) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := z.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestXLSXWritesEachValue(t *testing.T) {
	text := func(s string) string { return ` t="inlineStr"><is><t>` + s + `</t></is></c>` }
	spaced := func(s string) string {
		return ` t="inlineStr"><is><t xml:space="preserve">` + s + `</t></is></c>`
	}
	number := func(s string) string { return `><v>` + s + `</v></c>` }
	for _, c := range []struct {
		value sqlite.Value
		want  string
	}{
		{sqlite.TextValue(""), text("")},
		{sqlite.TextValue("plain"), text("plain")},
		{sqlite.TextValue(" padded\n"), spaced(" padded\n")},
		{sqlite.TextValue("a<b>&\"c\" é😀"), text("a&lt;b&gt;&amp;\"c\" é😀")},
		{sqlite.TextValue("a\r\nb\tc\x00\x01\uffff"), text("a_x000D_\nb\tc_x0000__x0001__xFFFF_")},
		{sqlite.TextValue("_x0041_ _x004_ _X0041_"), text("_x005F_x0041_ _x004_ _X0041_")},
		{sqlite.TextValue("_x0041_x0042_"), text("_x005F_x0041_x005F_x0042_")},
		{sqlite.TextValue("_x0041\x01"), text("_x005F_x0041_x0001_")},
		{sqlite.TextValue("\xffa"), text("\ufffda")},
		{sqlite.TextValue("=1+1"), text("=1+1")},
		{sqlite.IntValue(-5), number("-5")},
		{sqlite.IntValue(1 << 53), number("9007199254740992")},
		{sqlite.IntValue(-1 << 53), number("-9007199254740992")},
		{sqlite.IntValue(1<<53 + 1), text("9007199254740993")},
		{sqlite.IntValue(math.MinInt64), text("-9223372036854775808")},
		{sqlite.FloatValue(1), number("1.0")},
		{sqlite.FloatValue(0.1), number("0.1")},
		{sqlite.FloatValue(-1e300), number("-1e+300")},
		{sqlite.FloatValue(math.Inf(1)), text("Infinity")},
		{sqlite.FloatValue(math.Inf(-1)), text("-Infinity")},
		{sqlite.BlobValue([]byte{0, 255}), text("AP8=")},
		{sqlite.BlobValue(nil), text("")},
	} {
		file := writeXLSX(t, columns("a", "b"), XLSXOptions{}, batch(2, []sqlite.Value{{}, c.value}))
		sheet := member(t, file, "xl/worksheets/sheet1.xml")
		_, got, _ := strings.Cut(sheet, `<row r="2"><c r="B2"`)
		if got != c.want+"</row></sheetData></worksheet>" {
			t.Errorf("%+v was written as %s, want %s", c.value, got, c.want)
		}
	}
}

// unescapeXLSX is an independent decoder of escapes, working from left to right.
func unescapeXLSX(s string) string {
	return regexp.MustCompile(`_x[0-9a-fA-F]{4}_`).ReplaceAllStringFunc(s, func(e string) string {
		n, err := strconv.ParseUint(e[2:6], 16, 16)
		if err != nil {
			panic(err)
		}
		return string(rune(n))
	})
}

func TestXLSXEscapes(t *testing.T) {
	piece := rapid.SampledFrom([]string{"_", "x", "_x", "0041", "_x0041", "_x0041_", "x005F_", "_x005F_", "\x01", "\r", "\uffff", "a", "é", "&", "<"})
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOf(rapid.OneOf(piece, rapid.String())).Draw(t, "pieces"), "")
		out, replaced := appendXML(nil, []byte(s))
		if replaced {
			t.Fatalf("%q: counted as invalid", s)
		}
		got := strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">").Replace(string(out))
		if got = unescapeXLSX(got); got != s {
			t.Fatalf("%q was written as %q, which is %q", s, out, got)
		}
	})
}

func TestExcelizeReadsXLSX(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		width := rapid.IntRange(1, 4).Draw(rt, "width")
		rows := rowsOf(rt, width)
		names := rapid.SliceOfN(text(), width, width).Draw(rt, "names")
		f := openXLSX(t, writeXLSX(t, columns(names...), XLSXOptions{Sheet: "contacts"}, batch(width, rows...)))
		defer f.Close()
		cell := func(i, j int) string {
			name, err := excelize.CoordinatesToCellName(j+1, i+1)
			if err != nil {
				rt.Fatal(err)
			}
			s, err := f.GetCellValue("contacts", name, excelize.Options{RawCellValue: true})
			if err != nil {
				rt.Fatal(err)
			}
			return s
		}
		for j, name := range names {
			if want := string([]rune(name)); cell(0, j) != want {
				rt.Fatalf("header %d: %q, want %q", j, cell(0, j), want)
			}
		}
		for i, row := range rows {
			for j, v := range row {
				want, _ := asField(v)
				if want = string([]rune(want)); cell(i+1, j) != want {
					rt.Fatalf("row %d, column %d: %q, want %q", i, j, cell(i+1, j), want)
				}
			}
		}
	})
}

func TestXLSXHeaderIsBoldAndFrozen(t *testing.T) {
	f := openXLSX(t, writeXLSX(t, columns("a"), XLSXOptions{Sheet: "t"}, batch(1, []sqlite.Value{sqlite.IntValue(1)})))
	for cell, bold := range map[string]bool{"A1": true, "A2": false} {
		id, err := f.GetCellStyle("t", cell)
		if err != nil {
			t.Fatal(err)
		}
		style, err := f.GetStyle(id)
		if err != nil || style.Font == nil || style.Font.Bold != bold {
			t.Errorf("%s: style %+v (%v), want bold %v", cell, style, err, bold)
		}
	}
	panes, err := f.GetPanes("t")
	if err != nil || !panes.Freeze || panes.YSplit != 1 || panes.TopLeftCell != "A2" {
		t.Errorf("panes %+v (%v)", panes, err)
	}
}

func TestXLSXRefusesLongText(t *testing.T) {
	var file bytes.Buffer
	w, err := NewXLSX(&file, columns("id", "note"), XLSXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fits := strings.Repeat("😀", 16383) + "é"
	if err := w.Rows(batch(2, []sqlite.Value{{}, sqlite.TextValue(fits)})); err != nil {
		t.Fatal(err)
	}
	err = w.Rows(batch(2, []sqlite.Value{sqlite.IntValue(2), {}}, []sqlite.Value{sqlite.IntValue(3), sqlite.TextValue(fits + "x")}))
	var fault *LimitError
	if !errors.As(err, &fault) || err.Error() != `cell B4 (row 3, column "note"): the text has 32768 characters, but an Excel cell holds at most 32767` {
		t.Errorf("got %v", err)
	}
	if _, err := NewXLSX(io.Discard, make([]Column, XLSXColumns+1), XLSXOptions{}); !errors.As(err, &fault) || err.Error() != "there are 16385 columns, but an Excel sheet has at most 16384" {
		t.Errorf("got %v", err)
	}
	if file := writeXLSX(t, make([]Column, XLSXColumns), XLSXOptions{}); !strings.Contains(member(t, file, "xl/worksheets/sheet1.xml"), `"XFD1"`) {
		t.Error("the last column is not XFD")
	}
}

func TestXLSXRowsBeyondTheLimit(t *testing.T) {
	var b sqlite.Batch
	b.Reset(1)
	for range 1 << 16 {
		b.Append(sqlite.IntValue(7))
	}
	fill := func(w *XLSX) (err error) {
		for range 17 {
			if err == nil {
				err = w.Rows(&b)
			}
		}
		return err
	}
	w, err := NewXLSX(io.Discard, columns("a"), XLSXOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var fault *LimitError
	if err := fill(w); !errors.As(err, &fault) || fault.Row != 1<<20 || err.Error() != "there are more than 1048575 rows, but an Excel sheet has at most 1048576 including the header; set split to continue on further sheets" {
		t.Errorf("got %v, row %d", err, fault.Row)
	}
	var nothing bytes.Buffer
	_, err = NewXLSX(&nothing, columns("a"), XLSXOptions{Rows: 1 << 20})
	if !errors.As(err, &fault) || err.Error() != "there are 1048576 rows, but an Excel sheet has at most 1048576 including the header; set split to continue on further sheets" || nothing.Len() > 0 {
		t.Errorf("when the rows are known before: %v, %d bytes", err, nothing.Len())
	}
	if _, err = NewXLSX(io.Discard, columns("a"), XLSXOptions{Rows: 1<<20 - 1}); err != nil {
		t.Error(err)
	}
	var file bytes.Buffer
	w, err = NewXLSX(&file, columns("a"), XLSXOptions{Sheet: "numbers", Split: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for sheet, want := range map[string]int{"sheet1": 1 << 20, "sheet2": 1<<16 + 2} {
		part := member(t, file.Bytes(), "xl/worksheets/"+sheet+".xml")
		if got := strings.Count(part, "<row "); got != want || strings.Count(part, "<v>7</v>") != want-1 {
			t.Errorf("%s: %d rows, want %d", sheet, got, want)
		}
	}
	if got := member(t, file.Bytes(), "xl/workbook.xml"); !strings.Contains(got, `name="numbers (2)" sheetId="2"`) {
		t.Errorf("the workbook is %s", got)
	}
}

func TestXLSXIsDeterministic(t *testing.T) {
	_, rows := sampleBatch()
	modified := time.Date(2026, 6, 2, 3, 4, 6, 0, time.UTC)
	names := make([]Column, rows.Columns)
	one := writeXLSX(t, names, XLSXOptions{Modified: modified}, rows, rows)
	two := writeXLSX(t, names, XLSXOptions{Modified: modified.In(time.FixedZone("", 3600))}, rows, rows)
	if !bytes.Equal(one, two) {
		t.Error("two files differ")
	}
	props, err := openXLSX(t, one).GetDocProps()
	if err != nil || props.Created != "2026-06-02T03:04:06Z" || props.Creator != "ZangTable" {
		t.Errorf("properties %+v (%v)", props, err)
	}
	if core := member(t, writeXLSX(t, nil, XLSXOptions{}), "docProps/core.xml"); strings.Contains(core, "dcterms:created") {
		t.Errorf("no time was given, and the properties are %s", core)
	}
}

func TestXLSXSheetNames(t *testing.T) {
	for _, c := range []struct {
		table, want string
		n           int
	}{
		{"contacts", "contacts", 1}, {"contacts", "contacts (2)", 2}, {`a/b\c:d*e?f[g]`, "a_b_c_d_e_f_g_", 1}, {"'quoted'", "quoted", 1},
		{"", "table", 1}, {"History", "history_", 1}, {"a\x00\n\xff", "a___", 1},
		{strings.Repeat("x", 40), strings.Repeat("x", 31), 1}, {strings.Repeat("😀", 20), strings.Repeat("😀", 13) + " (12)", 12},
	} {
		got := SheetName(c.table, c.n)
		if got != c.want {
			t.Errorf("%q, %d: %q, want %q", c.table, c.n, got, c.want)
		}
	}
	f := openXLSX(t, writeXLSX(t, nil, XLSXOptions{Sheet: `a <"b"> & 'c'`}))
	if got := fmt.Sprint(f.GetSheetList()); got != `[a <"b"> & 'c]` {
		t.Errorf("sheets %s", got)
	}
}
