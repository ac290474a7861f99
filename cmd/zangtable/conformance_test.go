package main

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/zangtable/zangtable/internal/testkit"
)

// TestReferenceHolds plays the examples of docs/api.md and docs/api/*.md against the
// program, each page from top to bottom on a server of its own, and compares every
// answer to the letter. It knows nothing about the API except what the first page says
// about the form of an answer.
func TestReferenceHolds(t *testing.T) {
	for _, page := range pages(t) {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			examples := readExamples(t, page)
			r := openReader(t)
			maps.Copy(r.vars, readFiles(t, page))
			for _, x := range examples {
				if fault := r.play(x); fault != "" {
					t.Errorf("%s:%d: %s %s\n%s", page, x.line, x.method, x.target, fault)
				}
			}
		})
	}
}

// TestReferenceIsComplete checks that every operation listed in /openapi.json has an
// example.
func TestReferenceIsComplete(t *testing.T) {
	var examples []example
	for _, page := range pages(t) {
		examples = append(examples, readExamples(t, page)...)
	}
	_, body, err := openReader(t).do(example{method: "GET", target: "/openapi.json"})
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\\\{[^/]+?\\\}`)
	for path, operations := range document.Paths {
		pattern := regexp.MustCompile("^" + parameter.ReplaceAllString(regexp.QuoteMeta(path), "[^/?]+") + `(\?|$)`)
		for method := range operations {
			shown := func(x example) bool {
				return strings.EqualFold(x.method, method) && x.status < 300 && pattern.MatchString(x.target)
			}
			if method != "parameters" && !slices.ContainsFunc(examples, shown) {
				t.Errorf("no page shows %s %s succeed", strings.ToUpper(method), path)
			}
		}
	}
}

// journalExport matches the routes that export the journal. Their parameters are those of
// its lists, and their bodies hold nothing of their own.
var journalExport = regexp.MustCompile(`/export/(requests|runs|usage)`)

// TestReferenceShowsEveryOption checks that every field and parameter of export and
// import requests, and of calls about exports and imports, appears in a successful
// example.
func TestReferenceShowsEveryOption(t *testing.T) {
	document := readDocument(t)
	for _, part := range []struct {
		page, path, single string // the field with the options of single tables
		headers            []string
		atLeast            int
	}{
		{"exports", "/export", "table_options", []string{"Prefer"}, 60},
		{"imports", "/import", "tables", []string{
			"Prefer", "X-File-Name", "Repr-Digest", "Tus-Resumable", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Offset", "Content-Digest", "Idempotency-Key",
		}, 100},
	} {
		shown := map[string]bool{}
		for _, x := range readExamples(t, "../../docs/api/"+part.page+".md") {
			if x.status < 300 && strings.Contains(x.target, part.path) {
				x.note(t, shown, part.single)
			}
		}
		fields := 0
		for path, operations := range document.Paths {
			if !strings.Contains(path, part.path) || journalExport.MatchString(path) {
				continue
			}
			for method, operation := range operations {
				for _, name := range operation.options(document.Components.Schemas, part.single, part.headers) {
					if fields++; !shown[name] {
						t.Errorf("no example of %s %s shows %s", method, path, name)
					}
				}
			}
		}
		if fields < part.atLeast {
			t.Errorf("only %d fields and parameters of %s were found", fields, part.page)
		}
	}
}

// apiDocument is the part of /openapi.json that the test reads.
type apiDocument struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]described }
}

type operation struct {
	Parameters  []struct{ Name, In string }
	RequestBody struct {
		Content map[string]struct{ Schema described }
	}
}

func readDocument(t *testing.T) (document apiDocument) {
	t.Helper()
	_, body, err := openReader(t).do(example{method: "GET", target: "/openapi.json"})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	return document
}

// options returns the names of an operation's parameters, headers and fields; those of
// a single table follow a dot.
func (o operation) options(schemas map[string]described, single string, headers []string) (names []string) {
	for _, parameter := range o.Parameters {
		if parameter.In == "query" || slices.Contains(headers, parameter.Name) {
			names = append(names, parameter.Name)
		}
	}
	for media, content := range o.RequestBody.Content {
		fields := content.Schema.in(schemas).Properties
		if media == "multipart/form-data" {
			fields = fields["options"].in(schemas).Properties
		}
		for name, field := range fields {
			names = append(names, name)
			if name == single {
				for option := range field.AdditionalProperties.in(schemas).Properties {
					names = append(names, name+"."+option)
				}
			}
		}
	}
	return names
}

// described is the part of a schema that the test reads.
type described struct {
	Ref                  string `json:"$ref"`
	Properties           map[string]described
	AdditionalProperties *described
}

// UnmarshalJSON accepts the schemas true and false as schemas without fields.
func (d *described) UnmarshalJSON(text []byte) error {
	if text[0] != '{' {
		return nil
	}
	type plain described
	return json.Unmarshal(text, (*plain)(d))
}

// in resolves a reference to another schema.
func (d described) in(schemas map[string]described) described {
	if name, ok := strings.CutPrefix(d.Ref, "#/components/schemas/"); ok {
		return schemas[name]
	}
	return d
}

// note records everything that an example uses: parameters, headers, and the fields of
// its body or of its options.
func (x example) note(t *testing.T, shown map[string]bool, single string) {
	t.Helper()
	target, err := url.Parse(x.target)
	if err != nil {
		t.Fatal(err)
	}
	for name := range target.Query() {
		shown[name] = true
	}
	media := "application/json"
	for _, header := range x.headers {
		shown[header[0]] = true
		if header[0] == "Content-Type" {
			media = header[1]
		}
	}
	options := target.Query().Get("options")
	switch kind, parameters, err := mime.ParseMediaType(media); {
	case err != nil:
		t.Fatal(err)
	case kind == "multipart/form-data":
		form, err := multipart.NewReader(strings.NewReader(x.body), parameters["boundary"]).ReadForm(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		options = strings.Join(form.Value["options"], "")
	case kind == "application/json" && strings.HasPrefix(x.body, "{"):
		options = x.body
	}
	if options != "" {
		noteFields(t, shown, "", single, []byte(options))
	}
}

// noteFields records the fields of a request, and those for single tables with a
// prefix.
func noteFields(t *testing.T, shown map[string]bool, prefix, single string, body []byte) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for name, value := range fields {
		shown[prefix+name] = true
		if name != single {
			continue
		}
		var tables map[string]json.RawMessage
		if err := json.Unmarshal(value, &tables); err != nil {
			t.Fatal(err)
		}
		for _, options := range tables {
			noteFields(t, shown, name+".", single, options)
		}
	}
}

// pages returns the files that make up the reference.
func pages(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../../docs/api/*.md")
	if err != nil || len(all) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	return append(all, "../../docs/api.md")
}

// example is a request on a page with the answer that the page promises.
type example struct {
	line           int
	pause          time.Duration // before the request
	method, target string
	headers        [][2]string
	body           string

	status        int
	answerHeaders [][2]string
	answer        string
}

var (
	fence   = regexp.MustCompile("(?ms)^```http\n(.*?)\n```$")
	begin   = regexp.MustCompile(`(?m)^(?:# (\d+) seconds? later\n)?(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)$`)
	arrow   = regexp.MustCompile(`(?m)^=> (\d{3})$`)
	holders = regexp.MustCompile(`<([a-z0-9]+)(?::([a-z_]+))?>`)
)

// kinds are the placeholders of expected answers.
var kinds = map[string]string{
	"time":     `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`,
	"instant":  `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z`,
	"number":   `-?\d+(?:\.\d+)?(?:e-?\d+)?`,
	"request":  `req_\d{8}T\d{6}_\d{6}Z_[0-9a-f]{12}`,
	"run":      `oprun_\d{8}T\d{6}_\d{6}Z_[0-9a-f]{12}`,
	"export":   `exp_\d{8}_\d{6}_[0-9a-f]{10}`,
	"import":   `imp_\d{8}_\d{6}_[0-9a-f]{10}`,
	"secret":   `pat_[0-9A-Za-z]{36}`,
	"sha256":   `[0-9a-f]{64}`,
	"base64":   `[0-9A-Za-z+/=]+`,
	"cursor":   `[0-9A-Za-z_-]+`,
	"etag":     `[0-9A-Za-z_.-]+`,
	"hex":      `[0-9a-f]{6}`,
	"int":      `\d+`,
	"text":     `(?:[^"\\]|\\.)+`,
	"more":     `(?s:.*)`,
	"progress": `(?:pending|running|ready)`,
}

// readExamples extracts the examples from a page.
func readExamples(t *testing.T, page string) (all []example) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range fence.FindAllSubmatchIndex(text, -1) {
		code := string(text[block[2]:block[3]])
		starts := begin.FindAllStringSubmatchIndex(code, -1)
		if len(starts) == 0 {
			t.Fatalf("%s: no request in\n%s", page, code)
		}
		for i, at := range starts {
			end := len(code)
			if i+1 < len(starts) {
				end = starts[i+1][0]
			}
			x, err := parseExample(code[at[4]:end])
			if err != nil {
				t.Fatalf("%s: %v in\n%s", page, err, code[at[0]:end])
			}
			if at[2] >= 0 {
				seconds, _ := strconv.Atoi(code[at[2]:at[3]]) // digits only
				x.pause = time.Duration(seconds) * time.Second
			}
			x.line = 1 + strings.Count(string(text[:block[2]+at[4]]), "\n")
			all = append(all, x)
		}
	}
	return all
}

// shownFile matches a block that shows a member of a ZIP file, or a sheet of a
// workbook.
var shownFile = regexp.MustCompile("(?ms)^```csv ([^\n/]+)/([^\n]+)\n(.*?)\n```$")

// readFiles creates the files whose members or sheets a page shows.
func readFiles(t *testing.T, page string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string][][2]string{}
	for _, block := range shownFile.FindAllStringSubmatch(string(text), -1) {
		members[block[1]] = append(members[block[1]], [2]string{block[2], block[3] + "\n"})
	}
	files := map[string]string{}
	for name, list := range members {
		var content bytes.Buffer
		if filepath.Ext(name) == ".xlsx" {
			err = writeBook(&content, list)
		} else {
			err = writeZIP(&content, list)
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content.String()
	}
	return files
}

func writeZIP(out io.Writer, members [][2]string) error {
	z := zip.NewWriter(out)
	for _, member := range members {
		w, err := z.Create(member[0])
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, member[1]); err != nil {
			return err
		}
	}
	return z.Close()
}

// writeBook writes a workbook, in which numbers are stored as numbers.
func writeBook(out io.Writer, sheets [][2]string) error {
	book := excelize.NewFile()
	defer book.Close()
	for i, sheet := range sheets {
		if _, err := book.NewSheet(sheet[0]); err != nil {
			return err
		}
		records, err := csv.NewReader(strings.NewReader(sheet[1])).ReadAll()
		if err != nil {
			return err
		}
		for row, record := range records {
			cells := make([]any, len(record))
			for i, text := range record {
				if cells[i] = text; row > 0 {
					if number, err := strconv.ParseFloat(text, 64); err == nil {
						cells[i] = number
					}
				}
			}
			if err := book.SetSheetRow(sheet[0], fmt.Sprintf("A%d", row+1), &cells); err != nil {
				return err
			}
		}
		if i == 0 {
			if err := book.DeleteSheet("Sheet1"); err != nil {
				return err
			}
		}
	}
	return book.Write(out)
}

// parseExample parses a request, the status line, and the answer.
func parseExample(text string) (x example, err error) {
	at := arrow.FindStringSubmatchIndex(text)
	if at == nil {
		return x, fmt.Errorf("no line with =>")
	}
	var first string
	first, x.headers, x.body = message(text[:at[0]])
	x.method, x.target, _ = strings.Cut(first, " ")
	_, x.answerHeaders, x.answer = message(text[at[2]:])
	x.status, err = strconv.Atoi(text[at[2]:at[3]])
	return x, err
}

// message splits a message into its first line, headers and body.
func message(text string) (first string, headers [][2]string, body string) {
	head, body, _ := strings.Cut(strings.Trim(text, "\n"), "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		headers = append(headers, [2]string{name, strings.TrimSpace(value)})
	}
	return first, headers, body
}

// reader plays the examples of a page as somebody reading it would.
type reader struct {
	url  string
	vars map[string]string
}

// openReader starts a server with the project that the pages begin with.
func openReader(t *testing.T) *reader {
	t.Helper()
	data := t.TempDir()
	command(t, "bootstrap", "../../examples/crm.json", "--data", data)
	token := command(t, "token", "create", "--project", "example_project", "--data", data)
	server := start(t, data, "example_project", token)
	return &reader{server.url, map[string]string{"token": token, "mebibyte": strings.Repeat("x", 1<<20)}}
}

// play plays one example and returns the differences, or "".
func (r *reader) play(x example) string {
	time.Sleep(x.pause)
	r.vars["soon"] = time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)
	response, body, err := r.do(x)
	if err != nil {
		return err.Error()
	}
	var faults []string
	if response.StatusCode != x.status {
		faults = append(faults, fmt.Sprintf("status %d instead of %d", response.StatusCode, x.status))
	}
	for _, h := range x.answerHeaders {
		if fault := r.compare(strings.Join(response.Header.Values(h[0]), ", "), h[1]); fault != "" {
			faults = append(faults, h[0]+fault)
		}
	}
	want := x.answer
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		body, want = compact(body), compact(want)
	}
	if strings.HasPrefix(body, `{"ok":`) {
		faults = append(faults, r.envelope(response, body, want)...)
	} else {
		faults = append(faults, r.compare(strings.TrimRight(body, "\n"), want))
	}
	return strings.Join(slices.DeleteFunc(faults, func(s string) bool { return s == "" }), "\n")
}

func (r *reader) do(x example) (*http.Response, string, error) {
	request, err := http.NewRequest(x.method, r.url+r.fill(x.target), strings.NewReader(r.fill(x.body)))
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Authorization", "Bearer "+r.vars["token"])
	if x.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, h := range x.headers {
		request.Header.Set(h[0], r.fill(h[1]))
		if h[1] == "" {
			request.Header.Del(h[0])
		}
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// fill replaces the names of saved values with the values.
func (r *reader) fill(text string) string {
	for name, value := range r.vars {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

// framed is the form of every JSON answer.
var framed = regexp.MustCompile(`(?s)^\{"ok":(true|false),"data":(.*),"error":(.*),"request_id":"(` + kinds["request"] + `)"` +
	`(?:,"operation_key":.*,"operation_run_id":"[^"]+","operation_grouping_status":"[a-z_]+")?,"meta":\{"generated_at":"` + kinds["time"] + `"\}\}$`)

// envelope compares a JSON answer with what the page shows of it: all of it, or only
// its data or error.
func (r *reader) envelope(response *http.Response, got, want string) (faults []string) {
	parts := framed.FindStringSubmatch(got)
	if parts == nil {
		return []string{"an envelope of another form: " + got}
	}
	if id := response.Header.Get("X-Request-Id"); id != parts[4] {
		faults = append(faults, fmt.Sprintf("X-Request-Id is %q, request_id %q", id, parts[4]))
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/json" {
		faults = append(faults, "Content-Type is "+kind)
	}
	shown, absent := parts[2], parts[3]
	if parts[1] == "false" {
		shown, absent = absent, shown
	}
	if ok := response.StatusCode < 400; ok != (parts[1] == "true") || absent != "null" {
		faults = append(faults, fmt.Sprintf("status %d with %s", response.StatusCode, got))
	}
	if strings.HasPrefix(want, `{"ok":`) {
		shown = got
	}
	return append(faults, r.compare(shown, want))
}

// compare compares a text with a pattern and saves the values that it names, which may
// be used later in the same pattern. It returns the difference.
func (r *reader) compare(got, want string) string {
	first, again := want, want
	var names []string
	for _, h := range holders.FindAllStringSubmatch(want, -1) {
		if h[2] == "" || kinds[h[1]] == "" {
			continue
		}
		names = append(names, h[2])
		first = strings.ReplaceAll(first, "${"+h[2]+"}", "<"+h[1]+">")
		again = strings.ReplaceAll(again, h[0], "${"+h[2]+"}")
	}
	want = r.fill(first)
	if match := pattern(want).FindStringSubmatch(got); match != nil {
		for i, name := range names {
			r.vars[name] = match[i+1]
		}
		if want = r.fill(again); pattern(want).MatchString(got) {
			return ""
		}
	}
	wants, gots := pieces(want), pieces(got)
	for i := range min(len(wants), len(gots)) {
		if pattern(wants[i]).MatchString(gots[i]) {
			wants[i] = gots[i]
		}
	}
	return " (-want +got)\n" + cmp.Diff(wants, gots)
}

// pattern converts a text with placeholders into a regular expression.
func pattern(text string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^")
	for {
		at := holders.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		b.WriteString(regexp.QuoteMeta(text[:at[0]]))
		kind, known := kinds[text[at[2]:at[3]]]
		switch {
		case !known:
			b.WriteString(regexp.QuoteMeta(text[at[0]:at[1]]))
		case at[4] >= 0:
			b.WriteString("(" + kind + ")")
		default:
			b.WriteString(kind)
		}
		text = text[at[1]:]
	}
	return regexp.MustCompile(b.String() + regexp.QuoteMeta(text) + "$")
}

// compact removes the white space between JSON tokens, with or without placeholders.
func compact(text string) string {
	var b strings.Builder
	quoted, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && strings.ContainsRune(" \n\t\r", c):
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// pieces breaks a text at commas and lines, for a readable difference.
func pieces(text string) []string {
	return regexp.MustCompile(`[^,\n]*[,\n]?`).FindAllString(text, -1)
}

// TestClients runs the example clients against the program.
func TestClients(t *testing.T) {
	t.Parallel()
	t.Run("shell", func(t *testing.T) {
		for _, tool := range []string{"curl", "jq", "sha256sum"} {
			testkit.Tool(t, tool)
		}
		runClient(t, testkit.Tool(t, "sh"), "../../examples/clients/export.sh")
	})
	t.Run("go", func(t *testing.T) {
		runClient(t, testkit.Tool(t, "go"), "run", "../../examples/clients/go")
	})
}

func runClient(t *testing.T, command ...string) {
	t.Helper()
	r := openReader(t)
	file := filepath.Join(t.TempDir(), "contacts.csv")
	cmd := exec.Command(command[0], append(command[1:], r.url+"/projects/example_project", file)...)
	cmd.Env = append(os.Environ(), "TOKEN="+r.vars["token"])
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "added contact 321\nexported 321 rows, ") {
		t.Fatalf("%v\n%s", err, out)
	}
	content, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if records, err := csv.NewReader(content).ReadAll(); err != nil || len(records) != 322 {
		t.Errorf("%d records in the file, %v", len(records), err)
	}
}

// TestPlaceholdersAreUsed checks that every placeholder in the list is in use.
func TestPlaceholdersAreUsed(t *testing.T) {
	unused := maps.Clone(kinds)
	for _, page := range pages(t) {
		for _, x := range readExamples(t, page) {
			for _, h := range holders.FindAllStringSubmatch(fmt.Sprint(x.answer, x.answerHeaders), -1) {
				if _, known := kinds[h[1]]; !known {
					t.Errorf("%s:%d: <%s> is no placeholder", page, x.line, h[1])
				}
				delete(unused, h[1])
			}
		}
	}
	if len(unused) > 0 {
		t.Errorf("not used: %v", slices.Sorted(maps.Keys(unused)))
	}
}
