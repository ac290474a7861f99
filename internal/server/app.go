package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rehearsal"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
	"github.com/zangtable/zangtable/internal/worker"
)

// App is everything that works on one data folder. Only one process at a time can have
// an App for a folder.
type App struct {
	Workers    *worker.Pool
	Projects   *projectdb.Dir
	Registry   *registry.Registry
	Exports    *export.Exports
	Imports    *imports.Imports
	Rehearsals *rehearsal.Stage
	Journal    *journal.Journal

	limits     *limits.Limits
	conns      connections
	commits    prometheus.Histogram // see newCommitSizes
	folder     string
	settings   Settings
	quarantine *jobs.Quarantine
	log        *slog.Logger
	lock       *flock.Flock
	isNew      bool // the folder was empty
	degraded   degradations
	room       *storage.Room
	quotas     *storage.Quotas
	close      []func() error // in the order of opening
}

// ErrInUse is returned by Open for a data folder that another process is using.
var ErrInUse = errors.New("the data folder is in use by another zangtable process")

// Settings are the operator's settings.
type Settings struct {
	SchemaTimeout  time.Duration // see projectdb.Bounds; 0 means no limit
	ImportMaxBytes int64         // of one upload; 0 means the default of package imports

	ReserveBytes    int64 // see storage.RoomOptions
	ProjectMaxBytes int64 // the quota of projects without one of their own; 0: no limit

	Limits limits.Settings // on what clients can take; zero means none

	TrustedProxies Proxies       // in front of the server
	PublicURL      Origin        // at which users reach it
	Metrics        Metrics       // who may read the metrics
	SlowCall       time.Duration // see rest.Config
	Admin          bool          // whether the panel is served at /admin
	Journal        JournalSettings

	Origins registry.Origins // whose web pages may call every project

	// How long exports are kept, how many per project, with how many bytes in total,
	// and where; see export.Config.
	ExportLife      time.Duration
	ExportKeep      int64
	ExportKeepBytes int64
	ExportStore     string
	ExportOldStores []string
	ExportLinkLife  time.Duration

	// How many jobs of a project may be pending, and how long the statement of a query
	// export may run; 0 means the default of package export or imports, negative no
	// limit.
	ExportMaxPending   int
	JobHistoryBytes    int64 // total size of the requests and manifests of exports, and of imports
	ImportMaxPending   int
	QueryExportTimeout time.Duration

	// The total size of the files of a project's imports, and how many of them are kept
	// after a failure; 0 and negative as above.
	ImportKeepBytes int64
	ImportKeep      int64

	// Resource limits of the processes that run clients' SQL, and their number; 0 means
	// the default of package worker.
	WorkerMemory    int64
	WorkerTempBytes int64
	WorkerCount     int
}

// Open locks the data folder, creating it if it is missing, and opens its content. Work
// interrupted by a crash is resumed or cleaned up.
func Open(folder string, settings Settings, log *slog.Logger) (*App, error) {
	if err := sqlite.CheckVersion(); err != nil {
		return nil, err
	}
	app := &App{limits: limits.New(settings.Limits, nil), folder: folder, settings: settings, log: log, quarantine: jobs.NewQuarantine(), commits: newCommitSizes()}
	for _, step := range []func() error{app.takeFolder, app.openRoom, app.openWorkers, app.openProjects, app.checkServerDB, app.openRegistry, app.openExports, app.openImports, app.openRehearsals, app.openJournal, app.sweep} {
		// On a full disk, opening needs a little free space.
		if err := app.room.Free(step); err != nil {
			return nil, errors.Join(err, app.Close())
		}
	}
	return app, nil
}

func (app *App) takeFolder() error {
	if err := os.MkdirAll(app.folder, 0o700); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	app.lock = flock.New(app.path("lock"), flock.SetPermissions(0o600))
	free, err := app.lock.TryLock()
	switch {
	case err != nil:
		return fmt.Errorf("lock the data folder: %w", err)
	case !free:
		return ErrInUse
	}
	app.close = append(app.close, app.lock.Unlock)
	return nil
}

func (app *App) openWorkers() (err error) {
	app.Workers, err = worker.Open(worker.Options{
		Folder:    app.path("workers"),
		Heap:      app.settings.WorkerMemory,
		TempBytes: app.settings.WorkerTempBytes,
		Max:       app.settings.WorkerCount,
		Log:       app.log,
	})
	if err != nil {
		return err
	}
	app.close = append(app.close, app.Workers.Close)
	return nil
}

func (app *App) openRoom() (err error) {
	app.room, err = storage.OpenRoom(app.folder, storage.RoomOptions{Reserve: app.settings.ReserveBytes, Log: app.log})
	app.quotas = &storage.Quotas{Default: app.settings.ProjectMaxBytes, Files: func(projectID ids.Project) int64 {
		if app.Imports == nil {
			return 0 // still starting
		}
		return app.Imports.Size(projectID)
	}}
	return err
}

func (app *App) openProjects() (err error) {
	app.Projects, err = projectdb.OpenDir(app.path("projects"), projectdb.DirOptions{
		MaxTables: app.settings.Limits.TablesPerProject,
		MaxFiles:  disk.MaxFiles() / 2,
		Log:       app.log,
		Workers:   app.Workers,
		Bounds:    projectdb.Bounds{Schema: app.settings.SchemaTimeout},
		Room:      app.room,
		Quotas:    app.quotas,
		Committed: func(writes int) { app.commits.Observe(float64(writes)) },
	})
	if err != nil {
		return err
	}
	app.close = append(app.close, app.Projects.Close)
	return nil
}

func (app *App) openRegistry() (err error) {
	app.Registry, err = registry.Open(app.path("server.db"), app.Projects, registry.Options{
		Log: app.log, Forget: app.forget, MaxTokens: app.settings.Limits.TokensPerProject,
		Room: app.room, Quotas: app.quotas,
	})
	if err != nil {
		return err
	}
	app.close = append(app.close, app.Registry.Close)
	return nil
}

// forget removes everything of a project except its database.
func (app *App) forget(ctx context.Context, projectID ids.Project) error {
	return errors.Join(app.Exports.RemoveProject(ctx, projectID), app.Imports.RemoveProject(ctx, projectID), app.Journal.Forget(ctx, projectID))
}

func (app *App) openJournal() error { return app.openReplaceable("journal.db", app.openJournalOf) }

func (app *App) openJournalOf(bool) (err error) {
	app.Journal, err = journal.Open(app.path("journal.db"), journal.Options{
		Log: app.log, Room: app.room, OnDamage: app.damagedInUse("journal.db"),
		Off: app.settings.Journal.Off, KeepFor: app.settings.Journal.KeepFor, KeepBytes: app.settings.Journal.KeepBytes,
		Privacy: journal.Privacy{IDs: app.settings.Journal.IDs, Addresses: app.settings.Journal.Addresses},
	})
	if err != nil {
		return err
	}
	app.close = append(app.close, app.Journal.Close)
	return nil
}

// sweep finishes creations and deletions of projects that a crash interrupted.
func (app *App) sweep() error { return app.Registry.Sweep(context.Background()) }

func (app *App) openExports() error { return app.openReplaceable("exports.db", app.openExportsOf) }

func (app *App) openExportsOf(lost bool) (err error) {
	app.Exports, err = export.Open(export.Config{
		Config:   app.jobsConfig("exports", app.settings.ExportMaxPending, lost),
		Projects: app.Projects,
		Journal:  func() *journal.Journal { return app.Journal }, // opened later

		DefaultLife: app.settings.ExportLife,
		KeepCount:   app.settings.ExportKeep,
		KeepBytes:   app.settings.ExportKeepBytes,

		QueryTimeout: app.settings.QueryExportTimeout,

		Store:     app.settings.ExportStore,
		OldStores: app.settings.ExportOldStores,
		LinkLife:  app.settings.ExportLinkLife,
		Running:   (&spareProcessor{requests: func() int64 { return app.Exports.Requests() }}).begin,
	})
	if err != nil {
		return err
	}
	app.close = append(app.close, app.Exports.Close)
	return nil
}

func (app *App) openImports() error { return app.openReplaceable("imports.db", app.openImportsOf) }

func (app *App) openImportsOf(lost bool) (err error) {
	app.Imports, err = imports.Open(imports.Config{
		Config:    app.jobsConfig("imports", app.settings.ImportMaxPending, lost),
		Projects:  app.Projects,
		Registry:  app.Registry,
		MaxBytes:  app.settings.ImportMaxBytes,
		KeepBytes: app.settings.ImportKeepBytes,
		KeepCount: app.settings.ImportKeep,
	})
	if err != nil {
		return err
	}
	app.close = append(app.close, app.Imports.Close)
	return nil
}

// jobsConfig returns the configuration that exports and imports share.
func (app *App) jobsConfig(name string, maxPending int, lost bool) jobs.Config {
	return jobs.Config{
		Database: app.path(name + ".db"), StoreLost: lost, OnDamage: app.damagedInUse(name + ".db"), Folder: app.path(name), Room: app.room,
		Log: app.log, Now: time.Now, Random: rand.Reader,
		MaxPending: maxPending, HistoryBytes: app.settings.JobHistoryBytes, Quarantine: app.quarantine,
	}
}

func (app *App) openRehearsals() (err error) {
	app.Rehearsals, err = rehearsal.Open(rehearsal.Config{Folder: app.path("rehearsals"), Workers: app.Workers})
	return err
}

func (app *App) path(name string) string { return filepath.Join(app.folder, name) }

// Close stops all work, closes everything and unlocks the data folder.
func (app *App) Close() error {
	var errs []error
	for i := len(app.close) - 1; i >= 0; i-- {
		errs = append(errs, app.close[i]())
	}
	app.close = nil
	return errors.Join(errs...)
}
