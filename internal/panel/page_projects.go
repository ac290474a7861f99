package panel

import (
	"net/http"
	"net/url"

	"github.com/zangtable/zangtable/internal/problem"
)

// projectInfo is a project as the API shows it. The sizes are there only when a single
// project is asked for.
type projectInfo struct {
	Slug       string `json:"project_slug"`
	Name       string `json:"project_name"`
	CreatedAt  string `json:"created_at"`
	TableCount int64  `json:"table_count"`
	SizeBytes  int64  `json:"size_bytes"`
	Damaged    bool   `json:"-"`
	Sized      bool   `json:"-"`
}

// projectsView is the data of the list of projects.
type projectsView struct {
	Projects  []projectInfo
	MayCreate bool
}

// maxSized is how many projects of the list are opened to show their sizes.
const maxSized = 30

func showProjects(q *request) error {
	var listed struct{ Projects []projectInfo }
	if err := q.get(&listed, "/projects"); err != nil {
		return err
	}
	for i := range listed.Projects[:min(len(listed.Projects), maxSized)] {
		var sized struct{ Project projectInfo }
		info := &listed.Projects[i]
		switch err := q.get(&sized, "/projects/%s", info.Slug); {
		case err == nil:
			*info = sized.Project
			info.Sized = true
		case hasCode(err, problem.CodeProjectDamaged):
			info.Damaged = true
		case !hasCode(err, problem.CodeNotFound): // it may just have been deleted
			return err
		}
	}
	q.show(http.StatusOK, "projects", page{Title: "Projects", Section: "projects", Data: projectsView{listed.Projects, q.mayCreate()}})
	return nil
}

// mayCreate reports whether the person may create projects.
func (q *request) mayCreate() bool {
	return q.visit.Role == "owner" || q.visit.Role == "admin" && q.visit.Project == nil
}

// rail is the navigation of a project.
type rail struct {
	Info   projectInfo
	Tables []tableInfo
	More   int // tables that are not shown
	Admin  bool
	Runs   bool // whether the person may see the runs of operations
	Writes bool // whether the person may change records
}

// tableInfo is a table in a list.
type tableInfo struct {
	Name        string  `json:"table_name"`
	DisplayName *string `json:"display_name"`
	Rows        int64   `json:"row_count_estimate"`
	CreatedAt   string  `json:"created_at"`
}

// maxRail is how many tables the navigation shows.
const maxRail = 300

// inProject completes a page about a project: its tables are in the navigation.
func (q *request) inProject(p page) (page, []tableInfo, error) {
	p.Project = q.r.PathValue("project")
	var about struct{ Project projectInfo }
	var listed struct{ Tables []tableInfo }
	if err := q.get(&about, "/projects/%s", p.Project); err != nil {
		return p, nil, err
	}
	if err := q.get(&listed, "/projects/%s/tables", p.Project); err != nil && !hasCode(err, problem.CodePermissionDenied) {
		return p, nil, err
	}
	role, err := q.roleIn(p.Project)
	shown := min(len(listed.Tables), maxRail)
	p.Rail = &rail{Info: about.Project, Tables: listed.Tables[:shown], More: len(listed.Tables) - shown, Admin: role == "admin", Runs: role == "admin" || role == "editor", Writes: role == "admin" || role == "editor"}
	return p, listed.Tables, err
}

// roleIn returns the person's role in a project.
func (q *request) roleIn(slug string) (string, error) {
	ws, err := q.visit.Workspace(q.r.Context(), slug)
	if err != nil {
		return "", err
	}
	return ws.Role(), nil
}

// projectView is the data of the overview of a project.
type projectView struct {
	Tables []tableInfo
	Query  string
}

func showProject(q *request) error {
	p, tables, err := q.inProject(page{Section: "overview"})
	if err != nil {
		return err
	}
	query := q.r.URL.Query().Get("q")
	p.Title = p.Rail.Info.Name
	p.Data = projectView{matching(tables, query), query}
	q.show(http.StatusOK, "project", p)
	return nil
}

func deleteProject(q *request) error {
	slug := q.r.PathValue("project")
	body := map[string]string{"confirm_project_slug": q.field("confirm")}
	if err := q.call(http.MethodDelete, apiPath("/projects/%s", slug), body, nil); err != nil {
		return err
	}
	q.redirect(Prefix + "?" + url.Values{"done": {"deleted"}}.Encode())
	return nil
}
