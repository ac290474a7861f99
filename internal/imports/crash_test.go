package imports

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

// importAndDie is what the child process of the crash test runs.
func importAndDie(folder, at string) {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	projects, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{})
	check(err)
	known, err := registry.Open(filepath.Join(folder, "server.db"), projects, registry.Options{})
	check(err)
	var m *Imports
	m, err = Open(Config{
		Config: jobs.Config{
			Database: filepath.Join(folder, "imports.db"), Folder: filepath.Join(folder, "imports"), Now: time.Now, Random: rand.Reader,
			Failpoint: func(step string) {
				deadly := func(j *job) bool { return j.record.manifest.FileName == deadlyFile }
				if step == at && (os.Getenv(crashKind) != "deadly" || slices.ContainsFunc(m.runner.Running(), deadly)) {
					killSelf()
				}
			},
		},
		Projects: projects, Registry: known,
	})
	check(err)
	if os.Getenv(crashKind) == "deadly" {
		for _, name := range strings.Fields(os.Getenv(crashFiles)) {
			made, _, err := m.Begin(context.Background(), new(problem.Faults), request(func(o *Request) { o.FileName = name }))
			check(err)
			_, _, err = m.Receive(context.Background(), shop.ID, made.ID, Part{Body: strings.NewReader(people(500))})
			check(err)
		}
		m.Start()
		select {}
	}
	m.Start()
	made, _, err := m.Begin(context.Background(), new(problem.Faults), request(func(o *Request) {
		switch os.Getenv(crashKind) {
		case "project":
			o.Kind, o.NewProject = ProjectImport, &NewProject{Slug: "crowd", Name: "Crowd"}
		case "parts":
			o.Resumable, o.Size = true, int64(len(people(500)))
		}
	}))
	check(err)
	_, _, err = m.Receive(context.Background(), shop.ID, made.ID, Part{Body: strings.NewReader(people(500))})
	check(err)
	select {}
}

// TestKilledAtEachStep has a process kill itself at each step in turn. Whichever step
// it reached, the rows end up in the project once, or not at all.
func TestKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"received", "entered", "claimed", "committed", "loaded", "settled"} {
		for _, kind := range []string{"table", "project", "parts"} {
			t.Run(step+" "+kind, func(t *testing.T) { killAt(t, step, kind) })
		}
	}
}

// dieAt has a child process import people.csv and kill itself at a step.
func dieAt(t *testing.T, folder, step, kind string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+folder, crashStep+"="+step, crashKind+"="+kind)
	if output, err := child.CombinedOutput(); err == nil || len(output) > 0 {
		t.Fatalf("the child ended with %v, and said:\n%s", err, output)
	}
}

// TestReceiptIsLookedForAgain starts the imports while the project's database cannot be
// opened, so that nobody can tell whether an interrupted import was committed. Once it
// can be opened, the job finds the receipt and imports nothing twice.
func TestReceiptIsLookedForAgain(t *testing.T) {
	folder := t.TempDir()
	newFixture(t, folder).shut()
	dieAt(t, folder, "committed", "table")
	projects := filepath.Join(folder, "projects")
	files, err := filepath.Glob(filepath.Join(projects, "1.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the project has the files %v, %v", files, err)
	}
	away := t.TempDir()
	move := func(from, to string) {
		t.Helper()
		for _, file := range files {
			if err := os.Rename(filepath.Join(from, filepath.Base(file)), filepath.Join(to, filepath.Base(file))); err != nil {
				t.Fatal(err)
			}
		}
	}
	move(projects, away)
	f := newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	list, _, err := f.List(t.Context(), shop.ID, ListOptions{})
	if err != nil || len(list) != 1 || list[0].Status != Pending {
		t.Fatalf("without the database: %+v, %v", list, err)
	}
	// What was committed is not read again.
	if err := os.Remove(filepath.Join(f.config.Folder, "1", list[0].ID)); err != nil {
		t.Fatal(err)
	}
	move(away, projects)
	f.Start()
	m := f.ready(list[0])
	if n := f.rows("shop", "people"); n != 500 || m.Report == nil || m.Report.Tables[0].Rows != 500 || len(f.files()) != 0 {
		t.Errorf("%d rows, report %+v, files %v", n, m.Report, f.files())
	}
}

func killAt(t *testing.T, step, kind string) {
	folder, slug := t.TempDir(), "shop"
	f := newFixture(t, folder)
	f.shut()
	if kind == "project" {
		slug = "crowd"
	}
	dieAt(t, folder, step, kind)

	f = newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	if err := f.registry.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Start()
	list, _, err := f.List(t.Context(), shop.ID, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if step == "received" && kind != "parts" { // the sender never got an answer
		if len(list) != 0 || len(f.files()) != 0 {
			t.Errorf("%d imports, files %v", len(list), f.files())
		}
		return
	}
	if len(list) != 1 {
		t.Fatalf("%d imports", len(list))
	}
	m := f.ready(list[0])
	if n := f.rows(slug, "people"); n != 500 || m.Report == nil || m.Report.Tables[0].Rows != 500 || len(f.files()) != 0 {
		t.Errorf("%d rows, report %+v, files %v", n, m.Report, f.files())
	}
}

// deadlyFile is the name of a file that kills the child process.
const deadlyFile = "deadly.csv"

// dieOf has a child process request imports of the named files, and run pending imports
// until it comes to the deadly file.
func dieOf(t *testing.T, folder, files string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+folder, crashStep+"=claimed", crashKind+"=deadly", crashFiles+"="+files)
	if output, err := child.CombinedOutput(); err == nil || len(output) > 0 {
		t.Fatalf("the child ended with %v, and said:\n%s", err, output)
	}
}

// TestDeadlyFileIsTriedTwice has a process die each time it begins to import a certain
// file: the other files are imported before the second attempt, and there is no third.
func TestDeadlyFileIsTriedTwice(t *testing.T) {
	folder := t.TempDir()
	f := newFixture(t, folder)
	f.shut()
	dieOf(t, folder, deadlyFile)
	dieOf(t, folder, "a.csv b.csv c.csv")

	f = newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	list, _, err := f.List(t.Context(), shop.ID, ListOptions{})
	if err != nil || len(list) != 4 {
		t.Fatalf("%d imports, %v", len(list), err)
	}
	for _, m := range list[:3] {
		if m.Status != Ready || f.rows("shop", strings.TrimSuffix(m.FileName, ".csv")) != 500 {
			t.Errorf("%s, which was not deadly, is %s", m.FileName, m.Status)
		}
	}
	deadly := list[3]
	if deadly.Status != Failed || deadly.Error == nil || !strings.Contains(*deadly.Error, "crashed twice") || len(f.files()) != 0 {
		t.Errorf("the deadly import is %s, %v, files %v", deadly.Status, deadly.Error, f.files())
	}
	if _, err := f.Run(t.Context(), new(problem.Faults), shop.ID, deadly.ID, nil, false, 0); codeOf(err) != problem.CodeNotFound {
		t.Errorf("it can be run again: %v", err)
	}
}

// TestAwayForTooLong opens the imports so late that the receipts of interrupted jobs
// may be gone.
func TestAwayForTooLong(t *testing.T) {
	for away, want := range map[time.Duration]Status{22 * time.Hour: Pending, 23*time.Hour + time.Minute: Failed} {
		f := newFixture(t, t.TempDir())
		m := f.send(people(3), request())
		if r, err := f.jobs.Claim(t.Context(), f.runner.Config.Limits(), f.runner.Kind.Begin); r == nil || err != nil {
			t.Fatalf("nothing is claimed: %v", err)
		}
		f.clock.Add(away)
		f.reopen()
		if got, err := f.Get(t.Context(), shop.ID, m.ID); err != nil || got.Status != want || len(f.files()) != map[Status]int{Pending: 1, Failed: 0}[want] {
			t.Errorf("after %v the import is %s, %v, files %v", away, got.Status, err, f.files())
		}
	}
}
