package panel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/zangtable/zangtable/internal/projectdb"
)

// filterView is the conditions of the records of a page, and the form for another one.
type filterView struct {
	Chips     []chip
	Clear     string // address without conditions
	Operators []projectdb.Operator
	Column    string // chosen in the form
	Hidden    map[string]string
	Path      string // that is called
	Curl      string
}

// chip is one condition.
type chip struct {
	Text   string
	Remove string // address without it
	Fault  string // why it cannot be applied
}

// operatorNames are the operators as they stand in chips and in the form, where that is
// not their name.
var operatorNames = map[string]string{
	"!=": "≠", ">=": "≥", "<=": "≤", "not_like": "not like", "starts_with": "starts with", "ends_with": "ends with",
	"not_in": "not in", "is_empty": "is empty", "is_null": "is NULL", "not_null": "is not NULL",
}

func operatorName(name string) string {
	if text, ok := operatorNames[name]; ok {
		return text
	}
	return name
}

// condition is an element of filters; a group has none of these members.
type condition struct {
	Column string          `json:"column"`
	Op     string          `json:"op,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"`
	Fold   bool            `json:"fold,omitempty"`
}

// conditionsOf returns the elements of filters, whatever form they have, and false if
// they are not understood.
func conditionsOf(filters string) (all []json.RawMessage, ok bool) {
	if filters == "" {
		return nil, true
	}
	if json.Unmarshal([]byte(filters), &all) == nil {
		return all, true
	}
	isGroup := false
	ok = eachMember([]byte(filters), func(column string, value json.RawMessage) {
		isGroup = isGroup || column == "and" || column == "or" || column == "not"
		single := condition{Column: column, Op: "=", Value: value}
		if bytes.Equal(value, []byte("null")) {
			single = condition{Column: column, Op: "is_null"}
		}
		text, _ := json.Marshal(single) // its value has just been decoded
		all = append(all, text)
	})
	switch {
	case isGroup:
		return []json.RawMessage{json.RawMessage(filters)}, true
	case !ok:
		return nil, false
	}
	return all, true
}

// eachMember calls do for the members of a JSON object, in their order, and reports
// whether the text is one.
func eachMember(object []byte, do func(name string, value json.RawMessage)) bool {
	d := json.NewDecoder(bytes.NewReader(object))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return false
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return false
		}
		do(fmt.Sprint(name), value)
	}
	return true
}

// maxChip is how many characters of a condition a chip shows.
const maxChip = 80

// chipText writes a condition for people.
func chipText(raw json.RawMessage) string {
	text := string(raw)
	var c condition
	if json.Unmarshal(raw, &c) == nil && c.Column != "" {
		text = c.Column + " " + operatorName(c.Op)
		var value string
		var several []any
		switch {
		case c.Value == nil:
		case json.Unmarshal(c.Value, &value) == nil:
			text += " " + value
		case json.Unmarshal(c.Value, &several) == nil && len(several) > 3:
			text += fmt.Sprintf(" %d values", len(several))
		default:
			text += " " + strings.Trim(string(c.Value), "[]")
		}
	}
	return shortened(text, maxChip)
}

// withFilters returns the address of a page with other conditions, from the first record on.
func withFilters(here *url.URL, conditions []json.RawMessage) string {
	query := pick(here.Query(), "sort", "order")
	if len(conditions) > 0 {
		text, err := json.Marshal(conditions)
		if err == nil { // each has been read as JSON
			query.Set("filters", string(text))
		}
	}
	if len(query) == 0 {
		return here.EscapedPath()
	}
	return here.EscapedPath() + "?" + query.Encode()
}

// filtersOf describes the conditions in the address of a page.
func (q *request) filtersOf(project, table string, faults map[string]string) filterView {
	query := q.r.URL.Query()
	view := filterView{Clear: withFilters(q.r.URL, nil), Operators: projectdb.Operators(), Column: query.Get("column"), Hidden: map[string]string{}}
	conditions, ok := conditionsOf(query.Get("filters"))
	if !ok {
		view.Chips = []chip{{Text: query.Get("filters"), Remove: view.Clear, Fault: faults["filters"]}}
	}
	for i, raw := range conditions {
		rest := append(append([]json.RawMessage{}, conditions[:i]...), conditions[i+1:]...)
		one := chip{Text: chipText(raw), Remove: withFilters(q.r.URL, rest)}
		for field, message := range faults {
			if strings.HasPrefix(field, fmt.Sprintf("filters[%d]", i)) {
				one.Fault = message
			}
		}
		view.Chips = append(view.Chips, one)
	}
	for name, values := range pick(query, "filters", "sort", "order") {
		view.Hidden[name] = values[0]
	}
	view.Path, view.Curl = q.asCall(project, table)
	return view
}

// asCall returns the call of the API that lists what the page shows, and the same for a shell.
func (q *request) asCall(project, table string) (path, curl string) {
	path = apiPath("/projects/%s/records/%s", project, table)
	scheme := "http"
	if q.Secure {
		scheme = "https"
	}
	curl = `curl -G -H "Authorization: Bearer $TOKEN" ` + quoteForShell(scheme+"://"+q.r.Host+path)
	values := pick(q.r.URL.Query(), "filters", "sort", "order")
	for _, name := range []string{"filters", "sort", "order"} {
		if text := values.Get(name); text != "" {
			curl += " \\\n  --data-urlencode " + quoteForShell(name+"="+text)
		}
	}
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	return "GET " + path, curl
}

func quoteForShell(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// addFilter adds the condition of the form to those of the address, and reports whether
// there was one.
func addFilter(q *request) bool {
	query := q.r.URL.Query()
	op := query.Get("op")
	if op == "" || q.r.Method != http.MethodGet {
		return false
	}
	c := condition{Column: query.Get("column"), Op: op}
	for _, o := range projectdb.Operators() {
		if o.Name != op || o.Arity == 0 {
			continue
		}
		var value any = query.Get("value")
		if o.Arity != 1 {
			value = strings.Split(query.Get("value"), ",")
		}
		text, err := json.Marshal(value)
		if err != nil {
			return false // never for a text
		}
		c.Value = text
	}
	conditions, ok := conditionsOf(query.Get("filters"))
	text, err := json.Marshal(c)
	if err != nil || !ok {
		return false
	}
	q.redirect(withFilters(q.r.URL, append(conditions, text)))
	return true
}
