package artifact

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/storage"
	"go.uber.org/goleak"
	"google.golang.org/api/googleapi"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// open opens stores in a new directory, and records the steps of publishing in steps.
func open(t *testing.T, change func(*Config)) (s *Stores, steps *[]string) {
	t.Helper()
	steps = new([]string)
	c := Config{
		Dir: filepath.Join(t.TempDir(), "exports"), Pause: time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Step: func(step string) { *steps = append(*steps, step) }, Need: func() error { return nil },
	}
	if change != nil {
		change(&c)
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, steps
}

// publish publishes an artifact with some content.
func publish(t *testing.T, s *Stores, r Ref, content string) Ref {
	t.Helper()
	w, err := s.Create(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	r.Store, r.Size = s.Current(), int64(len(content))
	if err := s.Publish(t.Context(), w, r, Delivery{ContentType: "text/csv", Uploaded: new(atomic.Int64)}); err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256([]byte(content)); w.Bytes() != r.Size || !bytes.Equal(w.SHA256(), sum[:]) {
		t.Errorf("the artifact has %d bytes, SHA-256 %x", w.Bytes(), w.SHA256())
	}
	return r
}

// TestStores runs the whole life of an artifact, in a directory and in a bucket.
func TestStores(t *testing.T) {
	for _, where := range []string{"local", "s3"} {
		t.Run(where, func(t *testing.T) {
			s, steps := open(t, func(c *Config) {
				if where == "s3" {
					c.Bucket = testkit.NewS3(t).URL
				}
			})
			content := strings.Repeat("a,b\n", 50_000)
			r := publish(t, s, Ref{ProjectID: 1, ID: "exp_1", Ext: "csv"}, content)
			want := map[string][]string{"local": {"synced", "renamed"}, "s3": {"uploading", "uploaded"}}[where]
			if s.Backend() != where || !slices.Equal(*steps, want) {
				t.Errorf("published in %s by the steps %q", s.Backend(), *steps)
			}
			if _, err := os.Stat(s.Path(r) + ".part"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the temporary file: %v", err)
			}
			file, err := s.Open(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(file); string(got) != content || err != nil {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
			longer, other := r, r
			longer.Size++
			other.ProjectID = 2
			for _, test := range []struct {
				what string
				ref  Ref
				want bool
			}{{"itself", r, true}, {"one of another size", longer, false}, {"one of another project", other, false}, {"one in an unknown bucket", Ref{ID: "x", Store: "s3://other"}, false}} {
				present, listed := s.Present(t.Context())(test.ref), s.PresentIn(t.Context(), test.ref.ProjectID)(test.ref)
				if present != test.want || listed != test.want {
					t.Errorf("%s is present: %t, %t", test.what, present, listed)
				}
			}
			if _, err := s.Open(t.Context(), longer); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("one of another size opens: %v", err)
			}
			if err := errors.Join(s.Remove(r), s.Remove(r)); err != nil {
				t.Error(err)
			}
			if where == "s3" {
				if err := errors.Join(s.RemoveObject(t.Context(), r.Store, r.Key()), s.RemoveObject(t.Context(), r.Store, r.Key())); err != nil {
					t.Error(err)
				}
			}
			if s.Present(t.Context())(r) {
				t.Error("it is present after it was removed")
			}
			if _, err := s.Open(t.Context(), Ref{Store: "s3://other"}); !problem.Is(err, problem.CodeNotFound) {
				t.Errorf("in a bucket that is not configured: %v", err)
			}
		})
	}
}

// TestProviderThatRefuses checks that a refusal never counts as a missing artifact.
func TestProviderThatRefuses(t *testing.T) {
	s3 := testkit.NewS3(t)
	s, steps := open(t, func(c *Config) { c.Bucket = s3.URL })
	r := publish(t, s, Ref{ProjectID: 1, ID: "exp_1", Ext: "csv"}, "a")
	s3.Front(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	})
	if !s.Present(t.Context())(r) || !s.PresentIn(t.Context(), 1)(r) {
		t.Error("an artifact counts as missing")
	}
	if _, err := s.Open(t.Context(), r); !problem.Is(err, problem.CodeBusy) || problem.From(err).RetryAfter == 0 {
		t.Errorf("it opens: %v", err)
	}
	if err := s.RemoveObject(t.Context(), r.Store, r.Key()); err == nil {
		t.Error("it counts as removed")
	}
	w, err := s.Create(Ref{ProjectID: 1, ID: "exp_2", Ext: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	r.ID = "exp_2"
	if err := s.Publish(t.Context(), w, r, Delivery{Uploaded: new(atomic.Int64)}); !problem.Is(err, problem.CodeExportFailed) {
		t.Errorf("it is published: %v", err)
	}
	if want := []string{"uploading", "uploaded", "uploading"}; !slices.Equal(*steps, want) {
		t.Errorf("the steps are %q, want %q", *steps, want)
	}
	if files, err := filepath.Glob(filepath.Join(s.Projects.Path, "*", "*")); len(files) != 0 || err != nil {
		t.Errorf("left are %q, %v", files, err)
	}
}

// TestFileThatCannotBeUploaded removes a finished file, and puts a folder in its place,
// which opens but cannot be read.
func TestFileThatCannotBeUploaded(t *testing.T) {
	s, _ := open(t, func(c *Config) { c.Bucket, c.Pause = testkit.NewS3(t).URL, time.Millisecond })
	for _, test := range []struct {
		folder bool
		want   error
	}{{false, fs.ErrNotExist}, {true, syscall.EISDIR}} {
		r := Ref{ProjectID: 1, ID: "exp_1", Ext: "csv", Store: s.Current()}
		w, err := s.Create(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "a"); err != nil {
			t.Fatal(err)
		}
		path := w.File().Name()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if test.folder {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Publish(t.Context(), w, r, Delivery{ContentType: "text/csv", Uploaded: new(atomic.Int64)}); !errors.Is(err, test.want) || problem.Is(err, problem.CodeExportFailed) {
			t.Errorf("a folder %t: got %v, want %v", test.folder, err, test.want)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left is the file: %v", err)
		}
	}
}

// TestSlowProviderDelaysNoOther lists the artifacts of a project while one of three
// providers does not answer.
func TestSlowProviderDelaysNoOther(t *testing.T) {
	t.Parallel()
	slow, empty, other := testkit.NewS3(t), testkit.NewS3(t), testkit.NewS3(t)
	s, _ := open(t, func(c *Config) { c.Bucket, c.OldBuckets = slow.URL, []string{empty.URL, other.URL} })
	slow.Front(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	})
	present := s.PresentIn(t.Context(), 1)
	for _, name := range s.Buckets() {
		r := Ref{ProjectID: 1, ID: "exp_1", Ext: "csv", Store: name}
		if got, want := present(r), name == s.Current(); got != want {
			t.Errorf("an artifact of %s that does not exist is present: %t, want %t", name, got, want)
		}
	}
}

func TestWriterIsDiscarded(t *testing.T) {
	s, _ := open(t, nil)
	w, err := s.Create(Ref{ProjectID: 1, ID: "exp_1", Ext: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 3*smallBytes)); err != nil {
		t.Fatal(err)
	}
	if err := w.Discard(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(s.Of(1)); len(entries) != 0 || err != nil {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// TestWriterAsksForRoom writes until the disk has no room left.
func TestWriterAsksForRoom(t *testing.T) {
	full := errors.New("full")
	asked := 0
	s, _ := open(t, func(c *Config) {
		c.Need = func() error {
			if asked++; asked == 2 {
				return full
			}
			return nil
		}
	})
	w, err := s.Create(Ref{ProjectID: 1, ID: "exp_1", Ext: "csv"})
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 8<<20)
	for n := 1; ; n++ {
		if _, err = w.Write(chunk); err != nil {
			if got := int64(n) * int64(len(chunk)); got != 2*needEvery {
				t.Errorf("it fails after %d bytes", got)
			}
			break
		}
	}
	if _, again := w.Write([]byte("a")); !errors.Is(err, full) || again != err {
		t.Errorf("got %v, then %v", err, again)
	}
	if err := s.Publish(t.Context(), w, Ref{}, Delivery{}); !errors.Is(err, full) {
		t.Errorf("it is published: %v", err)
	}
	if _, err := os.Stat(w.file.Name()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}

// TestWorkerWrites has another Writer write the file, as in a worker process.
func TestWorkerWrites(t *testing.T) {
	s, _ := open(t, nil)
	r := Ref{ProjectID: 1, ID: "exp_1", Ext: "csv"}
	w, err := s.Create(r)
	if err != nil {
		t.Fatal(err)
	}
	worker := Inherit(w.File(), true)
	content := bytes.Repeat([]byte("row\n"), 100_000)
	for part := range slices.Chunk(content, 1000) {
		if _, err := worker.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	size, sha, md, err := worker.Sums()
	if wantSHA, wantMD5 := sha256.Sum256(content), md5.Sum(content); err != nil || size != int64(len(content)) || !bytes.Equal(sha, wantSHA[:]) || !bytes.Equal(md, wantMD5[:]) {
		t.Errorf("the worker reports %d, %x, %x, %v", size, sha, md, err)
	}
	if err := errors.Join(w.Grow(1000), w.Grow(size)); err != nil || w.Bytes() != size {
		t.Errorf("%d bytes are noted, %v", w.Bytes(), err)
	}
	if err := w.Accept(size+1, sha, md); err == nil {
		t.Error("a size is accepted that the file does not have")
	}
	if err := w.Accept(size, sha[1:], md); err == nil {
		t.Error("a hash of another length is accepted")
	}
	r.Size = size
	if err := errors.Join(w.Accept(size, sha, md), s.Publish(t.Context(), w, r, Delivery{})); err != nil {
		t.Fatal(err)
	}
	if !s.Exists(r) || !bytes.Equal(w.SHA256(), sha) {
		t.Errorf("it exists: %t, with the hash %x", s.Exists(r), w.SHA256())
	}
}

func TestManifestsLieBesideArtifacts(t *testing.T) {
	s, _ := open(t, nil)
	kept := publish(t, s, Ref{ProjectID: 1, ID: "exp_1", Ext: "csv.gz"}, "kept")
	stray := publish(t, s, Ref{ProjectID: 1, ID: "exp_2", Ext: "csv"}, "stray")
	elsewhere := Ref{ProjectID: 2, ID: "exp_3", Ext: "csv", Store: "s3://b"}
	if err := s.Make(2); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Ref{kept, stray, elsewhere} {
		if err := s.WriteManifest(r, []byte("manifest of "+r.ID)); err != nil {
			t.Fatal(err)
		}
	}
	part := s.Path(stray) + ".part"
	if err := os.WriteFile(part, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var seen []string
	err := s.EachManifest(func(path string, content []byte) error {
		seen = append(seen, filepath.Base(path)+": "+string(content))
		return nil
	})
	if want := []string{"exp_1.manifest: manifest of exp_1", "exp_2.manifest: manifest of exp_2", "exp_3.manifest: manifest of exp_3"}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("seen are %q, %v", seen, err)
	}
	if err := s.RemoveOrphans(map[string]ids.Project{"exp_1": 1, "exp_2": 2}, map[string]ids.Project{"exp_1": 1, "exp_3": 2, "exp_2": 1}); err != nil {
		t.Fatal(err)
	}
	if !s.Exists(kept) || s.Exists(stray) {
		t.Error("the wrong artifacts were removed")
	}
	lost, err := s.LoseOthers(map[string]bool{s.Path(kept): true, s.ManifestPath(kept): true})
	if err != nil || lost != 2 || !s.Exists(kept) {
		t.Errorf("%d files were lost, %v", lost, err)
	}
	if _, err := os.Stat(filepath.Join(s.Lost(), "2", "exp_3.manifest")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(part); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was being written: %v", err)
	}
}

func TestRemoteNames(t *testing.T) {
	for address, want := range map[string]string{
		"s3://exports?region=us-east-1":                             "s3://exports",
		"s3://exports?region=eu&endpoint=http://127.0.0.1:1&x=y":    "s3://exports?endpoint=http%3A%2F%2F127.0.0.1%3A1",
		"azblob://exports?storage_account=a&prefix=b/&protocol=tcp": "azblob://exports?prefix=b%2F&storage_account=a",
		"gs://exports": "gs://exports",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := remoteName(u); got != want {
			t.Errorf("%s is called %s, want %s", address, got, want)
		}
	}
}

// answered is an error with an HTTP status, as Amazon's client returns it.
type answered int

func (a answered) Error() string       { return "answered" }
func (a answered) HTTPStatusCode() int { return int(a) }

func TestWhatAnErrorMeans(t *testing.T) {
	for _, test := range []struct {
		err              error
		missing, refusal bool
	}{
		{answered(404), true, true},
		{answered(403), false, true},
		{answered(301), false, true},
		{answered(503), false, false},
		{&azcore.ResponseError{StatusCode: 404}, true, true},
		{&googleapi.Error{Code: 401}, false, true},
		{storage.ErrObjectNotExist, true, true},
		{io.ErrUnexpectedEOF, false, false},
		{fs.ErrNotExist, false, false},
	} {
		err := errors.Join(errors.New("upload"), test.err)
		if IsMissing(err) != test.missing || IsRefusal(err) != test.refusal {
			t.Errorf("%v: missing %t, refusal %t", test.err, IsMissing(err), IsRefusal(err))
		}
	}
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Remote{Pause: time.Second}
		try := func(ctx context.Context, failures int, failure error) (n int, took time.Duration, err error) {
			began := time.Now()
			err = r.Retry(ctx, 4, IsRefusal, func() error {
				if n++; n <= failures {
					return failure
				}
				return nil
			})
			return n, time.Since(began), err
		}
		for _, test := range []struct {
			what     string
			patience time.Duration
			failures int
			failure  error
			n        int
			took     time.Duration
			want     error
		}{
			{"no failure", time.Hour, 0, nil, 1, 0, nil},
			{"two failures", time.Hour, 2, answered(500), 3, 3 * time.Second, nil},
			{"failures without end", time.Hour, 100, answered(500), 4, 7 * time.Second, answered(500)},
			{"a refusal", time.Hour, 100, answered(403), 1, 0, answered(403)},
			{"a context that ends", 2 * time.Second, 100, answered(500), 2, 2 * time.Second, context.DeadlineExceeded},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), test.patience)
			defer cancel()
			if n, took, err := try(ctx, test.failures, test.failure); n != test.n || took != test.took || !errors.Is(err, test.want) {
				t.Errorf("%s: %d tries in %v, %v", test.what, n, took, err)
			}
		}
	})
}

func TestLinks(t *testing.T) {
	s3 := testkit.NewS3(t)
	s, _ := open(t, func(c *Config) { c.Bucket, c.LinkLife = s3.URL, time.Hour })
	r := publish(t, s, Ref{ProjectID: 1, ID: "exp_1", Ext: "csv"}, "a")
	if link, err := s.Link(t.Context(), r); err != nil || !strings.Contains(link, r.Key()) || !strings.Contains(link, "X-Amz-Signature") {
		t.Errorf("the link is %q, %v", link, err)
	}
	r.Store = ""
	if link, err := s.Link(t.Context(), r); link != "" || err != nil {
		t.Errorf("the link of a local artifact is %q, %v", link, err)
	}
}
