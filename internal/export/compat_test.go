package export

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/artifact"
	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestMigrationsNeverChange fails if a published migration changes, because existing
// data folders were made by it. A new migration gets a new line.
func TestMigrationsNeverChange(t *testing.T) {
	testkit.Unchanged(t, schema.Migrations, "9bc55f4ba5428e66", "5f695213dbd92d3c", "522185f4f5611212", "d69b0fbe2e93f697", "c1ca7b65b8f90a07", "7a27338a2929292d")
}

const (
	oldSpec     = `{"Tables":[1],"Excluded":null,"Selections":{"1":{"Columns":["a"],"Limit":7}},"SQL":"SELECT 1","Params":[2],"Readable":null,"Dialect":{"delimiter":";"},"Dialects":null,"Compress":"gzip","Canonical":true,"Split":false}`
	oldManifest = `{"id":"exp_20260601_182345_a1b2c3d4e5","kind":"table_export","project":"shop","format":"csv","status":"ready","size_bytes":9,"tables":[],"progress":{"rows_done":3},"created_at":"2026-06-01T18:23:45Z"}`
	oldSidecar  = `{"project_id":1,"life_ms":86400000,"settled_ms":1780338225000,"expires_ms":1780424625000,"ext":"csv.gz","store":"s3://b","work":` + oldSpec + `,"table_ids":[1],"manifest":` + oldManifest + `}`
)

// oldRecord checks that r is the record that the old forms describe.
func oldRecord(t *testing.T, r *record) {
	t.Helper()
	want := spec{
		Tables: []ids.Table{1}, Selections: map[ids.Table]projectdb.Selection{1: {Columns: []string{"a"}, Limit: 7}}, SQL: "SELECT 1", Params: []byte("[2]"),
		Dialect: &format.Dialect{Delimiter: ";"}, Compress: "gzip", Canonical: true,
	}
	if diff := cmp.Diff(want, r.spec, cmp.AllowUnexported(projectdb.Selection{})); diff != "" {
		t.Errorf("the spec (-want +got):\n%s", diff)
	}
	if r.manifest.ID != "exp_20260601_182345_a1b2c3d4e5" || r.manifest.Kind != TableExport || *r.manifest.SizeBytes != 9 || r.manifest.Progress.RowsDone != 3 || !cmp.Equal(r.manifest.TableIDs, []ids.Table{1}) {
		t.Errorf("the manifest is %+v", r.manifest)
	}
	if r.life != 24*time.Hour || r.expires.UnixMilli() != 1780424625000 || r.finished.UnixMilli() != 1780338225000 || r.ext != "csv.gz" || r.store != "s3://b" {
		t.Errorf("the record is %+v", r)
	}
}

// TestOldFormsAreRead reads a record and a sidecar in the forms that earlier versions
// wrote.
func TestOldFormsAreRead(t *testing.T) {
	dir := artifact.Dir{Projects: disk.Projects{Path: t.TempDir()}}
	r, err := parseSidecar(dir, filepath.Join(dir.Of(1), "exp_20260601_182345_a1b2c3d4e5.manifest"), []byte(oldSidecar))
	if err != nil {
		t.Fatal(err)
	}
	oldRecord(t, r)
	f := newFixture(t, t.TempDir())
	err = f.jobs.Write(background, "enter an old export", func(c *sqlite.Conn) error {
		return c.Exec(`INSERT INTO exports (id, project_id, status, life, settled_at, expires_at, ext, store, work, table_ids, manifest)
			VALUES ('exp_20260601_182345_a1b2c3d4e5', 1, 'ready', 86400000, 1780338225000, 1780424625000, 'csv.gz', 's3://b', ?, '[1]', ?)`, oldSpec, oldManifest)
	})
	if err == nil {
		r, err = f.jobs.Find(background, 1, "exp_20260601_182345_a1b2c3d4e5")
	}
	if err != nil {
		t.Fatal(err)
	}
	oldRecord(t, r)
}
