package imports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

func TestFileBecomesTable(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	text := people(3)
	m := f.ready(f.send(text, request()))
	sum := sha256.Sum256([]byte(text))
	if got := f.rows("shop", "people"); got != 3 || *m.SHA256 != hex.EncodeToString(sum[:]) || *m.Format != "csv" || *m.SizeBytes != int64(len(text)) {
		t.Errorf("%d rows, manifest %+v", got, m)
	}
	if m.Report == nil || m.Report.Tables[0].Rows != 3 || m.Report.Source != "people.csv" || m.ExpiresAt != nil {
		t.Errorf("report %+v, the file is kept until %v", m.Report, m.ExpiresAt)
	}
	if len(f.files()) != 0 {
		t.Errorf("files are left: %v", f.files())
	}
	if _, err := f.Run(t.Context(), new(problem.Faults), shop.ID, m.ID, nil, false, 0); codeOf(err) != problem.CodeConflict {
		t.Errorf("a second run gives %v", err)
	}
}

func TestFailedImportCanRunAgain(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	f.ready(f.send(people(1), request()))
	m, err := f.wait(f.send(people(2), request()))
	if m.Status != Failed || *m.ErrorCode != problem.CodeConflict || codeOf(err) != problem.CodeConflict || f.rows("shop", "people") != 1 {
		t.Fatalf("%s with %v", m.Status, err)
	}
	if m, err = f.Run(t.Context(), new(problem.Faults), shop.ID, m.ID, &ingest.Options{Target: ingest.Target{Table: "more"}}, false, 0); err != nil {
		t.Fatal(err)
	}
	if m = f.ready(m); m.Error != nil || f.rows("shop", "more") != 2 {
		t.Errorf("%d rows, error %v", f.rows("shop", "more"), *m.Error)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	f := newFixture(t, t.TempDir())
	_, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) {
		o.Options = ingest.Options{
			Target: ingest.Target{
				Mode: "merge", Types: map[string]string{"age": "VARCHAR"},
				ReadOptions: format.ReadOptions{Delimiter: "ab", Quote: "q", Encoding: "ebcdic"},
			},
			Tables:  map[string]ingest.Target{"orders": {Mode: "none", ReadOptions: format.ReadOptions{Profile: "lotus"}}, "x": {Mode: "append", Key: []string{"id"}, ReadOptions: format.ReadOptions{Quote: "9"}}},
			OnError: "ignore", Format: "docx",
		}
	}))
	var known *problem.Error
	if !errors.As(err, &known) || known.Code != problem.CodeValidationFailed {
		t.Fatalf("%v", err)
	}
	var fields []string
	for _, d := range known.Details {
		fields = append(fields, d.Field)
	}
	if got, want := strings.Join(fields, " "), "mode types.age delimiter quote encoding tables.orders.mode tables.orders.profile tables.x.key tables.x.quote on_error format"; got != want {
		t.Errorf("faults of %s, want %s", got, want)
	}
}

func TestUploadInParts(t *testing.T) {
	f := newFixture(t, t.TempDir())
	text := people(1000)
	m, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Resumable, o.Size = true, int64(len(text)) }))
	if err != nil {
		t.Fatal(err)
	}
	// The connection breaks: what has arrived is kept.
	broken := io.MultiReader(strings.NewReader(text[:1000]), iotest.ErrReader(errors.New("connection reset")))
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: broken}); err == nil {
		t.Fatal("a broken connection is no error")
	}
	f.reopen()
	f.Start()
	if m, err = f.Get(t.Context(), shop.ID, m.ID); err != nil || m.ReceivedBytes != 1000 || m.Status != Uploading {
		t.Fatalf("%d bytes after a restart, %v", m.ReceivedBytes, err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Offset: 999, Body: strings.NewReader("x")}); codeOf(err) != problem.CodeConflict {
		t.Errorf("another offset gives %v", err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Offset: 1000, Body: strings.NewReader("x"), SHA256: strings.Repeat("0", 64)}); codeOf(err) != problem.CodeValidationFailed {
		t.Errorf("a part of another digest gives %v", err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Offset: 1000, Body: strings.NewReader(text)}); codeOf(err) != problem.CodeBodyTooLarge {
		t.Errorf("more bytes than announced give %v", err)
	}
	m, err = f.Get(t.Context(), shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err = f.Receive(t.Context(), shop.ID, m.ID, Part{Offset: m.ReceivedBytes, Body: strings.NewReader(text[m.ReceivedBytes:])})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	if m = f.ready(m); f.rows("shop", "people") != 1000 || *m.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%d rows", f.rows("shop", "people"))
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: strings.NewReader("x")}); codeOf(err) != problem.CodeConflict {
		t.Errorf("bytes for a finished import give %v", err)
	}
}

// TestUploadInOnePieceIsAllOrNothing breaks such an upload in every way.
func TestUploadInOnePieceIsAllOrNothing(t *testing.T) {
	text := people(10)
	for name, test := range map[string]struct {
		change func(*Request)
		body   io.Reader
		want   problem.Code
	}{
		"cut off":        {func(*Request) {}, io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("reset"))), problem.CodeInternal},
		"too short":      {func(o *Request) { o.Size = 1000 }, strings.NewReader(text), problem.CodeInvalidJSON},
		"too long":       {func(o *Request) { o.Size = 10 }, strings.NewReader(text), problem.CodeBodyTooLarge},
		"over the limit": {func(*Request) {}, strings.NewReader(people(10_000)), problem.CodeBodyTooLarge},
		"other digest":   {func(o *Request) { o.SHA256 = strings.Repeat("0", 64) }, strings.NewReader(text), problem.CodeValidationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, t.TempDir(), func(c *Config) { c.MaxBytes = 50_000 })
			m, _, err := f.Begin(t.Context(), new(problem.Faults), request(test.change))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: test.body}); codeOf(err) != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if _, err := f.Get(t.Context(), shop.ID, m.ID); codeOf(err) != problem.CodeNotFound || len(f.files()) != 0 {
				t.Errorf("the import is %v, files %v", err, f.files())
			}
		})
	}
}

func TestNoRoom(t *testing.T) {
	free := int64(1 << 20)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Disk.Reserve = 1 << 19
		c.Disk.Free = func(string) (int64, int64, error) { return free, 1 << 30, nil }
	})
	if _, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Size = 1 << 20 })); codeOf(err) != problem.CodeStorageFull {
		t.Errorf("a file larger than the room gives %v", err)
	}
	m, _, err := f.Begin(t.Context(), new(problem.Faults), request())
	if err != nil {
		t.Fatal(err)
	}
	free = 1000
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: strings.NewReader(people(10))}); codeOf(err) != problem.CodeStorageFull || len(f.files()) != 0 {
		t.Errorf("got %v, files %v", err, f.files())
	}
}

// TestRoomIsLeftWhileRowsComeIn takes the free space away once the file has arrived: a
// disk that an import fills is full for everybody.
func TestRoomIsLeftWhileRowsComeIn(t *testing.T) {
	var free atomic.Int64
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Disk.Reserve = 1 << 20
		c.Disk.Free = func(string) (int64, int64, error) { return free.Load(), 1 << 30, nil }
		c.Failpoint = func(step string) {
			if step == "claimed" {
				free.Store(c.Disk.Reserve + 1000)
			}
		}
	})
	f.Start()
	for _, rows := range []int{10_000, 10} {
		want := problem.Code("")
		if rows > 1000 {
			want = problem.CodeStorageFull
		}
		free.Store(1 << 30)
		m, err := f.wait(f.send(people(rows), request()))
		if codeOf(err) != want || want != "" && (m.Status != Failed || f.rows("shop", "people") != -1) {
			t.Errorf("%d rows: %s, %v, %d rows came in", rows, m.Status, err, f.rows("shop", "people"))
		}
	}
	free.Store(1 << 30)
	if m := f.ready(f.send(people(10_000), request(func(o *Request) { o.DryRun = true; o.FileName = "others.csv" }))); m.Preview == nil {
		t.Error("a dry run shows nothing")
	}
}

func TestOneReceiptOneImport(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	keyed := func(o *Request) { o.Receipt = &projectdb.Receipt{TokenID: 1, Key: "k", Request: [32]byte{1}} }
	first := f.ready(f.send(people(3), request(keyed)))
	m, _, err := f.Begin(t.Context(), new(problem.Faults), request(keyed))
	if err != nil {
		t.Fatal(err)
	}
	again, replayed, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: strings.NewReader(people(3))})
	if err != nil || !replayed || again.ID != first.ID || len(f.files()) != 0 {
		t.Errorf("the same call gives %s, replayed %t, %v, files %v", again.ID, replayed, err, f.files())
	}
	m, _, err = f.Begin(t.Context(), new(problem.Faults), request(keyed))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Body: strings.NewReader(people(4))}); !errors.Is(err, projectdb.ErrOtherRequest) {
		t.Errorf("another file gives %v", err)
	}
	inParts := func(o *Request) { keyed(o); o.Resumable, o.Size, o.Receipt.Key = true, 100, "parts" }
	begun, _, err := f.Begin(t.Context(), new(problem.Faults), request(inParts))
	if err != nil {
		t.Fatal(err)
	}
	if again, replayed, err := f.Begin(t.Context(), new(problem.Faults), request(inParts)); err != nil || !replayed || again.ID != begun.ID {
		t.Errorf("the same upload gives %s, replayed %t, %v", again.ID, replayed, err)
	}
}

func TestCancel(t *testing.T) {
	loading, release := make(chan bool, 1), make(chan bool)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Failpoint = func(step string) {
			if step == "claimed" {
				loading <- true
				<-release
			}
		}
	})
	f.Start()
	first, second := f.send(people(3), request()), f.send(people(4), request(func(o *Request) { o.FileName = "others.csv" }))
	<-loading
	if err := f.Delete(t.Context(), shop.ID, second.ID); err != nil { // pending
		t.Fatal(err)
	}
	go func() {
		for j := f.runner.Find(first.ID); !j.Canceled(); {
			time.Sleep(time.Millisecond)
		}
		close(release)
	}()
	if err := f.Delete(t.Context(), shop.ID, first.ID); err != nil {
		t.Fatal(err)
	}
	for _, m := range []Manifest{first, second} {
		if m, err := f.wait(m); m.Status != Canceled || codeOf(err) != problem.CodeConflict {
			t.Errorf("%s is %s, %v", m.FileName, m.Status, err)
		}
	}
	if f.rows("shop", "people") != -1 || len(f.files()) != 0 {
		t.Errorf("%d rows, files %v", f.rows("shop", "people"), f.files())
	}
	if err := f.Delete(t.Context(), shop.ID, first.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), shop.ID, first.ID); codeOf(err) != problem.CodeNotFound {
		t.Errorf("a removed import gives %v", err)
	}
}

// TestCancelComesTooLate covers a cancel that reaches the job after its rows are
// committed.
func TestCancelComesTooLate(t *testing.T) {
	committed, release := make(chan bool), make(chan bool)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Failpoint = func(step string) {
			if step == "committed" {
				close(committed)
				<-release
			}
		}
	})
	f.Start()
	m := f.send(people(3), request())
	<-committed
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	if err := f.Delete(t.Context(), shop.ID, m.ID); codeOf(err) != problem.CodeConflict {
		t.Errorf("got %v, want conflict", err)
	}
	if m := f.ready(m); f.rows("shop", "people") != 3 || m.Report == nil {
		t.Errorf("%d rows", f.rows("shop", "people"))
	}
}

func TestExpiry(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	failed, err := f.wait(f.send("", request()))
	if failed.Status != Failed || codeOf(err) != problem.CodeValidationFailed {
		t.Fatalf("an empty file is %s, %v", failed.Status, err)
	}
	begun, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Resumable, o.Size = true, 100 }))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, begun.ID, Part{Body: strings.NewReader("a,b")}); err != nil {
		t.Fatal(err)
	}
	f.clock.Add(25 * time.Hour)
	if got, err := f.Get(t.Context(), shop.ID, begun.ID); err != nil || got.Status != Expired {
		t.Errorf("the upload is %s, %v", got.Status, err)
	}
	if _, _, err := f.Receive(t.Context(), shop.ID, begun.ID, Part{Offset: 3, Body: strings.NewReader("x")}); codeOf(err) != problem.CodeNotFound {
		t.Errorf("a late part gives %v", err)
	}
	if _, err := f.Run(t.Context(), new(problem.Faults), shop.ID, failed.ID, nil, false, 0); codeOf(err) != problem.CodeNotFound {
		t.Errorf("a late run gives %v", err)
	}
	if err := f.sweep(t.Context(), f.clock.Now()); err != nil || len(f.files()) != 0 {
		t.Errorf("files %v, %v", f.files(), err)
	}
	f.clock.Add(8 * 24 * time.Hour)
	if err := f.sweep(t.Context(), f.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if list, _, err := f.List(t.Context(), shop.ID, ListOptions{}); err != nil || len(list) != 0 {
		t.Errorf("%d manifests are kept, %v", len(list), err)
	}
}

func TestProjectImport(t *testing.T) {
	f := newFixture(t, t.TempDir())
	f.Start()
	hash, err := f.registry.HashPassword("secret")
	if err != nil {
		t.Fatal(err)
	}
	make := func(o *Request) {
		o.Kind, o.NewProject = ProjectImport, &NewProject{Slug: "crowd", Name: "Crowd", Username: "ada", PasswordHash: hash}
	}
	m := f.ready(f.send(people(3), request(make)))
	if m.NewProject == nil || m.NewProject.Slug != "crowd" || f.rows("crowd", "people") != 3 {
		t.Errorf("%+v with %d rows", m.NewProject, f.rows("crowd", "people"))
	}
	if r, err := f.jobs.Find(t.Context(), shop.ID, m.ID); err != nil || r.spec.NewProject.PasswordHash != "" {
		t.Errorf("the hash of the password is kept, %v", err)
	}
	if user, ok, err := f.registry.Login(t.Context(), "crowd", "ada", "secret"); err != nil || !ok || user.Role != registry.Admin {
		t.Errorf("the first user is %+v, %t, %v", user, ok, err)
	}
	if m, err = f.wait(f.send(people(3), request(make))); m.Status != Failed || codeOf(err) != problem.CodeConflict {
		t.Errorf("the same slug gives %s, %v", m.Status, err)
	}
}

func TestRemovedProject(t *testing.T) {
	f := newFixture(t, t.TempDir())
	m := f.send(people(3), request())
	if _, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) { o.Resumable, o.Size = true, 100 })); err != nil {
		t.Fatal(err)
	}
	project, err := f.registry.Project(t.Context(), "shop")
	if err == nil {
		err = f.registry.DeleteProject(t.Context(), project)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), shop.ID, m.ID); codeOf(err) != problem.CodeNotFound || len(f.files()) != 0 {
		t.Errorf("the import is %v, files %v", err, f.files())
	}
}

// TestTurns has one project request many imports, and another only a few.
func TestTurns(t *testing.T) {
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Workers = 1 })
	created, err := f.registry.CreateProject(t.Context(), registry.NewProject{Slug: "other", Name: "Other"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var greedy []Manifest
	for _, name := range []string{"a.csv", "b.csv", "c.csv"} {
		greedy = append(greedy, f.send(people(1), request(func(o *Request) { o.FileName = name })))
	}
	modest := f.send(people(1), request(func(o *Request) { o.Project = ProjectRef{ID: created.Project.ID, Slug: "other"} }))
	for want, m := range []Manifest{greedy[0], modest, greedy[1], greedy[2]} {
		project := shop.ID
		if m.Project == "other" {
			project = created.Project.ID
		}
		if m, err := f.Get(t.Context(), project, m.ID); err != nil || m.Progress.QueuePosition != int64(want+1) {
			t.Errorf("%s of %s is number %d, want %d, %v", m.FileName, m.Project, m.Progress.QueuePosition, want+1, err)
		}
	}
	f.Start()
	f.ready(greedy[2])
}

func TestStopPutsBack(t *testing.T) {
	claimed := make(chan bool, 10)
	f := newFixture(t, t.TempDir(), func(c *Config) {
		c.Failpoint = func(step string) {
			if step == "claimed" {
				claimed <- true
				time.Sleep(50 * time.Millisecond)
			}
		}
	})
	f.Start()
	m := f.send(people(3), request())
	<-claimed
	f.reopen()
	if m, err := f.Get(context.Background(), shop.ID, m.ID); err != nil || m.Status != Pending {
		t.Fatalf("after a stop the job is %s, %v", m.Status, err)
	}
	f.Start()
	if f.ready(m); f.rows("shop", "people") != 3 {
		t.Errorf("%d rows", f.rows("shop", "people"))
	}
}

// A failed upload removes its receipt, however far it was stored: the same call can be
// made again.
func TestFailedUploadLeavesNoReceipt(t *testing.T) {
	f := newFixture(t, t.TempDir())
	keyed := request(func(o *Request) { o.Receipt = &projectdb.Receipt{TokenID: 1, Key: "k", Request: [32]byte{1}} })
	m := f.send(people(3), keyed)
	r, err := f.jobs.Find(t.Context(), shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !f.hasBegun(t.Context(), r) {
		t.Error("an import that is a job has not begun")
	}
	if err := f.clear(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if f.hasBegun(t.Context(), r) {
		t.Error("an import that is gone has begun")
	}
	f.Start()
	f.ready(f.send(people(3), keyed))
}
