package journal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Window is how long a run may be idle and still be joined. A call that names a run
// idle for longer is given a new run id.
const Window = 420 * time.Second

// Options are what a journal needs in addition to its file. Zero fields mean the
// system's clock, the system's secure randomness and no log. Now and Random must be
// safe for concurrent use.
type Options struct {
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
	// Names is how many keys and run ids are kept in memory, about 500 bytes each; 0
	// means 65,536. Others are looked up in the file when they are sent.
	Names int
	Room  *storage.Room // nil if the disk is not watched

	Off       bool          // no entries are recorded; calls are still grouped
	KeepFor   time.Duration // how long entries are kept; 0 means 14 days, below 0 for ever
	KeepBytes int64         // how large the file may become by entries; 0 means 1 GiB, below 0 any size
	Privacy   Privacy

	// OnDamage, if not nil, is called when the file is found to be damaged while in
	// use. It may be called often and concurrently.
	OnDamage func(error)
}

// Caller is a token in a project. Keys and run ids of different callers are
// unrelated, even if they are the same text.
type Caller struct {
	ProjectID ids.Project
	TokenID   ids.Token
}

// Status says how a call was assigned to its run.
type Status string

// All statuses.
const (
	AcceptedProvidedRun Status = "accepted_provided_run" // the run id sent is used
	GeneratedRun        Status = "generated_run"         // a new run was opened
	ContinuedRun        Status = "continued_run"         // the open run of the key sent was joined
	RotatedIdleRun      Status = "rotated_idle_run"      // the run sent was idle for too long; a new id continues it
	IgnoredInvalidRun   Status = "ignored_invalid_run"   // the run id sent is not acceptable; a generated one is used
)

// Operation is the run that a call belongs to.
type Operation struct {
	Key    *string // as sent; nil if none was sent or it is not acceptable
	RunID  string
	Status Status
}

// Journal groups calls and keeps entries about them. It writes to its file in the background: a crash of the
// process loses at most the last second, a power failure somewhat more.
type Journal struct {
	db      *sqlite.DB
	options Options
	shards  [shards]shard
	storing sync.Mutex   // held while writing to db
	pruned  pruning      // guarded by storing
	queue   chan *Entry  // to be stored
	dropped atomic.Int64 // entries that were lost
	failing atomic.Bool  // the last ones could not be stored
	secret  []byte       // of the hashes of ids of records
	hurry   chan struct{}

	sweepNow chan struct{}

	stop    chan struct{}
	stopped sync.WaitGroup
	closing sync.Once

	forgottenMu sync.Mutex
	forgotten   map[ids.Project]bool // projects removed while the server runs

	followers followers
}

// Open opens the journal in the file at path and creates it if it is missing.
func Open(path string, options Options) (*Journal, error) {
	j, err := newJournal(path, options)
	if err == nil {
		j.stopped.Go(j.storeRegularly)
	}
	return j, err
}

// newJournal is Open without the goroutine that stores and sweeps.
func newJournal(path string, options Options) (*Journal, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Random == nil {
		options.Random = rand.Reader
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Names == 0 {
		options.Names = 1 << 16
	}
	// Relaxed, because its syncs would compete with those of the project databases.
	db, err := sqlite.Open(path, sqlite.Options{Schema: schema, Relaxed: true})
	if err != nil {
		return nil, err
	}
	options.KeepFor = cmp.Or(options.KeepFor, 14*24*time.Hour)
	options.KeepBytes = cmp.Or(options.KeepBytes, 1<<30)
	j := &Journal{db: db, options: options, queue: make(chan *Entry, maxQueued), forgotten: map[ids.Project]bool{}, hurry: make(chan struct{}, 1), sweepNow: make(chan struct{}, 1), stop: make(chan struct{})}
	for i := range j.shards {
		j.shards[i].init(max(minNames, options.Names/shards))
	}
	if err := j.readSecret(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return j, nil
}

// Close stores what has not been stored yet and closes the file. After that, Close and
// Join return sqlite.ErrClosed.
func (j *Journal) Close() error {
	err := sqlite.ErrClosed
	j.closing.Do(func() {
		close(j.stop)
		j.stopped.Wait()
		j.followers.close()
		err = j.db.Close()
	})
	return err
}

func (j *Journal) closed() bool {
	select {
	case <-j.stop:
		return true
	default:
		return false
	}
}

// Join returns the run of a call sent with the given key and run id, "" for one not
// sent, and records the call.
//
// An acceptable run id alone decides, whatever the key. Otherwise the call joins the
// run in which the caller last used the key, or opens a new one. A call with an
// unacceptable run id never joins a run named by a client. An unacceptable key counts
// as not sent: its call is grouped by the run id, or is a run of its own.
// Join fails only if the file cannot be read or there is no randomness.
func (j *Journal) Join(ctx context.Context, caller Caller, key, runID string) (Operation, error) {
	if j.closed() {
		return Operation{}, storage.Explain(sqlite.ErrClosed)
	}
	s := j.shardOf(caller)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := joining{j: j, s: s, caller: caller, now: j.options.Now()}
	run, status, err := c.join(ctx, key, runID)
	if err != nil {
		return Operation{}, fmt.Errorf("join a run: %w", storage.Explain(err))
	}
	operation := Operation{RunID: run.id, Status: status}
	if validKey(key) {
		operation.Key = &key
		s.rename(name{caller, byKey, key}, run)
	}
	run.last = c.now
	s.touch(run)
	if s.crowded() {
		j.storeSoon()
	}
	return operation, nil
}

// joining is one call being assigned to a run, with its shard locked.
type joining struct {
	j      *Journal
	s      *shard
	caller Caller
	now    time.Time
}

func (c *joining) join(ctx context.Context, key, runID string) (r *run, status Status, err error) {
	switch {
	case validRunID(runID):
		return c.joinSent(ctx, runID)
	case validKey(key):
		r, status, err = c.joinKey(ctx, key, runID != "")
	default:
		r, err = c.generate()
		status = GeneratedRun
	}
	if runID != "" {
		status = IgnoredInvalidRun
	}
	return r, status, err
}

// joinSent joins the run with the id sent. A run that has been continued under a new
// id remains so: calls that keep sending the old id share the new run.
func (c *joining) joinSent(ctx context.Context, runID string) (*run, Status, error) {
	n := name{c.caller, byRunID, runID}
	r, err := c.find(ctx, n)
	switch {
	case err != nil:
		return nil, "", err
	case r == nil:
		return c.open(strings.Clone(runID), false), AcceptedProvidedRun, nil
	case !c.idle(r) && r.id == runID:
		return r, AcceptedProvidedRun, nil
	case !c.idle(r):
		return r, RotatedIdleRun, nil
	}
	idle := r.id
	if r, err = c.generate(); err != nil {
		return nil, "", err
	}
	r.continues = idle
	c.s.rename(n, r)
	return r, RotatedIdleRun, nil
}

// joinKey joins the open run of a key. If only a generated run is acceptable, a run
// named by a client is ignored.
func (c *joining) joinKey(ctx context.Context, key string, generated bool) (*run, Status, error) {
	r, err := c.find(ctx, name{c.caller, byKey, key})
	if err != nil {
		return nil, "", err
	}
	if r != nil && !c.idle(r) && (r.generated || !generated) {
		return r, ContinuedRun, nil
	}
	r, err = c.generate()
	return r, GeneratedRun, err
}

// idle reports whether a run has been idle for longer than the window. Setting the
// clock back makes no run idle.
func (c *joining) idle(r *run) bool { return c.now.Sub(r.last) > Window }

// find returns the run that a name stands for, or nil. The shard stays locked while
// the file is read, so that only one of several calls opens a run.
func (c *joining) find(ctx context.Context, n name) (*run, error) {
	if r := c.s.find(n); r != nil {
		return r, nil
	}
	r, err := c.j.load(ctx, n)
	if err != nil || r == nil {
		return nil, err
	}
	// The last call may not be in the file yet.
	held := c.s.find(r.ownName())
	switch {
	case held != nil && held.id == r.id:
		r = held
	case c.idle(r):
		return r, nil // never joined, only continued: not worth keeping in memory
	default:
		c.s.add(r)
	}
	c.s.point(n, r)
	return r, nil
}

func (c *joining) generate() (*run, error) {
	id, err := newRunID(c.now, c.j.options.Random)
	if err != nil {
		return nil, err
	}
	return c.open(id, true), nil
}

func (c *joining) open(id string, generated bool) *run {
	r := &run{caller: c.caller, id: id, generated: generated}
	c.s.add(r)
	return r
}
