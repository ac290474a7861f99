package panel

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/zangtable/zangtable/internal/imports"
)

// importsView is the data of the page of imports.
type importsView struct {
	Imports []imports.Manifest
}

func showImports(q *request) error {
	p, _, err := q.inProject(page{Title: "Imports", Section: "imports", Modules: []string{"drop.js"}})
	if err != nil {
		return err
	}
	var listed struct{ Imports []json.RawMessage }
	if err := q.get(&listed, "/projects/%s/imports", p.Project); err != nil {
		return err
	}
	var view importsView
	for _, raw := range listed.Imports {
		var m imports.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		view.Imports = append(view.Imports, m)
	}
	p.Data = view
	q.show(http.StatusOK, "imports", p)
	return nil
}

// receiveFile passes a form with a file on to the API as it arrives. The form itself
// asks for a dry run, whose result the next page shows.
func receiveFile(q *request) error {
	project := q.r.PathValue("project")
	var made struct{ Import struct{ ID string } }
	err := q.prefer("respond-async").send(http.MethodPost, apiPath("/projects/%s/imports", project), q.r.Header.Get("Content-Type"), q.r.Body, &made)
	if err != nil {
		return err
	}
	q.redirect(pagePath("p", project, "imports", made.Import.ID))
	return nil
}

// importView is the data of the page of an import.
type importView struct {
	imports.Manifest
	Underway bool
	MayRun   bool // a dry run that can be carried out
	Samples  [][][]string
	API      string
}

func showImport(q *request) error {
	p, _, err := q.inProject(page{Section: "imports"})
	if err != nil {
		return err
	}
	var shown struct{ Import imports.Manifest }
	path := apiPath("/projects/%s/imports/%s", p.Project, q.r.PathValue("id")) + "?" + url.Values{"wait": {"2"}}.Encode()
	if err := q.call(http.MethodGet, path, nil, &shown); err != nil {
		return err
	}
	m := shown.Import
	view := importView{Manifest: m, Underway: !m.Status.Finished(), API: apiPrefix, MayRun: m.DryRun && m.Status == imports.Ready && m.ExpiresAt != nil}
	if view.Underway {
		q.w.Header().Set("Refresh", "1")
	}
	if m.Preview != nil {
		for _, table := range m.Preview.Tables {
			view.Samples = append(view.Samples, samplesOf(table.Sample, len(table.Columns)))
		}
	}
	p.Title, p.Data = m.FileName, view
	q.show(http.StatusOK, "import", p)
	return nil
}

// samplesOf returns the first values of each column.
func samplesOf(rows [][]any, columns int) [][]string {
	const most = 4
	samples := make([][]string, columns)
	for _, row := range rows[:min(len(rows), most)] {
		for i, value := range row[:min(len(row), columns)] {
			text, ok := value.(string)
			if !ok {
				encoded, err := json.Marshal(value)
				if err != nil {
					continue
				}
				text = string(encoded)
			}
			samples[i] = append(samples[i], shortened(text, maxSample))
		}
	}
	return samples
}

// maxSample is how many characters of a value a sample shows.
const maxSample = 40

// runImport carries out what a dry run has shown.
func runImport(q *request) error {
	project, id := q.r.PathValue("project"), q.r.PathValue("id")
	body := map[string]any{"dry_run": false}
	if err := q.prefer("respond-async").call(http.MethodPost, apiPath("/projects/%s/imports/%s/run", project, id), body, nil); err != nil {
		return err
	}
	q.redirect(pagePath("p", project, "imports", id))
	return nil
}

func deleteImport(q *request) error {
	project := q.r.PathValue("project")
	if err := q.call(http.MethodDelete, apiPath("/projects/%s/imports/%s", project, q.r.PathValue("id")), nil, nil); err != nil {
		return err
	}
	q.redirect(pagePath("p", project, "imports"))
	return nil
}
