package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

// CheckLine is the result of checking one subject.
type CheckLine struct {
	Subject string     `json:"subject"`
	Verdict CheckLevel `json:"verdict"`
	Message string     `json:"message"`
}

// CheckLevel is the severity of a finding.
type CheckLevel string

// The levels. Only a fault makes a check fail.
const (
	CheckOK    CheckLevel = "ok"
	CheckNote  CheckLevel = "note"
	CheckFault CheckLevel = "fault"
)

// CheckReport is the result of a check.
type CheckReport struct {
	OK            bool        `json:"ok"`
	ServerRunning bool        `json:"server_running"`
	Lines         []CheckLine `json:"lines"`
}

// Faults returns how many faults were found.
func (r *CheckReport) Faults() (n int) {
	for _, line := range r.Lines {
		if line.Verdict == CheckFault {
			n++
		}
	}
	return n
}

// Checker is a check in progress.
type Checker struct {
	ctx    context.Context
	folder string
	report CheckReport
}

// checks are the parts of a check, in this order. A part that also checks the system it
// runs on adds a function here.
var checks = [...]func(*Checker){
	(*Checker).permissions,
	(*Checker).databases,
	(*Checker).audit,
	(*Checker).projects,
	(*Checker).artifacts,
	(*Checker).lostFiles,
	(*Checker).workers,
}

// Check checks everything in a data folder, even while a server uses it, and changes
// nothing.
func Check(ctx context.Context, folder string) (CheckReport, error) {
	c := &Checker{ctx: ctx, folder: folder}
	if info, err := os.Stat(folder); err != nil {
		return c.report, err
	} else if !info.IsDir() {
		return c.report, fmt.Errorf("%s is not a folder", folder)
	}
	lock := flock.New(c.path("lock"), flock.SetPermissions(0o600))
	free, err := lock.TryLock()
	if err != nil {
		return c.report, fmt.Errorf("lock the data folder: %w", err)
	}
	if free {
		defer lock.Unlock()
	}
	c.report.ServerRunning = !free
	for _, check := range checks {
		if err := ctx.Err(); err != nil {
			return c.report, err
		}
		check(c)
	}
	c.report.OK = c.report.Faults() == 0
	return c.report, nil
}

func (c *Checker) path(parts ...string) string {
	return filepath.Join(append([]string{c.folder}, parts...)...)
}

// Say adds a line to the report.
func (c *Checker) Say(subject string, verdict CheckLevel, format string, args ...any) {
	c.report.Lines = append(c.report.Lines, CheckLine{subject, verdict, fmt.Sprintf(format, args...)})
}

// workers starts a worker and reports which of its limits are in force on this system.
func (c *Checker) workers() {
	const subject = "workers"
	folder, err := os.MkdirTemp("", "zangtable-check-")
	if err != nil {
		c.Say(subject, CheckNote, "The folder of a worker cannot be created: %v", err)
		return
	}
	defer os.RemoveAll(folder)
	pool, err := worker.Open(worker.Options{Folder: folder})
	if err != nil {
		c.Say(subject, CheckNote, "%v", err)
		return
	}
	defer pool.Close()
	bounds, err := pool.Bounds()
	if err != nil {
		c.Say(subject, CheckFault, "None can be started, so SQL from clients cannot run: %v", err)
	}
	for _, b := range bounds {
		verdict := CheckOK
		if !b.Holds {
			verdict = CheckNote
		}
		c.Say(subject+", "+b.Name, verdict, "%s", b.Note)
	}
}

func (c *Checker) permissions() {
	info, err := os.Stat(c.folder)
	switch {
	case err != nil:
		c.Say("data folder", CheckFault, "%v", err)
	case info.Mode().Perm()&0o077 != 0:
		c.Say("data folder", CheckFault, "Others on this machine may open it: its mode is %04o and should be 0700.", info.Mode().Perm())
	default:
		c.Say("data folder", CheckOK, "Only its owner may open it.")
	}
}

// ownDatabases are the application ids of the server's own databases.
var ownDatabases = []struct {
	name string
	id   int64
}{
	{"server.db", registry.ApplicationID},
	{"exports.db", export.ApplicationID},
	{"imports.db", imports.ApplicationID},
	{"journal.db", journal.ApplicationID},
}

func (c *Checker) databases() {
	for _, file := range ownDatabases {
		_, err := os.Stat(c.path(file.name))
		switch {
		case !errors.Is(err, fs.ErrNotExist):
			c.database(file.name, c.path(file.name), file.id)
		case file.name != "server.db":
			c.Say(file.name, CheckNote, "It is missing. The next start creates a new one.")
		case len(c.projectFiles()) > 0:
			c.Say(file.name, CheckFault, "It is missing, and it holds the projects, users and tokens. Restore it from a backup, or create a new one with --repair.")
		default:
			c.Say(file.name, CheckNote, "It is missing: nothing was ever served from this folder.")
		}
	}
}

// database examines one database file.
func (c *Checker) database(subject, path string, id int64) {
	e, err := sqlite.Examine(path)
	switch {
	case err != nil:
		c.Say(subject, CheckFault, "It cannot be read: %v", err)
	case e.ApplicationID != id:
		c.Say(subject, CheckFault, "It belongs to another program: its application id is %d, not %d.", e.ApplicationID, id)
	case len(e.Faults) > 0:
		c.Say(subject, CheckFault, "It is damaged: %s", strings.Join(e.Faults, "; "))
	default:
		c.Say(subject, CheckOK, "It is intact.")
	}
}

// audit recomputes the chain of the audit log. A database that cannot be read has already
// been reported.
func (c *Checker) audit() {
	const subject = "audit log"
	chain, ok, err := registry.VerifyAuditFile(c.ctx, c.path("server.db"))
	switch {
	case err != nil || !ok:
	case !chain.Whole:
		c.Say(subject, CheckFault, "It has been tampered with or damaged: %s", chain.Fault)
	default:
		c.Say(subject, CheckOK, "Its %d entries are as they were written, up to %d with the hash %s.", chain.Entries, chain.Last, chain.Head)
	}
}

// projectFiles returns the ids of the projects that have a file.
func (c *Checker) projectFiles() (list []ids.Project) {
	entries, err := os.ReadDir(c.path("projects"))
	if err != nil {
		return nil // there are none
	}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".db")
		if id, err := strconv.ParseInt(name, 10, 64); ok && err == nil {
			list = append(list, ids.Project(id))
		}
	}
	slices.Sort(list)
	return list
}

// projects checks the databases of projects, and compares them with the list of
// projects.
func (c *Checker) projects() {
	files := c.projectFiles()
	listed := map[ids.Project]bool{}
	err := c.ask("server.db", "SELECT id, project_slug FROM projects ORDER BY id", func(s *sqlite.Stmt) {
		id, subject := ids.Project(s.Int(0)), fmt.Sprintf("projects/%d.db", s.Int(0))
		listed[id] = true
		if !slices.Contains(files, id) {
			c.Say(subject, CheckFault, "The project %s has no file.", s.Text(1))
		}
	})
	for _, id := range files {
		subject := fmt.Sprintf("projects/%d.db", id)
		c.database(subject, c.path("projects", strconv.FormatInt(int64(id), 10)+".db"), projectdb.ApplicationID)
		if err == nil && !listed[id] {
			c.Say(subject, CheckNote, "It belongs to no project. A server leaves it alone.")
		}
	}
}

// ask reads rows from one of the server's databases. A database that cannot be read has
// already been reported.
func (c *Checker) ask(file, query string, row func(*sqlite.Stmt)) error {
	conn, err := sqlite.OpenFile(c.path(file))
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Query(query, nil, func(s *sqlite.Stmt) error {
		row(s)
		return nil
	})
}

// artifacts compares artifacts with their sidecars, and exports.db with the files.
func (c *Checker) artifacts() {
	notes, errs := export.Sidecars(c.path("exports"))
	for _, err := range errs {
		if !errors.Is(err, fs.ErrNotExist) {
			c.Say("exports", CheckFault, "%v", err)
		}
	}
	noted, sound := map[string]bool{}, 0
	for _, n := range notes {
		noted[n.Manifest.ID] = true
		if n.Artifact == "" || c.artifact(n) {
			sound++
		}
	}
	_ = c.ask("exports.db", "SELECT id, project_id, ext FROM exports WHERE status = 'ready' AND store = '' ORDER BY seq", func(s *sqlite.Stmt) {
		id, path := s.Text(0), c.path("exports", strconv.FormatInt(s.Int(1), 10), s.Text(0)+"."+s.Text(2))
		_, err := os.Stat(path)
		switch {
		case noted[id]:
		case err != nil && !c.report.ServerRunning: // it may have just been deleted
			c.Say("export "+id, CheckFault, "It is listed as ready, but its file cannot be read: %v", err)
		case err == nil:
			c.Say("export "+id, CheckNote, "There is no note beside the file: it was made by an earlier version.")
		}
	})
	c.Say("exports", CheckOK, "%d artifacts match their notes.", sound)
}

// artifact compares an artifact with its sidecar, and reports whether they agree. An
// artifact that was deleted meanwhile no longer has a sidecar.
func (c *Checker) artifact(n export.Sidecar) bool {
	size, sum, err := sumOf(n.Artifact)
	if _, gone := os.Stat(strings.TrimSuffix(n.Artifact, filepath.Ext(n.Artifact)) + ".manifest"); err != nil && c.report.ServerRunning && gone != nil {
		return true
	}
	switch {
	case err != nil:
		c.Say("export "+n.Manifest.ID, CheckFault, "Its file cannot be read: %v", err)
	case size != *n.Manifest.SizeBytes:
		c.Say("export "+n.Manifest.ID, CheckFault, "Its file has %d bytes, not %d.", size, *n.Manifest.SizeBytes)
	case n.Manifest.SHA256 != nil && sum != *n.Manifest.SHA256:
		c.Say("export "+n.Manifest.ID, CheckFault, "The SHA-256 of its file does not match its manifest.")
	default:
		return true
	}
	return false
}

func sumOf(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, f)
	return size, hex.EncodeToString(hash.Sum(nil)), err
}

// lostFiles reports the files that were set aside.
func (c *Checker) lostFiles() {
	for _, pattern := range []string{"*.db.damaged-*Z", "exports/lost/*/*", "imports/lost/*/*"} {
		found, err := filepath.Glob(c.path(filepath.FromSlash(pattern)))
		if err == nil && len(found) > 0 {
			c.Say(pattern, CheckNote, "%d files whose purpose is unknown were kept. Remove them if they are not needed.", len(found))
		}
	}
}
