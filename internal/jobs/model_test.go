package jobs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// modelJob is a job in the model.
type modelJob struct {
	seq, project, root int
	status             string
	attempt            int
}

func (j *modelJob) queued() bool  { return j.status == "pending" && j.attempt == 0 }
func (j *modelJob) suspect() bool { return j.status == "pending" && j.attempt > 0 }
func (j *modelJob) running() bool { return j.status == "running" }

// model is a store together with what must be in it.
type model struct {
	store  Store[entry]
	jobs   map[int]*modelJob
	last   int         // seq
	clock  int         // counts claims
	roots  map[int]int // when each root last began a job
	turns  map[int]int // when each project last began a job
	limits Limits
	bounds Bounds
}

const (
	modelProjects = 6 // 0, 2 and 4 have root 100; 1 and 3 have root 101; 5 has none
	modelPending  = 4
)

func rootOf(project int) int {
	if project == modelProjects-1 {
		return project
	}
	return 100 + project%2
}

// which returns the jobs that satisfy a condition, oldest first.
func (m *model) which(is func(*modelJob) bool) (list []*modelJob) {
	for _, seq := range slices.Sorted(maps.Keys(m.jobs)) {
		if j := m.jobs[seq]; is(j) {
			list = append(list, j)
		}
	}
	return list
}

func (m *model) count(is func(*modelJob) bool) int { return len(m.which(is)) }

// pick draws one of the jobs that satisfy a condition, or returns nil if there is none.
func (m *model) pick(t *rapid.T, is func(*modelJob) bool) *modelJob {
	list := m.which(is)
	if len(list) == 0 {
		return nil
	}
	return rapid.SampledFrom(list).Draw(t, "job")
}

func (m *model) exec(t *rapid.T, statement string, args ...any) {
	if err := m.store.Write(t.Context(), "change the store", func(c *sqlite.Conn) error { return c.Exec(statement, args...) }); err != nil {
		t.Fatal(err)
	}
}

// request adds a job, unless its project has too many.
func (m *model) request(t *rapid.T) {
	project := rapid.IntRange(0, modelProjects-1).Draw(t, "project")
	err := m.store.Write(t.Context(), "request", func(c *sqlite.Conn) error {
		if err := m.store.Admit(c, ids.Project(project), m.bounds, 0, 0); err != nil {
			return err
		}
		return enter(c, m.last+1, project, rootOf(project))
	})
	full := m.count(func(j *modelJob) bool { return j.project == project && j.queued() }) >= modelPending
	switch {
	case full && problem.Is(err, problem.CodeRateLimited):
	case full || err != nil:
		t.Fatalf("project %d is full: %t, but a request gives %v", project, full, err)
	default:
		m.last++
		m.jobs[m.last] = &modelJob{m.last, project, rootOf(project), "pending", 0}
	}
}

// mayBegin returns the jobs that a claim may take: those of the roots with the fewest
// running jobs and the longest time since their last turn, of their projects by the
// same rule, and of each project the oldest.
func (m *model) mayBegin() []*modelJob {
	running := m.count((*modelJob).running)
	ofRoot := func(root int) int { return m.count(func(j *modelJob) bool { return j.root == root && j.running() }) }
	ofProject := func(p int) int { return m.count(func(j *modelJob) bool { return j.project == p && j.running() }) }
	all := m.which(func(j *modelJob) bool {
		if !j.queued() || ofProject(j.project) >= m.limits.PerProject {
			return false
		}
		// When all workers are busy, one more job may run, of a root without running
		// jobs.
		return running < m.limits.Workers || running == m.limits.Workers && ofRoot(j.root) == 0
	})
	all = least(all, func(j *modelJob) int { return ofRoot(j.root) })
	all = least(all, func(j *modelJob) int { return m.roots[j.root] })
	// Of the roots that are equal so far, each project counts by itself.
	byRoot := map[int][]*modelJob{}
	for _, j := range all {
		byRoot[j.root] = append(byRoot[j.root], j)
	}
	var may []*modelJob
	for _, of := range byRoot {
		of = least(of, func(j *modelJob) int { return m.turns[j.project] })
		seen := map[int]bool{}
		for _, j := range of {
			if !seen[j.project] {
				may, seen[j.project] = append(may, j), true
			}
		}
	}
	return may
}

// least returns the jobs with the smallest number.
func least(all []*modelJob, number func(*modelJob) int) (list []*modelJob) {
	for _, j := range all {
		switch {
		case len(list) > 0 && number(j) > number(list[0]):
		case len(list) > 0 && number(j) < number(list[0]):
			list = []*modelJob{j}
		default:
			list = append(list, j)
		}
	}
	return list
}

func (m *model) begin(t *rapid.T, e *entry, may []*modelJob) {
	if e == nil {
		if len(may) > 0 {
			t.Fatalf("nothing is claimed, although job %d may begin", may[0].seq)
		}
		return
	}
	for _, j := range may {
		if strconv.Itoa(j.seq) == e.id {
			m.clock++
			j.status, j.attempt = "running", j.attempt+1
			m.roots[j.root], m.turns[j.project] = m.clock, m.clock
			return
		}
	}
	t.Fatalf("job %s is claimed, which must not begin now: may %+v", e.id, may)
}

func (m *model) claim(t *rapid.T) {
	e, err := m.store.Claim(t.Context(), m.limits, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.begin(t, e, m.mayBegin())
}

func (m *model) claimSuspect(t *rapid.T) {
	e, err := m.store.ClaimSuspect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var may []*modelJob
	if m.count((*modelJob).queued)+m.count((*modelJob).running) == 0 {
		may = m.which((*modelJob).suspect)
	}
	m.begin(t, e, may[:min(1, len(may))])
}

// finish ends a running job, as its worker would.
func (m *model) finish(t *rapid.T) {
	if j := m.pick(t, (*modelJob).running); j != nil {
		j.status = rapid.SampledFrom([]string{"ready", "failed"}).Draw(t, "outcome")
		m.exec(t, "UPDATE works SET status = ? WHERE seq = ?", j.status, j.seq)
	}
}

// stop puts a running job back.
func (m *model) stop(t *rapid.T) {
	if j := m.pick(t, (*modelJob).running); j != nil {
		j.status, j.attempt = "pending", j.attempt-1
		if err := m.store.PutBack(t.Context(), strconv.Itoa(j.seq)); err != nil {
			t.Fatal(err)
		}
	}
}

// crash kills the server and starts it again.
func (m *model) crash(t *rapid.T) {
	for _, j := range m.which((*modelJob).running) {
		if j.status = "pending"; j.attempt >= MaxAttempts {
			j.status = "failed"
		}
		m.exec(t, "UPDATE works SET status = ? WHERE seq = ?", j.status, j.seq)
	}
}

// cancel cancels an unfinished job.
func (m *model) cancel(t *rapid.T) {
	if j := m.pick(t, func(j *modelJob) bool { return !Status(j.status).Finished() }); j != nil {
		j.status = "canceled"
		m.exec(t, "UPDATE works SET status = 'canceled' WHERE seq = ?", j.seq)
	}
}

// again requests a finished job again.
func (m *model) again(t *rapid.T) {
	if j := m.pick(t, func(j *modelJob) bool { return Status(j.status).Finished() }); j != nil {
		j.status, j.attempt = "pending", 0
		m.exec(t, "UPDATE works SET status = 'pending', attempt = 0 WHERE seq = ?", j.seq)
	}
}

// expire removes the finished jobs.
func (m *model) expire(t *rapid.T) {
	m.exec(t, "DELETE FROM works WHERE status NOT IN ('pending', 'running')")
	maps.DeleteFunc(m.jobs, func(_ int, j *modelJob) bool { return Status(j.status).Finished() })
}

// remove removes a project. Its root keeps its turn for as long as other projects share
// it.
func (m *model) remove(t *rapid.T) {
	project := rapid.IntRange(0, modelProjects-1).Draw(t, "project")
	if err := m.store.RemoveProject(t.Context(), ids.Project(project)); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(m.jobs, func(_ int, j *modelJob) bool { return j.project == project })
	delete(m.turns, project)
	if rootOf(project) == project {
		delete(m.roots, project)
	}
}

// check compares the store with the model.
func (m *model) check(t *rapid.T) {
	if n, err := m.store.Counts(t.Context()); err != nil || n != (Counts{int64(m.count((*modelJob).queued) + m.count((*modelJob).suspect)), int64(m.count((*modelJob).running))}) {
		t.Fatalf("the counts are %+v, %v", n, err)
	}
	var got, want []string
	for _, j := range m.which(func(*modelJob) bool { return true }) {
		want = append(want, fmt.Sprint(j.seq, j.project, j.status, j.attempt))
	}
	err := m.store.Read(t.Context(), "read all", func(c *sqlite.Conn) error {
		return c.Query("SELECT seq, project_id, status, attempt FROM works ORDER BY seq", nil, func(s *sqlite.Stmt) error {
			got = append(got, fmt.Sprint(s.Int(0), s.Int(1), s.Text(2), s.Int(3)))
			return nil
		})
	})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("the jobs are %q, want %q, %v", got, want, err)
	}
	m.checkPlaces(t)
}

// checkPlaces makes sure that the pending jobs of all projects have the places from 1
// on, each once, with suspects last.
func (m *model) checkPlaces(t *rapid.T) {
	places := map[string]int64{}
	for project := range modelProjects {
		var own []string
		for _, j := range m.which(func(j *modelJob) bool { return j.project == project }) {
			own = append(own, strconv.Itoa(j.seq))
		}
		of, err := m.store.Places(t.Context(), ids.Project(project), own...)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(places, of)
	}
	sorted := slices.Sorted(maps.Values(places))
	for i, place := range sorted {
		if place != int64(i+1) {
			t.Fatalf("the places are %v", sorted)
		}
	}
	queued := m.count((*modelJob).queued)
	if len(places) != queued+m.count((*modelJob).suspect) {
		t.Fatalf("%d jobs have a place, %d are queued", len(places), queued)
	}
	for _, j := range m.which((*modelJob).suspect) {
		if places[strconv.Itoa(j.seq)] <= int64(queued) {
			t.Fatalf("the suspect %d has the place %d before others", j.seq, places[strconv.Itoa(j.seq)])
		}
	}
}

// TestStoreAgainstModel takes a store through random histories of requests, claims,
// crashes, cancellations and removals.
func TestStoreAgainstModel(t *testing.T) {
	testkit.Checks(t, 60)
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			store: openStore(t), jobs: map[int]*modelJob{}, roots: map[int]int{}, turns: map[int]int{},
			limits: Limits{Workers: rapid.IntRange(1, 5).Draw(rt, "workers"), PerProject: rapid.IntRange(1, 2).Draw(rt, "per project")},
			bounds: Bounds{Pending: modelPending, Bytes: -1},
		}
		defer m.store.DB.Close()
		rt.Repeat(map[string]func(*rapid.T){
			"request": m.request, "request another": m.request, "claim": m.claim, "claim another": m.claim, "claim a third": m.claim, "claim a suspect": m.claimSuspect,
			"finish": m.finish, "stop": m.stop, "crash": m.crash, "cancel": m.cancel, "request again": m.again, "expire": m.expire,
			"remove a project": m.remove, "": m.check,
		})
	})
}
