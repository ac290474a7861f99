package jobs

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Config is the configuration common to every kind of job. Zero durations and numbers
// get the defaults given here.
type Config struct {
	Database string // path of the store's database
	// StoreLost says that the database was missing or damaged when the server started,
	// so that there may be files whose jobs are unknown.
	StoreLost bool
	// OnDamage is called when the database turns out to be damaged while in use; nil
	// for none. It may be called often, from many goroutines.
	OnDamage func(error)
	Folder   string // for the files of jobs
	Log      *slog.Logger
	Now      func() time.Time
	Random   io.Reader // for ids

	KeepManifests time.Duration // 7 days: how long the manifest of a finished job outlives its file
	SweepInterval time.Duration // 1 minute
	Workers       int           // 2: how many jobs run at once
	PerProject    int           // 1: how many of these may be of one project
	MaxPending    int           // 1,000: pending jobs of one project; negative: no limit
	HistoryBytes  int64         // 256 MiB: total size of a project's records in the store; negative: no limit

	// Quarantine isolates jobs that may have crashed the server; nil creates one.
	Quarantine *Quarantine

	Room *storage.Room // on the disk; nil: free space is not watched
	Disk disk.Budget   // free space that jobs must leave; without a folder: on the disk of Folder

	// Failpoint is called at each step of a job, so that tests can kill the process
	// there; nil for none.
	Failpoint func(step string)
}

// SetDefaults replaces zero values with the defaults.
func (c *Config) SetDefaults() {
	c.KeepManifests = cmp.Or(c.KeepManifests, 7*24*time.Hour)
	c.SweepInterval = cmp.Or(c.SweepInterval, time.Minute)
	c.Workers = cmp.Or(c.Workers, 2)
	c.PerProject = cmp.Or(c.PerProject, 1)
	c.MaxPending = cmp.Or(c.MaxPending, 1000)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 256<<20)
	if c.Quarantine == nil {
		c.Quarantine = NewQuarantine()
	}
	c.Disk.Folder = cmp.Or(c.Disk.Folder, c.Folder)
	if c.Failpoint == nil {
		c.Failpoint = func(string) {}
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
}

// ProjectRef is all that jobs know about their project.
type ProjectRef struct {
	ID   ids.Project
	Slug string
}

// Limits returns how many jobs may run at once.
func (c *Config) Limits() Limits { return Limits{Workers: c.Workers, PerProject: c.PerProject} }

// Bounds returns how much a project may have in the store.
func (c *Config) Bounds() Bounds { return Bounds{Pending: c.MaxPending, Bytes: c.HistoryBytes} }

// OpenStore opens the database of a store, and creates it if it is missing.
func OpenStore[R any](c *Config, schema sqlite.Schema, store Store[R]) (Store[R], error) {
	db, err := sqlite.Open(c.Database, sqlite.Options{Schema: schema})
	if err != nil {
		return store, fmt.Errorf("open the job store of %s: %w", store.Table, err)
	}
	store.DB, store.Room, store.OnDamage = db, c.Room, c.OnDamage
	return store, nil
}

// NewID returns an id that sorts by time and cannot be guessed, such as
// exp_20260601_182345_a1b2c3d4e5.
func (c *Config) NewID(prefix string, now time.Time) (string, error) {
	var b [5]byte
	if _, err := io.ReadFull(c.Random, b[:]); err != nil {
		return "", fmt.Errorf("draw the id of a job: %w", err)
	}
	return prefix + now.UTC().Format("_20060102_150405_") + hex.EncodeToString(b[:]), nil
}

// Timestamp formats a time for manifests: in UTC, whole seconds.
func Timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
