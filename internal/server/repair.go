package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Repair repairs what it can in a data folder that no server uses, and returns what it
// did. A damaged or missing server.db is replaced with a new one that lists the
// projects; their users and tokens are lost.
func Repair(ctx context.Context, folder string, log *slog.Logger) (done []string, err error) {
	c := &Checker{ctx: ctx, folder: folder}
	lock := flock.New(c.path("lock"), flock.SetPermissions(0o600))
	free, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("lock the data folder: %w", err)
	case !free:
		return nil, errors.New("a server is using the data folder: stop it before repairing the folder")
	}
	defer lock.Unlock()
	if info, err := os.Stat(folder); err == nil && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(folder, 0o700); err != nil {
			return done, err
		}
		done = append(done, "Now only its owner can open the data folder.")
	}
	if c.serverDBIsSound() || len(c.projectFiles()) == 0 {
		return done, nil
	}
	more, err := c.newServerDB(log)
	return append(done, more...), err
}

func (c *Checker) serverDBIsSound() bool {
	info, err := os.Stat(c.path("server.db"))
	return err == nil && info.Mode().IsRegular() && info.Size() > 0 && !isDamage(sqlite.QuickCheck(c.path("server.db")))
}

// newServerDB creates a new server.db and adds the projects that have files.
func (c *Checker) newServerDB(log *slog.Logger) (done []string, err error) {
	if _, err := os.Lstat(c.path("server.db")); !errors.Is(err, fs.ErrNotExist) {
		aside, err := setAside(c.path("server.db"), time.Now())
		if err != nil {
			return nil, err
		}
		done = append(done, fmt.Sprintf("The damaged server.db is kept as %s.", aside))
	}
	dir, err := projectdb.OpenDir(c.path("projects"), projectdb.DirOptions{Log: log})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	known, err := registry.Open(c.path("server.db"), dir, registry.Options{Log: log})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, known.Close()) }()
	slugs := c.knownSlugs()
	for _, id := range c.projectFiles() {
		project, err := known.Adopt(c.ctx, id, slugs[id])
		if err != nil {
			return done, fmt.Errorf("take in the project %d: %w", id, err)
		}
		done = append(done, fmt.Sprintf("The project %d is %s.", id, project.Slug))
	}
	return append(done, "Users and tokens are lost: create new ones with \"zangtable token create\"."), nil
}

// knownSlugs returns the last known slugs of the projects, as found in the databases
// and the sidecars of artifacts.
func (c *Checker) knownSlugs() map[ids.Project]string {
	slugs := map[ids.Project]string{}
	notes, _ := export.Sidecars(c.path("exports"))
	for _, n := range notes {
		slugs[n.ProjectID] = n.Manifest.Project
	}
	for _, file := range []string{"imports", "exports"} {
		// A database that cannot be read contributes nothing.
		_ = c.ask(file+".db", "SELECT project_id, manifest ->> '$.project' FROM "+file+" ORDER BY seq", func(s *sqlite.Stmt) {
			slugs[ids.Project(s.Int(0))] = s.Text(1)
		})
	}
	return slugs
}
