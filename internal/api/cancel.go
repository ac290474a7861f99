package api

import (
	"context"
	"errors"
	"regexp"
	"sync"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

// runningQueries are the statements that run under ids of their clients.
type runningQueries struct {
	mu      sync.Mutex
	cancels map[queryKey]context.CancelCauseFunc
}

// queryKey identifies a running statement. Each credential has ids of its own.
type queryKey struct {
	project ids.Project
	token   ids.Token
	id      string
}

func newRunningQueries() *runningQueries {
	return &runningQueries{cancels: map[queryKey]context.CancelCauseFunc{}}
}

var queryIDPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// errCanceled is the cause of the end of a statement that was canceled by its id.
var errCanceled = errors.New("canceled by its query_id")

// begin makes the statement of a call cancelable by its id, until end is called.
func (q *runningQueries) begin(ctx context.Context, ws *Workspace, id string) (running context.Context, end func(), err error) {
	if id == "" {
		return ctx, func() {}, nil
	}
	project, token := ws.Identity()
	key := queryKey{project, token, id}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cancels[key] != nil {
		return nil, nil, problem.New(problem.CodeConflict, "A statement with this query_id is running: choose another one.").With("query_id", "%s", problem.ValueTaken)
	}
	running, cancel := context.WithCancelCause(ctx)
	q.cancels[key] = cancel
	return running, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.cancels, key)
		cancel(nil)
	}, nil
}

// cancel ends the statements of the project with the given id: those of the caller, or
// anybody's if all is set. It reports whether there were any.
func (q *runningQueries) cancel(ws *Workspace, id string, all bool) (found bool) {
	project, token := ws.Identity()
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, cancel := range q.cancels {
		if key.project == project && key.id == id && (all || key.token == token) {
			cancel(errCanceled)
			found = true
		}
	}
	return found
}

// explainCanceled turns the error of a statement into a problem if it was canceled.
func explainCanceled(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errCanceled) {
		return problem.New(problem.CodeConflict, "The statement was canceled by its query_id.").Because(err)
	}
	return err
}

type cancelQueryIn struct {
	ID string `path:"query_id"`
}

type queryCanceled struct {
	Canceled bool   `json:"canceled" doc:"Whether a statement with the id was running."`
	QueryID  string `json:"query_id"`
}

func (h *handlers) cancelQuery(_ context.Context, ws *Workspace, in *cancelQueryIn) (queryCanceled, error) {
	return queryCanceled{h.running.cancel(ws, in.ID, ws.May(registry.ProjectAdmin)), in.ID}, nil
}
