package newformat

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/rehearsal"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

const magic = "%lines\n"

// lines is NDJSON after an extra first line.
type lines struct{ format.Encoder }

func (l lines) Head(dst []byte) []byte { return l.Encoder.Head(append(dst, magic...)) }

func linesTables(in format.Input, o format.Reading) ([]format.Table, error) {
	after := func(in format.Input) io.Reader { return io.NewSectionReader(in, int64(len(magic)), in.Size()) }
	t, err := format.ScanNDJSON(after(in))
	return []format.Table{{Name: o.Name, Open: func(in format.Input) (format.Rows, error) {
		r := format.NewNDJSONReader(after(in), t.Columns)
		return format.NewBatchRows(t.Columns, func(b *sqlite.Batch) (bool, error) { return r.Read(b, format.RowsPerBatch) }, r.Close), nil
	}}}, err
}

func TestMain(m *testing.M) {
	// The only line needed for a format.
	format.Add(&format.Format{Name: "lines", Title: "a file of lines", Ext: "lines", ContentType: "text/x-lines", Exports: format.OneTable | format.ZIPMember, NewEncoder: newLines, Magic: []string{magic}, Tables: linesTables})
	// A format that is only known by name.
	format.Add(&format.Format{Name: "scroll", Title: "a scroll", Ext: "scroll", Magic: []string{"%scroll"}, Advice: "Unroll it."})
	worker.Main()
	os.Exit(m.Run())
}

func newLines(columns []format.Column, _ format.WriteOptions) format.Encoder {
	return lines{format.NewNDJSON(columns, format.JSONOptions{})}
}

// house exports, rehearses and imports files.
type house struct {
	t       *testing.T
	workers *worker.Pool
	dir     *projectdb.Dir
	exports *export.Exports
	stage   *rehearsal.Stage
}

func newHouse(t *testing.T) *house {
	folder, h := t.TempDir(), &house{t: t}
	var err error
	must := func(failed error) {
		t.Helper()
		if failed != nil {
			t.Fatal(failed)
		}
	}
	h.workers, err = worker.Open(worker.Options{Folder: filepath.Join(folder, "workers")})
	must(err)
	h.dir, err = projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{Relaxed: true, Workers: h.workers})
	must(err)
	h.exports, err = export.Open(export.Config{
		Config:   jobs.Config{Database: filepath.Join(folder, "exports.db"), Folder: filepath.Join(folder, "exports"), Now: time.Now, Random: rand.Reader},
		Projects: h.dir,
	})
	must(err)
	h.exports.Start()
	t.Cleanup(func() { must(errors.Join(h.exports.Close(), h.dir.Close(), h.workers.Close())) })
	h.stage, err = rehearsal.Open(rehearsal.Config{Folder: filepath.Join(folder, "rehearsals"), Workers: h.workers})
	must(err)
	must(h.dir.Create(t.Context(), 1, func(db *projectdb.DB) error { return nil }))
	h.load("t.csv", "id,name\n1,Ada\n2,\n")
	return h
}

// load imports a file into the project.
func (h *house) load(name, content string) ingest.Report {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
	db, release, err := h.dir.Lease(h.t.Context(), 1)
	if err != nil {
		h.t.Fatal(err)
	}
	defer release()
	source, err := ingest.Open(h.t.Context(), source.Opening{Workers: h.workers, Path: path})
	if err != nil {
		h.t.Fatal(err)
	}
	defer source.Close()
	report, err := source.Load(h.t.Context(), db, ingest.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	return report
}

// export runs an export, and rehearses a restore of it if possible.
func (h *house) export(r export.Request) (*export.Manifest, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	r.Project = export.ProjectRef{ID: 1, Slug: "p"}
	m, err := h.exports.Create(ctx, new(problem.Faults), r)
	if err == nil {
		m, err = h.exports.Wait(ctx, 1, m.ID)
	}
	if err != nil {
		h.t.Fatalf("%s %s: %v", r.Kind, r.Format, err)
	}
	a, err := h.exports.Artifact(ctx, 1, m.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	defer a.File.Close()
	content, err := io.ReadAll(a.File)
	if err != nil {
		h.t.Fatal(err)
	}
	restored, err := h.stage.Rehearse(ctx, bytes.NewReader(content), &m)
	if err != nil || !restored.Restorable {
		h.t.Errorf("%s %s is not restored: %+v, %v", r.Kind, r.Format, restored, err)
	}
	return &m, string(content)
}

const written = magic + "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":null}\n"

func TestAFormatOfOneLineWorksEverywhere(t *testing.T) {
	h := newHouse(t)
	table := export.Request{Kind: export.TableExport, Table: "t", Format: "lines"}
	m, content := h.export(table)
	if content != written || m.ContentType != "text/x-lines" || m.DownloadName != "t.lines" {
		t.Errorf("got %q as %s, %s", content, m.DownloadName, m.ContentType)
	}
	if _, content := h.export(export.Request{Kind: export.QueryExport, SQL: "SELECT id, name FROM t", Format: "lines"}); content != written {
		t.Errorf("of a query: %q", content)
	}
	m, _ = h.export(export.Request{Kind: export.DatabaseExport, Format: "zip-lines"})
	if len(m.Members) != 1 || m.Members[0].Name != "t.lines" {
		t.Errorf("members %+v", m.Members)
	}
	table.Compression = "gzip"
	m, packed := h.export(table)
	if m.DownloadName != "t.lines.gz" {
		t.Errorf("compressed it is %s", m.DownloadName)
	}
	table.Project = export.ProjectRef{ID: 1, Slug: "p"}
	preflight, err := h.exports.DryRun(t.Context(), new(problem.Faults), table)
	if err != nil || strings.Join(preflight.Tables[0].Lines, "\n")+"\n" != written {
		t.Errorf("pre-flight %+v, %v", preflight, err)
	}
	for name, content := range map[string]string{"whatever.bin": written, "more.lines.gz": packed} {
		if report := h.load(name, content); report.Kind != "lines" || report.Tables[0].Rows != 2 {
			t.Errorf("imported %s: %+v", name, report)
		}
	}
	if all := format.All().Importing(); !slices.Contains(all, "lines") || slices.Contains(all, "scroll") {
		t.Errorf("what can be imported: %v", all)
	}
}

// TestWhatAFormatLacksIsRefused requests what the entries leave out.
func TestWhatAFormatLacksIsRefused(t *testing.T) {
	h := newHouse(t)
	for _, r := range []export.Request{
		{Kind: export.DatabaseExport, Format: "lines"},
		{Kind: export.SchemaExport, Format: "lines"},
		{Kind: export.TableExport, Table: "t", Format: "scroll"},
		{Kind: export.DatabaseExport, Format: "zip-scroll"},
	} {
		r.Project = export.ProjectRef{ID: 1, Slug: "p"}
		if _, err := h.exports.Create(t.Context(), new(problem.Faults), r); err == nil || !strings.Contains(err.Error(), "format: Must be one of") {
			t.Errorf("%s as %s: %v", r.Kind, r.Format, err)
		}
	}
	for _, asked := range []string{"lines", "scroll"} {
		var faults problem.Faults
		o := ingest.Options{Format: asked}
		if o.Check(&faults); faults.Any() != (asked == "scroll") {
			t.Errorf("import as %s: %v", asked, faults.Err())
		}
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("%scroll of old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ingest.Open(t.Context(), source.Opening{Workers: h.workers, Path: path})
	if err == nil || !strings.Contains(err.Error(), "The file is a scroll, which cannot be imported. Unroll it.") {
		t.Errorf("a format that is only known: %v", err)
	}
}
