package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Beside each artifact lies a note, <export id>.manifest: all that the job store says
// of a ready export. It is on the disk before the job store says ready, so that a job store
// that is lost can be written again; no artifact is ever removed for the lack of a
// job store.

// note is what is kept of a ready export.
type note struct {
	ProjectID int64          `json:"project_id"`
	Life      int64          `json:"life_ms"`
	Settled   int64          `json:"settled_ms"`
	Expires   int64          `json:"expires_ms"`
	Ext       string         `json:"ext"`
	Store     string         `json:"store"`
	Spec      jsontext.Value `json:"work"`
	TableIDs  []int64        `json:"table_ids"`
	Manifest  Manifest       `json:"manifest"`
}

const noteExt = "manifest"

func (d dir) note(r *record) string {
	return filepath.Join(d.Of(r.projectID), r.manifest.ID+"."+noteExt)
}

// writeNote brings the note of a ready export to the disk.
func (d dir) writeNote(r *record) error {
	text, err := r.texts()
	if err != nil {
		return err
	}
	content, err := json.Marshal(note{
		ProjectID: r.projectID, Life: r.life.Milliseconds(), Settled: r.finished.UnixMilli(), Expires: r.expires.UnixMilli(),
		Ext: r.ext, Store: r.store, Spec: jsontext.Value(text.spec), TableIDs: r.manifest.TableIDs, Manifest: r.manifest,
	})
	if err != nil {
		return fmt.Errorf("encode the note of %s: %w", r.manifest.ID, err)
	}
	if err := disk.WriteFile(d.note(r), content); err != nil {
		return fmt.Errorf("write the note of %s: %w", r.manifest.ID, err)
	}
	return nil
}

// readNote reads a note, whose place must be that of the export it is about.
func (d dir) readNote(path string) (*record, error) {
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
		finished: time.UnixMilli(n.Settled), expires: time.UnixMilli(n.Expires),
	}
	r.manifest.TableIDs = n.TableIDs
	if err := json.Unmarshal(n.Spec, &r.spec); err != nil {
		return nil, fmt.Errorf("read the note %s: %w", path, err)
	}
	if d.note(r) != path || r.manifest.Status != Ready || r.manifest.SizeBytes == nil {
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
	d := dir{disk.Projects{Path: path}}
	err := d.Each(func(path string) error {
		if filepath.Ext(path) != "."+noteExt {
			return nil
		}
		r, err := d.readNote(path)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		n := Noted{ProjectID: r.projectID, Manifest: r.manifest}
		if r.store == "" {
			n.Artifact = d.artifact(r)
		}
		list = append(list, n)
		return nil
	})
	if err != nil {
		errs = append(errs, err)
	}
	return list, errs
}

// adopt enters into a new job store what the notes tell. Files that no note is about
// are moved into the folder lost, where nothing removes them.
func (e *Exports) adopt(ctx context.Context) error {
	adopted, kept := 0, map[string]bool{}
	err := e.dir.Each(func(path string) error {
		if filepath.Ext(path) != "."+noteExt {
			return nil
		}
		r, err := e.dir.readNote(path)
		switch {
		case err != nil:
			e.log.Error("take an artifact up without the job store", "error", err)
			return nil
		case r.store == "" && !e.dir.exists(r):
			return nil
		}
		kept[path], kept[e.dir.artifact(r)] = true, true
		adopted++
		return e.jobs.adopt(ctx, r)
	})
	if err != nil {
		return fmt.Errorf("take artifacts up without the jobs: %w", err)
	}
	lost := 0
	err = e.dir.Each(func(path string) error {
		if kept[path] || strings.HasSuffix(path, ".part") {
			return nil
		}
		lost++
		return e.dir.Lose(path)
	})
	if adopted+lost > 0 {
		e.log.Warn("exports.db was not there: artifacts were taken up from the notes beside them", "artifacts", adopted, "files_without_a_note", lost)
	}
	return err
}

// adopt enters a ready export as its note has it.
func (st jobStore) adopt(ctx context.Context, r *record) error {
	text, err := r.texts()
	if err != nil {
		return err
	}
	return st.Write(ctx, "take up the export "+r.manifest.ID, func(c *sqlite.Conn) error {
		return c.Exec(`
INSERT OR IGNORE INTO exports (id, project_id, root, status, life, settled_at, expires_at, ext, store, work, table_ids, manifest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.manifest.ID, r.projectID, r.projectID, string(Ready), r.life.Milliseconds(), jobs.TimeValue(r.finished), jobs.TimeValue(r.expires),
			r.ext, r.store, text.spec, text.tableIDs, text.manifest)
	})
}

// removeNote removes the note of an export. One that does not exist is not an error.
func (d dir) removeNote(r *record) error {
	if err := disk.RemoveFile(d.note(r)); err != nil {
		return fmt.Errorf("remove the note of an artifact: %w", err)
	}
	return nil
}
