package export

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

var background = context.Background()

// refusal returns the code with which a download is refused.
func (f *fixture) refusal(m Manifest) problem.Code {
	f.t.Helper()
	a, err := f.Artifact(background, f.projectOf(m), m.ID)
	if err == nil {
		a.File.Close()
	}
	return codeOf(err)
}

func TestExpiry(t *testing.T) {
	f := started(t, small)
	hour := int64(3600)
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts", ExpiresIn: &hour}))
	f.clock.Add(time.Hour - time.Second)
	f.download(m)
	f.clock.Add(time.Second)
	if f.refusal(m) != problem.CodeExportExpired || f.status(m) != Expired {
		t.Errorf("when its time has come the export is %s, download %s", f.status(m), f.refusal(m))
	}
	f.clock.Add(-time.Second)
	f.download(m)

	f.clock.Add(time.Minute)
	if err := f.sweep(background, f.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if f.refusal(m) != problem.CodeExportExpired || f.status(m) != Expired || len(f.files()) != 0 {
		t.Errorf("swept, the export is %s, download %s, files %v", f.status(m), f.refusal(m), f.files())
	}
	f.clock.Add(-time.Hour)
	if f.status(m) != Expired {
		t.Errorf("the clock goes back: %s", f.status(m))
	}
	f.clock.Add(time.Hour + 7*24*time.Hour)
	if err := f.sweep(background, f.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if f.status(m) != "gone" || f.refusal(m) != problem.CodeNotFound {
		t.Errorf("after seven more days the export is %s, download %s", f.status(m), f.refusal(m))
	}
}

func TestDownloadGoesOnWhileTheArtifactIsSwept(t *testing.T) {
	f := started(t, small)
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	a, err := f.Artifact(background, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer a.File.Close()
	f.clock.Add(25 * time.Hour)
	if err := f.sweep(background, f.clock.Now()); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, *m.SizeBytes)
	if _, err := a.File.ReadAt(content, 0); err != nil || string(content) != contactsCSV {
		t.Errorf("read %q, %v", content, err)
	}
}

func TestSweeperSurvivesAJumpOfTheClock(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.SweepInterval = time.Hour })
	f.project(shop.ID, small)
	f.Start()
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	before := f.clock.Now()
	f.clock.Add(10 * 365 * 24 * time.Hour)
	if err := f.sweep(background, jobs.SweepCutoff(before, f.clock.Now())); err != nil {
		t.Fatal(err)
	}
	f.clock.Add(-10 * 365 * 24 * time.Hour)
	f.download(m)
}

func TestSweeperRuns(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.SweepInterval = time.Millisecond })
	f.project(shop.ID, small)
	f.Start()
	f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	f.clock.Add(25 * time.Hour)
	eventually(t, func() bool { return len(f.files()) == 0 })
}

// eventually waits until what returns true.
func eventually(t *testing.T, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be in 20 seconds")
		}
	}
}

func TestVanishedArtifact(t *testing.T) {
	f := started(t, small)
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	for name, harm := range map[string]func(path string) error{
		"cut short": func(path string) error { return os.Truncate(path, 10) },
		"removed":   os.Remove,
	} {
		m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
		if err := harm(filepath.Join(f.config.Folder, "1", m.ID+".csv")); err != nil {
			t.Fatal(err)
		}
		if f.status(m) != NotFound || f.refusal(m) != problem.CodeNotFound {
			t.Errorf("%s: the export is %s, download %s", name, f.status(m), f.refusal(m))
		}
	}
	vanished, _, err := f.List(background, shop.ID, ListOptions{Status: "not_found"})
	if err != nil || len(vanished) != 2 {
		t.Errorf("%d exports are not found, %v; want 2", len(vanished), err)
	}
	ready, _, err := f.List(background, shop.ID, ListOptions{Status: "ready"})
	if err != nil || len(ready) != 1 || ready[0].ID != m.ID {
		t.Errorf("%d exports are ready, %v; want 1", len(ready), err)
	}
}

func TestDownloadBeforeItIsReady(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	m := f.create(Request{Kind: SchemaExport})
	if got := f.refusal(m); got != problem.CodeExportNotReady {
		t.Errorf("a pending export is refused with %s", got)
	}
	if _, err := f.Artifact(background, 2, m.ID); codeOf(err) != problem.CodeNotFound {
		t.Errorf("another project gets %v", err)
	}
}

func TestList(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	f.project(2, small)
	var ids []string
	for range 5 {
		ids = append([]string{f.create(Request{Kind: SchemaExport}).ID}, ids...)
	}
	f.create(Request{Project: ProjectRef{ID: 2, Slug: "p2"}, Kind: SchemaExport})
	for _, test := range []struct {
		name    string
		options ListOptions
		want    []string
		more    bool
	}{
		{"all", ListOptions{}, ids, false},
		{"first", ListOptions{Limit: 2}, ids[:2], true},
		{"middle", ListOptions{Status: "pending", Limit: 2, Offset: 2}, ids[2:4], true},
		{"last", ListOptions{Status: "all", Limit: 2, Offset: 3}, ids[3:], false},
		{"beyond", ListOptions{Offset: 9}, nil, false},
		{"other status", ListOptions{Status: "ready"}, nil, false},
		{"visible", ListOptions{Limit: 1, Visible: func(m *Manifest) bool { return m.ID == ids[4] }}, ids[4:], false},
	} {
		list, more, err := f.List(background, shop.ID, test.options)
		var got []string
		for _, m := range list {
			got = append(got, m.ID)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || more != test.more || err != nil {
			t.Errorf("%s: more %v, %v, ids (-want +got):\n%s", test.name, more, err, diff)
		}
	}
	if _, _, err := f.List(background, shop.ID, ListOptions{Status: "done"}); codeOf(err) != problem.CodeValidationFailed {
		t.Errorf("an unknown status gives %v", err)
	}
}

func TestDelete(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	pending := f.create(Request{Kind: SchemaExport})
	if err := f.Delete(background, shop.ID, pending.ID); err != nil {
		t.Fatal(err)
	}
	if f.status(pending) != Canceled || f.refusal(pending) != problem.CodeExportFailed {
		t.Errorf("a pending export became %s, download %s", f.status(pending), f.refusal(pending))
	}
	if _, err := f.Wait(background, shop.ID, pending.ID); codeOf(err) != problem.CodeExportFailed {
		t.Errorf("waiting for a canceled export gives %v", err)
	}
	f.Start()
	ready := f.wait(f.create(Request{Kind: SchemaExport}))
	for _, m := range []Manifest{ready, pending} {
		if err := f.Delete(background, shop.ID, m.ID); err != nil {
			t.Fatal(err)
		}
		if f.status(m) != "gone" || len(f.files()) != 0 {
			t.Errorf("a settled export is %s, files %v", f.status(m), f.files())
		}
		if err := f.Delete(background, shop.ID, m.ID); codeOf(err) != problem.CodeNotFound {
			t.Errorf("the second deletion gives %v", err)
		}
	}
}

// manyRows is enough rows in the table big for an export to be seen running.
const manyRows = 100_000

func TestDeleteWhileRunning(t *testing.T) {
	f := started(t, large(manyRows))
	m := f.create(Request{Kind: TableExport, Table: "big"})
	var got Manifest
	eventually(t, func() bool {
		var err error
		if got, err = f.Get(background, shop.ID, m.ID); err != nil {
			t.Fatal(err)
		}
		return got.Status != Pending && got.Progress.RowsDone > 0
	})
	if got.Status != Running || got.Progress.RowsTotal != manyRows || f.refusal(m) != problem.CodeExportNotReady {
		t.Fatalf("the export is %s, progress %+v, download %s", got.Status, got.Progress, f.refusal(m))
	}
	begin := time.Now()
	if err := f.Delete(background, shop.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > testkit.Slack {
		t.Errorf("canceling took %v", took)
	}
	if f.status(m) != Canceled || len(f.files()) != 0 {
		t.Errorf("the export is %s, files %v", f.status(m), f.files())
	}
}

func TestWaitEndsWithTheContext(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	m := f.create(Request{Kind: SchemaExport})
	ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
	defer cancel()
	got, err := f.Wait(ctx, shop.ID, m.ID)
	if err != nil || got.Status != Pending {
		t.Errorf("got %s, %v; want pending", got.Status, err)
	}
}

func TestFailedExport(t *testing.T) {
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, small)
	m := f.create(Request{Kind: TableExport, Table: "companies"})
	if _, err := db.DeleteTable(background, "companies"); err != nil {
		t.Fatal(err)
	}
	f.Start()
	got, err := f.Wait(background, shop.ID, m.ID)
	if codeOf(err) != problem.CodeExportFailed || got.Status != Failed || *got.Error != "A table of the request no longer exists." {
		t.Errorf("got %+v, %v", got, err)
	}
	if details := problem.From(err).Told(); len(details) != 1 || details[0].Message != m.ID {
		t.Errorf("details are %v, want the id", details)
	}
	if f.refusal(m) != problem.CodeExportFailed || len(f.files()) != 0 {
		t.Errorf("download %s, files %v", f.refusal(m), f.files())
	}
	if *got.CompletedAt == "" || got.ExpiresAt != nil || got.SizeBytes != nil {
		t.Errorf("got %+v", got)
	}
}

func TestDamagedProjectFails(t *testing.T) {
	f := newFixture(t, t.TempDir())
	if err := f.dir.Create(background, shop.ID, large(10_000)); err != nil {
		t.Fatal(err)
	}
	m := f.create(Request{Kind: TableExport, Table: "big"})
	path := filepath.Join(filepath.Dir(f.config.Database), "projects", "1.db")
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte(strings.Repeat("\x7f", 200_000)), 500_000); err != nil {
		t.Fatal(err)
	}
	f.Start()
	got, err := f.Wait(background, shop.ID, m.ID)
	if codeOf(err) != problem.CodeExportFailed || got.Status != Failed || !strings.Contains(*got.Error, "cannot be read") || len(f.files()) != 0 {
		t.Errorf("got %+v, %v, files %v", got, err, f.files())
	}
}

func TestRemoveProject(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, large(manyRows))
	f.project(2, small)
	f.Start()
	other := f.wait(f.create(Request{Project: ProjectRef{ID: 2, Slug: "p2"}, Kind: SchemaExport}))
	ready := f.wait(f.create(Request{Kind: SchemaExport}))
	running := f.create(Request{Kind: TableExport, Table: "big"})
	pending := f.create(Request{Kind: SchemaExport})
	eventually(t, func() bool { return f.status(running) == Running })
	if err := f.RemoveProject(background, shop.ID); err != nil {
		t.Fatal(err)
	}
	for _, m := range []Manifest{ready, running, pending} {
		if f.status(m) != "gone" {
			t.Errorf("export %s is %s", m.ID, f.status(m))
		}
	}
	f.download(other)
	if files := f.files(); len(files) != 1 {
		t.Errorf("files are %v, want the other project's only", files)
	}
}

// TestProjectRemovedWhileItsExportIsCreated enters an export after those of its project
// were removed.
func TestProjectRemovedWhileItsExportIsCreated(t *testing.T) {
	f := newFixture(t, t.TempDir())
	if err := f.dir.Create(background, shop.ID, small); err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveProject(background, shop.ID); err != nil {
		t.Fatal(err)
	}
	m := f.create(Request{Kind: TableExport, Table: "contacts"})
	if err := f.dir.Remove(shop.ID); err != nil {
		t.Fatal(err)
	}
	f.Start()
	eventually(t, func() bool { return f.status(m) == Failed })
	f.clock.Add(f.Exports.config.KeepManifests + time.Second)
	if err := f.sweep(background, f.clock.Now()); err != nil || f.status(m) != "gone" || len(f.files()) != 0 {
		t.Errorf("afterwards it is %s, %v, with files %v", f.status(m), err, f.files())
	}
}

// claimed marks a job as running in the job store, as a worker's claim does.
func (f *fixture) claimed() *record {
	f.t.Helper()
	r, err := f.jobs.Claim(background, jobs.Limits{Workers: 100, PerProject: f.Exports.config.PerProject}, nil)
	if r == nil && err == nil {
		r, err = f.jobs.ClaimSuspect(background, nil)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func TestProjectsTakeTurns(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.PerProject = 2 })
	var order []string
	for _, project := range []ProjectRef{{ID: 1, Slug: "p1"}, {ID: 2, Slug: "p2"}, {ID: 3, Slug: "p3"}} {
		f.project(project.ID, small)
	}
	for _, project := range []ProjectRef{{ID: 1, Slug: "p1"}, {ID: 1, Slug: "p1"}, {ID: 1, Slug: "p1"}, {ID: 1, Slug: "p1"}, {ID: 2, Slug: "p2"}, {ID: 2, Slug: "p2"}, {ID: 3, Slug: "p3"}} {
		f.create(Request{Project: project, Kind: SchemaExport})
	}
	for r := f.claimed(); r != nil; r = f.claimed() {
		order = append(order, r.manifest.Project)
	}
	// A third job of p1 would exceed its limit.
	if diff := cmp.Diff([]string{"p1", "p2", "p3", "p1", "p2"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestOpenTakesUpInterruptedJobs(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	m := f.create(Request{Kind: SchemaExport})
	for attempt := range jobs.MaxAttempts {
		if r := f.claimed(); r == nil || r.attempt != int64(attempt+1) {
			t.Fatalf("attempt %d: claimed %+v", attempt, r)
		}
		f.reopen()
	}
	got, err := f.Get(background, shop.ID, m.ID)
	if err != nil || got.Status != Failed || got.Error == nil || got.CompletedAt == nil {
		t.Errorf("after %d attempts the export is %+v, %v", jobs.MaxAttempts, got, err)
	}
}

func TestOpenRemovesOrphans(t *testing.T) {
	f := started(t, small)
	m := f.wait(f.create(Request{Kind: SchemaExport}))
	for _, path := range []string{"1/" + m.ID + ".json.part", "1/exp_x.csv", "2/" + m.ID + ".json"} {
		path = filepath.Join(f.config.Folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.reopen()
	if diff := cmp.Diff([]string{m.ID + ".json"}, f.files()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	f.download(m)
}

func TestCloseStopsJobsWhichBeginAnew(t *testing.T) {
	f := started(t, large(manyRows))
	m := f.create(Request{Kind: TableExport, Table: "big"})
	eventually(t, func() bool { return f.status(m) == Running })
	begin := time.Now()
	f.reopen()
	if took := time.Since(begin); took > testkit.Slack {
		t.Errorf("closing took %v", took)
	}
	if f.status(m) != Pending || len(f.files()) != 0 {
		t.Fatalf("the export is %s, files %v", f.status(m), f.files())
	}
	f.Start()
	if m = f.wait(m); m.RowCount != manyRows {
		t.Errorf("%d rows, want %d", m.RowCount, manyRows)
	}
	f.download(m)
}

func TestBookOfANewerVersionIsRefused(t *testing.T) {
	f := newFixture(t, t.TempDir())
	newer := schema
	newer.Migrations = append(slices.Clone(schema.Migrations), "CREATE TABLE later (x)")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(f.config.Database, sqlite.Options{Schema: newer})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f.config); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v", err)
	}
	f.config.Database = filepath.Join(t.TempDir(), "exports.db")
	f.open()
}

func TestRetention(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits func(*Config)
		kept   int
	}{
		{"none", func(*Config) {}, 5},
		{"by count", func(c *Config) { c.KeepCount = 2 }, 2},
		{"by bytes", func(c *Config) { c.KeepBytes = 3*int64(len(contactsCSV)) + 1 }, 3},
		{"too small for one", func(c *Config) { c.KeepBytes = 1 }, 1},
	} {
		f := newFixture(t, t.TempDir(), test.limits)
		f.project(shop.ID, small)
		f.project(2, small)
		f.Start()
		other := f.wait(f.create(Request{Project: ProjectRef{ID: 2, Slug: "p2"}, Kind: TableExport, Table: "contacts"}))
		var all []Manifest
		for range 5 {
			f.clock.Add(time.Second)
			all = append(all, f.wait(f.create(Request{Kind: TableExport, Table: "contacts"})))
		}
		eventually(t, func() bool { return len(f.files()) == test.kept+1 })
		for i, m := range all {
			if kept := i >= len(all)-test.kept; (f.status(m) == Ready) != kept || !kept && f.refusal(m) != problem.CodeExportExpired {
				t.Errorf("%s: export %d is %s, download %q", test.name, i, f.status(m), f.refusal(m))
			}
		}
		f.download(other)
		f.reopen()
		f.download(all[4])
	}
}

// An outcome can be stored although saving it returned an error. The next outcome must
// then replace it, so that no ready export lacks its artifact.
func TestOutcomeThatWasKeptAfterAll(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	m := f.create(Request{Kind: SchemaExport})
	r, err := f.jobs.Claim(background, jobs.Limits{Workers: 100, PerProject: 1}, nil)
	if err != nil || r == nil {
		t.Fatal(r, err)
	}
	size, sum := int64(1), "00"
	r.manifest.SizeBytes, r.manifest.SHA256 = &size, &sum
	r.complete(f.now(), nil)
	for _, failure := range []error{nil, problem.New(problem.CodeStorageFull, "The disk is full.")} {
		if failure != nil {
			r.complete(f.now(), failure)
		}
		if entered, err := f.jobs.saveOutcome(background, r); !entered || err != nil {
			t.Fatalf("entered is %t, %v", entered, err)
		}
	}
	if got := f.status(m); got != Failed {
		t.Errorf("it is %s", got)
	}
}
