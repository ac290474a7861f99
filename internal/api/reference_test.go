package api

import (
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/testkit"
)

func TestReferencePage(t *testing.T) {
	e := New(Config{HTTP: rest.Config{Now: clock, Random: endless{}}})
	for path, contentType := range map[string]string{
		"/docs": "text/html; charset=utf-8", "/docs/": "text/html; charset=utf-8", "/docs/reference.js": "text/javascript; charset=utf-8", "/docs/reference.css": "text/css; charset=utf-8",
	} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		header := w.Header()
		if w.Code != 200 || header.Get("Content-Type") != contentType || !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") || header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %v", path, w.Code, header)
		}
		// Nothing may be loaded from elsewhere, and nothing in the document treated as
		// HTML.
		for _, foreign := range []string{"https://", "http://", "innerHTML", "insertAdjacentHTML", "style=", "<script>", "eval("} {
			if strings.Contains(w.Body.String(), foreign) {
				t.Errorf("%s has %s", path, foreign)
			}
		}
	}
}

// fakeBrowser stands in for a browser: enough of a DOM for the script to build every
// operation, open it and send it.
const fakeBrowser = `
class Node {
  constructor(name) { this.nodeName = name; this.children = []; this.dataset = {}; this.on = {}; this.value = ""; }
  append(...all) { this.children.push(...all); }
  replaceChildren(...all) { this.children = all; }
  addEventListener(type, act) { this.on[type] = act; }
  get childElementCount() { return this.children.length; }
  find(want, found = []) { for (const c of this.children) if (c instanceof Node) { if (want(c)) found.push(c); c.find(want, found); } return found; }
  text() { return (this.textContent || "") + this.children.map((c) => (c instanceof Node ? c.text() : c)).join(""); }
}
const ids = {};
const node = (id) => (ids[id] ||= new Node(id));
globalThis.document = { getElementById: node, createElement: (name) => new Node(name), querySelectorAll: () => [] };
globalThis.location = { hash: "", origin: "http://zangtable.test" };
const spec = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
const asked = [];
globalThis.fetch = async (url, options) => {
  if (url === "/openapi.json") return { json: async () => spec };
  asked.push(options.method + " " + url + " " + (options.body || ""));
  return { status: 200, statusText: "OK", headers: new Map([["content-type", "application/json"]]), text: async () => '{"n":9007199254740993,"s":"a\\"{,","e":[]}' };
};
require(require("path").resolve(process.argv[2]));
(async () => {
  await new Promise((done) => setTimeout(done, 50));
  node("project").value = "shop";
  node("token").value = "pat_x";
  const all = node("operations").find((n) => n.nodeName === "details");
  for (const details of all) {
    details.open = true;
    details.on.toggle();
    const form = details.find((n) => n.nodeName === "form")[0];
    form.on.submit({ preventDefault() {} });
  }
  await new Promise((done) => setTimeout(done, 50));
  console.log(all.length + " operations");
  console.log(asked.filter((a) => /columns|bootstrap/.test(a)).join("\n"));
  const answer = all[0].find((n) => n.nodeName === "pre").map((n) => n.text()).join("\n");
  console.log(answer);
})();
`

func TestReferenceScript(t *testing.T) {
	node := testkit.Tool(t, "node")
	out, err := exec.Command(node, "-e", fakeBrowser, "--", docs+"openapi.json", "../rest/reference/reference.js").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		strconv.Itoa(len(routes(new(handlers)))+1) + " operations",
		"PATCH /projects/shop/column/ {\n  \"columns\": []\n}",
		"\"n\": 9007199254740993,\n  \"s\": \"a\\\"{,\",\n  \"e\": []\n}",
		`-H "Authorization: Bearer $TOKEN"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}
