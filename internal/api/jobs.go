package api

import (
	"context"
	"net/http"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// orderIn is the part of an input that requests a job: how long the caller waits for
// it, and the identity of the call.
type orderIn struct {
	Prefer string `header:"Prefer" doc:"respond-async or wait=seconds: answer 202 with the current manifest instead of waiting longer (RFC 7240)."`
	Call   rest.Call
}

func (in orderIn) ordered() orderIn { return in }

// waitIn is the part of an input that reads the state of a job.
type waitIn struct {
	Wait int `query:"wait" minimum:"0" maximum:"60" doc:"How many seconds to wait for the job to finish."`
}

// pageIn is the part of an input that lists jobs.
type pageIn struct {
	Limit  int `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Offset int `query:"offset" minimum:"0"`
}

// JobPage says which part of a list the answer holds.
type JobPage struct {
	Limit    int  `json:"limit"`
	Offset   int  `json:"offset"`
	Returned int  `json:"returned"`
	HasMore  bool `json:"has_more"`
}

// jobDeleted is the answer of the routes that cancel or remove a job.
type jobDeleted struct {
	Deleted bool   `json:"deleted"`
	ID      string `json:"id"`
}

// jobView is what the API needs of the jobs of one kind; see [jobs.View].
type jobView[M any] interface {
	Get(ctx context.Context, projectID ids.Project, id string) (M, error)
	List(ctx context.Context, projectID ids.Project, o jobs.ListOptions[M]) (list []M, more bool, err error)
	Wait(ctx context.Context, projectID ids.Project, id string) (M, error)
	Watch(ctx context.Context, projectID ids.Project, id string) (<-chan M, error)
	Follow(ctx context.Context, projectID ids.Project, visible func(*M) bool) <-chan M
}

// jobsOf handles the calls about jobs of one kind. None of them keeps the project's
// database open: a waiting client must not block the deletion of the project.
type jobsOf[M jobs.Manifest[M]] struct {
	jobView[M]
	may func(ws *Workspace, m *M) error // nil if the token may see the job
}

// get returns the manifest of a job that the token may see.
func (j jobsOf[M]) get(ctx context.Context, ws *Workspace, id string) (M, error) {
	m, err := j.Get(ctx, ws.Project.ID, id)
	if err == nil {
		err = j.may(ws, &m)
	}
	return m, err
}

func (j jobsOf[M]) list(ctx context.Context, ws *Workspace, status string, in pageIn) ([]M, JobPage, error) {
	options := jobs.ListOptions[M]{Status: status, Limit: in.Limit, Offset: in.Offset}
	if !ws.May(registry.ProjectAdmin) { // who sees all jobs
		options.Visible = func(m *M) bool { return j.may(ws, m) == nil }
	}
	list, more, err := j.List(ctx, ws.Project.ID, options)
	return list, JobPage{in.Limit, in.Offset, len(list), more}, err
}

// look returns the manifest of a job once it has finished, or after the given number of
// seconds.
func (j jobsOf[M]) look(ctx context.Context, ws *Workspace, id string, seconds int) (m M, err error) {
	if seconds == 0 {
		return j.get(ctx, ws, id)
	}
	waiting, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	updates, err := j.watch(waiting, ws, id)
	if err != nil {
		return m, err
	}
	for m = range updates {
	}
	return m, ws.Admitted(ctx)
}

func (j jobsOf[M]) follow(ctx context.Context, ws *Workspace, id string) (*rest.Events[M], error) {
	updates, err := j.watch(ctx, ws, id)
	return &rest.Events[M]{Updates: updates}, err
}

// watch returns the manifests of a job that the token may see, until it has finished,
// the token becomes invalid or ctx ends.
func (j jobsOf[M]) watch(ctx context.Context, ws *Workspace, id string) (<-chan M, error) {
	if _, err := j.get(ctx, ws, id); err != nil {
		return nil, err
	}
	return j.Watch(whileAdmitted(ctx, ws), ws.Project.ID, id)
}

// await waits for a newly requested job as long as the caller prefers, at most longest.
// It returns the manifest with the head of the answer.
func (j jobsOf[M]) await(ctx context.Context, ws *Workspace, m M, in orderIn, longest time.Duration) (M, rest.Head, error) {
	preferred := rest.ReadPrefer(in.Prefer)
	id, status := m.Job()
	if wait := preferred.Limit(longest); wait > 0 {
		waiting, cancel := context.WithTimeout(whileAdmitted(ctx, ws), wait)
		defer cancel()
		var err error
		if m, err = j.Wait(waiting, ws.Project.ID, id); err == nil {
			err = ws.Admitted(ctx)
		}
		if err != nil {
			return m, rest.Head{}, err
		}
		_, status = m.Job()
	}
	head := rest.Head{Applied: preferred.Applied(longest)}
	if !status.Finished() {
		head.Status = http.StatusAccepted
	}
	return m, head, nil
}

// admittedInterval is how often the tokens of waiting clients are checked again.
const admittedInterval = 2 * time.Second

// whileAdmitted returns a context for waiting calls, which also ends when the token no
// longer opens the project or may do less than before. The given context must end with the request.
func whileAdmitted(ctx context.Context, ws *Workspace) context.Context {
	ctx, leave := context.WithCancel(ctx)
	go func() {
		defer leave()
		look := time.NewTicker(admittedInterval)
		defer look.Stop()
		for {
			switch err := ws.Admitted(ctx); {
			case problem.Is(err, problem.CodeInvalidToken), problem.Is(err, problem.CodePermissionDenied), problem.Is(err, problem.CodeNotFound):
				return
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx
}
