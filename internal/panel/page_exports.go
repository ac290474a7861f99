package panel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/zangtable/zangtable/internal/export"
)

// exportsView is the data of the page of exports.
type exportsView struct {
	Exports      []export.Manifest
	What, Format string
	Tables       []tableInfo
	Formats      []string // of tables
	Databases    []string // formats of all tables together
	Schemas      []string
	Faults       map[string]string
	Underway     bool
	API          string
}

func showExports(q *request) error {
	return q.listExports(http.StatusOK, exportsView{What: q.r.URL.Query().Get("table"), Format: "csv"})
}

func (q *request) listExports(status int, view exportsView) error {
	p, tables, err := q.inProject(page{Title: "Exports", Section: "exports"})
	if err != nil {
		return err
	}
	var listed struct{ Exports []json.RawMessage }
	if err := q.get(&listed, "/projects/%s/exports", p.Project); err != nil {
		return err
	}
	for _, raw := range listed.Exports {
		var m export.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		view.Exports = append(view.Exports, m)
	}
	view.Underway = slices.ContainsFunc(view.Exports, func(m export.Manifest) bool { return !m.Status.Finished() })
	if view.Underway {
		q.w.Header().Set("Refresh", "2")
	}
	view.Tables, view.API = tables, apiPrefix
	view.Formats, view.Databases, view.Schemas = export.FormatNames(export.TableExport), export.FormatNames(export.DatabaseExport), export.FormatNames(export.SchemaExport)
	p.Data = view
	q.show(status, "exports", p)
	return nil
}

// orderExport orders an export of a table, of all tables, or of the schema, and does
// not wait for it.
func orderExport(q *request) error {
	project := q.r.PathValue("project")
	view := exportsView{What: q.field("table"), Format: q.field("format")}
	path := apiPath("/projects/%s/export/table/%s", project, view.What)
	switch q.field("what") {
	case "database", "schema":
		path = apiPath("/projects/%s/export/%s", project, q.field("what"))
	}
	order := map[string]any{"format": view.Format}
	if name := q.field("file_name"); name != "" {
		order["file_name"] = name
	}
	err := q.prefer("respond-async").call(http.MethodPost, path, order, nil)
	if view.Faults = faultsOf(err); len(view.Faults) > 0 {
		return q.listExports(http.StatusUnprocessableEntity, view)
	}
	if err != nil {
		return err
	}
	q.redirect(pagePath("p", project, "exports") + "?" + url.Values{"done": {"exported"}}.Encode())
	return nil
}

func deleteExport(q *request) error {
	project := q.r.PathValue("project")
	if err := q.call(http.MethodDelete, apiPath("/projects/%s/exports/%s", project, q.r.PathValue("id")), nil, nil); err != nil {
		return err
	}
	q.redirect(pagePath("p", project, "exports") + "?done=forgotten")
	return nil
}

// verified is what reading an export again has shown.
type verifiedView struct {
	Export export.Manifest
	Answer string
}

func verifyExport(q *request) error {
	p, _, err := q.inProject(page{Title: "Verified export", Section: "exports"})
	if err != nil {
		return err
	}
	id := q.r.PathValue("id")
	var shown struct{ Export export.Manifest }
	if err := q.get(&shown, "/projects/%s/exports/%s", p.Project, id); err != nil {
		return err
	}
	var answer json.RawMessage
	if err := q.call(http.MethodPost, apiPath("/projects/%s/exports/%s/verify", p.Project, id), nil, &answer); err != nil {
		return err
	}
	pretty, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return err
	}
	p.Data = verifiedView{shown.Export, string(pretty)}
	q.show(http.StatusOK, "verified", p)
	return nil
}
