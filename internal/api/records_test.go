package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/rest"
)

func TestBulkInsert(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	rows := func(n int) string {
		return `{"return":"none","data":[` + strings.TrimSuffix(strings.Repeat(`{"name":"`+strings.Repeat("x", 200)+`"},`, n), ",") + `]}`
	}
	if got := s.ask(t, "POST", "/records/contacts", rows(10_001)).failure(t); got != "422 validation_failed [data: At most 10000 rows can be inserted at once.]" {
		t.Error(got)
	}
	// More than the 1 MiB of other routes.
	if got := s.ask(t, "POST", "/records/contacts", rows(10_000)); got.status != 201 || !strings.Contains(got.body, `"data":{"table":"contacts","inserted":10000}`) {
		t.Errorf("%d %.300s", got.status, got.body)
	}
	var page struct {
		Data struct {
			Rows     []map[string]any
			Returned int
			Total    int64
		}
	}
	got := s.ask(t, "GET", "/records/contacts?limit=500&count=1", "")
	if err := json.Unmarshal([]byte(got.body), &page); err != nil {
		t.Fatal(err)
	}
	if page.Data.Total != 10_000 || page.Data.Returned != 500 || len(page.Data.Rows) != 500 {
		t.Errorf("%+v", page.Data)
	}
}

// A page that would be too large ends early, unless the client counts rows.
func TestLargePagesEndEarly(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	for range 3 {
		if got := s.ask(t, "POST", "/records/contacts", `{"name":"`+strings.Repeat("x", 5<<20)+`"}`); got.status != 201 {
			t.Fatalf("%d %.300s", got.status, got.body)
		}
	}
	list := func(query string) (ids []int, rest map[string]any) {
		var page struct {
			Data struct{ Rows []struct{ ID int } }
		}
		got := s.ask(t, "GET", "/records/contacts?"+query, "")
		var whole struct{ Data map[string]any }
		if err := errors.Join(json.Unmarshal([]byte(got.body), &page), json.Unmarshal([]byte(got.body), &whole)); err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Data.Rows {
			ids = append(ids, row.ID)
		}
		return ids, whole.Data
	}
	ids, page := list("limit=10")
	if len(ids) != 1 || page["ended_by"] != "bytes" || page["has_more"] != true || page["returned"] != 1.0 {
		t.Errorf("the first page has %v, and ended_by %v, has_more %v, returned %v", ids, page["ended_by"], page["has_more"], page["returned"])
	}
	for want := 2; page["has_more"] == true; want++ {
		ids, page = list("limit=10&after=" + page["next_cursor"].(string))
		if len(ids) != 1 || ids[0] != want {
			t.Errorf("the page for %d has %v", want, ids)
		}
	}
	if page["next_cursor"] != nil || page["ended_by"] != nil {
		t.Errorf("the last page ends with %v, ended_by %v", page["next_cursor"], page["ended_by"])
	}
	for _, query := range []string{"limit=2&offset=0", "offset=1"} {
		const sentence = "The page would have more than 8 MiB of texts and blobs."
		if got := s.ask(t, "GET", "/records/contacts?"+query, "").failure(t); !strings.HasPrefix(got, "422 validation_failed [after: "+sentence) || !strings.Contains(got, "[columns: "+sentence) && !strings.Contains(got, "columns: "+sentence) {
			t.Error(got)
		}
	}
	if ids, page := list("offset=0&columns=id"); len(ids) != 3 || page["ended_by"] != nil {
		t.Errorf("without the large column: %v, %v", ids, page["ended_by"])
	}
	if ids, page := list("limit=1"); len(ids) != 1 || page["ended_by"] != nil || page["has_more"] != true {
		t.Errorf("a full page: %v, %v", ids, page["ended_by"])
	}
}

func TestPagesOfACursorAreWholeAndOnce(t *testing.T) {
	s := openShop(t, openHouse(t, clock), Config{})
	var rows []string
	for i := range 100 {
		rows = append(rows, fmt.Sprintf(`{"name":"n%d"}`, i%7))
	}
	s.ask(t, "POST", "/records/contacts", `{"data":[`+strings.Join(rows, ",")+`]}`)
	seen := map[int]bool{}
	after := ""
	for range 100 {
		var page struct {
			Data struct {
				Rows       []struct{ ID int }
				NextCursor *string `json:"next_cursor"`
				HasMore    bool    `json:"has_more"`
			}
		}
		got := s.ask(t, "GET", "/records/contacts?limit=7&sort=name&order=desc&after="+after, "")
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			t.Fatal(err)
		}
		for _, row := range page.Data.Rows {
			if seen[row.ID] {
				t.Errorf("row %d twice", row.ID)
			}
			seen[row.ID] = true
		}
		if page.Data.HasMore != (page.Data.NextCursor != nil) {
			t.Errorf("has_more %t and next_cursor %v", page.Data.HasMore, page.Data.NextCursor)
		}
		if page.Data.NextCursor == nil {
			break
		}
		after = *page.Data.NextCursor
	}
	if len(seen) != 100 {
		t.Errorf("%d rows seen", len(seen))
	}
}

// FuzzInsertBody compares how a body is split with what encoding/json makes of it.
func FuzzInsertBody(f *testing.F) {
	for _, seed := range []string{
		`{"name":"x"}`, `{"data":1}`, `{"data":{}}`, `{"data":[],"return":"none"}`, `{"data":[{}],"on_conflict":{"columns":["a"],"action":"update"}}`,
		`{"data":{},"x":1}`, `[]`, `{"data":{"data":[1]}}`, `{"on_conflict":null,"data":{}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members := map[string]json.RawMessage{}
		if !json.Valid([]byte(text)) || !utf8.ValidString(text) || strings.Contains(text, `\`) || json.Unmarshal([]byte(text), &members) != nil || members == nil {
			return
		}
		if strings.Count(text, `"data"`) > 1 {
			return // perhaps duplicate names, which the decoder before this one refuses
		}
		text = strings.TrimSpace(text)
		var b insertBody
		err := b.UnmarshalJSON([]byte(text))
		data := strings.TrimSpace(string(members["data"]))
		isEnvelope := strings.HasPrefix(data, "{") || strings.HasPrefix(data, "[")
		switch {
		case err != nil && !isEnvelope:
			t.Errorf("%s: %v", text, err)
		case err == nil && isEnvelope && (string(b.data) != data || b.many != (data[0] == '[')):
			t.Errorf("%s: data is %s, many %t", text, b.data, b.many)
		case err == nil && !isEnvelope && string(b.data) != text:
			t.Errorf("%s: the row is %s", text, b.data)
		}
	})
}

func BenchmarkRecords(b *testing.B) {
	h := openHouse(b, clock)
	h.project(b, "shop")
	secret := h.token(b, "shop").Secret
	e := New(Config{Registry: h.registry, Exports: h.exports, Imports: h.imports, Rehearsals: h.rehearsals, Journal: h.journal, HTTP: rest.Config{Log: slog.New(slog.DiscardHandler), Now: clock, Random: endless{}}})
	ask := func(b *testing.B, method, path, body string) {
		r := httptest.NewRequest(method, "/projects/shop"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); w.Code >= 300 {
			b.Fatal(w.Body)
		}
	}
	ask(b, "POST", "/table", `{"table_name":"contacts","columns":[{"name":"name"},{"name":"city"},{"name":"age","type":"INTEGER"}]}`)
	row := `{"name":"Ada Lovelace","city":"London","age":36}`
	ask(b, "POST", "/records/contacts", `{"data":[`+strings.TrimSuffix(strings.Repeat(row+",", 1000), ",")+`]}`)
	for _, c := range []struct{ name, method, path, body string }{
		{"one", "GET", "/records/contacts/7", ""},
		{"list-100", "GET", "/records/contacts?limit=100", ""},
		{"list-500", "GET", "/records/contacts?limit=500", ""},
		{"insert", "POST", "/records/contacts", row},
		{"query", "POST", "/query", `{"sql":"SELECT * FROM contacts WHERE id = ?","params":[7]}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask(b, c.method, c.path, c.body)
			}
		})
	}
}
