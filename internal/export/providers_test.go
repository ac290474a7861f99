package export

import (
	"bytes"
	"context"
	"crypto"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// Sizes in which package artifact reads and uploads.
const (
	firstWindow  = 1 << 20
	smallGap     = 64 << 10
	smallestPart = 8 << 20
)

// TestProviders runs the full life of artifacts in a bucket of each provider.
func TestProviders(t *testing.T) {
	buckets := map[string]func(testing.TB) *testkit.Bucket{"s3": testkit.NewS3, "gs": newGCS, "azblob": testkit.NewAzure}
	for name, test := range map[string]func(*testing.T, *testkit.Bucket){
		"an artifact goes to the bucket":     artifactGoesToTheBucket,
		"an empty one":                       emptyArtifact,
		"a large one reads as a file does":   largeArtifactReadsAsAFileDoes,
		"it goes with its export":            objectGoesWithItsExport,
		"a vanished one is not found":        vanishedObject,
		"failures pass":                      failuresPass,
		"broken connections are taken up":    brokenConnectionsAreTakenUpAgain,
		"canceling does not wait":            cancelWhileItDoesNotAnswer,
		"a refused upload is not repeated":   refusedUploadIsNotRepeated,
		"a store that refuses loses nothing": refusingStoreLosesNothing,
	} {
		for scheme, newBucket := range buckets {
			if testing.Short() && scheme != "s3" {
				continue
			}
			t.Run(name+"/"+scheme, func(t *testing.T) {
				if scheme != "gs" { // the server for gs is shared by the whole process
					t.Parallel()
				}
				test(t, newBucket(t))
			})
		}
	}
}

// newGCS returns a bucket on a server that speaks the protocol of Google Cloud
// Storage. Only one can be in use at a time.
func newGCS(t testing.TB) *testkit.Bucket {
	t.Helper()
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true, PublicHost: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "exports"})
	b, host := testkit.NewBucket(t, server.HTTPHandler(), gcsObjects{t, server})
	t.Setenv("STORAGE_EMULATOR_HOST", host)
	b.URL = "gs://exports"
	return b
}

type gcsObjects struct {
	t      testing.TB
	server *fakestorage.Server
}

func (o gcsObjects) Keys() []string {
	o.t.Helper()
	list, err := o.server.ListObjectsWithOptionsPaginated("exports", fakestorage.ListOptions{})
	if err != nil {
		o.t.Error(err)
	}
	keys := []string{}
	for _, object := range list.Objects {
		keys = append(keys, object.Name)
	}
	return keys
}

func (o gcsObjects) Header(key string) map[string]string {
	o.t.Helper()
	object, err := o.server.GetObject("exports", key)
	if err != nil {
		o.t.Error(err)
	}
	return map[string]string{"Content-Type": object.ContentType, "Content-Disposition": object.ContentDisposition}
}

func (o gcsObjects) Place(key, content string) {
	o.server.CreateObject(fakestorage.Object{ObjectAttrs: fakestorage.ObjectAttrs{BucketName: "exports", Name: key}, Content: []byte(content)})
}

func (o gcsObjects) Remove(key string) {
	o.t.Helper()
	if err := o.server.Backend().DeleteObject("exports", key); err != nil {
		o.t.Error(err)
	}
}

func artifactGoesToTheBucket(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	m, content := f.export(Request{Kind: TableExport, Table: "contacts"})
	if string(content) != contactsCSV || m.StorageBackend != f.artifacts.Backend() || m.Progress.Uploaded != *m.SizeBytes {
		t.Errorf("got %q, %+v", content, m)
	}
	key := "1/" + m.ID + ".csv"
	if got := b.Keys(); !slices.Equal(got, []string{key}) || len(f.files()) != 0 || f.leftovers() != 0 {
		t.Errorf("objects are %v, files %v, leftovers %d", got, f.files(), f.leftovers())
	}
	if header := b.Header(key); header["Content-Disposition"] != `attachment; filename="contacts.csv"` || !strings.HasPrefix(header["Content-Type"], "text/csv") {
		t.Errorf("the object has %v", header)
	}
	v, err := f.Verify(background, shop.ID, m.ID)
	if err != nil || !v.OK {
		t.Errorf("verified %+v, %v", v, err)
	}
	f.reopen()
	f.download(m)
}

// largeArtifactReadsAsAFileDoes uploads in parts, then reads with an independent
// checker: everything, and ranges that begin or end near the edges of the read windows.
func largeArtifactReadsAsAFileDoes(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	var parts atomic.Int64
	b.Front(func(straight http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.ContentLength > 64<<10 {
				parts.Add(1)
			}
			straight.ServeHTTP(w, r)
		})
	})
	rows := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 180) SELECT i, hex(randomblob(50000)) AS noise FROM n"
	m, content := f.export(Request{Kind: QueryExport, SQL: rows})
	if len(content) <= 2*smallestPart || parts.Load() != 3 {
		t.Fatalf("%d bytes came in %d parts", len(content), parts.Load())
	}
	a, err := f.Artifact(background, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer a.File.Close()
	got, err := io.ReadAll(a.File)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	size := int64(len(content))
	for _, from := range []int64{0, 1, firstWindow - 1, firstWindow, 5*firstWindow - 1, 5 * firstWindow, size - 1} {
		for _, length := range []int64{1, 2, smallGap, smallGap + 1, firstWindow + 1} {
			want := content[from:min(from+length, size)]
			got := make([]byte, length)
			n, err := a.File.ReadAt(got, from)
			if !bytes.Equal(got[:n], want) || (err == io.EOF) != (from+length > size) || err != nil && err != io.EOF {
				t.Errorf("at %d, %d bytes: read %d, %v", from, length, n, err)
			}
		}
	}
	schema := f.wait(f.create(Request{Kind: SchemaExport}))
	other, err := f.Artifact(background, shop.ID, schema.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer other.File.Close()
	if err := iotest.TestReader(other.File, f.download(schema)); err != nil {
		t.Error(err)
	}
}

func vanishedObject(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	kept := f.wait(f.create(Request{Kind: SchemaExport}))
	for name, harm := range map[string]func(key string){
		"removed":   b.Remove,
		"cut short": func(key string) { b.Place(key, "x") },
	} {
		m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
		harm("1/" + m.ID + ".csv")
		if f.status(m) != NotFound || f.refusal(m) != problem.CodeNotFound {
			t.Errorf("%s: the export is %s, download %s", name, f.status(m), f.refusal(m))
		}
		if _, err := f.Verify(background, shop.ID, m.ID); codeOf(err) != problem.CodeNotFound {
			t.Errorf("%s: verifying gives %v", name, err)
		}
	}
	vanished, _, err := f.List(background, shop.ID, ListOptions{Status: "not_found"})
	if err != nil || len(vanished) != 2 {
		t.Errorf("%d exports are not found, %v; want 2", len(vanished), err)
	}
	ready, _, err := f.List(background, shop.ID, ListOptions{Status: "ready"})
	if err != nil || len(ready) != 1 || ready[0].ID != kept.ID {
		t.Errorf("%d exports are ready, %v; want 1", len(ready), err)
	}
}

func brokenConnectionsAreTakenUpAgain(t *testing.T, b *testkit.Bucket) {
	var n atomic.Int64
	broken := func(r *http.Request) bool { return n.Add(1)%2 == 1 }
	b.Front(testkit.CutAnswers(broken))
	f := startedIn(t, b.URL, large(20_000))
	m, _ := f.export(Request{Kind: TableExport, Table: "big"})
	v, err := f.Verify(background, shop.ID, m.ID)
	if err != nil || !v.OK {
		t.Errorf("verified %+v, %v", v, err)
	}
}

func cancelWhileItDoesNotAnswer(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	arrived := answersNothing(b)
	m := f.create(Request{Kind: TableExport, Table: "contacts"})
	<-arrived
	if f.status(m) != Running {
		t.Errorf("while it is uploaded the export is %s", f.status(m))
	}
	began := time.Now()
	if err := f.Delete(background, shop.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > testkit.Slack {
		t.Errorf("canceling took %v", took)
	}
	if f.status(m) != Canceled || len(f.files()) != 0 {
		t.Errorf("the export is %s, files %v", f.status(m), f.files())
	}
}

func emptyArtifact(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, large(0))
	m, content := f.export(Request{Kind: TableExport, Table: "big", Format: "ndjson"})
	v, err := f.Verify(background, shop.ID, m.ID)
	if err != nil || !v.OK || len(content) != 0 || len(b.Keys()) != 1 {
		t.Errorf("got %q, verified %+v, %v", content, v, err)
	}
}

// forbids answers every request with a refusal for lack of permission.
func forbids(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("X-Ms-Error-Code", "AuthorizationPermissionMismatch")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
}

func refusedUploadIsNotRepeated(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	var uploads atomic.Int64
	b.Front(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut || r.Method == http.MethodPost {
				uploads.Add(1)
			}
			forbids(w, r)
		})
	})
	m := f.create(Request{Kind: TableExport, Table: "contacts"})
	got, err := f.Wait(background, shop.ID, m.ID)
	if codeOf(err) != problem.CodeExportFailed || *got.Error != "The export store refused the file." || uploads.Load() != 1 {
		t.Errorf("got %v after %d uploads", err, uploads.Load())
	}
}

func refusingStoreLosesNothing(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	a, err := f.Artifact(background, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer a.File.Close()
	b.Front(func(http.Handler) http.Handler { return http.HandlerFunc(forbids) })
	list, _, err := f.List(background, shop.ID, ListOptions{})
	if f.status(m) != Ready || err != nil || list[0].Status != Ready {
		t.Errorf("the export is %s, %v", f.status(m), err)
	}
	if _, err := a.File.Read(make([]byte, 1)); f.refusal(m) != problem.CodeBusy || codeOf(err) != problem.CodeBusy {
		t.Errorf("download %s, reading gives %v", f.refusal(m), err)
	}
	if err := f.Delete(background, shop.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	f.sweepBuckets(background)
	if f.status(m) != "gone" || f.leftovers() != 1 {
		t.Errorf("the export is %s, leftovers %d", f.status(m), f.leftovers())
	}
	b.Front(nil)
	f.reopen()
	f.Start()
	eventually(t, func() bool { return f.leftovers() == 0 })
	if len(b.Keys()) != 0 {
		t.Errorf("objects are %v", b.Keys())
	}
}

// TestUnknownHostIsNoAnswer treats an unknown host as unreachable, not as missing: the
// name may resolve again later.
func TestUnknownHostIsNoAnswer(t *testing.T) {
	testkit.Slow(t) // the Azure client is slow to give up
	t.Parallel()
	f := newFixture(t, t.TempDir(), inStore("azblob://exports?domain=nowhere.invalid"))
	if err := f.artifacts.RemoveObject(background, f.artifacts.Current(), "1/exp_1.csv"); err == nil {
		t.Error("the object counts as removed")
	}
}

// TestAzureKnowsTheMD5 checks that Azure gets the MD5, which is sent to it in another
// way than to the others.
func TestAzureKnowsTheMD5(t *testing.T) {
	b := testkit.NewAzure(t)
	f := startedIn(t, b.URL, small)
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	sum := md5.Sum([]byte(contactsCSV))
	if got := b.Header("1/" + m.ID + ".csv")["Content-Md5"]; got != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("it was told %q", got)
	}
}

func TestGoogleIsNotAskedForever(t *testing.T) {
	b := newGCS(t)
	remote, err := artifact.OpenRemote(background, b.URL, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	b.Front(unavailable(1_000))
	ctx, cancel := context.WithTimeout(background, 30*time.Second)
	defer cancel()
	if _, err := remote.Objects.Attributes(ctx, "1/exp_1.csv"); err == nil || ctx.Err() != nil {
		t.Errorf("after all that time: %v", err)
	}
}

func TestProvidersAreOpenedWithoutAskingThem(t *testing.T) {
	for address, backend := range map[string]string{"gs://exports?anonymous=true": "gs", "azblob://exports": "azblob", "s3://exports?region=us-east-1": "s3"} {
		f := newFixture(t, t.TempDir(), inStore(address))
		f.project(shop.ID, small)
		if m := f.create(Request{Kind: SchemaExport}); m.StorageBackend != backend {
			t.Errorf("%s is called %s", address, m.StorageBackend)
		}
	}
}

func objectGoesWithItsExport(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	b.Place("1/exp_foreign.csv", "not ours")
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	if err := f.Delete(background, shop.ID, m.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return f.leftovers() == 0 })
	if got := b.Keys(); !slices.Equal(got, []string{"1/exp_foreign.csv"}) {
		t.Errorf("objects are %v", got)
	}
}

// unavailable returns middleware that answers the next n requests with 503.
func unavailable(n int64) func(http.Handler) http.Handler {
	var left atomic.Int64
	left.Store(n)
	return func(straight http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if left.Add(-1) < 0 {
				straight.ServeHTTP(w, r)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Ms-Retry-After-Ms", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}
}

func failuresPass(t *testing.T, b *testkit.Bucket) {
	f := startedIn(t, b.URL, small)
	b.Front(unavailable(2))
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	a, err := f.Artifact(background, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer a.File.Close()
	b.Front(unavailable(2))
	if got, err := io.ReadAll(a.File); err != nil || string(got) != contactsCSV {
		t.Errorf("read %q, %v", got, err)
	}
}

// linkTo exports into a bucket and returns the link to the artifact.
func linkTo(t *testing.T, address string) *url.URL {
	t.Helper()
	f := startedIn(t, address, small, func(c *Config) { c.LinkLife = time.Minute })
	m := f.wait(f.create(Request{Kind: TableExport, Table: "contacts"}))
	a, err := f.Artifact(background, shop.ID, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer a.File.Close()
	link, err := a.Link(background)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// follow checks that anyone can download the file through the link, and that the link
// lasts a minute.
func follow(t *testing.T, link *url.URL, expires time.Time) {
	t.Helper()
	if life := time.Until(expires); life < 50*time.Second || life > time.Minute {
		t.Errorf("the link is good for %v", life)
	}
	r, err := http.NewRequestWithContext(background, http.MethodGet, link.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil || string(got) != contactsCSV || answer.Header.Get("Content-Disposition") != `attachment; filename="contacts.csv"` {
		t.Errorf("the link gives %q, %v, %v", got, answer.Header, err)
	}
}

func TestLinkToS3(t *testing.T) {
	link := linkTo(t, testkit.NewS3(t).URL)
	signed, err := time.Parse("20060102T150405Z", link.Query().Get("X-Amz-Date"))
	if err != nil || link.Query().Get("X-Amz-Expires") != "60" {
		t.Errorf("the link is %s, %v", link, err)
	}
	follow(t, link, signed.Add(time.Minute))
}

func TestLinkToAzure(t *testing.T) {
	link := linkTo(t, testkit.NewAzure(t).URL)
	expires, err := time.Parse(time.RFC3339, link.Query().Get("se"))
	if err != nil {
		t.Fatal(err)
	}
	follow(t, link, expires)
}

// TestLinkToGoogle verifies the signature itself, because the fake server does not.
func TestLinkToGoogle(t *testing.T) {
	b := newGCS(t)
	if link := linkTo(t, b.URL); link.String() != "" {
		t.Errorf("without a key the link is %s", link)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	link := linkTo(t, b.URL+"?access_id=writer@example.com&private_key_path="+url.QueryEscape(path))
	expires, err := strconv.ParseInt(link.Query().Get("Expires"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := base64.StdEncoding.DecodeString(link.Query().Get("Signature"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "GET\n\n\n%d\n%s", expires, link.Path))
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		t.Errorf("the signature of %s: %v", link, err)
	}
	link.Scheme = "http"
	follow(t, link, time.Unix(expires, 0))
}
