package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	"github.com/zangtable/zangtable/internal/problem"
)

const (
	// uploadTries is how often an upload begins; the pauses between double.
	uploadTries = 6
	// googleTries is how often the client of Google makes a request, which would
	// go on until the context ends. Those of the others end by themselves.
	googleTries = 3
	// slowestUpload in bytes per second, beyond a fixed time: what is slower
	// counts as a store that does not answer.
	slowestUpload = 256 << 10
	// smallestPart is the size of the parts in which large files are uploaded. A
	// store takes 10,000 of one file.
	smallestPart, mostParts = 8 << 20, 9_000
)

// bucket is a store of objects elsewhere. Its objects have the keys <project
// id>/<export id>.<ext>.
type bucket struct {
	name    string // by which the job store knows it: see bucketName
	backend string // s3, gs or azblob
	objects *blob.Bucket
	pause   time.Duration // before the first repetition of what has failed
	step    func(string)  // see Config.Failpoint
}

func (e *Exports) openBucket(address string) (*bucket, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("its address is not a URL")
	}
	b := &bucket{name: bucketName(u), backend: u.Scheme, pause: e.config.StorePause, step: e.config.Failpoint}
	switch {
	case u.Scheme != s3blob.Scheme && u.Scheme != gcsblob.Scheme && u.Scheme != azureblob.Scheme:
		return nil, fmt.Errorf("its address must begin with %s://, %s:// or %s://", s3blob.Scheme, gcsblob.Scheme, azureblob.Scheme)
	case u.Path != "":
		return nil, fmt.Errorf("%s: a path would be ignored, write ?prefix=… instead", b.name)
	}
	if b.objects, err = blob.OpenBucket(e.runner.Stopped, address); err != nil {
		return nil, fmt.Errorf("%s: %w", b.name, err)
	}
	var google *storage.Client
	if b.objects.As(&google) {
		google.SetRetry(storage.WithMaxAttempts(googleTries))
	}
	return b, nil
}

// bucketName returns of an address what tells one bucket from others.
func bucketName(u *url.URL) string {
	which := url.Values{}
	for _, name := range []string{"endpoint", "storage_account", "domain", "prefix"} {
		if value := u.Query().Get(name); value != "" {
			which.Set(name, value)
		}
	}
	name := url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: which.Encode()}
	return name.String()
}

// key returns the name of the artifact in a bucket.
func (r *record) key() string { return strconv.FormatInt(r.projectID, 10) + "/" + r.file() }

// publish uploads the finished file and removes it from the disk.
func (b *bucket) publish(j *job, a *artifact) error {
	if err := a.finish(); err != nil {
		return err
	}
	b.step("uploading")
	err := b.keepUploading(j, a)
	b.step("uploaded")
	return errors.Join(err, a.drop())
}

// keepUploading uploads the file, again and again until the store has it or
// there is no hope.
func (b *bucket) keepUploading(j *job, a *artifact) error {
	pause := b.pause
	for try := 1; ; try++ {
		err := b.upload(j, a)
		switch {
		case err == nil:
			return nil
		case j.ctx.Err() != nil:
			return j.ctx.Err()
		case isRefusal(err):
			return problem.New(problem.CodeExportFailed, "The export store refused the file.").Because(err)
		case try == uploadTries:
			return problem.New(problem.CodeExportFailed, "The export store could not be reached, or did not accept the file.").Because(err)
		}
		if err := sleep(j.ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}

// isRefusal reports whether the store would answer the same again.
func isRefusal(err error) bool {
	switch status(err) {
	case statusMoved, statusUnauthorized, statusForbidden, statusNotFound:
		return true
	}
	return false
}

// isMissing reports whether the store says that it has no such object. What
// gocloud.dev calls NotFound can also be a refusal by Google or an unknown host
// of Azure, and an export must not be given up for that.
func isMissing(err error) bool { return status(err) == statusNotFound }

// The statuses of HTTP with which a store refuses for good.
const (
	statusMoved        = 301
	statusUnauthorized = 401
	statusForbidden    = 403
	statusNotFound     = 404
)

// status returns the HTTP status of the answer that an error comes from; 0 when
// there was none.
func status(err error) int {
	var amazon interface{ HTTPStatusCode() int }
	var azure *azcore.ResponseError
	var google *googleapi.Error
	switch {
	case errors.As(err, &amazon):
		return amazon.HTTPStatusCode()
	case errors.As(err, &azure):
		return azure.StatusCode
	case errors.As(err, &google):
		return google.Code
	case errors.Is(err, storage.ErrObjectNotExist):
		return statusNotFound
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// upload uploads the file once, and asks the store what it has got.
func (b *bucket) upload(j *job, a *artifact) error {
	size := a.bytes.Load()
	ctx, cancel := context.WithTimeout(j.ctx, 10*time.Minute+time.Duration(size/slowestUpload)*time.Second)
	defer cancel()
	file, err := os.Open(a.part())
	if err != nil {
		return fmt.Errorf("open an artifact to upload it: %w", err)
	}
	defer file.Close()
	j.uploaded.Store(0)
	m := &j.record.manifest
	options := &blob.WriterOptions{
		ContentType:        m.ContentType,
		ContentDisposition: m.Disposition(),
		CacheControl:       "private",
		ContentMD5:         a.md5sum(),
		BufferSize:         int(max(smallestPart, size/mostParts)),
	}
	if b.backend == azureblob.Scheme {
		withoutPipe(options)
	}
	if err := b.objects.Upload(ctx, j.record.key(), counted{file, &j.uploaded}, options); err != nil {
		return fmt.Errorf("upload an artifact: %w", err)
	}
	return b.compare(ctx, j.record.key(), a)
}

// withoutPipe has the client of Azure read the file itself. Bytes with an MD5 to
// check are written to it through a pipe, and then gocloud.dev v0.47 panics when
// the store does not take the last of them.
func withoutPipe(options *blob.WriterOptions) {
	sum := options.ContentMD5
	options.ContentMD5 = nil
	options.BeforeWrite = func(as func(any) bool) error {
		var upload *azblob.UploadStreamOptions
		if as(&upload) {
			upload.HTTPHeaders.BlobContentMD5 = sum
		}
		return nil
	}
}

// compare makes sure that the store has what was sent.
func (b *bucket) compare(ctx context.Context, key string, a *artifact) error {
	got, err := b.objects.Attributes(ctx, key)
	if err != nil {
		return fmt.Errorf("look at what was uploaded: %w", err)
	}
	if size := a.bytes.Load(); got.Size != size {
		return fmt.Errorf("the store has %d bytes of %s, %d were sent", got.Size, key, size)
	}
	// What S3 tells is the MD5 of some objects only, and cannot be told apart.
	if sum := a.md5sum(); b.backend != "s3" && got.MD5 != nil && string(got.MD5) != string(sum) {
		return fmt.Errorf("the store has %s with the MD5 %x, %x was sent", key, got.MD5, sum)
	}
	return nil
}

// counted counts the bytes that are read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// exists reports whether the artifact is there.
func (b *bucket) exists(ctx context.Context, r *record) (bool, error) {
	got, err := b.objects.Attributes(ctx, r.key())
	switch {
	case isMissing(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask the store for %s: %w", r.key(), err)
	}
	return got.Size == *r.manifest.SizeBytes, nil
}

// sizes returns the sizes of a project's objects by key.
func (b *bucket) sizes(ctx context.Context, projectID int64) (map[string]int64, error) {
	sizes := map[string]int64{}
	list := b.objects.List(&blob.ListOptions{Prefix: strconv.FormatInt(projectID, 10) + "/"})
	for {
		object, err := list.Next(ctx)
		switch {
		case err == io.EOF:
			return sizes, nil
		case err != nil:
			return nil, fmt.Errorf("list the objects of the store: %w", err)
		}
		sizes[object.Key] = object.Size
	}
}

func (b *bucket) open(ctx context.Context, r *record) (File, error) {
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	found, err := b.exists(asking, r)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, unreachable(err)
	case !found:
		return nil, fs.ErrNotExist
	}
	return &object{ctx: ctx, bucket: b, key: r.key(), size: *r.manifest.SizeBytes}, nil
}

// unreachable is what somebody is told who wants to read an artifact now.
func unreachable(err error) error {
	return problem.New(problem.CodeBusy, "The export store cannot be reached right now. The export is not lost.").Retry(10 * time.Second).Because(err)
}

// remove removes an object, if it is there.
func (b *bucket) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*askTime)
	defer cancel()
	if err := b.objects.Delete(ctx, key); err != nil && !isMissing(err) {
		return fmt.Errorf("remove %s from the store: %w", key, err)
	}
	return nil
}

// link returns an address under which everybody can read the object for a
// while; "" when the store cannot make one.
func (b *bucket) link(ctx context.Context, key string, life time.Duration) (string, error) {
	address, err := b.objects.SignedURL(ctx, key, &blob.SignedURLOptions{Expiry: life})
	switch {
	case gcerrors.Code(err) == gcerrors.Unimplemented:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("sign an address of %s: %w", key, err)
	}
	return address, nil
}
