package artifact

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// maxLink is the longest life of a link that providers allow.
const maxLink = 7 * 24 * time.Hour

// Config says where artifacts are kept.
type Config struct {
	Dir        string
	Bucket     string   // the address of the bucket for new artifacts; "" keeps them in Dir
	OldBuckets []string // buckets whose artifacts can still be read
	LinkLife   time.Duration
	Pause      time.Duration // the pause before a failed operation at a provider is retried; it doubles each time
	Log        *slog.Logger
	Step       func(string) // called at each step of publishing
	Need       func() error // fails when the disk has too little space to go on
}

// Stores are the directory and the buckets that hold artifacts. The methods may be
// called from many goroutines.
type Stores struct {
	Dir
	config  Config
	buckets map[string]*bucket // by name
	current *bucket            // for new artifacts; nil: the directory
}

// Open opens the directory, creating it if it is missing, and the buckets, without
// contacting their providers. They can be used until ctx ends.
func Open(ctx context.Context, c Config) (*Stores, error) {
	if c.LinkLife < 0 || c.LinkLife > maxLink {
		return nil, fmt.Errorf("links to exports can be valid for up to %s, not %s", maxLink, c.LinkLife)
	}
	projects, err := disk.OpenProjects(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Stores{Dir: Dir{projects, c.Step, c.Need}, config: c, buckets: map[string]*bucket{}}
	for _, address := range append([]string{c.Bucket}, c.OldBuckets...) {
		if address == "" {
			continue
		}
		if err := s.openBucket(ctx, address); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Stores) openBucket(ctx context.Context, address string) error {
	remote, err := OpenRemote(ctx, address, s.config.Pause)
	if err != nil {
		return fmt.Errorf("open the store of exports: %w", err)
	}
	if s.buckets[remote.Name] != nil {
		return errors.Join(fmt.Errorf("the store %s is set twice", remote.Name), remote.Close())
	}
	b := &bucket{remote, s.config.Step}
	s.buckets[remote.Name] = b
	if address == s.config.Bucket {
		s.current = b
	}
	return nil
}

// Close closes the buckets.
func (s *Stores) Close() error {
	var errs []error
	for _, b := range s.buckets {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

// Backend returns the kind of store that new artifacts go to: local, s3, gs or azblob.
func (s *Stores) Backend() string {
	if s.current != nil {
		return s.current.Backend
	}
	return "local"
}

// Current returns the name of the bucket for new artifacts, "" for the directory.
func (s *Stores) Current() string {
	if s.current != nil {
		return s.current.Name
	}
	return ""
}

// Buckets returns the names of the buckets.
func (s *Stores) Buckets() []string {
	var names []string
	for name := range s.buckets {
		names = append(names, name)
	}
	return names
}

// Create begins an artifact for the current store.
func (s *Stores) Create(r Ref) (*Writer, error) {
	w, err := s.Dir.Create(r)
	if err == nil && s.current != nil {
		w.md5 = md5.New()
	}
	return w, err
}

// Publish completes a Writer and puts the artifact into its store. If it fails, it
// leaves nothing on the disk.
func (s *Stores) Publish(ctx context.Context, w *Writer, r Ref, d Delivery) error {
	if r.Store == "" {
		return w.publish()
	}
	b, err := s.bucket(r)
	if err != nil {
		return errors.Join(err, w.Discard())
	}
	return b.publish(ctx, w, r, d)
}

// bucket returns the bucket of an artifact. An unconfigured bucket is not_found.
func (s *Stores) bucket(r Ref) (*bucket, error) {
	if b := s.buckets[r.Store]; b != nil {
		return b, nil
	}
	return nil, problem.New(problem.CodeNotFound, "Export file was not found: the server no longer uses its store.")
}

// Open opens an artifact. If it is missing or has another size, the error is
// fs.ErrNotExist; if its provider cannot be reached, it is busy.
func (s *Stores) Open(ctx context.Context, r Ref) (File, error) {
	if r.Store == "" {
		return s.Dir.open(r)
	}
	b, err := s.bucket(r)
	if err != nil {
		return nil, err
	}
	return b.open(ctx, r)
}

// Present returns a function that reports whether an artifact is in its store, asking
// for each one. While a provider does not answer, everything there counts as present,
// until somebody wants to read it.
func (s *Stores) Present(ctx context.Context) func(Ref) bool {
	return func(r Ref) bool {
		if r.Store == "" {
			return s.Exists(r)
		}
		b := s.buckets[r.Store]
		if b == nil {
			return false
		}
		found, err := b.exists(ctx, r)
		if err != nil {
			s.config.Log.Warn("look for an artifact", "artifact", r.ID, "error", err)
		}
		return found || err != nil
	}
}

// PresentIn is Present for the artifacts of one project: it asks each provider once,
// for all of them.
func (s *Stores) PresentIn(ctx context.Context, projectID ids.Project) func(Ref) bool {
	sizes := map[string]map[string]int64{}
	for name, b := range s.buckets {
		asking, cancel := context.WithTimeout(ctx, askTime)
		of, err := b.sizes(asking, projectID)
		cancel()
		if err != nil {
			s.config.Log.Warn("list the artifacts of a project", "project", projectID, "error", err)
		}
		sizes[name] = of
	}
	return func(r Ref) bool {
		of, known := sizes[r.Store]
		switch {
		case r.Store == "":
			return s.Exists(r)
		case !known:
			return false
		case of == nil: // the provider did not answer
			return true
		}
		size, found := of[r.Key()]
		return found && size == r.Size
	}
}

// Remove removes an artifact from the directory, and the manifest beside it. Objects in
// buckets are removed by RemoveObject.
func (s *Stores) Remove(r Ref) error {
	var err error
	if r.Store == "" {
		err = disk.RemoveFile(s.Path(r))
	}
	if err = errors.Join(err, disk.RemoveFile(s.ManifestPath(r))); err != nil {
		return fmt.Errorf("remove an artifact: %w", err)
	}
	return nil
}

// RemoveObject removes an object from a bucket, if it exists.
func (s *Stores) RemoveObject(ctx context.Context, store, key string) error {
	b, err := s.bucket(Ref{Store: store})
	if err != nil {
		return err
	}
	return b.remove(ctx, key)
}

// Link returns an address at the provider at which anyone can read an artifact for
// LinkLife; "" when there is none.
func (s *Stores) Link(ctx context.Context, r Ref) (string, error) {
	b := s.buckets[r.Store]
	if b == nil || s.config.LinkLife == 0 {
		return "", nil
	}
	return b.link(ctx, r.Key(), s.config.LinkLife)
}

// Try warns the operator early, in the log, about a bucket that cannot be used.
func (s *Stores) Try(ctx context.Context) {
	for name, b := range s.buckets {
		asking, cancel := context.WithTimeout(ctx, askTime)
		found, err := b.Objects.IsAccessible(asking)
		cancel()
		if !found && ctx.Err() == nil {
			s.config.Log.Warn("a store of exports cannot be used now", "store", name, "error", err)
		}
	}
}
