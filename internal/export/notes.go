package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Beside each artifact lies a note, <export id>.manifest: all that the book says
// of a ready export. It is on the disk before the book says ready, so that a book
// that is lost can be written again; no artifact is ever removed for the lack of a
// book.

// note is what is kept of a ready export.
type note struct {
	ProjectID int64          `json:"project_id"`
	Life      int64          `json:"life_ms"`
	Settled   int64          `json:"settled_ms"`
	Expires   int64          `json:"expires_ms"`
	Ext       string         `json:"ext"`
	Store     string         `json:"store"`
	Work      jsontext.Value `json:"work"`
	TableIDs  []int64        `json:"table_ids"`
	Manifest  Manifest       `json:"manifest"`
}

const noteExt = "manifest"

func (f folder) note(r *record) string {
	return filepath.Join(f.of(r.projectID), r.manifest.ID+"."+noteExt)
}

// writeNote brings the note of a ready export to the disk.
func (f folder) writeNote(r *record) error {
	work, err := json.Marshal(r.work, json.FormatNilSliceAsNull(true))
	if err != nil {
		return fmt.Errorf("encode the work of %s: %w", r.manifest.ID, err)
	}
	content, err := json.Marshal(note{
		ProjectID: r.projectID, Life: r.life.Milliseconds(), Settled: r.settled.UnixMilli(), Expires: r.expires.UnixMilli(),
		Ext: r.ext, Store: r.store, Work: work, TableIDs: r.manifest.TableIDs, Manifest: r.manifest,
	})
	if err != nil {
		return fmt.Errorf("encode the note of %s: %w", r.manifest.ID, err)
	}
	if err := disk.WriteFile(f.note(r), content); err != nil {
		return fmt.Errorf("write the note of %s: %w", r.manifest.ID, err)
	}
	return nil
}

// readNote reads a note, whose place must be that of the export it is about.
func (f folder) readNote(path string) (*record, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var n note
	if err := json.Unmarshal(content, &n); err != nil {
		return nil, fmt.Errorf("read the note %s: %w", path, err)
	}
	r := &record{
		projectID: n.ProjectID, life: time.Duration(n.Life) * time.Millisecond, ext: n.Ext, store: n.Store, manifest: n.Manifest,
		settled: time.UnixMilli(n.Settled), expires: time.UnixMilli(n.Expires),
	}
	r.manifest.TableIDs = n.TableIDs
	if err := json.Unmarshal(n.Work, &r.work); err != nil {
		return nil, fmt.Errorf("read the note %s: %w", path, err)
	}
	if f.note(r) != path || r.manifest.Status != Ready || r.manifest.SizeBytes == nil {
		return nil, fmt.Errorf("the note %s is not that of a ready export of its project", path)
	}
	return r, nil
}

// Noted is a ready export as the note beside its artifact has it.
type Noted struct {
	ProjectID int64
	Manifest  Manifest
	Artifact  string // its path; "" for one in a bucket
}

// Notes reads the notes in a folder of exports. What cannot be read as one is
// among the errors.
func Notes(path string) (list []Noted, errs []error) {
	f := folder{path}
	err := f.eachFile(func(path string) error {
		if filepath.Ext(path) != "."+noteExt {
			return nil
		}
		r, err := f.readNote(path)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		n := Noted{ProjectID: r.projectID, Manifest: r.manifest}
		if r.store == "" {
			n.Artifact = f.artifact(r)
		}
		list = append(list, n)
		return nil
	})
	if err != nil {
		errs = append(errs, err)
	}
	return list, errs
}

// eachFile calls fn with the path of each file in the folders of projects.
func (f folder) eachFile(fn func(path string) error) error {
	projects, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, project := range projects {
		if _, err := strconv.ParseInt(project.Name(), 10, 64); err != nil {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(f.path, project.Name()))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := fn(filepath.Join(f.path, project.Name(), entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// adopt enters into a new book what the notes tell. Files that no note is about
// are moved into the folder lost, where nothing removes them.
func (e *Exports) adopt(ctx context.Context) error {
	adopted, kept := 0, map[string]bool{}
	err := e.folder.eachFile(func(path string) error {
		if filepath.Ext(path) != "."+noteExt {
			return nil
		}
		r, err := e.folder.readNote(path)
		switch {
		case err != nil:
			e.log.Error("take an artifact up without the book", "error", err)
			return nil
		case r.store == "" && !e.folder.exists(r):
			return nil
		}
		kept[path], kept[e.folder.artifact(r)] = true, true
		adopted++
		return e.book.adopt(ctx, r)
	})
	if err != nil {
		return fmt.Errorf("take artifacts up without the book: %w", err)
	}
	lost := 0
	err = e.folder.eachFile(func(path string) error {
		if kept[path] || strings.HasSuffix(path, ".part") {
			return nil
		}
		lost++
		return e.folder.loseFile(path)
	})
	if adopted+lost > 0 {
		e.log.Warn("the book of exports was not there: artifacts were taken up from the notes beside them", "artifacts", adopted, "files_without_a_note", lost)
	}
	return err
}

// loseFile moves a file that nothing is known about to where it stays.
func (f folder) loseFile(path string) error {
	to := filepath.Join(f.path, "lost", filepath.Base(filepath.Dir(path)))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(to, filepath.Base(path)))
}

// adopt enters a ready export as its note has it.
func (b book) adopt(ctx context.Context, r *record) error {
	work, err := json.Marshal(r.work, json.FormatNilSliceAsNull(true))
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(r.manifest)
	if err != nil {
		return err
	}
	tableIDs, err := json.Marshal(r.manifest.TableIDs)
	if err != nil {
		return err
	}
	return b.Write(ctx, "take up the export "+r.manifest.ID, func(c *sqlite.Conn) error {
		return c.Exec(`
INSERT OR IGNORE INTO exports (id, project_id, root, status, life, settled_at, expires_at, ext, store, work, table_ids, manifest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.manifest.ID, r.projectID, r.projectID, string(Ready), r.life.Milliseconds(), jobs.Moment(r.settled), jobs.Moment(r.expires),
			r.ext, r.store, string(work), string(tableIDs), string(manifest))
	})
}

// removeNote removes the note of an export. One that is not there is no fault.
func (f folder) removeNote(r *record) error {
	if err := os.Remove(f.note(r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the note of an artifact: %w", err)
	}
	return nil
}
