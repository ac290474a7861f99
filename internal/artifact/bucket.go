package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/gcerrors"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

const (
	// uploadTries is how many times an upload is tried.
	uploadTries = 6
	// slowestUpload is the minimum upload speed in bytes per second, beyond a fixed
	// time: a slower provider counts as not answering.
	slowestUpload = 256 << 10
	// smallestPart is the part size for uploading large files. A provider accepts
	// 10,000 parts per file.
	smallestPart, maxParts = 8 << 20, 9_000
	// askTime limits how long a provider may take to answer what it holds.
	askTime = 5 * time.Second
)

// bucket is a Remote that holds artifacts under their keys.
type bucket struct {
	*Remote
	step func(string) // see Config.Step
}

// Delivery says how a bucket offers an artifact for download.
type Delivery struct {
	ContentType string
	Disposition string
	Uploaded    *atomic.Int64 // counts the bytes uploaded by the current attempt
}

// publish uploads the finished file and removes it from the disk.
func (b *bucket) publish(ctx context.Context, w *Writer, r Ref, d Delivery) error {
	if err := w.finish(); err != nil {
		return err
	}
	file, err := os.Open(w.file.Name())
	if err != nil {
		return errors.Join(fmt.Errorf("open an artifact to upload it: %w", err), w.drop())
	}
	defer file.Close()
	b.step("uploading")
	final := func(err error) bool { return IsRefusal(err) || errors.Is(err, errUnread) }
	err = b.Retry(ctx, uploadTries, final, func() error { return b.upload(ctx, w, file, r, d) })
	switch {
	case err == nil:
		b.step("uploaded")
	case ctx.Err() != nil || errors.Is(err, errUnread):
	case IsRefusal(err):
		err = problem.New(problem.CodeExportFailed, "The export store refused the file.").Because(err)
	default:
		err = problem.New(problem.CodeExportFailed, "The export store could not be reached, or did not accept the file.").Because(err)
	}
	return errors.Join(err, w.drop())
}

// errUnread says that the file itself cannot be read, whatever the provider does.
var errUnread = errors.New("read an artifact to upload it")

// upload uploads the file once, and asks the provider what it has received.
func (b *bucket) upload(ctx context.Context, w *Writer, file *os.File, r Ref, d Delivery) error {
	size := w.Bytes()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute+time.Duration(size/slowestUpload)*time.Second)
	defer cancel()
	d.Uploaded.Store(0)
	options := &blob.WriterOptions{
		ContentType:        d.ContentType,
		ContentDisposition: d.Disposition,
		CacheControl:       "private",
		ContentMD5:         w.md5sum(),
		BufferSize:         int(max(smallestPart, size/maxParts)),
	}
	if b.Backend == azureblob.Scheme {
		withoutPipe(options)
	}
	sent := &counted{Reader: io.NewSectionReader(file, 0, size), n: d.Uploaded}
	err := b.Objects.Upload(ctx, r.Key(), sent, options)
	switch {
	case sent.err != nil:
		return fmt.Errorf("%w: %w", errUnread, sent.err)
	case err != nil:
		return fmt.Errorf("upload an artifact: %w", err)
	}
	return b.compare(ctx, r.Key(), w)
}

// withoutPipe makes the Azure client read the file itself. Bytes with an MD5 to check
// are otherwise written to it through a pipe, and gocloud.dev v0.47 panics then if the
// provider does not accept the last of them.
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

// compare makes sure that the provider has received what was sent.
func (b *bucket) compare(ctx context.Context, key string, w *Writer) error {
	got, err := b.Objects.Attributes(ctx, key)
	if err != nil {
		return fmt.Errorf("look at what was uploaded: %w", err)
	}
	if size := w.Bytes(); got.Size != size {
		return fmt.Errorf("the store has %d bytes of %s, %d were sent", got.Size, key, size)
	}
	// S3 reports the MD5 of some objects only, and does not say which.
	if sum := w.md5sum(); b.Backend != "s3" && got.MD5 != nil && string(got.MD5) != string(sum) {
		return fmt.Errorf("the store has %s with the MD5 %x, %x was sent", key, got.MD5, sum)
	}
	return nil
}

// counted counts the bytes read, and keeps why no more can be read.
type counted struct {
	io.Reader
	n   *atomic.Int64
	err error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}

// exists reports whether the artifact is in the bucket.
func (b *bucket) exists(ctx context.Context, r Ref) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	got, err := b.Objects.Attributes(ctx, r.Key())
	switch {
	case IsMissing(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask the store for %s: %w", r.Key(), err)
	}
	return got.Size == r.Size, nil
}

// sizes returns the sizes of a project's objects by key.
func (b *bucket) sizes(ctx context.Context, projectID ids.Project) (map[string]int64, error) {
	sizes := map[string]int64{}
	list := b.Objects.List(&blob.ListOptions{Prefix: strconv.FormatInt(int64(projectID), 10) + "/"})
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

func (b *bucket) open(ctx context.Context, r Ref) (File, error) {
	found, err := b.exists(ctx, r)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, unreachable(err)
	case !found:
		return nil, fs.ErrNotExist
	}
	return &object{ctx: ctx, bucket: b, key: r.Key(), size: r.Size}, nil
}

// unreachable is the error for a caller that wants to read an artifact now.
func unreachable(err error) error {
	return problem.New(problem.CodeBusy, "The export store cannot be reached right now. The export is not lost.").Retry(10 * time.Second).Because(err)
}

// remove removes an object, if it exists.
func (b *bucket) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*askTime)
	defer cancel()
	if err := b.Objects.Delete(ctx, key); err != nil && !IsMissing(err) {
		return fmt.Errorf("remove %s from the store: %w", key, err)
	}
	return nil
}

// link returns an address at which anyone can read the object for a while; "" if the
// provider cannot make one.
func (b *bucket) link(ctx context.Context, key string, life time.Duration) (string, error) {
	address, err := b.Objects.SignedURL(ctx, key, &blob.SignedURLOptions{Expiry: life})
	switch {
	case gcerrors.Code(err) == gcerrors.Unimplemented:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("sign an address of %s: %w", key, err)
	}
	return address, nil
}
