package format

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// readCSVTable reads the table in a CSV file into one line of text: the names, then the
// rows.
func readCSVTable(t *testing.T, file string, d ReadDialect) (table string, r *CSVRows) {
	t.Helper()
	r, err := NewCSVRows(strings.NewReader(file), d)
	if err != nil {
		return err.Error(), nil
	}
	var lines []string
	var names []string
	for _, c := range r.Columns() {
		names = append(names, c.Name)
	}
	lines = append(lines, strings.Join(names, "_"))
	for {
		row, err := r.Next()
		if err == io.EOF {
			return strings.Join(lines, " / "), r
		}
		if err != nil {
			return fmt.Sprint(strings.Join(lines, " / "), " / ", err), r
		}
		var cells []string
		for _, v := range row {
			if v.Kind == sqlite.Null {
				cells = append(cells, "NULL")
			} else {
				cells = append(cells, string(v.Bytes))
			}
		}
		lines = append(lines, strings.Join(cells, "_"))
	}
}

// TestSniffRules is the table of cases behind the rules and weights of sniffrules.go.
func TestSniffRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, want string }{
		{"names that are years", "town,2019,2020\nUlm,7,8\nKiel,1,2\n", "town_2019_2020 / Ulm_7_8 / Kiel_1_2"},
		{"rows with years", "Ada,2019,2020\nBob,2018,2019\n", "__ / Ada_2019_2020 / Bob_2018_2019"},
		{"names that count", "pupil,1,2,3\nAda,4,4,2\nBob,5,3,3\n", "pupil_1_2_3 / Ada_4_4_2 / Bob_5_3_3"},
		{"rows of numbers", "1,2,3\n4,5,6\n", "__ / 1_2_3 / 4_5_6"},
		{"rows with a number", "Rye;2,40\nOat;1,10\n", "_ / Rye_2,40 / Oat_1,10"},
		{"a name is missing", ",town\n0,Ulm\n1,Kiel\n", "_town / 0_Ulm / 1_Kiel"},
		{"names that are percentages", "of,10%,90%\nage,3,4\n", "of_10%_90% / age_3_4"},
		{"names that are answers", "asked,Yes,No\ntea,3,4\nrye,5,6\n", "asked_Yes_No / tea_3_4 / rye_5_6"},
		{"answers", "Ada,yes\nBob,no\nCy,yes\n", "_ / Ada_yes / Bob_no / Cy_yes"},
		{"a name that is a value below", "Kind,Word\nWord,a\nWord,b\n", "Kind_Word / Word_a / Word_b"},
		{"rows of few words", "m,yes\nf,no\nm,no\nf,yes\n", "_ / m_yes / f_no / m_no / f_yes"},
		{"a repeated header above numbers", "id,n\na,1\nid,n\nb,2\n", "id_n / a_1 / b_2"},
		{"a repeated header above texts", "id,n\na,x\nid,n\nb,y\n", "id_n / a_x / id_n / b_y"},

		{"the separator line of a spreadsheet", "sep=;\na;b\n1;2\n", "a_b / 1_2"},
		{"the same in quotes", "\"sep=|\"\r\na|b\r\n1|2\r\n", "a_b / 1_2"},
		{"comments", "# by hand, mostly\n# of June\na,b\n1,2\n# more\n3,4\n", "a_b / 1_2 / 3_4"},
		{"names in a comment", "# a,b\n1,2\n3,4\n", "# a_b / 1_2 / 3_4"},
		{"a title", "Sales of June\na,b,c\nx,1,2\ny,3,4\n", "a_b_c / x_1_2 / y_3_4"},
		{"a title in the first of several fields", ",,\nSales,,\na,b,c\nx,1,2\ny,3,4\n", "a_b_c / x_1_2 / y_3_4"},
		{"what describes the source", "\"Source\",\"Office\",\n\n\"Date\",\"May 1\",\n\n\"a\",\"b\",\"1999\",\"2000\",\n\"x\",\"y\",\"1\",\"\",\n\"z\",\"y\",\"3\",\"4\",\n", "a_b_1999_2000 / x_y_1_ / z_y_3_4"},
		{"a total", "a,b\nx,1\ny,2\nTotal: 3\n", "a_b / x_1 / y_2"},
		{"a remark in the middle", "a,b\nx,1\nas of May\ny,2\n", "a_b / x_1 / as of May_NULL / y_2"},
		{"the end mark of psql", "a,b\n1,2\n\\.\n", "a_b / 1_2"},
		{"the end mark of DOS", "a,b\n1,2\n\x1a", "a_b / 1_2"},
		{"blanks at the end", "a,b\n1,2\n   ", "a_b / 1_2"},
		{"NULs at the end", "a,b\n1,2\n\x00\x00\x00\x00", "a_b / 1_2"},
		{"files put together", bom + "a,b\n1,2\n" + bom + "\"3\",4\n", "a_b / 1_2 / 3_4"},

		{"decimal commas", "1,5;2,5\n3,5;4,5\n", "_ / 1,5_2,5 / 3,5_4,5"},
		{"lists in fields", "1,Rye,a|b\n2,Oat,c|d\n", "__ / 1_Rye_a|b / 2_Oat_c|d"},
		{"tildes", "a~b\n1~2\n", "a_b / 1_2"},
		{"unit separators", "a\x1fb\n1\x1f2\n", "a_b / 1_2"},
		{"two bars", "a||b||c\n1||||3\n", "a_b_c / 1_NULL_3"},
		{"bars and two bars", "a|b|c\n1||3\n2|x|4\n", "a_b_c / 1_NULL_3 / 2_x_4"},
		{"texts with commas", "note\nHello, world\nWell, then\nBye\n", "note / Hello, world / Well, then / Bye"},

		{"quotes that are not doubled", "a,b\n1,\"say \"no\" to it\"\n2,\"x\"\n", "a_b / 1_say \"no\" to it / 2_x"},
		{"text behind a closing quote", "a,b\n1,\"x\" y\n2,z\n", "a_b / 1_\"x\" y / 2_z"},
		{"escaped quotes", "a,b\n1,\"say \\\"no\\\" \\\\ to it\"\n2,\"x\"\n", "a_b / 1_say \"no\" \\ to it / 2_x"},
		{"a backslash at the end", "a,b\n\"C:\\\",1\n\"D:\\\",2\n", "a_b / C:\\_1 / D:\\_2"},
		{"blanks behind quotes", "a,b\n\"x\" ,1\n\"y\"  ,2\n", "a_b / x_1 / y_2"},
		{"blanks before quotes", "a, \"b\"\n1, \"x, y\"\n2, \"z\"\n", "a_b / 1_x, y / 2_z"},
		{"apostrophes", "a,b\n1,'x, y'\n2,'z'\n", "a_b / 1_x, y / 2_z"},
		{"words with apostrophes", "a,b\n'tis,it's\n'twas,was\n", "a_b / 'tis_it's / 'twas_was"},
		{"a quote that is never closed", "a,b\nx,\"1\ny,2\nz,3\nw,4\n", "a_b / x_\"1 / y_2 / z_3 / w_4"},
		{"a file that was cut off", "a,b\nx,\"y\"\nz,\"1\n", "a_b / x_y / line 3, column 3: the quote that opens here is never closed. Set quote to none if quotes are ordinary text in this file"},

		{"rows that end with a delimiter", "a|b\n1|2|\n3|4|\n", "a_b / 1_2 / 3_4"},
		{"one of them", "a,b\n1,2,\n3,4\n5,6\n", "a_b / 1_2 / 3_4 / 5_6"},
		{"short rows", "a,b,c\n1,2\n3,4,5\n6,7,8\n9\n", "a_b_c / 1_2_NULL / 3_4_5 / 6_7_8 / 9_NULL_NULL"},
		{"long rows", "a,b\n1,2\n3,4\n1,2,3\n", "a_b / 1_2 / 3_4 / 1_2_3"},
		{"names of rows", "\"n\",\"m\"\n\"Ulm\",1,2\n\"Kiel\",3,4\n", "_n_m / Ulm_1_2 / Kiel_3_4"},

		{"CR CR LF", "a,b\r\r\n1,2\r\r\n\"3\",\"4\"\r\r\n", "a_b / 1_2 / 3_4"},
		{"CR and LF", "a,b\r1,2\n3,4\r5,6\r\n", "a_b / 1_2 / 3_4 / 5_6"},
		{"CR with one LF", "a,b\r1,2\r3,4\r5,6\n", "a_b / 1_2 / 3_4 / 5_6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := readCSVTable(t, c.file, ReadDialect{}); got != c.want {
				t.Errorf("%q was read as\n%s, want\n%s", c.file, got, c.want)
			}
		})
	}
}

func TestTableOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		dialect    ReadDialect
		want       string
	}{
		{"skip lines", "x,y,z\na,b,c\n1,2,3\n", ReadDialect{SkipRows: 1}, "a_b_c / 1_2_3"},
		{"skip none", "# x\na,b\n1,2\n", ReadDialect{SkipRows: -1, Comment: NoComment, Header: WithoutHeader}, "_ / # x_NULL / a_b / 1_2"},
		{"header row", "x,y\na,b\n1,2\n", ReadDialect{HeaderRow: 2}, "a_b / 1_2"},
		{"header row and units", "a,b\ns,m\n1,2\n", ReadDialect{HeaderRow: 1, SkipBelow: 1}, "a_b / 1_2"},
		{"comment", "a,b\n%1,2\n3,4\n", ReadDialect{Comment: '%'}, "a_b / 3_4"},
		{"footer", "a,b\n1,2\n3,4\n5,6\n", ReadDialect{Footer: 2}, "a_b / 1_2"},
		{"footer of all", "a,b\n1,2\n3,4\n", ReadDialect{Footer: 5}, "a_b"},
		{"no footer", "a,b\n1,2\nTotal: 3\n", ReadDialect{Footer: -1}, "a_b / 1_2 / Total: 3_NULL"},
		{"refuse", "a,b\n1,2\n3\n", ReadDialect{Ragged: RefuseRagged}, "a_b / 1_2 / 3"},
		{"width", "a,b\n1,2\n1,2,3\n", ReadDialect{Ragged: PadNamesRagged, Width: 3}, "a_b_ / 1_2_NULL / 1_2_3"},
		{"long delimiter", "a<>b<c\n1<>2\n", ReadDialect{Delimiter: '<', Rest: ">"}, "a_b<c / 1_2"},
		{"a tab is likelier in a .tsv", "a,b\tc,d\n1,2\t3,4\n", ReadDialect{Prefers: '\t'}, "a,b_c,d / 1,2_3,4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := readCSVTable(t, c.file, c.dialect); got != c.want {
				t.Errorf("%q was read as\n%s, want\n%s", c.file, got, c.want)
			}
		})
	}
}
