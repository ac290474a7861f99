package api

import (
	"strings"
	"testing"
)

// What is expanded is encoded the same whether the answer is small or streamed.
func TestExpandedRowsAreEncoded(t *testing.T) {
	t.Parallel()
	s := openShop(t, openHouse(t, clock), Config{})
	s.ask(t, "POST", "/table", `{"table_name":"seats","columns":[{"name":"r","type":"INTEGER","primary":true},{"name":"s","primary":true},{"name":"note"}]}`)
	s.ask(t, "POST", "/table", `{"table_name":"passes","columns":[{"name":"r","type":"INTEGER"},{"name":"s"},{"name":"next_id","type":"INTEGER","references":{"table":"passes"}}],
		"foreign_keys":[{"columns":["r","s"],"parent_table":"seats"}]}`)
	for _, note := range []string{`say \"a\"`, strings.Repeat("x", 300_000)} {
		s.ask(t, "POST", "/records/seats", `{"data":[{"r":1,"s":"a","note":"`+note+`"}],"on_conflict":{"columns":["r","s"],"action":"update"}}`)
		s.ask(t, "POST", "/records/passes", `{"data":[{"id":1,"r":1,"s":"a"},{"id":2,"next_id":1}],"on_conflict":{"columns":["id"],"action":"update"}}`)
		seat := `{"r":1,"s":"a","note":"` + note + `"}`
		rows := `[{"id":1,"_expand":{"next_id":null,"r+s":` + seat + `}},{"id":2,"_expand":{"next_id":{"id":1,"r":1,"s":"a","next_id":null,"_expand":{"r+s":` + seat + `}},"r+s":null}}]`
		if got := s.ask(t, "GET", "/records/passes?columns=id&expand=next.r+s,r%2Bs", ""); !strings.Contains(got.body, `"rows":`+rows) {
			t.Errorf("%.300s\nis not %.300s", got.body, rows)
		}
		if got := s.ask(t, "POST", "/records/passes/search", `{"columns":["id"],"expand":["next.r+s","r+s"]}`); !strings.Contains(got.body, `"rows":`+rows) {
			t.Errorf("%.300s\nis not %.300s", got.body, rows)
		}
		if got := s.ask(t, "GET", "/records/passes/1?columns=id&expand=s+r", ""); !strings.Contains(got.body, `"row":{"id":1,"_expand":{"r+s":`+seat+`}}`) {
			t.Errorf("%.300s", got.body)
		}
	}
}
