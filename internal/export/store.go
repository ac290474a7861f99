package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
)

// store is where finished artifacts lie: a folder or a bucket.
type store interface {
	// publish ends the artifact and puts it in its place, or leaves nothing of it
	// on the disk.
	publish(j *job, a *artifact) error
	// open opens the artifact of a ready export. One that is not there, or has
	// another size, is fs.ErrNotExist.
	open(ctx context.Context, r *record) (File, error)
}

// File is the content of an artifact. Reading ends with the context it was
// opened with.
type File interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// askTime is how long a store may take to say what it has.
const askTime = 5 * time.Second

// longestLink is how long stores let a link live.
const longestLink = 7 * 24 * time.Hour

// openBuckets opens the store of new artifacts and those of old ones.
func (e *Exports) openBuckets() error {
	if life := e.config.LinkLife; life < 0 || life > longestLink {
		return fmt.Errorf("links to exports can be good for up to %s, not %s", longestLink, life)
	}
	e.buckets = map[string]*bucket{}
	for _, url := range append([]string{e.config.Store}, e.config.OldStores...) {
		if url == "" {
			continue
		}
		b, err := e.openBucket(url)
		if err != nil {
			return errors.Join(fmt.Errorf("open the store of exports: %w", err), e.closeBuckets())
		}
		if e.buckets[b.name] != nil {
			return errors.Join(fmt.Errorf("the store %s is set twice", b.name), b.objects.Close(), e.closeBuckets())
		}
		e.buckets[b.name] = b
		if url == e.config.Store {
			e.current = b
		}
	}
	return nil
}

// tryBuckets tells the operator early of a bucket that cannot be used.
func (e *Exports) tryBuckets(ctx context.Context) {
	for name, b := range e.buckets {
		asking, cancel := context.WithTimeout(ctx, askTime)
		found, err := b.objects.IsAccessible(asking)
		cancel()
		if !found && ctx.Err() == nil {
			e.log.Warn("a store of exports cannot be used now", "store", name, "error", err)
		}
	}
}

func (e *Exports) closeBuckets() error {
	var errs []error
	for _, b := range e.buckets {
		errs = append(errs, b.objects.Close())
	}
	return errors.Join(errs...)
}

// backend returns what manifests call the store of new artifacts.
func (e *Exports) backend() string {
	if e.current != nil {
		return e.current.backend
	}
	return "local"
}

// choose enters into the record of a running job the store that its artifact is
// for.
func (e *Exports) choose(ctx context.Context, r *record) (store, error) {
	r.manifest.StorageBackend = e.backend()
	if e.current == nil {
		r.store = ""
		return e.dir, nil
	}
	r.store = e.current.name
	return e.current, e.jobs.addLeftover(ctx, r)
}

// storeOf returns the store of a ready export. One that is not set is
// not_found.
func (e *Exports) storeOf(r *record) (store, error) {
	if r.store == "" {
		return e.dir, nil
	}
	if b := e.buckets[r.store]; b != nil {
		return b, nil
	}
	return nil, problem.New(problem.CodeNotFound, "Export file was not found: the server no longer uses its store.")
}

// presence tells whether the artifact of a ready export is in its store. Of a
// store that does not answer everything counts as present, until somebody wants
// to read it.
type presence func(*record) bool

// present asks the store of the one record.
func (e *Exports) present(ctx context.Context) presence {
	return func(r *record) bool {
		if r.store == "" {
			return e.dir.exists(r)
		}
		b := e.buckets[r.store]
		if b == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		found, err := b.exists(ctx, r)
		if err != nil {
			e.log.Warn("look for an artifact", "export", r.manifest.ID, "error", err)
		}
		return found || err != nil
	}
}

// presentOf asks each store once for all that a project has.
func (e *Exports) presentOf(ctx context.Context, projectID int64) presence {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	sizes := map[string]map[string]int64{}
	for name, b := range e.buckets {
		of, err := b.sizes(ctx, projectID)
		if err != nil {
			e.log.Warn("list the artifacts of a project", "project", projectID, "error", err)
		}
		sizes[name] = of
	}
	return func(r *record) bool {
		of, known := sizes[r.store]
		switch {
		case r.store == "":
			return e.dir.exists(r)
		case !known:
			return false
		case of == nil: // it did not answer
			return true
		}
		size, found := of[r.key()]
		return found && size == *r.manifest.SizeBytes
	}
}

// remove removes the artifact of an export that the job store offers no more. That
// of a bucket is among the leftovers, which the sweeper removes.
func (e *Exports) remove(r *record) error {
	if r.store == "" {
		return errors.Join(e.dir.remove(r), e.dir.removeNote(r))
	}
	e.wakeSweeper()
	return e.dir.removeNote(r)
}

// link returns an address of the artifact of a ready export, or "".
func (e *Exports) link(ctx context.Context, r *record) (string, error) {
	b := e.buckets[r.store]
	if b == nil || e.config.LinkLife == 0 {
		return "", nil
	}
	return b.link(ctx, r.key(), e.config.LinkLife)
}
