package panel

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/zangtable/zangtable/internal/journal"
)

// runsView is the data of the list of runs.
type runsView struct {
	Runs    []journal.Run
	Key     string
	Failing bool
	Older   string // address; "" for none
}

func showRuns(q *request) error {
	p, _, err := q.inProject(page{Title: "Runs", Section: "runs"})
	if err != nil {
		return err
	}
	query := q.r.URL.Query()
	values := pick(query, "key", "failing", "after")
	var found struct {
		Runs       []journal.Run `json:"runs"`
		NextCursor *string       `json:"next_cursor"`
	}
	if err := q.call(http.MethodGet, apiPath("/projects/%s/operations/runs", p.Project)+"?"+values.Encode(), nil, &found); err != nil {
		return err
	}
	view := runsView{Runs: found.Runs, Key: query.Get("key"), Failing: query.Get("failing") == "true"}
	if found.NextCursor != nil {
		values.Set("after", *found.NextCursor)
		view.Older = pagePath("p", p.Project, "runs") + "?" + values.Encode()
	}
	p.Data = view
	q.show(http.StatusOK, "runs", p)
	return nil
}

// runView is the data of the page of a run.
type runView struct {
	Run   journal.Run
	Calls []callView
	Chain []journal.Run

	Changes runChanges
	More    string // address of the next calls; "" for none
	Width   int    // of the time line
}

// callView is a call on the time line of its run.
type callView struct {
	journal.RunCall
	X, Length int    // of its bar
	Fold      string // how long the pause before it was, if that is not drawn to scale
	Kind      string // "failed", "write" or "read"
}

const (
	lineWidth = 1000
	foldWidth = 40 // of a pause that is not drawn to scale
)

func showRun(q *request) error {
	p, _, err := q.inProject(page{Section: "runs"})
	if err != nil {
		return err
	}
	id := q.r.PathValue("id")
	var found struct {
		Run        journal.Run       `json:"run"`
		Calls      []journal.RunCall `json:"calls"`
		Chain      []journal.Run     `json:"chain"`
		NextCursor *string           `json:"next_cursor"`
	}
	path := apiPath("/projects/%s/operations/runs/%s", p.Project, id)
	if after := q.r.URL.Query().Get("after"); after != "" {
		path += "?" + url.Values{"after": {after}}.Encode()
	}
	if err := q.call(http.MethodGet, path, nil, &found); err != nil {
		return err
	}
	view := runView{Run: found.Run, Calls: lineUp(found.Calls), Chain: found.Chain, Width: lineWidth}
	if found.NextCursor != nil {
		view.More = pagePath("p", p.Project, "runs", id) + "?" + url.Values{"after": {*found.NextCursor}}.Encode()
	}
	if view.Changes, err = q.changesOf(p.Project, id, int64(found.Run.TokenID)); err != nil {
		return err
	}
	p.Title, p.Data = "Run "+id, view
	q.show(http.StatusOK, "run", p)
	return nil
}

// isFolded reports whether a pause takes so much of a run that the calls beside it
// could not be seen if it was drawn to scale.
func isFolded(gapMS, wholeMS float64) bool { return gapMS > 200 && gapMS > wholeMS/5 }

// lineUp places calls on a time line without the long pauses between them.
func lineUp(calls []journal.RunCall) (all []callView) {
	if len(calls) == 0 {
		return nil
	}
	first, whole := calls[0].OffsetMS, 0.0
	for _, call := range calls {
		whole = max(whole, call.OffsetMS+call.TookMS-first)
	}
	folded, folds := 0.0, 0
	for _, call := range calls {
		if isFolded(call.GapMS, whole) {
			folded, folds = folded+call.GapMS, folds+1
		}
	}
	scale := float64(lineWidth-min(folds*foldWidth, lineWidth/2)) / max(whole-folded, 0.001)
	shift := 0.0 // of what follows, by the pauses before it
	for i, call := range calls {
		view := callView{RunCall: call, Kind: kindOf(call)}
		if isFolded(call.GapMS, whole) && i > 0 {
			shift += float64(min(folds*foldWidth, lineWidth/2))/float64(folds) - call.GapMS*scale
			view.Fold = duration(call.GapMS)
		}
		view.X = min(max(int((call.OffsetMS-first)*scale+shift), 0), lineWidth-2)
		view.Length = min(max(int(call.TookMS*scale), 2), lineWidth-view.X)
		all = append(all, view)
	}
	return all
}

func kindOf(call journal.RunCall) string {
	switch {
	case call.Status >= http.StatusBadRequest:
		return "failed"
	case call.Method == http.MethodGet || call.RowsChanged == 0 && strings.HasPrefix(call.Route, "query"):
		return "read"
	}
	return "write"
}

// duration writes milliseconds for people.
func duration(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 120_000:
		return fmt.Sprintf("%.2f s", ms/1000)
	}
	return fmt.Sprintf("%.0f min", ms/60_000)
}
