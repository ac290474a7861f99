package server

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const people = `{"table_name":"people","columns":[{"name":"name","nullable":false},{"name":"note"},{"name":"n","type":"INTEGER"}]}`

// row returns a record as it is stored.
func (c *labeled) row(table, id string) (row map[string]any) {
	c.t.Helper()
	var answer struct{ Row map[string]any }
	if status, _ := c.call("GET", "/records/"+table+"/"+id+"?integers=string", "", &answer); status != http.StatusOK {
		c.t.Fatalf("record %s of %s: %d", id, table, status)
	}
	return answer.Row
}

func (c *labeled) wantRow(table, id, column string, want any) {
	c.t.Helper()
	if got := c.row(table, id)[column]; got != want {
		c.t.Errorf("%s of %s %s is %#v, want %#v", column, table, id, got, want)
	}
}

const (
	idle    = `!document.querySelector(".editor") && document.activeElement.id === "grid"`
	editing = `document.activeElement.matches(".editor textarea")`
)

func TestCellsAreEdited(t *testing.T) {
	t.Parallel()
	_, page, c, project := openGrid(t)
	c.must("POST", "/table", json.RawMessage(people))
	c.must("POST", "/records/people", json.RawMessage(`{"data":[{"name":"Ada","note":"a\r\nb","n":9223372036854775806},{"name":"Bob"},{"name":"Cy","note":""}]}`))
	page.Open(project + "/t/people")
	page.Wait(shows(0, 1, "Ada"))
	page.Press(kb.ArrowRight)
	// A key that prints begins a new text, and Enter goes down.
	page.Press("Eve")
	page.Wait(editing)
	page.Screenshot("edit-light")
	page.Press(kb.Enter)
	page.Wait(shows(0, 1, "Eve") + " && " + idle + ` && document.querySelector("#grid .at").id === "c1-1"`)
	c.wantRow("people", "1", "name", "Eve")
	// NULL and empty: by keys of their own, and by what is typed.
	page.Press(kb.ArrowRight)
	page.Press(kb.Delete, chromedp.ModifierShift)
	page.Wait(shows(1, 2, "empty"))
	page.Press(kb.Delete)
	page.Wait(shows(1, 2, "NULL"))
	page.Press(kb.Enter)
	page.Wait(editing)
	page.Press(kb.Enter) // nothing was typed, so NULL stays
	page.Wait(idle)
	c.wantRow("people", "2", "note", nil)
	page.Press(kb.ArrowUp)
	page.Press("x")
	page.Wait(editing)
	page.Press(kb.Backspace)
	page.Press(kb.Tab)
	page.Wait(shows(1, 2, "empty") + " && " + idle)
	c.wantRow("people", "2", "note", "")
	// An integer of 64 bits, and one that has more.
	page.Press(kb.ArrowUp)
	page.Press("9223372036854775808")
	page.Press(kb.Enter)
	page.Wait(`document.querySelector(".editor .fault").innerText.includes("64 bits")`)
	page.Press(kb.Backspace)
	page.Press("7")
	page.Press(kb.Enter)
	page.Wait(shows(0, 3, "9223372036854775807"))
	c.wantRow("people", "1", "n", "9223372036854775807")
	c.wantRow("people", "1", "note", "a\r\nb")
	// A required column has no NULL, and says so.
	page.Press(kb.Home)
	page.Press(kb.ArrowRight)
	page.Press(kb.Delete)
	page.Wait(`document.getElementById("status").innerText.includes("cannot be NULL")`)
	// Back, and back again, also after the page was loaded anew.
	page.Press("z", chromedp.ModifierCtrl)
	page.Wait(shows(0, 3, "9223372036854775806"))
	page.Open(project + "/t/people")
	page.Wait(shows(1, 2, "empty"))
	page.Press("z", chromedp.ModifierCtrl)
	page.Wait(shows(1, 2, "NULL"))
	page.Press("Z", chromedp.ModifierCtrl, chromedp.ModifierShift)
	page.Wait(shows(1, 2, "empty"))
	page.Quiet()
}

func TestNothingTypedIsLost(t *testing.T) {
	t.Parallel()
	_, page, c, project := openGrid(t)
	c.must("POST", "/table", json.RawMessage(people))
	c.must("POST", "/records/people", json.RawMessage(`{"data":[{"name":"Ada","note":"first"},{"name":"Bob","note":"second"}]}`))
	page.Open(project + "/t/people")
	page.Wait(shows(1, 2, "second"))
	// Two people change a value: the second one sees both.
	for range 2 {
		page.Press(kb.ArrowRight)
	}
	page.Press("mine")
	page.Wait(editing)
	c.must("PATCH", "/records/people/1", json.RawMessage(`{"note":"theirs"}`))
	page.Press(kb.Enter)
	page.Wait(`["mine", "theirs", "first"].every((text) => document.querySelector("dialog")?.innerText.includes(text))`)
	page.Screenshot("conflict-light")
	page.Press(kb.Escape)
	page.Wait(editing + ` && document.activeElement.value === "mine"`)
	c.wantRow("people", "1", "note", "theirs")
	// The page is loaded anew in the middle.
	page.Open(project + "/t/people")
	page.Wait(`document.getElementById("bar").innerText.includes("mine")`)
	page.Screenshot("draft-light")
	page.Click("#bar button")
	page.Wait(editing + ` && document.activeElement.value === "mine"`)
	page.Press(kb.Enter)
	page.Click("dialog button") // it is still about the value that was seen before
	page.Wait(idle)
	c.wantRow("people", "1", "note", "mine")
	// The session ends in the middle.
	page.Press(kb.ArrowDown)
	page.Press(kb.End)
	page.Press(kb.ArrowLeft)
	page.Press("kept")
	page.Wait(editing + ` && document.activeElement.value === "kept"`)
	page.Text(`fetch("/admin/sign-out", {method: "POST", redirect: "manual"}).then(() => document.body.dataset.out = "yes")`)
	page.Wait(`document.body.dataset.out`)
	page.Press(kb.Enter)
	page.Wait(`document.querySelector("dialog")?.innerText.includes("session has ended")`)
	page.Screenshot("session-light")
	for _, text := range []string{"ada", passphrase} {
		page.Press(text)
		page.Press(map[bool]string{true: kb.Tab, false: kb.Enter}[text == "ada"])
	}
	page.Wait(idle)
	c.wantRow("people", "2", "note", "kept")
	// The record is gone: the text stays.
	page.Press("late")
	page.Wait(editing)
	c.must("DELETE", "/records/people/2", json.RawMessage("{}"))
	page.Press(kb.Enter)
	page.Wait(`document.querySelector(".editor .fault").innerText !== "" && document.activeElement.value === "late"`)
	page.Quiet("412", "401", "404", "422")
}

func TestRecordsAreMadeAndDeleted(t *testing.T) {
	t.Parallel()
	_, page, c, project := openGrid(t)
	c.must("POST", "/table", json.RawMessage(people))
	c.must("POST", "/table", json.RawMessage(`{"table_name":"pets","columns":[{"name":"owner","type":"INTEGER","references":{"table":"people","on_delete":"CASCADE"}}]}`))
	c.must("POST", "/records/people", json.RawMessage(`{"data":[{"name":"Ada","n":9223372036854775807},{"name":"Bob"},{"name":"Cy"}]}`))
	c.must("POST", "/records/pets", json.RawMessage(`{"data":[{"owner":1},{"owner":3}]}`))
	page.Open(project + "/t/people")
	page.Wait(shows(2, 1, "Cy"))
	page.Press(kb.Insert)
	page.Wait(`document.activeElement.matches(".newrecord textarea")`)
	page.Press(kb.Enter, chromedp.ModifierCtrl)
	page.Wait(`document.querySelector(".newrecord .newfield:nth-child(2) .fault").innerText !== ""`)
	page.Screenshot("new-light")
	page.Press(hostile)
	page.Open(project + "/t/people")
	page.Click("#bar button")
	page.Wait(`[...document.querySelectorAll(".newrecord textarea")].some((field) => field.value.startsWith("<img"))`)
	page.Press(kb.Enter, chromedp.ModifierCtrl)
	page.Wait(shows(3, 1, hostile) + ` && document.getElementById("count").textContent === "4 records"`)
	c.wantRow("people", "4", "name", hostile)
	page.Press("z", chromedp.ModifierCtrl)
	page.Wait(`document.getElementById("count").textContent === "3 records"`)
	// Two records, the pet of one of which goes with them.
	page.Press(kb.Home, chromedp.ModifierCtrl)
	page.Press(kb.ArrowDown, chromedp.ModifierShift)
	page.Press(kb.Backspace, chromedp.ModifierCtrl)
	page.Wait(`["Delete 2 records of people?", "1 of pets will be deleted too"].every((text) => document.querySelector("dialog")?.innerText.includes(text))`)
	page.Screenshot("delete-light")
	page.Click("dialog .bad")
	page.Wait(shows(0, 1, "Cy") + ` && document.getElementById("count").textContent === "1 record"`)
	page.Press("z", chromedp.ModifierCtrl)
	page.Wait(shows(0, 1, "Ada") + " && " + shows(0, 3, "9223372036854775807") + " && " + shows(2, 1, "Cy"))
	c.wantRow("people", "1", "n", "9223372036854775807")
	page.Press("Z", chromedp.ModifierCtrl, chromedp.ModifierShift)
	page.Wait(`document.getElementById("count").textContent === "1 record"`)
	page.Quiet("422")
}
