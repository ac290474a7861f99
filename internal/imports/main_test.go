package imports

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/testkit"
	"github.com/zangtable/zangtable/internal/worker"
)

// crashFolder names the data folder of a child process that imports a file and kills
// itself at the step named by crashStep.
const (
	crashFolder = "ZANGTABLE_TEST_CRASH_FOLDER"
	crashStep   = "ZANGTABLE_TEST_CRASH_STEP"
	crashKind   = "ZANGTABLE_TEST_CRASH_KIND" // table, project, parts or deadly
	crashFiles  = "ZANGTABLE_TEST_CRASH_FILES"
)

func TestMain(m *testing.M) {
	worker.Main()
	if folder := os.Getenv(crashFolder); folder != "" {
		importAndDie(folder, os.Getenv(crashStep))
	}
	goleak.VerifyTestMain(m)
}

// killSelf ends the process as kill -9 does.
func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}

// fixture is a data folder with imports and the project shop.
type fixture struct {
	*Imports
	t        testing.TB
	clock    *testkit.Clock
	registry *registry.Registry
	projects *projectdb.Dir
	config   Config
	shut     func() // closes everything, once
}

var shop = ProjectRef{ID: 1, Slug: "shop"}

// newFixture opens imports without starting the workers.
func newFixture(t testing.TB, folder string, change ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: testkit.NewClock(time.Date(2026, 6, 1, 18, 23, 45, 0, time.UTC))}
	var err error
	f.projects, err = projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	f.registry, err = registry.Open(filepath.Join(folder, "server.db"), f.projects, registry.Options{
		Forget: func(ctx context.Context, id ids.Project) error { return f.RemoveProject(ctx, id) },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.config = Config{
		Config:   jobs.Config{Database: filepath.Join(folder, "imports.db"), Folder: filepath.Join(folder, "imports"), Now: f.clock.Now, Random: rand.Reader},
		Projects: f.projects, Registry: f.registry,
	}
	for _, fn := range change {
		fn(&f.config)
	}
	f.open()
	f.shut = sync.OnceFunc(func() {
		if err := errors.Join(f.Close(), f.registry.Close(), f.projects.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(f.shut)
	if _, err := f.registry.Project(t.Context(), shop.Slug); problem.Is(err, problem.CodeNotFound) {
		if _, err := f.registry.CreateProject(t.Context(), registry.NewProject{Slug: shop.Slug, Name: "Shop"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.Imports, err = Open(f.config); err != nil {
		f.t.Fatal(err)
	}
}

// reopen closes the imports and opens them again, as a restart does.
func (f *fixture) reopen() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.open()
}

// people returns a CSV file with n rows, numbered from 1.
func people(n int) string {
	var text strings.Builder
	text.WriteString("number,name\n")
	for i := range n {
		fmt.Fprintf(&text, "%d,name %d\n", i+1, i+1)
	}
	return text.String()
}

// request returns a request to import the file people.csv.
func request(change ...func(*Request)) Request {
	o := Request{Project: shop, Kind: TableImport, FileName: "people.csv", Size: -1}
	for _, fn := range change {
		fn(&o)
	}
	return o
}

// send requests an import and sends its file in one piece.
func (f *fixture) send(file string, req Request) Manifest {
	f.t.Helper()
	m, _, err := f.Begin(f.t.Context(), new(problem.Faults), req)
	if err == nil {
		m, _, err = f.Receive(f.t.Context(), req.Project.ID, m.ID, Part{Body: strings.NewReader(file)})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// wait waits until an import has finished.
func (f *fixture) wait(m Manifest) (Manifest, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return f.Wait(ctx, shop.ID, m.ID)
}

// ready waits until an import is ready.
func (f *fixture) ready(m Manifest) Manifest {
	f.t.Helper()
	m, err := f.wait(m)
	if err != nil || m.Status != Ready {
		f.t.Fatalf("import %s is %s: %v", m.ID, m.Status, err)
	}
	return m
}

// rows counts the rows of a project's table; -1 if the table does not exist.
func (f *fixture) rows(slug, table string) int64 {
	f.t.Helper()
	ws, err := f.registry.Operator(f.t.Context(), slug)
	if err != nil {
		f.t.Fatal(err)
	}
	n := int64(-1)
	err = ws.Use(f.t.Context(), func(db *projectdb.DB) error {
		snapshot, err := db.Snapshot(f.t.Context())
		if err != nil {
			return err
		}
		defer snapshot.Close()
		found, err := projectdb.FindTable(snapshot.Tables, table)
		if err != nil {
			return nil
		}
		n, err = snapshot.Count(found, projectdb.Selection{})
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// files lists the files below the folder of imports.
func (f *fixture) files() (files []string) {
	f.t.Helper()
	err := filepath.WalkDir(f.config.Folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, d.Name())
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}

func codeOf(err error) problem.Code {
	if err == nil {
		return ""
	}
	return problem.From(err).Code
}
