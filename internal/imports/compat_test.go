package imports

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestMigrationsNeverChange fails if a published migration changes, because existing
// data folders were made by it. A new migration gets a new line.
func TestMigrationsNeverChange(t *testing.T) {
	testkit.Unchanged(t, schema.Migrations, "cf54961f3f1b796f", "f61afb6acc012f62", "3ad5eba4a53c9fa0", "2e2942f18167777a", "082d0158fee5e4a7")
}

// TestOldFormsAreRead reads an import in the form that earlier versions wrote, and
// writes it back.
func TestOldFormsAreRead(t *testing.T) {
	const (
		work     = `{"TableID":7,"NewProject":{"Slug":"new","Name":"New","Username":"ada","PasswordHash":"x"},"SHA256":"ab","Keyed":{"TokenID":1,"Key":"k","Request":"AQ=="},"Metadata":"m"}`
		manifest = `{"id":"imp_1","kind":"project_import","project":"shop","status":"failed","size_bytes":9,"options":{"mode":"append","on_error":"skip"},"error":"no","error_code":"conflict","error_details":[]}`
	)
	f := newFixture(t, t.TempDir())
	err := f.jobs.Write(t.Context(), "enter an old import", func(c *sqlite.Conn) error {
		return c.Exec(`INSERT INTO imports (id, project_id, status, settled_at, resumable, held, work, rejects, manifest)
			VALUES ('imp_1', 1, 'failed', 1780338225000, 1, 9, ?, '[{"line":2,"message":"no"}]', ?)`, work, manifest)
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.jobs.change(t.Context(), 1, "imp_1", func(*sqlite.Conn, *record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := spec{
		TableID: 7, NewProject: &NewProject{"new", "New", "ada", "x"}, SHA256: "ab",
		Keyed: &jobs.Receipt{TokenID: 1, Key: "k", Request: []byte{1}}, Metadata: "m",
	}
	if diff := cmp.Diff(want, r.spec); diff != "" {
		t.Errorf("the spec (-want +got):\n%s", diff)
	}
	if r.finished.UnixMilli() != 1780338225000 || r.manifest.Options.Mode != "append" || r.manifest.Options.OnError != "skip" || *r.manifest.ErrorCode != "conflict" {
		t.Errorf("the record is %+v", r)
	}
	if rejects, err := f.Rejects(t.Context(), 1, "imp_1"); err != nil || len(rejects) != 1 {
		t.Errorf("the rejects are %v, %v", rejects, err)
	}
	text := ""
	err = f.jobs.Read(t.Context(), "read it", func(c *sqlite.Conn) (err error) {
		text, err = c.Text("SELECT work FROM imports WHERE id = 'imp_1'")
		return err
	})
	if err != nil || text != work {
		t.Errorf("it is written as %s, %v", text, err)
	}
}
