package export

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Beside each artifact is a manifest, the sidecar: all that the job store knows about
// a ready export. It is durable before the job store says ready, so that a lost store
// can be restored; no artifact is ever removed because a store is missing.

// sidecar is the content of that file. Its JSON names must not change.
type sidecar struct {
	ProjectID ids.Project    `json:"project_id"`
	Life      int64          `json:"life_ms"`
	Finished  int64          `json:"settled_ms"`
	Expires   int64          `json:"expires_ms"`
	Ext       string         `json:"ext"`
	Store     string         `json:"store"`
	Spec      jsontext.Value `json:"work"`
	TableIDs  []ids.Table    `json:"table_ids"`
	Manifest  Manifest       `json:"manifest"`
}

// writeSidecar makes the sidecar of a ready export durable.
func (e *Exports) writeSidecar(r *record) error {
	text, err := r.texts()
	if err != nil {
		return err
	}
	content, err := json.Marshal(sidecar{
		ProjectID: r.projectID, Life: r.life.Milliseconds(), Finished: r.finished.UnixMilli(), Expires: r.expires.UnixMilli(),
		Ext: r.ext, Store: r.store, Spec: jsontext.Value(text.spec), TableIDs: r.manifest.TableIDs, Manifest: r.manifest,
	})
	if err != nil {
		return fmt.Errorf("encode the sidecar of %s: %w", r.manifest.ID, err)
	}
	return e.artifacts.WriteManifest(r.ref(), content)
}

// parseSidecar returns the record that a sidecar describes, and checks that the sidecar
// is in the place of that record.
func parseSidecar(dir artifact.Dir, path string, content []byte) (*record, error) {
	var n sidecar
	if err := json.Unmarshal(content, &n); err != nil {
		return nil, fmt.Errorf("read the sidecar %s: %w", path, err)
	}
	r := &record{
		projectID: n.ProjectID, life: time.Duration(n.Life) * time.Millisecond, ext: n.Ext, store: n.Store, manifest: n.Manifest,
		finished: time.UnixMilli(n.Finished), expires: time.UnixMilli(n.Expires),
	}
	r.manifest.TableIDs = n.TableIDs
	if err := json.Unmarshal(n.Spec, &r.spec); err != nil {
		return nil, fmt.Errorf("read the sidecar %s: %w", path, err)
	}
	if dir.ManifestPath(r.ref()) != path || r.manifest.Status != Ready || r.manifest.SizeBytes == nil {
		return nil, fmt.Errorf("the sidecar %s does not belong to a ready export of its project", path)
	}
	return r, nil
}

// Sidecar is what the manifest beside an artifact says about it.
type Sidecar struct {
	ProjectID ids.Project
	Manifest  Manifest
	Artifact  string // its path; "" if it is in a bucket
}

// Sidecars reads the manifests in a directory of artifacts. errs reports those that
// cannot be read.
func Sidecars(path string) (list []Sidecar, errs []error) {
	dir := artifact.Dir{Projects: disk.Projects{Path: path}}
	err := dir.EachManifest(func(path string, content []byte) error {
		r, err := parseSidecar(dir, path, content)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		s := Sidecar{ProjectID: r.projectID, Manifest: r.manifest}
		if r.store == "" {
			s.Artifact = dir.Path(r.ref())
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		errs = append(errs, err)
	}
	return list, errs
}

// adopt restores a new job store from the sidecars. Files without a sidecar are moved
// to where nothing removes them.
func (e *Exports) adopt(ctx context.Context) error {
	adopted, kept := 0, map[string]bool{}
	dir := e.artifacts.Dir
	err := dir.EachManifest(func(path string, content []byte) error {
		r, err := parseSidecar(dir, path, content)
		switch {
		case err != nil:
			e.log.Error("adopt an artifact", "error", err)
			return nil
		case r.store == "" && !dir.Exists(r.ref()):
			return nil
		}
		kept[path], kept[dir.Path(r.ref())] = true, true
		adopted++
		return e.jobs.adopt(ctx, r)
	})
	if err != nil {
		return fmt.Errorf("adopt artifacts whose job store is lost: %w", err)
	}
	lost, err := dir.LoseOthers(kept)
	if adopted+lost > 0 {
		e.log.Warn("exports.db was missing or damaged: artifacts were adopted from the manifests beside them", "artifacts", adopted, "files_without_a_manifest", lost)
	}
	return err
}

// adopt enters a ready export from its sidecar.
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
