package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Conversation plays requests from a text file against a server and compares the
// answers with those in the file. A file is a list of exchanges:
//
//	### a title; what follows until the request line is a comment
//	POST /projects/shop/records/contacts
//	Prefer: respond-async
//
//	{"name":"Ada"}
//	=> 201
//	Location: /projects/shop/exports/exp_20260602_012345_0000000000
//	{"table":"contacts","row":{"id":1,"name":"Ada"}}
//	save id row.id
//
// An answer consists of its status, those of its headers that Headers names, and the
// data or error of its envelope, or the whole body if there is no envelope. A line
// "save NAME PATH" saves a member of the data: ${NAME} is replaced with it in later
// requests, and replaces it in answers. A line "wait DURATION" before the request line
// moves the clock.
type Conversation struct {
	Server  string            // its URL
	Headers []string          // compared headers of answers, in canonical form
	Vars    map[string]string // known from the start
	Hide    *regexp.Regexp    // random parts of answers, written as …; may be nil
	Wait    func(time.Duration)
	// Check is called for every exchange; it may be nil.
	Check  func(t testing.TB, request *http.Request, response *http.Response, body []byte)
	Update bool // rewrite the file instead of comparing

	vars map[string]string
}

// exchange is one request of a conversation with its answer.
type exchange struct {
	intro   []string // title, comments and directives
	request []string // request line, headers, an empty line and the body
	answer  []string
	saves   []string
}

// Play plays the file.
func (c Conversation) Play(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c.vars = maps.Clone(c.Vars)
	var out strings.Builder
	for _, x := range parse(string(text)) {
		got := c.exchange(t, x)
		if want := strings.Join(x.answer, "\n"); got != want && !c.Update {
			t.Errorf("%s\n%s\n got %s\nwant %s", x.intro[0], x.request[0], got, want)
		}
		x.answer = []string{got}
		out.WriteString(x.String())
	}
	if c.Update {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var requestLine = regexp.MustCompile(`^(GET|HEAD|POST|PUT|PATCH|DELETE) /`)

func parse(text string) (all []exchange) {
	for part := range strings.SplitSeq("\n"+text, "\n### ") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		var x exchange
		place := &x.intro
		for i, line := range strings.Split(strings.TrimRight(part, "\n"), "\n") {
			switch {
			case i == 0:
				line = "### " + line
			case place == &x.intro && requestLine.MatchString(line):
				place = &x.request
			case place == &x.request && strings.HasPrefix(line, "=> "):
				place = &x.answer
			case place == &x.answer && strings.HasPrefix(line, "save "):
				place = &x.saves
			}
			*place = append(*place, line)
		}
		all = append(all, x)
	}
	return all
}

func (x exchange) String() string {
	lines := slices.Concat(x.intro, x.request, x.answer, x.saves)
	return strings.Join(lines, "\n") + "\n\n"
}

func (c *Conversation) exchange(t *testing.T, x exchange) string {
	t.Helper()
	for _, line := range x.intro {
		if text, ok := strings.CutPrefix(line, "wait "); ok {
			d, err := time.ParseDuration(text)
			if err != nil {
				t.Fatal(err)
			}
			c.Wait(d)
		}
	}
	r := c.request(t, x.request)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s: %v", x.request[0], err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", x.request[0], err)
	}
	if c.Check != nil {
		c.Check(t, r, response, body)
	}
	for _, line := range x.saves {
		c.save(t, line, body)
	}
	return c.describe(response, body)
}

func (c *Conversation) request(t *testing.T, lines []string) *http.Request {
	t.Helper()
	head, body, _ := strings.Cut(c.fill(strings.Join(lines, "\n")), "\n\n")
	first, headers, _ := strings.Cut(head, "\n")
	method, target, _ := strings.Cut(first, " ")
	r, err := http.NewRequest(method, c.Server+target, strings.NewReader(strings.TrimSpace(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.vars["token"])
	for line := range strings.SplitSeq(headers, "\n") {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case ok && strings.TrimSpace(value) == "":
			r.Header.Del(name)
		case ok:
			r.Header.Set(name, strings.TrimSpace(value))
		}
	}
	return r
}

// fill replaces variables in a request with their values.
func (c *Conversation) fill(text string) string {
	for name, value := range c.vars {
		text = strings.ReplaceAll(text, "${"+name+"}", value)
	}
	return text
}

// hide replaces the values of variables in an answer with their names.
func (c *Conversation) hide(text string) string {
	for _, name := range slices.Sorted(maps.Keys(c.vars)) {
		if value := c.vars[name]; len(value) > 8 {
			text = strings.ReplaceAll(text, value, "${"+name+"}")
		}
	}
	if c.Hide != nil {
		text = c.Hide.ReplaceAllLiteralString(text, "…")
	}
	return text
}

func (c *Conversation) save(t *testing.T, line string, body []byte) {
	t.Helper()
	var name, path string
	if _, err := fmt.Sscanf(line, "save %s %s", &name, &path); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var answer struct{ Data any }
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		t.Fatalf("%s: %v in %s", line, err, body)
	}
	at := answer.Data
	for step := range strings.SplitSeq(path, ".") {
		object, _ := at.(map[string]any)
		at = object[step]
	}
	if at == nil {
		t.Fatalf("%s: no such member in %s", line, body)
	}
	c.vars[name] = fmt.Sprint(at)
}

// describe formats an answer as in the file.
func (c *Conversation) describe(response *http.Response, body []byte) string {
	var out strings.Builder
	fmt.Fprintf(&out, "=> %d", response.StatusCode)
	for _, name := range c.Headers {
		if value := response.Header.Get(name); value != "" {
			fmt.Fprintf(&out, "\n%s: %s", name, value)
		}
	}
	var envelope struct{ Data, Error json.RawMessage }
	if len(body) > 0 {
		out.WriteString("\n")
	}
	switch err := json.Unmarshal(body, &envelope); {
	case err != nil || envelope.Data == nil && envelope.Error == nil:
		out.Write(bytes.TrimRight(body, "\n"))
	case string(envelope.Data) == "null":
		out.WriteString(readable(envelope.Error))
	default:
		out.WriteString(readable(envelope.Data))
	}
	return c.hide(out.String())
}

// readable breaks JSON that is too long for one line at its outer levels.
func readable(raw json.RawMessage) string { return wrap(raw, "") }

func wrap(raw json.RawMessage, indent string) string {
	const wide = 280
	if len(raw)+len(indent) <= wide || raw[0] != '{' && raw[0] != '[' {
		return string(raw)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	open, _ := d.Token() // raw has been decoded before
	var parts []string
	for d.More() {
		part := indent + "  "
		if open == json.Delim('{') {
			name, _ := d.Token()
			part += fmt.Sprintf("%q: ", name)
		}
		var value json.RawMessage
		_ = d.Decode(&value)
		parts = append(parts, part+wrap(value, indent+"  "))
	}
	return string(raw[0]) + "\n" + strings.Join(parts, ",\n") + "\n" + indent + string(raw[len(raw)-1])
}
