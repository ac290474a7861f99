package api

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// The topics of the stream of a project.
const (
	topicCommits  = "commits"
	topicJobs     = "jobs"
	topicRuns     = "runs"
	topicRequests = "requests"
)

var topics = []string{topicCommits, topicJobs, topicRuns, topicRequests}

type followProjectIn struct {
	streamIn
	Topics      []string `query:"topics" doc:"commits, jobs, runs and requests; commits and jobs when absent. Runs and requests need journal:read."`
	LastEventID string   `header:"Last-Event-ID" doc:"The id of the last event received: the stream goes on after that commit, or says that it cannot."`
}

// ProjectEvent is one event of the stream of a project.
type ProjectEvent struct {
	name string
	id   string
	data any
}

// Event implements [rest.Event].
func (e ProjectEvent) Event() (name, id string, data any) { return e.name, e.id, e.data }

// Kinds implements [rest.Event].
func (ProjectEvent) Kinds() map[string]any {
	return map[string]any{"state": StateEvent{}, "commit": CommitEvent{}, "job": JobEvent{}, "run": journal.Run{}, "request": journal.Request{}}
}

// StateEvent says where the stream begins or goes on.
type StateEvent struct {
	Commit        int64 `json:"commit" doc:"The stream tells of the commits after this one."`
	SchemaVersion int64 `json:"schema_version" doc:"Of the newest commit. It grows with every change to the schema."`
	Missed        bool  `json:"missed" doc:"Whether there were commits before this one that the stream cannot tell of: read again what is shown."`
}

// CommitEvent tells of a commit.
type CommitEvent struct {
	Commit        int64         `json:"commit"`
	SchemaVersion int64         `json:"schema_version"`
	Time          string        `json:"time" format:"date-time"`
	Tables        []EventsTable `json:"tables" doc:"Where records may have changed, also through foreign keys; only tables whose records the credential may read."`
	SchemaChanged bool          `json:"schema_changed"`
	Altered       []EventsTable `json:"altered_tables" doc:"Tables that were created, changed or deleted; none when it may have been any."`
}

// EventsTable is a table in an event.
type EventsTable struct {
	ID   ids.Table `json:"id"`
	Name *string   `json:"table_name" doc:"The present name; null if the table is gone."`
}

// JobEvent tells of an export or import that is new or has made progress.
type JobEvent struct {
	Kind   string            `json:"kind" enum:"export,import"`
	Export *export.Manifest  `json:"export,omitzero"`
	Import *imports.Manifest `json:"import,omitzero"`
}

func (h *handlers) followProject(ctx context.Context, ws *Workspace, in *followProjectIn, faults *problem.Faults) (*rest.Events[ProjectEvent], error) {
	wanted := in.Topics
	if len(wanted) == 0 {
		wanted = []string{topicCommits, topicJobs}
	}
	for i, topic := range wanted {
		if !slices.Contains(topics, topic) {
			faults.WrongChoice("topics["+strconv.Itoa(i)+"]", topics)
		}
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	if slices.Contains(wanted, topicRuns) || slices.Contains(wanted, topicRequests) {
		if err := ws.Require(registry.JournalRead); err != nil {
			return nil, err
		}
	}
	ctx, end := in.limited(ctx)
	s := &projectStream{h: h, ws: ws, ctx: whileAdmitted(ctx, ws), end: end, events: make(chan ProjectEvent)}
	if err := s.open(wanted, in.LastEventID); err != nil {
		end()
		return nil, err
	}
	return &rest.Events[ProjectEvent]{Updates: s.events}, nil
}

// projectStream merges what is followed into one stream, which ends as soon as one of
// them does.
type projectStream struct {
	h      *handlers
	ws     *Workspace
	ctx    context.Context
	end    func()
	events chan ProjectEvent
	parts  sync.WaitGroup
}

func (s *projectStream) open(wanted []string, lastID string) error {
	var begin []func()
	for _, topic := range topics {
		if !slices.Contains(wanted, topic) {
			continue
		}
		switch topic {
		case topicCommits:
			f, now, err := s.ws.Follow(s.ctx)
			if err != nil {
				return err
			}
			begin = append(begin, func() { s.commits(f, now, lastID) })
		case topicJobs:
			begin = append(begin, s.exports, s.imports)
		case topicRuns:
			begin = append(begin, s.runs)
		case topicRequests:
			begin = append(begin, s.requests)
		}
	}
	for _, part := range begin {
		s.parts.Go(func() {
			defer s.end()
			part()
		})
	}
	go func() {
		s.parts.Wait()
		close(s.events)
	}()
	return nil
}

// send passes an event on, and reports false when the stream has ended.
func (s *projectStream) send(name, id string, data any) bool {
	select {
	case s.events <- ProjectEvent{name, id, data}:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// commits tells of the commits after the one that the client has seen last.
func (s *projectStream) commits(f *projectdb.Follower, now projectdb.Place, lastID string) {
	defer f.Close()
	state := StateEvent{Commit: now.Commit, SchemaVersion: now.Schema}
	if lastID != "" {
		last, err := strconv.ParseInt(lastID, 10, 64)
		if state.Missed = err != nil || !f.From(last); !state.Missed {
			state.Commit = last
		}
	}
	for more := s.state(state); more; {
		var list []projectdb.Commit
		var missed *projectdb.Place
		if list, missed, more = f.Next(s.ctx); !more {
			return
		}
		if missed != nil {
			more = s.state(StateEvent{missed.Commit, missed.Schema, true})
		}
		for i := range list {
			more = more && s.commit(&list[i])
		}
	}
}

func (s *projectStream) state(state StateEvent) bool {
	return s.send("state", strconv.FormatInt(state.Commit, 10), state)
}

// commit tells of a commit, as far as the credential may know.
func (s *projectStream) commit(c *projectdb.Commit) bool {
	seen := func(list []ids.Table, scope registry.Scope) []ids.Table {
		return slices.DeleteFunc(slices.Clone(list), func(id ids.Table) bool { return !s.ws.MayTable(scope, id) })
	}
	touched, altered := seen(c.Touched, registry.RecordsRead), seen(c.Altered, registry.SchemaRead)
	schema := len(altered) > 0 || c.EverythingAltered && s.ws.MaySome(registry.SchemaRead)
	if len(touched) == 0 && !schema {
		return true
	}
	names := s.names()
	tables := func(list []ids.Table) []EventsTable {
		out := []EventsTable{}
		for _, id := range list {
			out = append(out, EventsTable{id, names[id]})
		}
		return out
	}
	return s.send("commit", strconv.FormatInt(c.Number, 10), CommitEvent{c.Number, c.Schema, projectdb.Timestamp(c.Time), tables(touched), schema, tables(altered)})
}

// names returns the present names of the tables. While they cannot be read, there are
// none.
func (s *projectStream) names() map[ids.Table]*string {
	names := map[ids.Table]*string{}
	_ = use(s.ctx, s.ws, func(ws *Opened) error {
		list, err := ws.DB.Tables(s.ctx)
		for i := range list {
			names[list[i].ID] = &list[i].Name
		}
		return err
	})
	return names
}

func (s *projectStream) exports() {
	followJobs(s, s.h.exportJobs(), func(m export.Manifest) JobEvent { return JobEvent{Kind: "export", Export: &m} })
}

func (s *projectStream) imports() {
	followJobs(s, s.h.importJobs(), func(m imports.Manifest) JobEvent { return JobEvent{Kind: "import", Import: &m} })
}

// followJobs tells of the jobs of one kind that the credential may see.
func followJobs[M jobs.Manifest[M]](s *projectStream, all jobsOf[M], event func(M) JobEvent) {
	updates := all.Follow(s.ctx, s.ws.Project.ID, func(m *M) bool { return all.may(s.ws, m) == nil })
	for m := range updates {
		if !s.send("job", "", event(m)) {
			return
		}
	}
}

func (s *projectStream) requests() {
	for r := range s.h.journal.Follow(s.ctx, s.ws.Project.ID, s.filter()) {
		hideObjects(s.ws, []*journal.Request{&r})
		if !s.send("request", "", r) {
			return
		}
	}
}

// filter selects the requests that are followed: all of them.
func (s *projectStream) filter() journal.Filter {
	return journal.Filter{HidesObjects: !s.ws.May(registry.RecordsRead)}
}

// runsInterval is how often runs are told of that have had calls.
const runsInterval = 500 * time.Millisecond

// runs tells of the runs that have had calls.
func (s *projectStream) runs() {
	found := s.h.journal.Follow(s.ctx, s.ws.Project.ID, s.filter())
	type key struct {
		token ids.Token
		run   string
	}
	called := map[key]bool{}
	look := time.NewTicker(runsInterval)
	defer look.Stop()
	for {
		select {
		case r, more := <-found:
			switch {
			case !more:
				return
			case r.RunID != nil && r.TokenID != nil:
				called[key{*r.TokenID, *r.RunID}] = true
			case r.RunID != nil: // a person's
				called[key{run: *r.RunID}] = true
			}
		case <-look.C:
			for k := range called {
				run, _, err := s.h.journal.Run(s.ctx, s.ws.Project.ID, k.token, k.run)
				if err == nil && !s.send("run", "", run) {
					return
				}
			}
			clear(called)
		}
	}
}
