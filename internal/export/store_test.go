package export

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/testkit"
)

// inStore returns a configuration change that sends artifacts to a store.
func inStore(address string) func(*Config) {
	return func(c *Config) { c.Store, c.StorePause = address, time.Millisecond }
}

// startedIn returns a started fixture of the project shop whose artifacts go to a
// store.
func startedIn(t testing.TB, address string, fill func(*projectdb.DB) error, change ...func(*Config)) *fixture {
	t.Helper()
	f := newFixture(t, t.TempDir(), append([]func(*Config){inStore(address)}, change...)...)
	f.project(shop.ID, fill)
	f.Start()
	return f
}

func (f *fixture) leftovers() (n int64) {
	f.t.Helper()
	rows, err := f.jobs.orphans(background, f.artifacts.Current())
	if err != nil {
		f.t.Fatal(err)
	}
	return int64(len(rows))
}

func TestMembersAreVerifiedInTheBucket(t *testing.T) {
	f := startedIn(t, testkit.NewS3(t).URL, large(30_000))
	m := f.wait(f.create(Request{Kind: DatabaseExport, Format: "archive"}))
	v, err := f.Verify(background, shop.ID, m.ID)
	if err != nil || !v.OK || v.Members != len(m.Members) || v.Members == 0 {
		t.Errorf("verified %+v, %v", v, err)
	}
}

func TestObjectsGoWithTheirExports(t *testing.T) {
	for name, end := range map[string]func(*fixture, Manifest) error{
		"deletion": func(f *fixture, m Manifest) error { return f.Delete(background, shop.ID, m.ID) },
		"expiry": func(f *fixture, _ Manifest) error {
			f.clock.Add(25 * time.Hour)
			return f.sweep(background, f.clock.Now())
		},
		"project": func(f *fixture, _ Manifest) error { return f.RemoveProject(background, shop.ID) },
		"retention": func(f *fixture, _ Manifest) error {
			f.Exports.config.KeepCount = 1
			f.clock.Add(time.Second)
			return f.Delete(background, shop.ID, f.wait(f.create(Request{Kind: SchemaExport})).ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s3 := testkit.NewS3(t)
			f := startedIn(t, s3.URL, small)
			s3.Place("1/exp_foreign.csv", "not ours")
			m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
			if err := end(f, m); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return f.leftovers() == 0 })
			if got := s3.Keys(); !slices.Equal(got, []string{"1/exp_foreign.csv"}) {
				t.Errorf("objects are %v", got)
			}
		})
	}
}

func TestObjectVanishesWhileItIsRead(t *testing.T) {
	s3 := testkit.NewS3(t)
	f := startedIn(t, s3.URL, small)
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	s3.Front(func(straight http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".csv") {
				s3.Remove("1/" + m.ID + ".csv")
			}
			straight.ServeHTTP(w, r)
		})
	})
	if _, err := f.Verify(background, shop.ID, m.ID); codeOf(err) != problem.CodeNotFound {
		t.Errorf("got %v", err)
	}
}

// closedPort returns the address of a store at which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return "s3://exports?region=us-east-1&use_path_style=true&endpoint=" + url.QueryEscape("http://"+l.Addr().String())
}

func TestNobodyListensAtTheStore(t *testing.T) {
	testkit.Slow(t) // the S3 client is slow to give up
	t.Parallel()
	var mu sync.Mutex
	var log bytes.Buffer
	f := startedIn(t, closedPort(t), small, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(locked{&mu, &log}, nil)) })
	m := f.create(Request{Kind: TableExport, Table: "contacts"})
	got, err := f.Wait(background, shop.ID, m.ID)
	if codeOf(err) != problem.CodeExportFailed || got.Status != Failed || !strings.Contains(*got.Error, "could not be reached") || strings.Contains(*got.Error, "127.0.0.1") {
		t.Errorf("got %s: %v", got.Status, err)
	}
	if len(f.files()) != 0 || got.SizeBytes != nil {
		t.Errorf("files are %v, %+v", f.files(), got)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "cannot be used now") || !strings.Contains(log.String(), "export failed") {
		t.Errorf("the log says:\n%s", log.String())
	}
}

// locked is a writer that several goroutines can use.
type locked struct {
	*sync.Mutex
	io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Writer.Write(p)
}

// answersNothing makes the store accept uploads without ever answering them. It signals
// each on arrived.
func answersNothing(b *testkit.Bucket) (arrived <-chan struct{}) {
	uploads := make(chan struct{}, 10)
	b.Front(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Method != http.MethodGet {
				uploads <- struct{}{}
			}
			<-r.Context().Done()
		})
	})
	return uploads
}

// TestShortObjectIsNotReady has the store keep less than it was sent.
func TestShortObjectIsNotReady(t *testing.T) {
	s3 := testkit.NewS3(t)
	f := startedIn(t, s3.URL, small)
	s3.Front(func(straight http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			straight.ServeHTTP(w, r)
			if r.Method == http.MethodPut {
				s3.Place(strings.TrimPrefix(r.URL.Path, "/exports/"), "short")
			}
		})
	})
	m := f.create(Request{Kind: TableExport, Table: "contacts"})
	got, err := f.Wait(background, shop.ID, m.ID)
	if codeOf(err) != problem.CodeExportFailed || got.Status != Failed || len(f.files()) != 0 {
		t.Errorf("got %s, %v, files %v", got.Status, err, f.files())
	}
	if f.leftovers() != 1 {
		t.Errorf("%d leftovers", f.leftovers())
	}
	f.sweepBuckets(background)
	if len(s3.Keys()) != 0 {
		t.Errorf("objects are %v", s3.Keys())
	}
}

func TestStopDuringTheUploadBeginsAnew(t *testing.T) {
	s3 := testkit.NewS3(t)
	f := startedIn(t, s3.URL, small)
	arrived := answersNothing(s3)
	m := f.create(Request{Kind: TableExport, Table: "contacts"})
	<-arrived
	f.reopen()
	if f.status(m) != Pending || len(f.files()) != 0 {
		t.Errorf("the export is %s, files %v", f.status(m), f.files())
	}
	s3.Front(nil)
	f.Start()
	f.download(f.wait(m))
	if len(s3.Keys()) != 1 || f.leftovers() != 0 {
		t.Errorf("objects are %v, leftovers %d", s3.Keys(), f.leftovers())
	}
}

func TestArtifactsStayWhereTheyAre(t *testing.T) {
	s3 := testkit.NewS3(t)
	f := newFixture(t, t.TempDir())
	f.project(shop.ID, small)
	f.Start()
	local := f.wait(f.create(Request{Kind: SchemaExport}))
	change := func(store string, old ...string) {
		inStore(store)(&f.config)
		f.config.OldStores = old
		f.reopen()
		f.Start()
	}
	change(s3.URL)
	first := f.wait(f.create(Request{Kind: SchemaExport}))
	other := s3.URL + "&prefix=other/"
	change(other, s3.URL)
	second := f.wait(f.create(Request{Kind: SchemaExport}))
	if local.StorageBackend != "local" || first.StorageBackend != "s3" || second.StorageBackend != "s3" {
		t.Errorf("stores are %s, %s, %s", local.StorageBackend, first.StorageBackend, second.StorageBackend)
	}
	want := []string{"1/" + first.ID + ".json", "other/1/" + second.ID + ".json"}
	if got := s3.Keys(); !slices.Equal(got, want) {
		t.Errorf("objects are %v, want %v", got, want)
	}
	for _, m := range []Manifest{local, first, second} {
		f.download(m)
	}
	change("", s3.URL, other)
	for _, m := range []Manifest{local, first, second} {
		f.download(m)
	}
	change("", other)
	if f.status(first) != NotFound || f.refusal(first) != problem.CodeNotFound {
		t.Errorf("without its store the export is %s, download %s", f.status(first), f.refusal(first))
	}
	f.download(second)
	if err := f.Delete(background, shop.ID, second.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(s3.Keys()) == 1 })
}

func TestStoreAddresses(t *testing.T) {
	const exports = "s3://exports?region=us-east-1"
	for _, test := range []struct {
		name, store string
		old         []string
		want        string
	}{
		{"scheme", "ftp://exports", nil, "s3://, gs:// or azblob://"},
		{"path", "s3://exports/below?region=us-east-1", nil, "?prefix="},
		{"parameter", "s3://exports?regoin=x", nil, "regoin"},
		{"nonsense", "s3://%zz", nil, "not a URL"},
		{"twice", exports, []string{exports + "&use_path_style=true"}, "twice"},
	} {
		config := Config{Config: jobs.Config{Database: filepath.Join(t.TempDir(), "exports.db"), Folder: t.TempDir()}, Store: test.store, OldStores: test.old}
		if _, err := Open(config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

func TestLinksThatLiveTooLongAreRefused(t *testing.T) {
	config := Config{Config: jobs.Config{Database: filepath.Join(t.TempDir(), "exports.db"), Folder: t.TempDir()}, LinkLife: 8 * 24 * time.Hour}
	if _, err := Open(config); err == nil || !strings.Contains(err.Error(), "168h") {
		t.Errorf("got %v", err)
	}
}

func TestReadingEndsWithTheContext(t *testing.T) {
	s3 := testkit.NewS3(t)
	f := startedIn(t, s3.URL, small)
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	ctx, cancel := context.WithCancel(background)
	a, err := f.Artifact(ctx, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer a.File.Close()
	cancel()
	if _, err := a.File.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestKilledWhileUploading kills the process at each step of an upload, and in the
// middle of the request.
func TestKilledWhileUploading(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"uploading", "in the request", "uploaded", "published", "noted", "entered"} {
		t.Run(step, func(t *testing.T) {
			folder := t.TempDir()
			dir, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(dir.Create(background, shop.ID, large(1000)), dir.Close()); err != nil {
				t.Fatal(err)
			}
			s3 := testkit.NewS3(t)
			for range 3 {
				killUploader(t, s3, folder, step)
			}
			s3.Front(nil)
			checkUploads(t, s3, folder, step == "entered")
		})
	}
}

// killUploader runs a child that exports into the store until it is killed.
func killUploader(t *testing.T, s3 *testkit.Bucket, folder, step string) {
	t.Helper()
	ctx, kill := context.WithCancel(background)
	defer kill()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+folder, crashStep+"="+step, crashStore+"="+s3.URL)
	if step == "in the request" {
		s3.Front(func(http.Handler) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
				kill()
				_, _ = io.Copy(io.Discard, r.Body) // until the connection ends
			})
		})
	}
	if output, err := child.CombinedOutput(); err == nil || len(output) > 0 {
		t.Fatalf("the child ended with %v, and said:\n%s", err, output)
	}
}

// checkUploads checks what the kills left behind: every ready export has its object,
// and once all jobs have finished there are no other objects.
func checkUploads(t *testing.T, s3 *testkit.Bucket, folder string, entered bool) {
	t.Helper()
	f := newFixture(t, folder, inStore(s3.URL), func(c *Config) { c.Now = time.Now })
	before, _, err := f.List(background, shop.ID, ListOptions{Status: "ready"})
	if err != nil || (len(before) > 0) != entered || len(f.files()) != 0 {
		t.Errorf("%d exports are ready, %v, the files are %v", len(before), err, f.files())
	}
	for _, m := range before {
		f.download(m)
	}
	f.Start()
	want := []string{}
	for _, m := range f.settled() {
		switch m.Status {
		case Ready:
			f.download(m)
			want = append(want, "1/"+m.ID+filepath.Ext(m.DownloadName))
		case Failed: // it had begun three times
		default:
			t.Errorf("export %s is %s", m.ID, m.Status)
		}
	}
	eventually(t, func() bool { f.wakeSweeper(); return f.leftovers() == 0 })
	slices.Sort(want)
	if got := s3.Keys(); !slices.Equal(got, want) {
		t.Errorf("objects are %v, want %v", got, want)
	}
}
