package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestExportHoldsOneSnapshotWhileOthersWrite exports a table while four writers insert
// into it. Ids are assigned in commit order, so any state of the table is a prefix of
// them.
func TestExportHoldsOneSnapshotWhileOthersWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, large(20_000))
	f.Start()
	stop := make(chan struct{})
	var inserted atomic.Int64
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := db.InsertRecord(background, new(problem.Faults), "big", jsontext.Value(`{"text":"new"}`), projectdb.InsertOptions{}); err != nil {
					t.Error(err)
					return
				}
				inserted.Add(1)
			}
		})
	}
	grown := 0
	for range 5 {
		before := inserted.Load()
		m := f.create(Request{Kind: DatabaseExport, Format: "zip"})
		eventually(t, func() bool { return inserted.Load() > before })
		m = f.wait(m)
		rows, err := csv.NewReader(strings.NewReader(unzip(t, f.download(m))["big.csv"])).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows[1:] {
			if row[0] != strconv.Itoa(i+1) {
				t.Fatalf("row %d has the id %s", i+1, row[0])
			}
		}
		n := int64(len(rows) - 1)
		if n != m.RowCount || n < 20_000+before {
			t.Errorf("%d rows, the manifest says %d; %d were inserted before", n, m.RowCount, before)
		}
		if m.Snapshot.Commit < before/4 {
			t.Errorf("snapshot %+v after %d inserts", m.Snapshot, before)
		}
		grown += int(inserted.Load() - before)
	}
	close(stop)
	writers.Wait()
	if grown == 0 {
		t.Error("nothing was inserted during the exports")
	}
}

func TestManyExportsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Workers = 4 })
	var ordered []Manifest
	for id := ids.Project(1); id <= 3; id++ {
		f.project(id, large(2_000))
	}
	f.Start()
	for i := range 30 {
		id := ids.Project(i%3) + 1
		ref := ProjectRef{ID: id, Slug: fmt.Sprintf("p%d", id)}
		if id == shop.ID {
			ref = shop
		}
		ordered = append(ordered, f.create(Request{Project: ref, Kind: TableExport, Table: "big", Format: []string{"csv", "json"}[i%2]}))
	}
	for _, m := range ordered {
		f.download(f.wait(m))
	}
}

// killsPerFolder is how often a process is killed before its folder is checked.
const killsPerFolder = 20

// TestKilledProcessLeavesNothingWrong kills an exporting process again and again:
// $ZANGTABLE_KILLS times, 20 by default.
func TestKilledProcessLeavesNothingWrong(t *testing.T) {
	t.Parallel()
	kills := testkit.Scale(3, killsPerFolder)
	if set := os.Getenv("ZANGTABLE_KILLS"); set != "" {
		var err error
		if kills, err = strconv.Atoi(set); err != nil {
			t.Fatal(err)
		}
	}
	for left := kills; left > 0; left -= killsPerFolder {
		t.Run(fmt.Sprintf("%d left", left), func(t *testing.T) { killAndLook(t, min(left, killsPerFolder)) })
	}
}

func killAndLook(t *testing.T, kills int) {
	folder := t.TempDir()
	dir, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.Create(background, shop.ID, large(20_000)), dir.Close()); err != nil {
		t.Fatal(err)
	}
	for range kills {
		killChild(t, folder, time.Duration(rand.IntN(300))*time.Millisecond)
	}

	f := newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	began := time.Now()
	f.Start()
	all := f.settled()
	took := time.Since(began)
	ready := 0
	for _, m := range all {
		switch m.Status {
		case Ready:
			f.download(m)
			ready++
		case Failed:
			if f.refusal(m) != problem.CodeExportFailed {
				t.Errorf("download of the failed export %s is refused with %q", m.ID, f.refusal(m))
			}
		default:
			t.Errorf("export %s is %s after a minute", m.ID, m.Status)
		}
	}
	if ready == 0 || len(f.files()) != ready {
		t.Errorf("%d exports are ready, there are %d files", ready, len(f.files()))
	}
	t.Logf("%d kills, %d exports, %d ready, all settled after %s", kills, len(all), ready, took.Round(time.Millisecond))
}

// settled waits, for at most a minute, until no work is left, and returns all exports
// of the shop.
func (f *fixture) settled() []Manifest {
	f.t.Helper()
	all, _, err := f.List(background, shop.ID, ListOptions{Limit: 1 << 30})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	for i, m := range all {
		// The error says how the export failed.
		all[i], _ = f.Wait(ctx, shop.ID, m.ID)
	}
	return all
}

// TestKilledAtEachStepOfPublishing has a process kill itself at each step in turn, and
// checks after each kill what a download returns.
func TestKilledAtEachStepOfPublishing(t *testing.T) {
	t.Parallel()
	kills := testkit.Scale(1, 10)
	for _, step := range []string{"created", "written", "synced", "renamed", "published", "noted", "entered"} {
		t.Run(step, func(t *testing.T) {
			folder := t.TempDir()
			dir, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(dir.Create(background, shop.ID, large(100)), dir.Close()); err != nil {
				t.Fatal(err)
			}
			for range kills {
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), crashFolder+"="+folder, crashStep+"="+step)
				if output, err := child.CombinedOutput(); err == nil || len(output) > 0 {
					t.Fatalf("the child ended with %v, and said:\n%s", err, output)
				}
			}
			checkAfterKills(t, folder, step == "entered")
		})
	}
}

// checkAfterKills checks what the kills left behind.
func checkAfterKills(t *testing.T, folder string, entered bool) {
	t.Helper()
	f := newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	before, _, err := f.List(background, shop.ID, ListOptions{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	ready := 0
	for _, m := range before {
		if m.Status == Ready {
			ready++
			f.download(m)
		}
	}
	if len(f.files()) != ready || (ready > 0) != entered {
		t.Errorf("%d exports are ready, the files are %v", ready, f.files())
	}
	f.Start()
	for _, m := range before {
		got, err := f.Wait(background, shop.ID, m.ID)
		switch got.Status {
		case Ready:
			f.download(got)
		case Failed: // it had begun twice
		default:
			t.Errorf("export %s is %s: %v", m.ID, got.Status, err)
		}
	}
}

func killChild(t *testing.T, folder string, after time.Duration) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+folder)
	var output bytes.Buffer
	child.Stdout, child.Stderr = &output, &output
	// The child closes its end once it has requested something: how long that takes
	// depends on the machine.
	begun, childs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer begun.Close()
	child.ExtraFiles = []*os.File{childs}
	if err := errors.Join(child.Start(), childs.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, begun); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if output.Len() > 0 {
		t.Fatalf("the child said:\n%s", &output)
	}
}

// TestDamageBehindTheCount damages pages that counting the rows does not read: the
// export reaches them only after it has begun to write.
func TestDamageBehindTheCount(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f := newFixture(t, folder)
	err := f.dir.Create(background, shop.ID, func(db *projectdb.DB) error {
		values := make([]sqlite.Value, 200)
		for i := range values {
			values[i] = sqlite.TextValue(strings.Repeat("long ", 5000))
		}
		return hardTable(db, values)
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "projects", "1.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	middle := len(content) / 2 / page * page
	copy(content[middle:], bytes.Repeat([]byte{0xa5}, page))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Start()
	for _, format := range everyFormat() {
		order := Request{Kind: format.kind, Format: format.name}
		switch format.kind {
		case SchemaExport:
			continue
		case TableExport:
			order.Table = "hard"
		case QueryExport:
			order.SQL = "SELECT * FROM hard"
		}
		m, err := f.Wait(background, shop.ID, f.create(order).ID)
		if codeOf(err) != problem.CodeExportFailed || m.Status != Failed || !strings.Contains(*m.Error, "cannot be read") || len(f.files()) != 0 {
			t.Errorf("%s as %s is %s: %v, files %q", format.kind, format.name, m.Status, err, f.files())
		}
	}
	if p, err := f.DryRun(background, new(problem.Faults), Request{Project: shop, Kind: TableExport, Table: "hard", Selection: projectdb.Selection{Columns: []string{"id"}}}); err != nil || *p.RowCount != 200 {
		t.Errorf("the rows cannot be counted: %v", err)
	}
}

// TestDeadlyExportIsTriedTwice has a process die each time it begins a certain job: the
// other jobs run before the second attempt, and there is no third.
func TestDeadlyExportIsTriedTwice(t *testing.T) {
	folder := t.TempDir()
	dir, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.Create(background, shop.ID, large(100)), dir.Create(background, 2, large(100)), dir.Close()); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	deadly := f.create(Request{Kind: QueryExport, SQL: "SELECT 1 AS deadly"})
	if err := errors.Join(f.Close(), f.dir.Close()); err != nil {
		t.Fatal(err)
	}
	die := func(more int) {
		t.Helper()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashFolder+"="+folder, crashQuery+"="+strconv.Itoa(more))
		if output, err := child.CombinedOutput(); err == nil || len(output) > 0 {
			t.Fatalf("the child ended with %v, and said:\n%s", err, output)
		}
	}
	die(0)
	die(5) // the child requests five more exports of each of two projects before it starts

	f = newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	got, err := f.Get(background, shop.ID, deadly.ID)
	if err != nil || got.Status != Failed || got.Error == nil || !strings.Contains(*got.Error, "crashed twice") {
		t.Errorf("the deadly export is %s, %v, %v", got.Status, got.Error, err)
	}
	for _, project := range []ids.Project{shop.ID, 2} {
		list, _, err := f.List(background, project, ListOptions{Status: "ready"})
		if err != nil || len(list) != 5 {
			t.Errorf("%d exports of project %d were made before, %v; want 5", len(list), project, err)
		}
	}
}

// endless is a statement that never ends.
const endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT count(*) AS c FROM n"

// TestEndlessQueriesDoNotStopOthers has six projects with one root request endless
// queries before another project requests one row.
func TestEndlessQueriesDoNotStopOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir())
	for id := range ids.Project(6) {
		f.project(id+1, small)
	}
	f.project(7, small)
	f.Start()
	for range 3 {
		for id := range ids.Project(6) {
			f.create(Request{Project: ProjectRef{ID: id + 1, Slug: fmt.Sprintf("p%d", id+1)}, Root: 1, Kind: QueryExport, SQL: endless})
		}
	}
	eventually(t, func() bool { return len(f.runner.Running()) == 2 })
	for range 5 {
		began := time.Now()
		f.download(f.wait(f.create(Request{Project: ProjectRef{ID: 7, Slug: "p7"}, Kind: TableExport, Table: "contacts"})))
		if took := time.Since(began); took > testkit.Slack {
			t.Errorf("the export of another project took %v", took)
		}
	}
}

func TestPendingExportsAreBounded(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.MaxPending, c.HistoryBytes = 2, 100_000 })
	f.project(shop.ID, small)
	first := f.create(Request{Kind: SchemaExport})
	f.create(Request{Kind: SchemaExport})
	if _, err := f.Create(background, new(problem.Faults), Request{Project: shop, Kind: SchemaExport}); codeOf(err) != problem.CodeRateLimited {
		t.Errorf("a third order gives %v", err)
	}
	if err := f.Delete(background, shop.ID, first.ID); err != nil {
		t.Fatal(err)
	}
	long := Request{Project: shop, Kind: QueryExport, SQL: "SELECT '" + strings.Repeat("x", 90_000) + "' AS x"}
	if _, err := f.Create(background, new(problem.Faults), long); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("an order that has no room in the job store gives %v", err)
	}
	f.create(Request{Kind: SchemaExport})
}

// TestQueryExportHasATimeLimit runs an endless query until the time limit ends it.
func TestQueryExportHasATimeLimit(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.QueryTimeout = 50 * time.Millisecond })
	f.project(shop.ID, small)
	f.Start()
	m, err := f.Wait(background, shop.ID, f.create(Request{Kind: QueryExport, SQL: endless}).ID)
	if codeOf(err) != problem.CodeExportFailed || m.Status != Failed || !strings.Contains(*m.Error, "longer than 50ms") {
		t.Errorf("the export is %s, %v", m.Status, err)
	}
}
