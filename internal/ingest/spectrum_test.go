package ingest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/source"
)

// TestCSVAsTheStandardSays covers the cases of csv-spectrum, and others like them.
func TestCSVAsTheStandardSays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, content string
		want          string // cells; · between columns, ¶ between rows, ∅ for NULL
	}{
		{"comma in quotes", "first,last,address,city,zip\nJohn,Doe,120 any st.,\"Anytown, WW\",08123\n", "first·last·address·city·zip¶John·Doe·120 any st.·Anytown, WW·08123"},
		{"empty", "a,b,c\n1,\"\",\"\"\n2,3,4\n", "a·b·c¶1·∅·∅¶2·3·4"},
		{"empty without quotes", "a,b,c\n1,,\n2,3,4\n", "a·b·c¶1·∅·∅¶2·3·4"},
		{"empty, CRLF", "a,b,c\r\n1,\"\",\"\"\r\n2,3,4\r\n", "a·b·c¶1·∅·∅¶2·3·4"},
		{"escaped quotes", "a,b\n1,\"ha \"\"ha\"\" ha\"\n3,4\n", "a·b¶1·ha \"ha\" ha¶3·4"},
		{"JSON in a cell", "key,val\n1,\"{\"\"type\"\": \"\"Point\"\", \"\"coordinates\"\": [102.0, 0.5]}\"\n", "key·val¶1·{\"type\": \"Point\", \"coordinates\": [102.0, 0.5]}"},
		{"newlines", "a,b,c\n1,2,3\n\"Once upon \na time\",5,6\n7,8,9\n", "a·b·c¶1·2·3¶Once upon \na time·5·6¶7·8·9"},
		{"newlines, CRLF", "a,b,c\r\n1,2,3\r\n\"Once upon \r\na time\",5,6\r\n7,8,9\r\n", "a·b·c¶1·2·3¶Once upon \r\na time·5·6¶7·8·9"},
		{"quotes and newlines", "a,b\n1,\"ha \n\"\"ha\"\" \nha\"\n3,4\n", "a·b¶1·ha \n\"ha\" \nha¶3·4"},
		{"simple", "a,b,c\n1,2,3\n", "a·b·c¶1·2·3"},
		{"simple, CRLF", "a,b,c\r\n1,2,3\r\n", "a·b·c¶1·2·3"},
		{"utf8", "a,b,c\n1,2,3\n4,5,ʤ\n", "a·b·c¶1·2·3¶4·5·ʤ"},
		{"bad quotes of a location", "Location Coordinates,x\n\"37°36'37.8\"\"N 121°2'17.9\"\"W\",1\n", "Location_Coordinates·x¶37°36'37.8\"N 121°2'17.9\"W·1"},
		{"no line end at the end", "a,b\n1,2", "a·b¶1·2"},
		{"BOM", "\ufeffa,b\n1,2\n", "a·b¶1·2"},
		{"BOM and quotes", "\ufeff\"a\",\"b\"\n1,2\n", "a·b¶1·2"},
		{"spaces stay", "a,b\n x , y\n", "a·b¶ x · y"},
		{"a quote in the middle is text", "a,b\nx\"y,2\n", "a·b¶x\"y·2"},
		{"blank lines between rows", "a,b\n1,2\n\n3,4\n", "a·b¶1·2¶3·4"},
		{"old Mac line ends", "a,b\r1,2\r3,4\r", "a·b¶1·2¶3·4"},
		{"tab in a cell", "a,b\nx\ty,2\n", "a·b¶x\ty·2"},
		{"header in quotes with a comma", "\"a,1\",b\n1,2\n", "a_1·b¶1·2"},
		{"one column", "name\nx\n\"\"\n\ny\n", "name¶x¶¶∅¶y"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			report, err := p.take(write(t, "x.csv", test.content), Options{Target: Target{ReadOptions: format.ReadOptions{Header: new(true)}}})
			if err != nil {
				t.Fatal(err)
			}
			names := []string{}
			for _, column := range report.Tables[0].Columns {
				names = append(names, column.Name)
			}
			const query = ".mode list\n.separator · ¶\n.nullvalue ∅\nSELECT * FROM x;\n"
			got := strings.TrimSuffix(strings.Join(names, "·")+"¶"+shell(t, p.path, query), "¶")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEncodingsCanBeTold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, content string
		encoding      format.Encoding
		want          string
	}{
		{"Latin letters that look like nothing", "a,b\nM\xfcller,1\n", format.Windows1252, "Müller|1\n"},
		{"UTF-8 although one byte is not", "a,b\nM\xfcller,1\n", format.UTF8, "M\xfcller|1\n"},
		{"UTF-16 without BOM of letters that look binary", "a\x00,\x00b\x00\n\x00\x16\x04\x16\x04,\x001\x00\n\x00", format.UTF16LE, "ЖЖ|1\n"},
		{"big-endian", "\x00a\x00,\x00b\x00\n\x04\x16\x00,\x001\x00\n", format.UTF16BE, "Ж|1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			d := format.ReadOptions{Header: new(true), Encoding: test.encoding, Delimiter: ","}
			if _, err := p.take(write(t, "x.csv", test.content), Options{Target: Target{ReadOptions: d}}); err != nil {
				t.Fatal(err)
			}
			if got := shell(t, p.path, "SELECT * FROM x;\n"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	binary := "a,b\n" + strings.Repeat("\x01\x02\x03,\x04\n", 50)
	path := write(t, "binary.csv", binary)
	if _, err := newProject(t).take(path, Options{}); err == nil || !strings.Contains(err.Error(), "binary") {
		t.Fatalf("without being told: %v", err)
	}
	s, err := Open(t.Context(), source.Opening{Workers: workers, Path: path, Format: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	told := format.ReadOptions{Header: new(true), Encoding: format.UTF8, Delimiter: ","}
	p := newProject(t)
	if _, err := s.Load(t.Context(), p.DB, Options{Target: Target{ReadOptions: told}}); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, p.path, "SELECT count(*), hex(a), hex(b) FROM binary;\n"); got != "50|010203|04\n" {
		t.Errorf("got %q", got)
	}
}
