package imports

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// modelImport is an import in the model.
type modelImport struct {
	id       string
	rows     int // of its file; 0 for a file that fails
	dryRun   bool
	status   Status
	attempts int // attempts ended by a crash
	started  bool
	finished time.Time
	expires  time.Time // of the file; zero when the file is not kept
}

// history is a server's imports together with the model of what must have become of
// them.
type history struct {
	*fixture
	imports []*modelImport // oldest first
	rows    int            // expected in the table log
}

func (h *history) pick(t *rapid.T, is func(*modelImport) bool) *modelImport {
	var list []*modelImport
	for _, m := range h.imports {
		if is(m) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return rapid.SampledFrom(list).Draw(t, "import")
}

func (h *history) keep(m *modelImport) { m.expires = h.clock.Now().Add(h.Imports.config.KeepFiles) }

func (m *modelImport) file() string {
	if m.rows == 0 {
		return "a,b\nx\n"
	}
	return people(m.rows)
}

// begin begins an upload, part of which may arrive.
func (h *history) begin(t *rapid.T) {
	m := &modelImport{rows: rapid.IntRange(0, 3).Draw(t, "rows"), dryRun: rapid.Bool().Draw(t, "dry run"), status: Uploading}
	manifest, _, err := h.Begin(t.Context(), new(problem.Faults), request(func(o *Request) {
		o.Resumable, o.Size, o.DryRun = true, int64(len(m.file())), m.dryRun
		o.Options = ingest.Options{Target: ingest.Target{Table: "log", Mode: "append"}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	m.id = manifest.ID
	h.keep(m)
	h.imports = append(h.imports, m)
	if rapid.Bool().Draw(t, "starts") {
		m.started = true
		if _, _, err := h.Receive(t.Context(), shop.ID, m.id, Part{Body: strings.NewReader(m.file()[:1])}); err != nil {
			t.Fatal(err)
		}
	}
}

// send sends the rest of an upload.
func (h *history) send(t *rapid.T) {
	m := h.pick(t, func(m *modelImport) bool { return m.status == Uploading })
	if m == nil {
		return
	}
	at := 0
	if m.started {
		at = 1
	}
	manifest, _, err := h.Receive(t.Context(), shop.ID, m.id, Part{Offset: int64(at), Body: strings.NewReader(m.file()[at:])})
	if err != nil || manifest.Status != Pending {
		t.Fatalf("the whole file is sent, the import is %s, %v", manifest.Status, err)
	}
	m.status, m.attempts, m.started, m.expires = Pending, 0, true, time.Time{}
}

// outcome sets the expected outcome of an import that runs to its end.
func (h *history) outcome(m *modelImport) {
	m.finished = h.clock.Now()
	switch {
	case m.rows == 0:
		m.status = Failed
		h.keep(m)
	case m.dryRun:
		m.status = Ready
		h.keep(m)
	default:
		m.status = Ready
		h.rows += m.rows
	}
}

// work runs all jobs to their end.
func (h *history) work(t *rapid.T) {
	h.Start()
	for _, m := range h.imports {
		if m.status != Pending {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		got, _ := h.Wait(ctx, shop.ID, m.id)
		cancel()
		h.outcome(m)
		if got.Status != m.status {
			t.Fatalf("an import of %d rows is %s in the end", m.rows, got.Status)
		}
	}
	h.reopen()
}

// kill has the server die while it runs a job: before it has committed the rows, or
// after that but before it has saved the outcome.
func (h *history) kill(t *rapid.T) {
	committed := rapid.Bool().Draw(t, "committed")
	r, err := h.jobs.Claim(t.Context(), h.Imports.config.Limits(), h.runner.Kind.Begin)
	if r == nil && err == nil {
		r, err = h.jobs.ClaimSuspect(t.Context(), h.runner.Kind.Begin)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		return
	}
	i := slices.IndexFunc(h.imports, func(m *modelImport) bool { return m.id == r.manifest.ID })
	m := h.imports[i]
	if m.status != Pending {
		t.Fatalf("an import is claimed that is %s", m.status)
	}
	m.attempts++
	if committed && m.rows > 0 && !m.dryRun {
		j := newJob(h.runner.NewJob(t.Context(), r), r)
		if err := h.execute(j); err != nil {
			t.Fatal(err)
		}
		j.Interrupt(nil)
		h.outcome(m)
	} else if m.attempts == jobs.MaxAttempts {
		m.status, m.finished, m.expires = Failed, h.clock.Now(), time.Time{}
	}
	h.reopen()
}

// delete cancels an import, or removes a finished one.
func (h *history) delete(t *rapid.T) {
	m := h.pick(t, func(*modelImport) bool { return true })
	if m == nil {
		return
	}
	if err := h.Delete(t.Context(), shop.ID, m.id); err != nil {
		t.Fatal(err)
	}
	if m.status.Finished() {
		h.imports = slices.DeleteFunc(h.imports, func(other *modelImport) bool { return other == m })
		return
	}
	m.status, m.finished, m.expires = Canceled, h.clock.Now(), time.Time{}
}

// again reruns an import, which is allowed only while its file is kept for that.
func (h *history) again(t *rapid.T) {
	m := h.pick(t, func(*modelImport) bool { return true })
	if m == nil {
		return
	}
	_, err := h.Run(t.Context(), new(problem.Faults), shop.ID, m.id, nil, m.dryRun, 0)
	want := problem.Code("")
	switch {
	case !m.status.Finished(), m.status == Ready && !m.dryRun:
		want = problem.CodeConflict
	case m.expires.IsZero():
		want = problem.CodeNotFound
	default:
		m.status, m.attempts, m.expires = Pending, 0, time.Time{}
	}
	if codeOf(err) != want {
		t.Fatalf("to run an import again that is %s gives %v", m.status, err)
	}
}

// wait lets time pass, and sweeps what has expired.
func (h *history) wait(t *rapid.T) {
	h.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 20, 24, 100}).Draw(t, "hours")) * time.Hour)
	now := h.clock.Now()
	if err := h.sweep(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	for _, m := range h.imports {
		if m.status == Pending || m.expires.IsZero() || now.Before(m.expires) {
			continue
		}
		if m.status == Uploading {
			m.finished = m.expires
		}
		if m.status == Uploading || m.status == Ready {
			m.status = Expired
		}
		m.expires = time.Time{}
	}
	h.imports = slices.DeleteFunc(h.imports, func(m *modelImport) bool {
		return m.status.Finished() && m.expires.IsZero() && now.Sub(m.finished) >= h.Imports.config.KeepManifests
	})
}

// check compares the imports with the model: their statuses, the kept files, and the
// rows, each of which must be there exactly once.
func (h *history) check(t *rapid.T) {
	list, _, err := h.List(t.Context(), shop.ID, ListOptions{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	var got, want, files []string
	for _, m := range list {
		got = append(got, fmt.Sprint(m.ID, m.Status))
	}
	for _, m := range h.imports {
		want = append(want, fmt.Sprint(m.id, m.status))
		if m.status == Pending || m.started && !m.expires.IsZero() {
			files = append(files, m.id)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the imports are %q, want %q", got, want)
	}
	kept := h.files()
	slices.Sort(kept)
	slices.Sort(files)
	if !slices.Equal(kept, files) {
		t.Fatalf("the files are %q, want %q", kept, files)
	}
	if n := h.fixture.rows(shop.Slug, "log"); n != int64(h.rows) {
		t.Fatalf("%d rows have come in, want %d", n, h.rows)
	}
}

// TestImportsAgainstModel takes imports through random histories of uploads, runs,
// crashes, cancellations and time.
func TestImportsAgainstModel(t *testing.T) {
	testkit.Checks(t, 30)
	f := newFixture(t, t.TempDir())
	f.Start()
	f.ready(f.send(people(1), request(func(o *Request) { o.Options = ingest.Options{Target: ingest.Target{Table: "log"}} })))
	f.reopen()
	rapid.Check(t, func(rt *rapid.T) {
		if err := f.RemoveProject(rt.Context(), shop.ID); err != nil {
			rt.Fatal(err)
		}
		h := &history{fixture: f, rows: int(f.rows(shop.Slug, "log"))}
		rt.Repeat(map[string]func(*rapid.T){
			"begin": h.begin, "begin another": h.begin, "send": h.send, "send another": h.send, "work": h.work, "kill": h.kill,
			"delete": h.delete, "run again": h.again, "wait": h.wait, "": h.check,
		})
	})
}
