// Package rehearsal proves that artifacts can be restored by restoring them: an artifact
// is imported into a scratch project like any other file, and the result is compared
// with what the manifest says about the snapshot. Nothing of it remains, and no real
// project is touched.
package rehearsal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/storage"
	"github.com/zangtable/zangtable/internal/worker"
)

// Config says where and how artifacts are restored. A field that is zero gets the
// default given here.
type Config struct {
	Folder      string        // for scratch projects; Open deletes everything in it
	MaxUnpacked int64         // bytes that an artifact may unpack to; default that of package ingest
	AtOnce      int           // rehearsals that run at the same time; default 2
	Patience    time.Duration // how long one waits for others; default 20 seconds
	Workers     *worker.Pool  // processes that read databases; nil starts a pool of its own

	Disk disk.Budget // what rehearsals leave free; its folder defaults to Folder
}

// Stage is the place where artifacts are restored. Its methods may be called
// concurrently.
type Stage struct {
	config Config
	places chan struct{} // holds an entry per running rehearsal
}

// Open creates the folder, and removes anything left behind by a crash.
func Open(config Config) (*Stage, error) {
	if config.AtOnce == 0 {
		config.AtOnce = 2
	}
	if config.Patience == 0 {
		config.Patience = 20 * time.Second
	}
	config.Disk.Folder = cmp.Or(config.Disk.Folder, config.Folder)
	err := os.RemoveAll(config.Folder)
	if err == nil {
		err = os.MkdirAll(config.Folder, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("clear the folder of rehearsals: %w", err)
	}
	return &Stage{config: config, places: make(chan struct{}, config.AtOnce)}, nil
}

// Rehearsal is the result of restoring an artifact on trial.
type Rehearsal struct {
	Restorable bool          `json:"restorable" doc:"Whether everything was restored as it was in the snapshot."`
	Tables     []Table       `json:"tables"`
	RowCount   int64         `json:"row_count" doc:"Rows restored, across all tables."`
	DurationMS int64         `json:"duration_ms"`
	Faults     []string      `json:"faults" doc:"What was not restored as it was."`
	Notes      []source.Note `json:"notes" doc:"What the import has adjusted or left out."`
}

func (r *Rehearsal) fault(text string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(text, args...))
}

// Table compares a restored table with what the manifest says about it.
type Table struct {
	Name         string `json:"name"`
	RowCount     int64  `json:"row_count" doc:"Rows restored."`
	RowsExpected int64  `json:"rows_expected"`
	ContentHash  string `json:"content_hash" doc:"Hash of the restored rows."`
	ExpectedHash string `json:"expected_content_hash" doc:"Hash of the rows in the snapshot."`
	ContentEqual bool   `json:"content_equal"`
	ColumnsEqual bool   `json:"columns_equal" doc:"Whether the columns have the same names and types."`
	SchemaEqual  *bool  `json:"schema_equal" doc:"Whether keys, constraints and indexes are the same; null where the format does not have them."`
}

// Check reports a fault if the export is of a kind that can never be restored.
func Check(faults *problem.Faults, m *export.Manifest) {
	switch m.Kind {
	case export.SchemaExport:
		faults.Add("export_id", noRows)
	case export.RunExport:
		faults.Add("export_id", noTables)
	}
}

const noRows = "The export has no rows to restore: it contains only the schema."

const noTables = "The export is a bundle about a run, which has no tables to restore."

// Rehearse restores an artifact, which it reads once from the start. If the artifact
// cannot be restored, that is a result of the rehearsal and not an error. The manifest
// of a schema export is validation_failed.
func (s *Stage) Rehearse(ctx context.Context, artifact io.Reader, m *export.Manifest) (r Rehearsal, err error) {
	if m.Kind == export.SchemaExport || len(m.Tables) == 0 && m.Kind != export.DatabaseExport {
		return r, problem.Invalid("export_id", noRows)
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return r, err
	}
	defer leave()
	// For a copy of the artifact and a database of the same size. If the database is
	// larger, creating it fails when the disk is full.
	if err := s.config.Disk.Need(2 * *m.SizeBytes); err != nil {
		return r, err
	}
	began := time.Now()
	folder, err := os.MkdirTemp(s.config.Folder, "")
	if err != nil {
		return r, fmt.Errorf("make room for a rehearsal: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	r = Rehearsal{Tables: []Table{}, Faults: []string{}, Notes: []source.Note{}}
	err = s.restore(ctx, folder, artifact, m, &r)
	if known := (*problem.Error)(nil); errors.As(err, &known) && known.Code == problem.CodeValidationFailed {
		r.fault("The file cannot be restored: %s", reason(known))
		err = nil
	}
	r.Restorable = len(r.Faults) == 0
	r.DurationMS = time.Since(began).Milliseconds()
	return r, storage.Explain(err)
}

// reason returns the message of the problem's first detail.
func reason(err *problem.Error) string {
	if len(err.Details) > 0 {
		return err.Details[0].Message
	}
	return err.Message
}

// enter waits for its turn to run a rehearsal.
func (s *Stage) enter(ctx context.Context) (leave func(), err error) {
	patience := time.NewTimer(s.config.Patience)
	defer patience.Stop()
	select {
	case s.places <- struct{}{}:
		return func() { <-s.places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-patience.C:
		return nil, problem.New(problem.CodeBusy, "Other exports are being restored at the moment.").Retry(10 * time.Second)
	}
}

// restore imports the artifact in a folder, and compares the result.
func (s *Stage) restore(ctx context.Context, folder string, artifact io.Reader, m *export.Manifest, r *Rehearsal) (err error) {
	path := filepath.Join(folder, "artifact")
	sum, err := keep(ctx, path, artifact)
	if err != nil {
		return err
	}
	if sum != *m.SHA256 {
		r.fault("The SHA-256 of the file is %s, the manifest says %s.", sum, *m.SHA256)
		return nil
	}
	projects, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{Relaxed: true, Workers: s.config.Workers})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, projects.Close()) }()
	source, err := ingest.Open(ctx, source.Opening{
		Workers: projects.Workers(), Path: path, Name: m.DownloadName, Scratch: folder, Format: formatOf(m), MaxUnpacked: s.config.MaxUnpacked,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	return projects.Create(ctx, 1, func(db *projectdb.DB) error {
		report, err := source.Load(ctx, db, optionsFor(m))
		if err != nil {
			return err
		}
		r.Notes = append(r.Notes, report.Notes...)
		return r.compare(ctx, db, m, report)
	})
}

// keep writes content to a file and returns its SHA-256.
func keep(ctx context.Context, path string, content io.Reader) (sum string, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("keep a copy of an artifact: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, hash), source.UntilDone(ctx, content)); err != nil {
		return "", fmt.Errorf("keep a copy of an artifact: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
