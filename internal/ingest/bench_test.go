package ingest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const benchRows = 1_000_000

// The benchmarks import 1,000,000 rows of 8 columns. Command bench measures the sqlite3
// shell on such files.
func benchImport(b *testing.B, path string) {
	for b.Loop() {
		b.StopTimer()
		p := newProject(b)
		b.StartTimer()
		p.mustTake(b, path)
	}
	b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkCSV(b *testing.B) { benchImport(b, benchCSV(b)) }

func BenchmarkDump(b *testing.B) {
	database := benchDatabase(b)
	dump := database + ".sql"
	shell(b, database, ".output '"+dump+"'\n.dump\n")
	benchImport(b, dump)
}

func BenchmarkSQLite(b *testing.B) { benchImport(b, benchDatabase(b)) }

func benchCSV(b *testing.B) (path string) {
	b.Helper()
	var out bytes.Buffer
	out.WriteString("id,name,email,age,score,city,created_at,note\n")
	for i := range benchRows {
		fmt.Fprintf(&out, "%d,Person %d,person%d@example.org,%d,%d.25,\"Town, %d\",2024-01-%02d 12:00:00,\n", i+1, i, i, i%90, i%1000, i%500, i%28+1)
	}
	path = filepath.Join(b.TempDir(), "rows.csv")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

func benchDatabase(b *testing.B) (path string) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "rows.sqlite")
	shell(b, path, "CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INT, score REAL, city TEXT, created_at DATETIME, note TEXT);\n.import --csv --skip 1 '"+benchCSV(b)+"' rows\nCREATE INDEX by_email ON rows (email);\n")
	return path
}
