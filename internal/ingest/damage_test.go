package ingest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/testkit"
)

// samples returns files of every kind with the same tables.
func samples(t *testing.T) map[string]string {
	t.Helper()
	x := newExporter(t)
	original := x.project(1)
	original.mustTake(t, database(t, shopScript+`
WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i < 400) INSERT INTO customers SELECT i, 'name' || i, i / 3.0 FROM n;`))
	csv := "id,name,score\n" + strings.Repeat("1,\"Ada, L.\",1.5\n2,Zoë,\n", 100)
	list := map[string]string{
		"csv": csv, "utf16.csv": utf16LE(csv), "csv.gz": gzipped(t, strings.NewReader(csv)), "csv.zst": zstdOf(t, csv),
		"ndjson": strings.Repeat(`{"id":1,"name":"Ada\n","score":1.5}`+"\n", 50),
		"json":   "[" + strings.Repeat(`{"id":1,"name":"Ada","score":[1,2]},`, 50) + `{"id":2}]`,
		"zip":    zipped(t, "a.csv", csv, "b.ndjson", `{"a":1}`),
	}
	for _, form := range []string{"sqlite", "sql", "json", "archive", "zip-csv", "zip-parquet"} {
		list["export "+form] = readAll(t, x.file(export.Request{Format: form}))
	}
	ctx := t.Context()
	for _, form := range []string{"xlsx", "parquet"} {
		m, err := x.Create(ctx, new(problem.Faults), export.Request{Project: export.ProjectRef{ID: 1, Slug: "p1"}, Kind: export.TableExport, Table: "customers", Format: form})
		if err == nil {
			m, err = x.Wait(ctx, 1, m.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		a, err := x.Artifact(ctx, 1, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		list[form] = readAll(t, a.File.(*os.File).Name())
		a.File.Close()
	}
	return list
}

func utf16LE(text string) string {
	out := "\xff\xfe"
	for _, r := range text {
		out += string([]byte{byte(r), byte(r >> 8)})
	}
	return out
}

// TestDamagedFilesOfEveryKind truncates files of every kind in many places and changes
// bytes in them. Each is imported as a whole or refused promptly with a message, and
// leaves nothing behind.
func TestDamagedFilesOfEveryKind(t *testing.T) {
	cuts, flips := testkit.Scale(5, 20), testkit.Scale(4, 20)
	for name, content := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, uint64(len(content))))
			takeDamaged(t, name, content, true)
			for i := range cuts {
				takeDamaged(t, fmt.Sprintf("%s cut %d", name, i), content[:len(content)*i/cuts], false)
			}
			takeDamaged(t, name+" lacks its last byte", content[:len(content)-1], false)
			for i := range flips {
				changed := []byte(content)
				for range 1 + i/4 {
					// Most structure is at the beginning and the end.
					at := random.IntN(len(changed))
					switch i % 4 {
					case 1:
						at = random.IntN(min(len(changed), 200))
					case 2:
						at = len(changed) - 1 - random.IntN(min(len(changed), 200))
					}
					changed[at] = byte(random.IntN(256))
				}
				takeDamaged(t, fmt.Sprintf("%s change %d", name, i), string(changed), false)
			}
		})
	}
}

func takeDamaged(t *testing.T, name, content string, sound bool) {
	t.Helper()
	scratch := t.TempDir()
	path := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProject(t)
	start := time.Now()
	source, err := Open(t.Context(), source.Opening{Workers: workers, Path: path, Scratch: scratch, MaxUnpacked: 64 << 20})
	if err == nil {
		if _, err := source.Preview(t.Context(), nil, Options{}); err != nil && !refused(err) {
			t.Errorf("%s: the preview ends with %v", name, err)
		}
		_, err = source.Load(t.Context(), p.DB, Options{})
		if err := source.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err != nil && (sound || !refused(err)) {
		t.Errorf("%s: %v", name, err)
	}
	if tables := mustTables(t, p); err != nil && len(tables) > 0 {
		t.Errorf("%s: it failed, and there are tables", name)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("%s: there is something left: %v, %v", name, left, err)
	}
	if took := time.Since(start); took > testkit.Slack {
		t.Errorf("%s: it took %s", name, took)
	}
}

// refused reports whether an error is meant for the sender of the file.
func refused(err error) bool {
	return problem.Is(err, problem.CodeValidationFailed) || problem.Is(err, problem.CodeConflict)
}
