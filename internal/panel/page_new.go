package panel

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/templates"
)

// newProjectView is the data of the page on which projects are created.
type newProjectView struct {
	Name, Slug, From string
	Templates        []templateInfo
	Faults           map[string]string
}

// templateInfo is a template as people choose it.
type templateInfo struct {
	Name   string
	Title  string `json:"project_name"`
	Tables []struct {
		Name string `json:"table_name"`
	} `json:"tables"`
}

func showNewProject(q *request) error {
	return q.askForProject(http.StatusOK, newProjectView{From: "empty"})
}

func (q *request) askForProject(status int, view newProjectView) error {
	if !q.mayCreate() {
		return problem.New(problem.CodePermissionDenied, "Only owners and admins of the server create projects.")
	}
	for _, name := range templates.Names() {
		info := templateInfo{Name: name}
		text, err := templates.Read(name)
		if err == nil {
			err = json.Unmarshal(text, &info)
		}
		if err != nil {
			return err
		}
		view.Templates = append(view.Templates, info)
	}
	q.show(status, "new", page{Title: "New project", Section: "new", Modules: []string{"drop.js"}, Data: view})
	return nil
}

// createProject creates a project and leads to it. The slug follows from the name if it
// is not given.
func createProject(q *request) error {
	view := newProjectView{Name: q.field("name"), Slug: q.field("slug"), From: q.field("from")}
	if view.Slug == "" {
		view.Slug = slugOf(view.Name)
	}
	body := map[string]json.RawMessage{}
	if view.From != "" && view.From != "empty" {
		text, err := templates.Read(view.From)
		if err == nil {
			err = json.Unmarshal(text, &body)
		}
		if err != nil {
			return problem.New(problem.CodeNotFound, "There is no template %q.", view.From)
		}
	}
	for member, text := range map[string]string{"project_slug": view.Slug, "project_name": view.Name} {
		quoted, err := json.Marshal(text)
		if err != nil {
			return err
		}
		body[member] = quoted
	}
	var created struct{ Project projectInfo }
	err := q.call(http.MethodPost, "/projects", body, &created)
	if view.Faults = faultsOf(err); len(view.Faults) > 0 {
		return q.askForProject(http.StatusUnprocessableEntity, view)
	}
	if err != nil {
		return err
	}
	q.redirect(pagePath("p", created.Project.Slug))
	return nil
}

var notInSlug = regexp.MustCompile(`[^a-z0-9_-]+`)

// slugOf makes a slug from a name.
func slugOf(name string) string {
	slug := strings.Trim(notInSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
	return slug[:min(len(slug), 63)]
}

// faultsOf returns the message for each field that an error names.
func faultsOf(err error) map[string]string {
	faults := map[string]string{}
	var f *failure
	var p *problem.Error
	var details []problem.Detail
	switch {
	case errors.As(err, &f):
		details = f.Details
	case errors.As(err, &p):
		details = p.Told()
	}
	for _, d := range details {
		if faults[d.Field] == "" {
			faults[d.Field] = d.Message
		}
	}
	return faults
}
