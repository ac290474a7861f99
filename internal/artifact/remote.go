package artifact

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"google.golang.org/api/googleapi"
)

// googleTries limits how often the Google client makes a request, which it would
// otherwise repeat until the context ends. The other clients give up by themselves.
const googleTries = 3

// Remote is a bucket at an object storage provider, whatever it is used for. It hides
// how providers differ: in their addresses, and in how their clients report that
// something is missing or refused. Credentials come from the environment, as each
// provider defines it.
type Remote struct {
	Name    string // distinguishes the bucket from others; stored with what it holds
	Backend string // s3, gs or azblob
	Objects *blob.Bucket
	Pause   time.Duration // the pause before a failed operation is retried; it doubles each time
}

// OpenRemote opens the bucket with an address such as s3://name?region=…, without
// contacting the provider.
func OpenRemote(ctx context.Context, address string, pause time.Duration) (*Remote, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("its address is not a URL")
	}
	r := &Remote{Name: remoteName(u), Backend: u.Scheme, Pause: pause}
	switch {
	case !slices.Contains([]string{s3blob.Scheme, gcsblob.Scheme, azureblob.Scheme}, u.Scheme):
		return nil, fmt.Errorf("its address must begin with %s://, %s:// or %s://", s3blob.Scheme, gcsblob.Scheme, azureblob.Scheme)
	case u.Path != "":
		return nil, fmt.Errorf("%s: a path would be ignored, write ?prefix=… instead", r.Name)
	}
	if r.Objects, err = blob.OpenBucket(ctx, address); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Name, err)
	}
	var google *storage.Client
	if r.Objects.As(&google) {
		google.SetRetry(storage.WithMaxAttempts(googleTries))
	}
	return r, nil
}

// remoteName returns the part of an address that distinguishes one bucket from another.
func remoteName(u *url.URL) string {
	which := url.Values{}
	for _, name := range []string{"endpoint", "storage_account", "domain", "prefix"} {
		if value := u.Query().Get(name); value != "" {
			which.Set(name, value)
		}
	}
	name := url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: which.Encode()}
	return name.String()
}

// Close closes the bucket.
func (r *Remote) Close() error { return r.Objects.Close() }

// Retry calls fn until it succeeds, at most tries times, with pauses that double. It
// returns the last error; it returns early with an error for which final reports that
// another try is pointless, or with the error of ctx.
func (r *Remote) Retry(ctx context.Context, tries int, final func(error) bool, fn func() error) error {
	pause := r.Pause
	for try := 1; ; try++ {
		err := fn()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case try == tries || final(err):
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause *= 2
	}
}

// HTTP statuses with which a provider refuses for good.
const (
	statusMoved        = 301
	statusUnauthorized = 401
	statusForbidden    = 403
	statusNotFound     = 404
)

// IsRefusal reports whether the provider would give the same answer again.
func IsRefusal(err error) bool {
	switch status(err) {
	case statusMoved, statusUnauthorized, statusForbidden, statusNotFound:
		return true
	}
	return false
}

// IsMissing reports whether the provider says that it has no such object. What
// gocloud.dev calls NotFound can also be a refusal by Google or an unknown host of
// Azure, and no artifact may be given up for that.
func IsMissing(err error) bool { return status(err) == statusNotFound }

// status returns the HTTP status of the answer behind an error; 0 if there was none.
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
