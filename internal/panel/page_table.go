package panel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// tableShape is what the panel needs to know of a table.
type tableShape struct {
	Table struct {
		ID          int64   `json:"id"`
		Name        string  `json:"table_name"`
		DisplayName *string `json:"display_name"`
	} `json:"table"`
	Columns     []column     `json:"columns"`
	PrimaryKey  []string     `json:"primary_key"`
	ForeignKeys []foreignKey `json:"foreign_keys"`
	ReferredBy  []referrer   `json:"referenced_by"`
}

type column struct {
	Name     string          `json:"column_name"`
	Type     string          `json:"column_type"`
	Nullable int             `json:"is_nullable"`
	Primary  int             `json:"is_primary"`
	Unique   int             `json:"is_unique"`
	Default  json.RawMessage `json:"default_value"`
	Computed *string         `json:"default_expression"`
}

type foreignKey struct {
	Columns       []string `json:"columns"`
	ParentTable   string   `json:"parent_table"`
	ParentColumns []string `json:"parent_columns"`
}

// referrer is a foreign key of another table that refers to this one.
type referrer struct {
	Table         string   `json:"table"`
	Columns       []string `json:"columns"`
	ParentColumns []string `json:"parent_columns"`
	OnDelete      string   `json:"on_delete"`
}

// parent returns the foreign key that consists of the one column, nil if there is none.
func (t *tableShape) parent(name string) *foreignKey {
	for i, fk := range t.ForeignKeys {
		if len(fk.Columns) == 1 && fk.Columns[0] == name {
			return &t.ForeignKeys[i]
		}
	}
	return nil
}

// window is part of a table's records, as the API answers it.
type window struct {
	Rows       []json.RawMessage `json:"rows"`
	IDs        []json.RawMessage `json:"ids,omitempty"` // in a table without a primary key
	HasMore    bool              `json:"has_more"`
	NextCursor *string           `json:"next_cursor,omitempty"`
	PrevCursor *string           `json:"prev_cursor,omitempty"`
	Cut        []cutCell         `json:"cut"`
}

// cutCell says that a value was cut, and how long it is.
type cutCell struct {
	Row    int    `json:"row"`
	Column string `json:"column"`
	Bytes  int64  `json:"bytes"`
}

// viewParameters are those of the API that the address of a table may have.
var viewParameters = []string{"filters", "sort", "order", "after", "before"}

const (
	pageRecords = 100      // on a page
	maxCell     = 256      // bytes of a value that a page of records shows
	maxShown    = 64 << 10 // bytes of a value that the page of one record shows
)

// tableView is the data of the page of a table.
type tableView struct {
	Shape      tableShape
	Headings   []heading
	Rows       [][]cell
	Next, Prev string // addresses; "" for none
	Fault      string // why what the address asks for cannot be shown
	Grid       grid
	Filters    filterView
}

// heading is the head of a column.
type heading struct {
	column
	Sort  string // the address that sorts by the column, or turns its order around
	Order string // "ascending" or "descending" if the records are sorted by it
}

// headingsOf returns the heads of the columns.
func headingsOf(columns []column, here *url.URL) (all []heading) {
	now := here.Query().Get("sort")
	for _, c := range columns {
		h := heading{column: c}
		sort := c.Name
		switch now {
		case c.Name:
			h.Order, sort = "ascending", "-"+c.Name
		case "-" + c.Name:
			h.Order = "descending"
		}
		query := here.Query()
		for _, name := range []string{"after", "before", "order"} {
			query.Del(name)
		}
		query.Set("sort", sort)
		h.Sort = here.EscapedPath() + "?" + query.Encode()
		all = append(all, h)
	}
	return all
}

// cell is a value as it is shown.
type cell struct {
	Column column
	Text   string
	Kind   string // "null", "empty", "number", "blob", "text"
	Link   string // to the record that the value refers to, or to the record itself
	Bytes  int64  // of the whole value, if Text is only its beginning; else 0
}

// inTable completes a page about a table, and reads what the table is like.
func (q *request) inTable() (p page, shape tableShape, err error) {
	if p, _, err = q.inProject(page{Section: "data"}); err != nil {
		return p, shape, err
	}
	err = q.get(&shape, "/projects/%s/table/%s", p.Project, q.r.PathValue("table"))
	p.Table = shape.Table.Name
	return p, shape, err
}

func showTable(q *request) error {
	if addFilter(q) {
		return nil
	}
	p, shape, err := q.inTable()
	if err != nil {
		return err
	}
	p.Title = p.Table
	data := tableView{Shape: shape}
	found, err := q.window(p.Project, &shape)
	if err != nil {
		if data.Fault = viewFault(err); data.Fault == "" {
			return err
		}
		data.Filters = q.filtersOf(p.Project, shape.Table.Name, faultsOf(err))
		p.Data = data
		q.show(http.StatusUnprocessableEntity, "table", p)
		return nil
	}
	if err := data.fill(p.Project, found, q.r.URL); err != nil {
		return err
	}
	data.Filters = q.filtersOf(p.Project, shape.Table.Name, nil)
	data.Grid = gridOf(&p, &data, found, q.r.URL.Query())
	p.Modules = []string{"table.js"}
	p.Preloads = []string{"blocks.js", "cells.js", "changes.js", "dom.js", "drawer.js", "editing.js", "editor.js", "form.js", "grid.js", "heads.js", "keys.js", "records.js", "source.js", "track.js", "values.js", "widths.js", "wire.js"}
	p.Data = data
	q.show(http.StatusOK, "table", p)
	return nil
}

// window reads the records that the address asks for.
func (q *request) window(project string, shape *tableShape) (found window, err error) {
	values := pick(q.r.URL.Query(), viewParameters...)
	values.Set("integers", "string")
	values.Set("limit", fmt.Sprint(pageRecords))
	values.Set("cell_limit", fmt.Sprint(maxCell))
	path := apiPath("/projects/%s/records/%s", project, shape.Table.Name) + "?" + values.Encode()
	return found, q.call(http.MethodGet, path, nil, &found)
}

// viewFault returns why the view in an address cannot be shown, "" if the error is not
// about the view.
func viewFault(err error) string {
	for field, message := range faultsOf(err) {
		name, _, _ := strings.Cut(field, "[")
		if slices.Contains(viewParameters, name) {
			return field + ": " + message
		}
	}
	return ""
}

// fill takes the records of a window, and the addresses of the windows beside it.
func (v *tableView) fill(project string, found window, here *url.URL) error {
	v.Headings = headingsOf(v.Shape.Columns, here)
	for i, raw := range found.Rows {
		row, err := cellsOf(project, &v.Shape, raw, i, found.Cut)
		if err != nil {
			return err
		}
		v.Rows = append(v.Rows, row)
	}
	turn := func(name string, cursor *string) string {
		if cursor == nil {
			return ""
		}
		query := here.Query()
		query.Del("after")
		query.Del("before")
		query.Set(name, *cursor)
		return here.EscapedPath() + "?" + query.Encode()
	}
	if found.HasMore {
		v.Next = turn("after", found.NextCursor)
	}
	if here.Query().Has("after") || here.Query().Has("before") {
		v.Prev = turn("before", found.PrevCursor)
	}
	return nil
}

// cellsOf returns the values of a record in the order of the columns. The record is row
// i of an answer in which values are cut.
func cellsOf(project string, shape *tableShape, raw json.RawMessage, i int, cut []cutCell) ([]cell, error) {
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, err
	}
	bytes := map[string]int64{} // of the values that are cut
	for _, value := range cut {
		if value.Row == i {
			bytes[value.Column] = value.Bytes
		}
	}
	own := ""
	if !slices.ContainsFunc(shape.PrimaryKey, func(name string) bool { return bytes[name] > 0 }) {
		own = recordPath(project, shape.Table.Name, shape.PrimaryKey, values)
	}
	var cells []cell
	for _, c := range shape.Columns {
		shown := cellOf(c, values[c.Name])
		shown.Bytes = bytes[c.Name]
		switch fk := shape.parent(c.Name); {
		case c.Primary == 1:
			shown.Link = own
		case fk != nil && shown.Kind != "null" && shown.Bytes == 0:
			shown.Link = referredPath(project, fk, values[c.Name])
		}
		cells = append(cells, shown)
	}
	return cells, nil
}

func cellOf(c column, raw json.RawMessage) cell {
	var text string
	switch {
	case raw == nil || bytes.Equal(raw, []byte("null")):
		return cell{Column: c, Kind: "null", Text: "NULL"}
	case json.Unmarshal(raw, &text) != nil:
		return cell{Column: c, Kind: "number", Text: string(raw)}
	case c.Type == "BLOB":
		return cell{Column: c, Kind: "blob", Text: text}
	case text == "":
		return cell{Column: c, Kind: "empty", Text: "empty"}
	case c.Type == "INTEGER":
		return cell{Column: c, Kind: "number", Text: text} // beyond 2^53, so sent as a string
	}
	return cell{Column: c, Kind: "text", Text: text}
}

// recordPath returns the address of the page of the record with the values of a key.
func recordPath(project, table string, key []string, values map[string]json.RawMessage) string {
	var parts []string
	for _, name := range key {
		text := ""
		if json.Unmarshal(values[name], &text) != nil {
			text = string(values[name])
		}
		// A comma within a value must not separate values.
		parts = append(parts, strings.ReplaceAll(url.PathEscape(text), ",", "%2C"))
	}
	return pagePath("p", project, "r", table) + "/" + strings.Join(parts, ",")
}

// referredPath returns the address of the table that a foreign key refers to, with the
// records that have the value. The key need not be the primary one.
func referredPath(project string, fk *foreignKey, value json.RawMessage) string {
	condition := map[string]any{"column": fk.ParentColumns[0], "op": "=", "value": value}
	filters, err := json.Marshal([]any{condition})
	if err != nil {
		return "" // a value that is not JSON
	}
	return pagePath("p", project, "t", fk.ParentTable) + "?" + url.Values{"filters": {string(filters)}}.Encode()
}

// recordView is the data of the page of a record.
type recordView struct {
	Shape tableShape
	ID    string
	Cells []cell
}

func showRecord(q *request) error {
	p, shape, err := q.inTable()
	if err != nil {
		return err
	}
	// The id is passed on as it was sent: its separators are not those of a path.
	segments := strings.SplitN(q.r.URL.EscapedPath(), "/", 7)
	id := segments[len(segments)-1]
	var found struct {
		Row json.RawMessage `json:"row"`
		Cut []cutCell       `json:"cut"`
	}
	path := apiPath("/projects/%s/records/%s", p.Project, p.Table) + "/" + id + "?integers=string&cell_limit=" + fmt.Sprint(maxShown)
	if err := q.call(http.MethodGet, path, nil, &found); err != nil {
		return err
	}
	cells, err := cellsOf(p.Project, &shape, found.Row, 0, found.Cut)
	if err != nil {
		return err
	}
	p.Title = p.Table + " " + id
	p.Data = recordView{shape, id, cells}
	q.show(http.StatusOK, "record", p)
	return nil
}

// matching returns the tables whose name contains a text.
func matching(tables []tableInfo, text string) []tableInfo {
	text = strings.ToLower(strings.TrimSpace(text))
	return slices.DeleteFunc(slices.Clone(tables), func(t tableInfo) bool { return !strings.Contains(strings.ToLower(t.Name), text) })
}
