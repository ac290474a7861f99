package api

import (
	"cmp"
	"encoding/json"
	"mime"
	"strings"
	"testing"
	"unicode"
)

// TestBadOrders requests impossible exports: each fault is reported with its field, and
// no export is created.
func TestBadOrders(t *testing.T) {
	s := openShop(t, openIdleHouse(t, clock), Config{})
	for _, test := range []struct{ path, body, want string }{
		{"table/contacts", `{"columns":["name","nmae","NAME"]}`, "columns[1] columns[2]"},
		{"table/contacts", `{"columns":[]}`, "columns"},
		{"table/contacts", `{"format":"xls","sort":"x","filters":{"y":1}}`, "format filters.y sort"},
		{"table/contacts", `{"limit":0,"offset":-1,"order":"up"}`, "limit offset order"},
		{"table/contacts", `{"profile":"lotus"}`, "profile"},
		{"table/contacts", `{"delimiter":"#","null_text":"1","color":"red"}`, "color delimiter null_text"},
		{"table/contacts", `{"delimiter":"#","null_text":"1"}`, "delimiter null_text"},
		{"table/contacts", `{"format":"json","header":false}`, "header"},
		{"table/contacts", `{"format":"parquet","compression":"gzip","split":true}`, "compression split"},
		{"table/contacts", `{"format":"sqlite","canonical":true}`, "canonical"},
		{"table/contacts", `{"expires_in":0}`, "expires_in"},
		{"database", `{"include_tables":["none","contacts"],"exclude_tables":["1","nothing"]}`, "include_tables[0] exclude_tables[1] exclude_tables"},
		{"database", `{"format":"csv"}`, "format"},
		{"database", `{"table_options":{"none":{},"contacts":{"columns":["x"],"quote":"some"}}}`, "table_options.contacts.quote table_options.contacts.columns[0] table_options.none"},
		{"database", `{"table_options":{"none":{},"contacts":{"columns":["x"],"profile":"lotus"}}}`, "table_options.contacts.columns[0] table_options.contacts.profile table_options.none"},
		{"database", `{"format":"json","table_options":{"contacts":{"bom":true}}}`, "table_options.contacts.bom"},
		{"database", `{"exclude_tables":["contacts"],"table_options":{"contacts":{}}}`, "table_options.contacts"},
		{"schema", `{"format":"xml"}`, "format"},
		{"schema", `{"columns":["name"]}`, "columns"},
		{"query", `{"sql":"SELECT nope","format":"zip"}`, "format sql"},
		{"query", `{"sql":"DELETE FROM contacts"}`, "sql"},
		{"query", `{}`, "sql"},
	} {
		got := s.ask(t, "POST", "/export/"+test.path, test.body)
		var answer struct {
			Error struct {
				Code    string
				Details []struct{ Field string }
			}
		}
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, d := range answer.Error.Details {
			fields = append(fields, d.Field)
		}
		if got.status != 422 || answer.Error.Code != "validation_failed" || strings.Join(fields, " ") != test.want {
			t.Errorf("%s %s: %d, faults of %q, want %q\n%s", test.path, test.body, got.status, fields, test.want, got.body)
		}
	}
	if list := s.ask(t, "GET", "/exports", ""); !strings.Contains(list.body, `"returned":0`) {
		t.Errorf("exports were ordered: %s", list.body)
	}
}

// TestFileNames requests file names that nobody should get: the plain filename is safe
// on every system, and filename* has the requested name, in a header that every reader
// understands.
func TestFileNames(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	long := strings.Repeat("é", 150)
	for _, test := range []struct{ asked, name, plain, exact string }{
		{"list", "list.csv", "list.csv", ""},
		{"list.CSV", "list.csv", "list.csv", ""},
		{"../../etc/passwd", "_.._etc_passwd.csv", "_.._etc_passwd.csv", "../../etc/passwd.csv"},
		{`C:\list`, "C__list.csv", "C__list.csv", `C:\list.csv`},
		{`a "quoted" one`, "a _quoted_ one.csv", "a _quoted_ one.csv", `a "quoted" one.csv`},
		{"line\r\nX-Evil: 1", "line__X-Evil_ 1.csv", "line__X-Evil_ 1.csv", "line\r\nX-Evil: 1.csv"},
		{"nul\x00", "nul_.csv", "nul_.csv", "nul\x00.csv"},
		{"gpj\u202evsc", "gpj_vsc.csv", "gpj_vsc.csv", "gpj\u202evsc.csv"},
		{"....", "contacts.csv", "contacts.csv", ".....csv"},
		{".. .", "contacts.csv", "contacts.csv", ".. ..csv"},
		{"NUL", "_NUL.csv", "_NUL.csv", "NUL.csv"},
		{"liste für zoë.csv", "liste für zoë.csv", "liste f_r zo_.csv", "liste für zoë.csv"},
		{"百分% a;b=c", "百分% a;b=c.csv", "__% a;b=c.csv", "百分% a;b=c.csv"},
		{long, long[:200] + ".csv", strings.Repeat("_", 100) + ".csv", long + ".csv"},
		{"\u202e", "_.csv", "_.csv", "\u202e.csv"},
		{"\"; filename=x.exe", "_; filename=x.exe.csv", "_; filename=x.exe.csv", "\"; filename=x.exe.csv"},
	} {
		body, err := json.Marshal(map[string]string{"file_name": test.asked})
		if err != nil {
			t.Fatal(err)
		}
		made := s.ask(t, "POST", "/export/table/contacts", string(body))
		var answer struct {
			Data struct {
				Export struct {
					Name    string `json:"download_name"`
					URL     string `json:"download_url"`
					Options struct {
						FileName string `json:"file_name"`
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(made.body), &answer); err != nil {
			t.Fatal(err)
		}
		export := answer.Data.Export
		if export.Name != test.name || export.Options.FileName != test.asked {
			t.Errorf("%q: the manifest has %q and %q", test.asked, export.Name, export.Options.FileName)
		}
		got := s.ask(t, "GET", strings.TrimPrefix(export.URL, "/projects/shop"), "")
		header := got.header.Get("Content-Disposition")
		if strings.ContainsFunc(header, func(r rune) bool { return r > unicode.MaxASCII || r < ' ' }) || got.header.Get("X-Evil") != "" {
			t.Errorf("%q: the header is %q", test.asked, header)
		}
		first, _, _ := strings.Cut(header, "; filename*=")
		for _, offered := range []struct{ header, want string }{{first, test.plain}, {header, cmp.Or(test.exact, test.plain)}} {
			kind, parameters, err := mime.ParseMediaType(offered.header)
			if err != nil || kind != "attachment" || parameters["filename"] != offered.want {
				t.Errorf("%q: %s offers %q, not %q: %v", test.asked, offered.header, parameters["filename"], offered.want, err)
			}
		}
		if (first != header) != (test.exact != "") {
			t.Errorf("%q: the header is %s", test.asked, header)
		}
	}
	got := s.ask(t, "POST", "/export/table/contacts", `{"file_name":"`+strings.Repeat("x", 401)+`"}`)
	if got.status != 422 || !strings.Contains(got.body, `"field":"file_name"`) {
		t.Errorf("a name that is too long: %d %s", got.status, got.body)
	}
}

// TestNothingToExport exports a project without tables, and one without rows.
func TestNothingToExport(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{})
	check := func(path, body string) {
		t.Helper()
		if got := s.ask(t, "POST", path, body); got.status != 201 || !strings.Contains(got.body, `"status":"ready"`) {
			t.Errorf("%s %s: %d %s", path, body, got.status, got.body)
		}
	}
	all := func() {
		for _, format := range []string{"zip", "zip-ndjson", "zip-parquet", "json", "sqlite", "sql", "archive"} {
			check("/export/database", `{"format":"`+format+`"}`)
		}
		check("/export/schema", `{"format":"sql"}`)
		check("/export/schema", `{"format":"json"}`)
	}
	for _, format := range []string{"csv", "json", "ndjson", "xlsx", "parquet", "sqlite"} {
		check("/export/table/contacts", `{"format":"`+format+`"}`)
		check("/export/query", `{"format":"`+format+`","sql":"SELECT name FROM contacts"}`)
	}
	all()
	if got := s.ask(t, "DELETE", "/table/contacts", ""); got.status != 200 {
		t.Fatal(got.body)
	}
	all()
}
