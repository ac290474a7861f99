package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/zangtable/zangtable/internal/testkit"
)

// openGrid returns a browser whose person owns the server, and a caller of the API.
func openGrid(t *testing.T) (s *running, page *testkit.Browser, c *labeled, project string) {
	t.Helper()
	page = testkit.NewBrowser(t)
	s, b := openPanel(t)
	b.setUp(s)
	for _, cookie := range b.cookies {
		page.Cookie(s.url, cookie)
	}
	project = s.url + "/admin/p/" + s.ready.Project.Slug
	return s, page, &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token}, project
}

// must makes a call that has to succeed.
func (c *labeled) must(method, path string, body any) {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	if status, _ := c.call(method, path, string(text), nil); status != http.StatusCreated && status != http.StatusOK {
		c.t.Fatalf("%s %s: %d", method, path, status)
	}
}

// fillTable makes a table of n short records.
func (c *labeled) fillTable(name string, n int) {
	c.t.Helper()
	c.must("POST", "/table", json.RawMessage(`{"table_name":"`+name+`","columns":[{"name":"name"},{"name":"n","type":"INTEGER"}]}`))
	for first := 1; first <= n; first += 10_000 {
		var rows []map[string]any
		for i := first; i < first+10_000 && i <= n; i++ {
			rows = append(rows, map[string]any{"name": fmt.Sprintf("name %d", i), "n": i % 100})
		}
		c.must("POST", "/records/"+name, map[string]any{"data": rows, "return": "none"})
	}
}

// shows is an expression that is true when a cell has a text. Rows and columns count from 0.
func shows(row, column int, text string) string {
	quoted, _ := json.Marshal(text) // a string can always be encoded
	return fmt.Sprintf("document.getElementById('c%d-%d')?.textContent === %s", row, column, quoted)
}

func TestTheGridReachesEveryRow(t *testing.T) {
	t.Parallel()
	_, page, c, project := openGrid(t)
	c.fillTable("many", 20_000)
	page.Open(project + "/t/many")
	page.Wait(shows(0, 1, "name 1"))
	page.Wait(`document.getElementById("count").textContent === "about 20,000 records"`)
	page.Screenshot("grid-light")
	for what, most := range map[string]int{"navigation": 40_000, "resource": 80_000} {
		sum := page.Text(`performance.getEntriesByType("` + what + `").reduce((sum, entry) => sum + entry.transferSize, 0)`)
		if bytes, err := strconv.Atoi(sum); err != nil || bytes == 0 || bytes > most {
			t.Errorf("%s: %s bytes were transferred", what, sum)
		}
	}
	page.Press(kb.End, chromedp.ModifierCtrl)
	page.Wait(shows(19_999, 1, "name 20000"))
	page.Wait(`document.querySelector("#grid .at")?.id === "c19999-2"`)
	page.Press(kb.Home, chromedp.ModifierCtrl)
	page.Press(kb.PageDown)
	page.Press(kb.ArrowRight)
	page.Wait(`Number(document.querySelector("#grid .at")?.id.match(/c(\d+)-1/)?.[1]) > 10`)
	// To a row by its number, which the address keeps.
	page.Press("g", chromedp.ModifierCtrl)
	page.Press("12345")
	page.Press(kb.Enter)
	page.Wait(shows(12_344, 1, "name 12345"))
	page.Open(page.Text("location.href"))
	page.Wait(`Number(document.querySelector("#grid [role=rowheader]")?.textContent) > 12000`)
	page.Wait("[...document.querySelectorAll('#grid [role=gridcell]')].some((cell) => cell.textContent === 'name 12345')")
	if nodes := page.Text("document.querySelectorAll('*').length"); len(nodes) > 3 {
		t.Errorf("%s elements show a part of the table", nodes)
	}
	// In an order that no index has, and one that leaves hardly anything.
	page.Open(project + "/t/many?sort=-n&row=15000")
	page.Wait("[...document.querySelectorAll('#grid [role=gridcell]')].some((cell) => cell.textContent === '25')")
	page.Open(project + `/t/many?filters={"n":7}`)
	page.Wait(`document.getElementById("count").textContent === "200 records"`)
	page.Open(project + `/t/many?filters={"n":777}`)
	page.Wait(`document.getElementById("none").innerText.includes("No record matches")`)
	page.Quiet("422") // a position in that order was refused
}

func TestTheGridShowsValuesAsTheyAre(t *testing.T) {
	t.Parallel()
	_, page, c, project := openGrid(t)
	c.must("POST", "/table", json.RawMessage(`{"table_name":"parents","columns":[{"name":"code","type":"INTEGER","unique":true},{"name":"title"}]}`))
	c.must("POST", "/table", json.RawMessage(`{"table_name":"odd","columns":[{"name":"t"},{"name":"i","type":"INTEGER"},{"name":"r","type":"REAL"},{"name":"b","type":"BLOB"},{"name":"code","type":"INTEGER","references":{"table":"parents","column":"code"}}]}`))
	c.must("POST", "/records/parents", json.RawMessage(`{"data":[{"code":9223372036854775807,"title":"the largest"},{"code":1,"title":"one"}]}`))
	c.must("POST", "/records/odd", map[string]any{"data": []any{
		map[string]any{"t": nil, "i": json.RawMessage("-9007199254740993"), "r": 1, "b": "AP8=", "code": json.RawMessage("9223372036854775807")},
		map[string]any{"t": ""},
		map[string]any{"t": " a\r\nb\t "},
		map[string]any{"t": hostile},
		map[string]any{"t": strings.Repeat("long ", 20_000)},
	}})
	page.Open(project + "/t/odd")
	for _, want := range []string{
		shows(0, 1, "NULL"), shows(1, 1, "empty"), shows(2, 1, "·a↵b⇥·"), shows(3, 1, hostile),
		shows(0, 2, "-9007199254740993"), shows(0, 3, "1.0"), shows(0, 4, "BLOB 2 B"), shows(0, 5, "9223372036854775807→"),
		`document.getElementById("c0-1").classList.contains("null") && document.getElementById("c1-1").classList.contains("empty")`,
		`document.getElementById("c4-1").textContent.endsWith("100.0 kB")`,
	} {
		page.Wait(want)
	}
	page.Screenshot("values-light")
	// The record beside the grid has the whole value, or says where it is.
	for range 4 {
		page.Press(kb.ArrowDown)
	}
	page.Press(" ")
	page.Wait(`document.querySelector("#drawer dd.text a")?.download === "" && document.getElementById("drawer").innerText.includes("100.0 kB in all")`)
	for range 4 {
		page.Press(kb.ArrowUp)
	}
	page.Wait(`document.getElementById("drawer").innerText.includes("9223372036854775807 → parents")`)
	page.Screenshot("drawer-light")
	page.Size(360, 640)
	page.Screenshot("drawer-narrow")
	page.Press(kb.Escape)
	page.Wait(`document.getElementById("drawer").hidden && document.activeElement.id === "grid"`)
	page.Screenshot("grid-narrow")
	if page.Text("document.documentElement.scrollWidth") != "360" {
		t.Error("the page is wider than the screen")
	}
	page.Size(1280, 800)
	// A foreign key leads to its record, all digits of which count.
	page.Press(kb.End)
	page.Press(kb.Enter, chromedp.ModifierAlt)
	page.Wait(`location.pathname.endsWith("/t/parents") && ` + shows(0, 2, "the largest"))
	page.Wait(`document.getElementById("count").textContent === "1 record"`)
	page.Press(" ")
	page.Wait(`document.getElementById("drawer").innerText.includes("odd by code 1")`)
	page.Quiet()
}
