package export

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
	"github.com/zangtable/zangtable/internal/worker"
)

// crashFolder names the data folder of a child process that exports until it
// is killed.
const crashFolder = "ZANGTABLE_TEST_CRASH_FOLDER"

// crashStep names the step of publishing at which the child kills itself; ""
// for none.
const crashStep = "ZANGTABLE_TEST_CRASH_STEP"

// crashStore is the address of the store to which the child sends artifacts; ""
// for none.
const crashStore = "ZANGTABLE_TEST_CRASH_STORE"

// crashQuery makes the child request that many more exports of projects 1 and 2, run
// all pending exports, and kill itself when it begins a query export; "" for none of
// this.
const crashQuery = "ZANGTABLE_TEST_CRASH_QUERY"

// killSelf ends the process as kill -9 does.
func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}

func TestMain(m *testing.M) {
	worker.Main()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
		"AZURE_STORAGE_ACCOUNT": testkit.AzureAccount, "AZURE_STORAGE_KEY": testkit.AzureKey,
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	if folder := os.Getenv(crashFolder); folder != "" {
		exportForever(folder)
	}
	// Importing the fake Google Cloud Storage server starts this goroutine.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// fixture is a data folder with exports and the projects 1, 2, …
type fixture struct {
	*Exports
	t      testing.TB
	clock  *testkit.Clock
	dir    *projectdb.Dir
	config Config
}

var shop = ProjectRef{ID: 1, Slug: "shop"}

// newFixture opens exports without starting the workers.
func newFixture(t testing.TB, folder string, change ...func(*Config)) *fixture {
	t.Helper()
	dir, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	f := &fixture{t: t, dir: dir, clock: testkit.NewClock(time.Date(2026, 6, 1, 18, 23, 45, 0, time.UTC))}
	f.config = Config{
		Config:   jobs.Config{Database: filepath.Join(folder, "exports.db"), Folder: filepath.Join(folder, "exports"), Now: f.clock.Now, Random: rand.Reader},
		Projects: dir,
	}
	for _, fn := range change {
		fn(&f.config)
	}
	f.open()
	t.Cleanup(func() { f.Close() })
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.Exports, err = Open(f.config); err != nil {
		f.t.Fatal(err)
	}
}

// reopen closes the exports and opens them again, as a restart does.
func (f *fixture) reopen() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Fatal(err)
	}
	f.open()
}

// project creates a project, has fill fill it, and returns its database.
func (f *fixture) project(id ids.Project, fill func(*projectdb.DB) error) *projectdb.DB {
	f.t.Helper()
	if err := f.dir.Create(context.Background(), id, fill); err != nil {
		f.t.Fatal(err)
	}
	db, release, err := f.dir.Lease(context.Background(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(release)
	return db
}

// small fills a project with two tables of a few rows.
func small(db *projectdb.DB) error {
	ctx := context.Background()
	contacts := projectdb.NewTable{Name: "contacts", Columns: []projectdb.NewColumn{
		{Name: "email", Unique: true, NotNull: true}, {Name: "age", Type: "INTEGER"}, {Name: "score", Type: "REAL"},
		{Name: "photo", Type: "BLOB"}, {Name: "note"},
	}}
	companies := projectdb.NewTable{Name: "companies", Columns: []projectdb.NewColumn{{Name: "name"}}}
	for _, table := range []projectdb.NewTable{contacts, companies} {
		if _, err := db.CreateTable(ctx, new(problem.Faults), table); err != nil {
			return err
		}
	}
	for table, rows := range map[string]string{
		"contacts": `[{"email":"ada@example.com","age":36,"score":1,"photo":"AP8=","note":"a,\"b\"\nc"},
			{"email":"zoë@example.com","age":9223372036854775807,"score":0.1,"note":""},
			{"email":"😀","age":-9223372036854775808,"score":1e300,"note":null}]`,
		"companies": `[{"name":"Acme"},{"name":null}]`,
	} {
		if _, err := db.InsertRecords(ctx, new(problem.Faults), table, jsontext.Value(rows), projectdb.InsertOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// large returns a fill for a project with a table "big" of n rows, numbered
// from 1.
func large(n int) func(*projectdb.DB) error {
	return func(db *projectdb.DB) error {
		return db.Load(context.Background(), func(l *projectdb.Loader) error {
			table, err := l.CreateTable(projectdb.Table{
				Name:       "big",
				Columns:    []projectdb.Column{{Name: "id", Type: "INTEGER"}, {Name: "text", Type: "TEXT"}},
				PrimaryKey: []projectdb.KeyPart{{Column: "id"}},
				RowidKey:   true,
			})
			if err != nil {
				return err
			}
			in, _, err := l.Insert(&table, []string{"id", "text"}, false)
			if err != nil {
				return err
			}
			defer in.Close()
			text := strings.Repeat("lorem ipsum ", 10)
			for i := range n {
				if err := in.Row([]sqlite.Value{sqlite.IntValue(int64(i + 1)), sqlite.TextValue(fmt.Sprint(i+1, text))}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// create requests an export.
func (f *fixture) create(req Request) Manifest {
	f.t.Helper()
	if req.Project.ID == 0 {
		req.Project = shop
	}
	m, err := f.Create(context.Background(), new(problem.Faults), req)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// wait waits for an export to be ready.
func (f *fixture) wait(m Manifest) Manifest {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := f.Wait(ctx, f.projectOf(m), m.ID)
	if err != nil || m.Status != Ready {
		f.t.Fatalf("export %s is %s: %v", m.ID, m.Status, err)
	}
	return m
}

func (f *fixture) projectOf(m Manifest) ids.Project {
	if m.Project == shop.Slug {
		return shop.ID
	}
	var id ids.Project
	if _, err := fmt.Sscanf(m.Project, "p%d", &id); err != nil {
		f.t.Fatal(err)
	}
	return id
}

// download returns the bytes of a ready export, and checks them against its manifest.
func (f *fixture) download(m Manifest) []byte {
	f.t.Helper()
	a, err := f.Artifact(context.Background(), f.projectOf(m), m.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	defer a.File.Close()
	content, err := io.ReadAll(a.File)
	if err != nil {
		f.t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); got != *m.SHA256 || int64(len(content)) != *m.SizeBytes {
		f.t.Fatalf("the artifact has %d bytes, sha256 %s; the manifest says %d, %s", len(content), got, *m.SizeBytes, *m.SHA256)
	}
	return content
}

// export requests an export, waits for it and downloads it.
func (f *fixture) export(req Request) (Manifest, []byte) {
	f.t.Helper()
	m := f.wait(f.create(req))
	return m, f.download(m)
}

func (f *fixture) status(m Manifest) Status {
	f.t.Helper()
	got, err := f.Get(context.Background(), f.projectOf(m), m.ID)
	if problem.Is(err, problem.CodeNotFound) {
		return "gone"
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return got.Status
}

// files lists the files below the folder of exports, without the sidecars.
func (f *fixture) files() []string {
	f.t.Helper()
	files, _ := f.filesAndNotes()
	return files
}

// filesAndNotes lists the files below the folder of exports, sidecars separately.
func (f *fixture) filesAndNotes() (files, notes []string) {
	f.t.Helper()
	err := filepath.WalkDir(f.config.Folder, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case filepath.Ext(path) == ".manifest":
			notes = append(notes, d.Name())
		default:
			files = append(files, d.Name())
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files, notes
}

func unzip(t testing.TB, content []byte) map[string]string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{}
	for _, file := range r.File {
		m, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m)
		if err := errors.Join(err, m.Close()); err != nil {
			t.Fatal(err)
		}
		members[file.Name] = string(b)
	}
	return members
}

func run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func codeOf(err error) problem.Code {
	if err == nil {
		return ""
	}
	return problem.From(err).Code
}

// exportForever is what the child process of the crash test runs.
func exportForever(folder string) {
	dir, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{})
	if err != nil {
		panic(err)
	}
	config := Config{
		Config:   jobs.Config{Database: filepath.Join(folder, "exports.db"), Folder: filepath.Join(folder, "exports"), Now: time.Now, Random: rand.Reader},
		Projects: dir,
	}
	if address := os.Getenv(crashStore); address != "" {
		inStore(address)(&config)
	}
	if at := os.Getenv(crashStep); at != "" {
		config.Failpoint = func(step string) {
			if step == at {
				killSelf()
			}
		}
	}
	if more := os.Getenv(crashQuery); more != "" {
		exportAndDie(config, more)
	}
	e, err := Open(config)
	if err != nil {
		panic(err)
	}
	e.Start()
	var begun *os.File
	if os.Getenv(crashStep) == "" {
		begun = os.NewFile(3, "begun") // see killChild
	}
	for i := 0; ; i++ {
		kind := []Kind{TableExport, DatabaseExport, SchemaExport}[i%3]
		m, err := e.Create(context.Background(), new(problem.Faults), Request{Project: shop, Kind: kind, Table: "big"})
		if err != nil {
			panic(err)
		}
		if begun != nil {
			begun.Close()
			begun = nil
		}
		if i%2 == 0 {
			if _, err := e.Wait(context.Background(), shop.ID, m.ID); err != nil {
				panic(err)
			}
		}
	}
}

// exportAndDie is what the child process with the deadly request runs.
func exportAndDie(config Config, more string) {
	var e *Exports
	config.Failpoint = func(step string) {
		query := func(j *job) bool { return j.record.manifest.Kind == QueryExport }
		if step == "created" && slices.ContainsFunc(e.runner.Running(), query) {
			killSelf()
		}
	}
	e, err := Open(config)
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(more)
	if err != nil {
		panic(err)
	}
	for range n {
		for _, project := range []ProjectRef{shop, {ID: 2, Slug: "p2"}} {
			if _, err := e.Create(context.Background(), new(problem.Faults), Request{Project: project, Kind: TableExport, Table: "big"}); err != nil {
				panic(err)
			}
		}
	}
	e.Start()
	select {}
}
