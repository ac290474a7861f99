package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// The server's databases other than server.db are replaceable: their content is a
// convenience, or can be recovered from elsewhere. If one is damaged, the server starts
// with a new one. server.db is not replaceable: without it nobody knows which project
// is whose.

// openReplaceable opens a replaceable database with open. lost says that its content is
// gone: it was missing, or it was damaged and has been set aside.
func (app *App) openReplaceable(name string, open func(lost bool) error) error {
	lost, err := app.examineReplaceable(name)
	if err != nil {
		return err
	}
	err = open(lost)
	if !isDamage(err) {
		return err
	}
	if err := app.setAside(name, err); err != nil {
		return err
	}
	return open(true)
}

// examineReplaceable sets a damaged database aside, and reports whether the database is
// missing now.
func (app *App) examineReplaceable(name string) (lost bool, err error) {
	path := app.path(name)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil { // a dangling link
			return true, app.setAside(name, fs.ErrNotExist)
		}
		if !app.isNew {
			app.degrade("%s was missing; a new one was created", name)
		}
		return true, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular() || info.Size() == 0:
		return true, app.setAside(name, errors.New("it is not a database file"))
	}
	if err := sqlite.QuickCheck(path); isDamage(err) {
		return true, app.setAside(name, err)
	} else if err != nil {
		return false, fmt.Errorf("look at %s: %w", name, err)
	}
	return false, nil
}

// isDamage reports whether err says that a file is not one of our databases. A full
// disk and the like are temporary, and a database of a newer version is intact.
func isDamage(err error) bool {
	if err == nil || errors.Is(err, sqlite.ErrNewer) {
		return false
	}
	explained := storage.Explain(err)
	if problem.Is(explained, problem.CodeBusy) || problem.Is(explained, problem.CodeStorageFull) {
		return false
	}
	return sqlite.FaultOf(err) == sqlite.Damaged || errors.Is(err, sqlite.ErrForeign) || errors.Is(err, sqlite.ErrUnsound)
}

// setAside renames a damaged database and its log.
func (app *App) setAside(name string, why error) error {
	aside, err := setAside(app.path(name), time.Now())
	if err != nil {
		return err
	}
	app.log.Error("a database is damaged and was set aside; a new one is created", "database", name, "kept_as", aside, "error", why)
	app.degrade("%s was damaged and is kept as %s; a new one was created", name, filepath.Base(aside))
	return nil
}

func setAside(path string, now time.Time) (aside string, err error) {
	aside = path + ".damaged-" + now.UTC().Format("20060102T150405.000Z")
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set %s aside: %w", path, err)
		}
	}
	return aside, nil
}

// degradations are the reasons why a server that still accepts requests is degraded.
// The methods may be called from many goroutines.
type degradations struct {
	mu      sync.Mutex
	reasons []string
}

// add adds a reason, and reports whether it is new.
func (d *degradations) add(reason string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.reasons, reason) {
		return false
	}
	d.reasons = append(d.reasons, reason)
	return true
}

func (d *degradations) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.reasons)
}

// degrade records a reason, which probes report until the next start, and logs it.
func (app *App) degrade(format string, args ...any) {
	if reason := fmt.Sprintf(format, args...); app.degraded.add(reason) {
		app.log.Warn("degraded", "reason", reason)
	}
}

// damagedInUse returns a function to be called when a database turns out to be damaged
// while the server runs.
func (app *App) damagedInUse(name string) func(error) {
	return func(error) {
		app.degrade("%s is damaged; restart the server, which sets it aside and creates a new one", name)
	}
}

// checkServerDB refuses to continue without an intact server.db if there are projects:
// an empty one would forget them and all their tokens.
func (app *App) checkServerDB() error {
	path := app.path("server.db")
	projects, err := filepath.Glob(filepath.Join(app.path("projects"), "*.db"))
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() == 0)
	switch {
	case missing && len(projects) == 0 && !errors.Is(err, fs.ErrNotExist):
		err = errors.New("it is not a database file")
	case missing && len(projects) == 0:
		app.isNew = true
		return nil
	case missing:
		err = fmt.Errorf("it is not there, but there are %d projects in %s", len(projects), app.path("projects"))
	case err == nil:
		err = sqlite.QuickCheck(path)
	}
	if err == nil || !missing && !isDamage(err) {
		return err
	}
	return noServerDB(app.folder, err)
}

// noServerDB returns the error for a start without an intact server.db.
func noServerDB(folder string, why error) error {
	return fmt.Errorf("server.db cannot be used: %w. It holds the projects, users and tokens. Restore it from a backup, or run \"zangtable check --repair --data %s\", which creates a new one from the projects that are there; users and tokens are then lost", why, folder)
}
