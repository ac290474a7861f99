package source

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// raw returns a ZIP file of one member with the given header.
func raw(t testing.TB, header zip.FileHeader, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header.CRC32 = cmpOr(header.CRC32, crc32.ChecksumIEEE([]byte(content)))
	header.CompressedSize64, header.UncompressedSize64 = uint64(len(content)), uint64(len(content))
	m, err := w.CreateRaw(&header)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(m, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func cmpOr(a, b uint32) uint32 {
	if a != 0 {
		return a
	}
	return b
}

// opened unpacks a file and describes its contents.
func opened(t testing.TB, name, content string, most int64) (got []string, err error) {
	t.Helper()
	parent := t.TempDir()
	s, err := newScratch(Opening{Workers: workers, Scratch: parent, MaxUnpacked: most})
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, name, content)
	c, err := s.unpackContents(context.Background(), path, name, "")
	if err == nil {
		used := len(c.files)
		if c.db != nil {
			used = 1
			got = append(got, c.format.Name+" database")
			c.db.Close()
		}
		if left, err := os.ReadDir(s.folder); err != nil || len(left) > used {
			t.Errorf("%s: %d files are kept, %d used: %v", name, len(left), used, err)
		}
		for _, p := range c.files {
			content, err := os.ReadFile(p.path)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.format.Name+" "+string(p.format.Name)+" "+p.name+" "+string(content))
		}
		got = append(got, texts(c.notes)...)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("there is something left: %v, %v", left, err)
	}
	return got, err
}

const dumpText = "CREATE TABLE t (a);\nINSERT INTO t VALUES (1);\n"

func TestWhatIsAroundAFileIsUndone(t *testing.T) {
	wal, err := os.ReadFile(database(t, "PRAGMA journal_mode = WAL; CREATE TABLE t (a);"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, content string
		want          []string
	}{
		{"x.csv", "a,b\n1,2\n", []string{"csv csv x.csv a,b\n1,2\n"}},
		{"x.csv.gz", gzipped(t, strings.NewReader("a,b\n")), []string{"csv csv x.csv a,b\n"}},
		{"x.csv", zstdOf(t, "a,b\n"), []string{"csv csv x.csv a,b\n"}},
		{"x.ndjson.gz.zst", zstdOf(t, gzipped(t, strings.NewReader(`{"a":1}`))), []string{`ndjson ndjson x.ndjson {"a":1}`}},
		{"two.gz", gzipped(t, strings.NewReader("a,b\n")) + gzipped(t, strings.NewReader("1,2\n")), []string{"csv csv two a,b\n1,2\n"}},
		{"x.sql.gz", gzipped(t, strings.NewReader(dumpText)), []string{"sql database"}},
		{"x.sql", dumpText, []string{"sql database"}},
		{"x.json", `{"project":"p","tables":{}}`, []string{"json database", "file: A JSON file does not describe indexes, foreign keys, checks and generated columns: none were created."}},
		{"x.json", `[{"a":1}]`, []string{`json json x.json [{"a":1}]`}},
		{"x.json", `{"tables":1}`, []string{`ndjson ndjson x.json {"tables":1}`}},
		{"x.db.gz", gzipped(t, bytes.NewReader(wal)), []string{"sqlite database", "file: It is in write-ahead mode and came without its log (the file ending in -wal). Rows that were only in the log are missing."}},
		{"x.sql.gz.zst", zstdOf(t, gzipped(t, strings.NewReader(dumpText))), []string{"sql database"}},
		{"x.zip", zipped(t, "x.sql.gz.zst", zstdOf(t, gzipped(t, strings.NewReader(dumpText)))), []string{"zip database"}},
		{"x.zip", zipped(t, "x.sql", dumpText), []string{"zip database"}},
		{"x.zip", zipped(t, "folder/", "", "folder/Orders.csv", "a,b\n", "b.ndjson.gz", gzipped(t, strings.NewReader(`{"a":1}`)),
			"README.md", "hello", "__MACOSX/._x", "?", "folder/.DS_Store", "?", "SHA256SUMS", "?"),
			[]string{"zip csv Orders.csv a,b\n", `zip ndjson b.ndjson {"a":1}`,
				"member README.md: It describes others and was not imported.", "member SHA256SUMS: It describes others and was not imported."}},
		{"x.zip.gz", gzipped(t, strings.NewReader(zipped(t, "a.csv", "a,b\n"))), []string{"zip csv a.csv a,b\n"}},
		{"old.zip", raw(t, zip.FileHeader{Name: "\x81ber.csv", NonUTF8: true}, "a,b\n"), []string{"zip csv über.csv a,b\n"}},
	} {
		got, err := opened(t, test.name, test.content, 0)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestHostileContainersAreRefused(t *testing.T) {
	csv := gzipped(t, strings.NewReader("a,b\n"))
	honest := zipped(t, "a.csv", "a,b\n")
	link := zip.FileHeader{Name: "a.csv"}
	link.SetMode(fs.ModeSymlink | 0o777)
	for _, test := range []struct{ name, content, want string }{
		{"three", gzipped(t, strings.NewReader(gzipped(t, strings.NewReader(csv)))), "The file is compressed more than 2 times over."},
		{"cut gzip", csv[:len(csv)-3], "The file was cut short: its gzip data ends too early."},
		{"cut gzip head", csv[:5], "The file was cut short: its gzip data ends too early."},
		{"bad gzip", csv[:len(csv)-7] + "x" + csv[len(csv)-6:], "The file is damaged: its gzip data cannot be unpacked."},
		{"gzip and more", csv + "more and more and more", "The file is damaged: its gzip data cannot be unpacked."},
		{"bad zstd", "\x28\xb5\x2f\xfdxxxxxxxxxxxxx", "its zstd data"},
		{"cut zstd", zstdOf(t, "a,b\n1,2\n")[:9], "its zstd data"},
		{"empty gzip", gzipped(t, strings.NewReader("")), "The file is empty."},
		{"zip in zip", zipped(t, "a.csv", "a,b\n", "inner.zip", honest), `The member "inner.zip" is a ZIP file itself`},
		{"zip in zip alone", zipped(t, "inner.zip", honest), `The member "inner.zip" is a ZIP file itself`},
		{"zip in gzip in zip", zipped(t, "inner.zip.gz", gzipped(t, strings.NewReader(honest))), `The member "inner.zip.gz" is a ZIP file itself`},
		{"cut zip", honest[:len(honest)-30], "the list of its members cannot be read"},
		{"only the head", honest[:30], "the list of its members cannot be read"},
		{"empty zip", zipped(t), "The ZIP file is empty."},
		{"no data", zipped(t, "README", "x", ".hidden", "x"), "The ZIP file contains no data."},
		{"twice", zipped(t, "a.csv", "a,b\n", "a.csv", "c,d\n"), `The ZIP file has two members named "a.csv".`},
		{"up", zipped(t, "../../etc/a.csv", "a,b\n"), `The member "../../etc/a.csv" has a name that leads out of the ZIP file.`},
		{"inside up", zipped(t, "x/../../a.csv", "a,b\n"), "leads out of"},
		{"absolute", zipped(t, "/etc/a.csv", "a,b\n"), "leads out of"},
		{"windows", zipped(t, `..\a.csv`, "a,b\n"), "leads out of"},
		{"drive", zipped(t, `C:a.csv`, "a,b\n"), "leads out of"},
		{"nul", zipped(t, "a\x00.csv", "a,b\n"), "contains a NUL character"},
		{"link", raw(t, link, "/etc/passwd"), `The member "a.csv" is not a file but a link or the like.`},
		{"encrypted", raw(t, zip.FileHeader{Name: "a.csv", Flags: 1}, "xxxxxxxxxxxxxxxx"), `The member "a.csv" is encrypted.`},
		{"method", raw(t, zip.FileHeader{Name: "a.csv", Method: 12}, "xxxx"), "compressed by an unknown method"},
		{"checksum", raw(t, zip.FileHeader{Name: "a.csv", CRC32: 7}, "a,b\n"), `The member "a.csv" is damaged: its checksum does not match.`},
		{"deflate", raw(t, zip.FileHeader{Name: "a.csv", Method: zip.Deflate}, "\xff\xff\xff"), `The member "a.csv" `},
		{"mixed", zipped(t, "a.csv", "a,b\n", "b.sql", dumpText), `The member "b.sql" is a whole database; such a file must be the only one in a ZIP file.`},
		{"picture", zipped(t, "a.png", "\x89PNG\r\n\x1a\n"), `In the member "a.png": The file is a PNG image.`},
		{"big checksums", zipped(t, "data.sqlite", "x", "schema.json", "{}", "SHA256SUMS", strings.Repeat(" ", mostDescribed+1)), `The member "SHA256SUMS" of the archive is larger than 67108864 bytes.`},
		{"unknown", "\x00\x01\x02", "Send a CSV file, a JSON file, an NDJSON file, an Excel workbook, a Parquet file, a SQLite database, an SQL dump, a ZIP file or an archive of a project. A database must not be encrypted."},
		{"bad dump", zipped(t, "a.sql", "CREATE TABLE t (a);\nnonsense;"), `In the member "a.sql": Line 2: SQLite says`},
	} {
		_, err := opened(t, test.name, test.content, 0)
		if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v\nwant %s", test.name, err, test.want)
		}
	}
}

// zeros is an endless reader of zeros, which compress best.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBombsAreRefused(t *testing.T) {
	const size = 256 << 20
	bomb := gzipped(t, io.LimitReader(zeros{}, size))
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	m, err := w.Create("zeros.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(m, io.LimitReader(zeros{}, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, content string
		most          int64
		want          string
	}{
		{"gzip", bomb, 0, "unpacks to more than 1000 times its size"},
		{"zip", b.String(), 0, "unpacks to more than 1000 times its size"},
		{"limit", bomb, 10 << 20, "The file unpacks to more than 10485760 bytes, which is the limit."},
		{"limit in all", zipped(t, "a.csv", strings.Repeat("a", 6<<20), "b.csv", strings.Repeat("b", 6<<20)), 10 << 20, "more than 10485760 bytes"},
	} {
		start := time.Now()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := opened(t, test.name, test.content, test.most)
		runtime.ReadMemStats(&after)
		if !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v\nwant %s", test.name, err, test.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
			t.Errorf("%s: %d bytes of memory were used", test.name, used)
		}
		if took := time.Since(start); took > testkit.Slack {
			t.Errorf("%s: it took %s", test.name, took)
		}
	}
}

func TestUnpackingIsStopped(t *testing.T) {
	s, err := newScratch(Opening{Workers: workers, Scratch: t.TempDir(), MaxUnpacked: 0})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = s.create(ctx, zeros{}, func() int64 { return 1 << 40 })
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > testkit.Slack {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
}

func TestManyMembers(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range 400_000 {
		if _, err := w.CreateRaw(&zip.FileHeader{Name: strconv.Itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := opened(t, "many.zip", b.String(), 0); err == nil || !strings.Contains(err.Error(), "too many members") {
		t.Errorf("got %v", err)
	}
}

func TestTheNameOfAFileHoldsForText(t *testing.T) {
	for name, want := range map[string]string{
		"x.json":    "json json x.json a,b\n1,2\n",
		"x.geojson": "json json x.geojson a,b\n1,2\n",
		"x.jsonl":   "ndjson ndjson x.jsonl a,b\n1,2\n",
		"x.tsv":     "csv csv x.tsv a,b\n1,2\n",
	} {
		if got, err := opened(t, name, "a,b\n1,2\n", 0); err != nil || got[0] != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"x.parquet", "x.XLSX", "x.sqlite", "x.db3"} {
		for _, content := range []string{"a,b\n1,2\n", dumpText} {
			_, err := opened(t, name, content, 0)
			if err == nil || !strings.Contains(err.Error(), "does not begin like one. If it is something else, set format.") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
