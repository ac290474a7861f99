package ingest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

const benchRows = 1_000_000

// BenchmarkCSV imports 1,000,000 rows of 8 columns, and reports the time as a
// multiple of what the sqlite3 shell's .import takes for the same file.
func BenchmarkCSV(b *testing.B) {
	path := filepath.Join(b.TempDir(), "rows.csv")
	if err := os.WriteFile(path, benchCSV(), 0o600); err != nil {
		b.Fatal(err)
	}
	shellTime := func() time.Duration {
		start := time.Now()
		target := filepath.Join(b.TempDir(), "shell.sqlite")
		out, err := exec.Command(testkit.Tool(b, "sqlite3"), target, ".import --csv "+path+" rows").CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return time.Since(start)
	}
	var theirs time.Duration
	for b.Loop() {
		b.StopTimer()
		theirs += shellTime()
		p := newProject(b)
		b.StartTimer()
		p.mustTake(b, path)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(theirs), "x-shell")
	b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func benchCSV() []byte {
	var out bytes.Buffer
	out.WriteString("id,name,email,age,score,city,created_at,note\n")
	for i := range benchRows {
		fmt.Fprintf(&out, "%d,Person %d,person%d@example.org,%d,%d.25,\"Town, %d\",2024-01-%02d 12:00:00,\n", i+1, i, i, i%90, i%1000, i%500, i%28+1)
	}
	return out.Bytes()
}

// BenchmarkSQLite imports 1,000,000 rows of 8 columns, and reports the time as
// a multiple of the shell's INSERT … SELECT into a new file.
func BenchmarkSQLite(b *testing.B) {
	folder := b.TempDir()
	csv := filepath.Join(folder, "rows.csv")
	if err := os.WriteFile(csv, benchCSV(), 0o600); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(folder, "rows.sqlite")
	shell(b, path, "CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INT, score REAL, city TEXT, created_at DATETIME, note TEXT);\n.import --csv --skip 1 "+csv+" rows\nCREATE INDEX by_email ON rows (email);\n")
	var theirs time.Duration
	for b.Loop() {
		b.StopTimer()
		start := time.Now()
		shell(b, filepath.Join(b.TempDir(), "shell.sqlite"), "ATTACH '"+path+"' AS source;\nCREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INT, score REAL, city TEXT, created_at TEXT, note TEXT) STRICT;\nINSERT INTO rows SELECT * FROM source.rows;\nCREATE INDEX by_email ON rows (email);\n")
		theirs += time.Since(start)
		p := newProject(b)
		b.StartTimer()
		p.mustTake(b, path)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(theirs), "x-shell")
	b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
