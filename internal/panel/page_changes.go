package panel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/zangtable/zangtable/internal/projectdb"
)

// runChanges is what a run has changed, as its page shows it.
type runChanges struct {
	Tracked bool // changes are recorded now
	List    []changeView
	More    bool // there are more than are shown
}

// changeView is a change with the values that it changed.
type changeView struct {
	projectdb.Change
	Values []changedValue
	Left   int // values that are not shown
}

// changedValue is a value before and after a change; nil if there is none.
type changedValue struct {
	Column        string
	Before, After *cell
}

const (
	shownChanges = 100
	shownValues  = 8  // of a record that was inserted or deleted
	shownText    = 80 // characters
)

// changesOf reads what a run has changed. Somebody without the right to read records
// sees none.
func (q *request) changesOf(project, run string, tokenID int64) (found runChanges, err error) {
	var about struct {
		Project struct {
			Tracked bool `json:"track_changes"`
		}
	}
	if err := q.get(&about, "/projects/%s", project); err != nil {
		return found, err
	}
	found.Tracked = about.Project.Tracked
	var listed struct {
		Changes []projectdb.Change
		HasMore bool `json:"has_more"`
	}
	asked := url.Values{"limit": {fmt.Sprint(shownChanges)}, "token": {fmt.Sprint(tokenID)}, "integers": {"string"}}
	err = q.call(http.MethodGet, apiPath("/projects/%s/operations/runs/%s/changes", project, run)+"?"+asked.Encode(), nil, &listed)
	if hasCode(err, "permission_denied") {
		return found, nil
	}
	for _, c := range listed.Changes {
		found.List = append(found.List, viewOf(c))
	}
	found.More = listed.HasMore
	return found, err
}

// viewOf picks the values that a change is about.
func viewOf(c projectdb.Change) changeView {
	view := changeView{Change: c}
	before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	var columns []string
	// Both have the same columns, unless one of them is null.
	eachMember(c.Before, func(name string, value json.RawMessage) { before[name], columns = value, append(columns, name) })
	eachMember(c.After, func(name string, value json.RawMessage) {
		if after[name] = value; len(before) == 0 {
			columns = append(columns, name)
		}
	})
	for _, name := range columns {
		old, now := before[name], after[name]
		if bytes.Equal(old, now) {
			continue
		}
		if len(view.Values) == shownValues && c.Op != "update" {
			view.Left++
			continue
		}
		view.Values = append(view.Values, changedValue{name, changedCell(old), changedCell(now)})
	}
	return view
}

// changedCell returns a value as a table shows it, without knowing the type of its
// column; nil for none.
func changedCell(value json.RawMessage) *cell {
	if value == nil {
		return nil
	}
	shown := cellOf(column{}, value)
	shown.Text = shortened(shown.Text, shownText)
	return &shown
}

// undoView is the data of the page that asks whether to undo a run.
type undoView struct {
	RunID   string
	TokenID string
	Would   projectdb.Reverted
}

// undo takes back what a run has changed, or only tries.
func (q *request) undo(dryRun bool, out any) error {
	body := map[string]any{"dry_run": dryRun}
	if token := json.Number(q.r.FormValue("token")); token != "" {
		body["token"] = token
	}
	return q.call(http.MethodPost, apiPath("/projects/%s/operations/runs/%s/revert", q.r.PathValue("project"), q.r.PathValue("id")), body, out)
}

func showUndo(q *request) error {
	p, _, err := q.inProject(page{Section: "runs"})
	if err != nil {
		return err
	}
	view := undoView{RunID: q.r.PathValue("id"), TokenID: q.r.FormValue("token")}
	if err := q.undo(true, &view.Would); err != nil {
		return err
	}
	p.Title, p.Data = "Undo run "+view.RunID, view
	q.show(http.StatusOK, "undo", p)
	return nil
}

func undoRun(q *request) error {
	var done struct {
		RunID string `json:"run_id"`
	}
	if err := q.undo(false, &done); err != nil {
		return err
	}
	// The calls of the new run are not in the journal yet; the list will have it.
	q.redirect(pagePath("p", q.r.PathValue("project"), "runs") + "?done=undone")
	return nil
}

// trackChanges switches the recording of changes.
func trackChanges(q *request) error {
	project := q.r.PathValue("project")
	body := map[string]any{"track_changes": q.field("track") == "on"}
	if err := q.call(http.MethodPatch, apiPath("/projects/%s/settings", project), body, nil); err != nil {
		return err
	}
	q.redirect(pagePath("p", project, "runs") + "?done=tracking")
	return nil
}
