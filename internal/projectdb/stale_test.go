package projectdb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
	"github.com/zangtable/zangtable/internal/worker"
)

// canary occurs in another project, in SQL texts and in rows: no answer may ever
// contain it.
const canary = "CANARY-of-another-project"

// The same statement runs while the schema changes between and during the calls. Each
// column is named after the only value that it holds, so that an answer itself shows
// whether its names and values belong together.
func TestAnswersFollowTheSchema(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	db, other := openProject(t), openProject(t, NewTable{Name: "canaries", Columns: []NewColumn{{Name: "v"}}})
	put(t, other, "canaries", `{"v":"`+canary+`"}`)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// Its text fills the memory that the allocator hands out next.
				_, err := other.Query(ctx, Query{SQL: "SELECT '" + strings.Repeat(canary, 20) + "' AS x, v FROM canaries", Limit: 5})
				if err != nil && !problem.Is(err, problem.CodeBusy) {
					t.Error(err)
					return
				}
			}
		})
	}
	remake(t, db, 3)
	asked := make(chan error, 1)
	busy.Go(func() { asked <- askUntil(db, stop) })
	for range testkit.Scale(10, 60) {
		if err := changeSchema(t, db, random); err != nil {
			t.Fatal(err)
		}
		if err := askOnce(db); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	busy.Wait()
	if err := <-asked; err != nil {
		t.Error(err)
	}
}

func askUntil(db *DB, stop <-chan struct{}) (err error) {
	for err == nil {
		select {
		case <-stop:
			return nil
		default:
			err = askOnce(db)
		}
	}
	return err
}

// askOnce selects all columns and compares their names with their values.
func askOnce(db *DB) error {
	result, err := db.Query(ctx, Query{SQL: "SELECT * FROM t", Limit: 5})
	if problem.Is(err, problem.CodeValidationFailed) && strings.Contains(err.Error(), "no such table") {
		return nil // it is being recreated
	}
	if err != nil {
		return err
	}
	var errs []error
	for i := range result.Batch.Rows {
		for j, cell := range result.Batch.Row(i) {
			name, v := result.Columns[j].Name, result.Batch.Value(cell)
			if name == "id" {
				continue
			}
			if got := string(v.Bytes); v.Kind != sqlite.Null && (v.Kind != sqlite.Text || got != name) {
				errs = append(errs, fmt.Errorf("column %s holds %q (%v)", name, got, v))
			}
		}
	}
	return errors.Join(errs...)
}

// changeSchema renames, drops or adds a column, or recreates the table.
func changeSchema(t *testing.T, db *DB, random *rand.Rand) error {
	table, err := db.Table(ctx, "t")
	if err != nil {
		return err
	}
	last := table.Columns[len(table.Columns)-1].Name
	fresh := fmt.Sprintf("c%d", random.Int64N(1e15))
	switch n := random.IntN(4); {
	case n == 0 && len(table.Columns) > 2:
		_, err = db.DeleteColumn(ctx, new(problem.Faults), "t", last)
	case n == 1:
		if _, _, err = db.AddColumn(ctx, new(problem.Faults), "t", NewColumn{Name: fresh}); err == nil {
			_, err = db.UpdateRecords(ctx, new(problem.Faults), "t", jsontext.Value(fmt.Sprintf("{%q:%q}", fresh, fresh)), Match{All: true})
		}
	default:
		widths := []int{2, 3, 40, 300, 900, 1900}
		remake(t, db, widths[random.IntN(len(widths))])
	}
	return err
}

// remake recreates the table t with width columns in addition to its key.
func remake(t *testing.T, db *DB, width int) {
	t.Helper()
	if _, err := db.Table(ctx, "t"); err == nil {
		if _, err := db.DeleteTable(ctx, "t"); err != nil {
			t.Fatal(err)
		}
	}
	made := NewTable{Name: "t"}
	var row strings.Builder
	for i := range width {
		name := fmt.Sprintf("w%d_%d", width, i)
		made.Columns = append(made.Columns, NewColumn{Name: name})
		fmt.Fprintf(&row, ",%q:%q", name, name)
	}
	if _, err := db.CreateTable(ctx, new(problem.Faults), made); err != nil {
		t.Fatal(err)
	}
	put(t, db, "t", "{"+row.String()[1:]+"}")
}

// hostile are statements that ask for more time, memory or disk than there is. Their
// text does not show their cost.
var hostile = map[string]string{
	"wide rows of long values":        "WITH v(v) AS (SELECT printf('%.9999990c', 'x')) SELECT " + repeated(1900, "v||%d AS c%[1]d") + " FROM v",
	"wide rows of made values":        "SELECT " + repeated(100, "printf('%%.9999990c', 'x')||%d AS c%[1]d"),
	"blobs of zeros":                  "SELECT " + repeated(500, "zeroblob(9900000) AS c%d"),
	"lengths of long values":          "WITH v(v) AS (SELECT printf('%.9999990c', 'x')) SELECT " + repeated(300, "length(v||%d) AS c%[1]d") + " FROM v",
	"random blobs":                    "SELECT " + repeated(400, "randomblob(9900000) AS c%d"),
	"instr that is not to be ended":   "SELECT instr(printf('%.9999000c', 'a'), printf('%.4999000c', 'a') || 'b') AS n",
	"replace that is not to be ended": "SELECT length(replace(printf('%.9999000c', 'a'), printf('%.4999000c', 'a') || 'b', 'x')) AS n",
	"trim by a large set":             "SELECT length(trim(printf('%.9999000c', 'a'), printf('%.90000c', 'b') || 'a')) AS n",
	"endless recursion":               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n",
	"a recursion that keeps all":      "WITH RECURSIVE n(i, s) AS (SELECT 1, '' UNION SELECT i + 1, printf('%.2000000c', i) FROM n) SELECT count(*) AS n FROM n",
	"a large window":                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT max(length(l)) AS m FROM (SELECT lag(printf('%.2000000c', i), 50000) OVER () AS l FROM n)",
	"a sort of long values":           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT printf('%.500000c', i) AS p FROM n ORDER BY p",
	"many accumulators":               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) SELECT " + repeated(300, "group_concat(printf('%%.9000c', i + %d)) AS c%[1]d") + " FROM n",
	"a large JSON":                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT json_group_array(i) AS j FROM n",
}

// repeated returns n columns made with form.
func repeated(n int, form string) string {
	columns := make([]string, n)
	for i := range columns {
		columns[i] = fmt.Sprintf(form, i)
	}
	return strings.Join(columns, ", ")
}

// A hostile statement ends in time with an error of its own, and leaves neither memory
// nor files behind.
func TestHostileStatements(t *testing.T) {
	db := openLibrary(t)
	limit := testkit.Scale(200*time.Millisecond, 2*time.Second)
	debug.FreeOSMemory()
	before := residentHere(t)
	for name, sql := range hostile {
		began := time.Now()
		_, err := db.Query(ctx, Query{SQL: sql, Limit: 10, Timeout: limit})
		took := time.Since(began)
		// A fast machine may finish some of them in time, which is fine.
		if err != nil && !problem.Is(err, problem.CodeQueryTimeout) && !problem.Is(err, problem.CodeResultTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		// Allows for a loaded machine: the statement ended or was killed.
		if took > limit+testkit.Slack {
			t.Errorf("%s took %s", name, took)
		}
		result, err := db.Query(ctx, Query{SQL: "SELECT count(*) AS n FROM books", Limit: 1})
		if err != nil || text(result.Rows) != "n=3" {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if grown := residentHere(t) - before; grown > 64<<20 && !testkit.Race {
		t.Errorf("this process has grown by %d bytes", grown)
	}
}

// residentHere returns the resident memory of this process.
func residentHere(t *testing.T) (bytes int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Log("no /proc here")
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &bytes); err != nil {
		t.Fatal(err)
	}
	return bytes << 10
}

// openWorkers opens a worker pool that is closed with the test.
func openWorkers(t *testing.T, options worker.Options) *worker.Pool {
	t.Helper()
	options.Folder = filepath.Join(t.TempDir(), "workers")
	workers, err := worker.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { workers.Close() })
	return workers
}

func TestTemporaryFilesAreBounded(t *testing.T) {
	t.Parallel()
	db := openWith(t, DirOptions{Workers: openWorkers(t, worker.Options{TempBytes: testkit.Scale[int64](100<<20, 1<<30)})}, NewTable{Name: "books", Columns: []NewColumn{{Name: "title"}}})
	// Sort twice as much as is allowed.
	sql := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) SELECT printf('%%.100000c', i) AS p FROM n ORDER BY p DESC, random()", testkit.Scale(2000, 20_000))
	_, err := db.Query(ctx, Query{SQL: sql, Limit: 1, Timeout: time.Minute})
	if !problem.Is(err, problem.CodeResultTooLarge) || !strings.Contains(err.Error(), "temporary files") {
		t.Error(err)
	}
	if _, err := db.Query(ctx, Query{SQL: "SELECT title FROM books ORDER BY title", Limit: 1}); err != nil {
		t.Error(err)
	}
}

// A statement that never ends pins the state that it reads, so that the log grows with
// every other write. It is ended before the log fills the disk.
func TestAStatementCannotHoldTheLog(t *testing.T) {
	t.Parallel()
	db := openWith(t, DirOptions{Workers: openWorkers(t, worker.Options{MaxLog: 4 << 20})}, NewTable{Name: "books", Columns: []NewColumn{{Name: "title"}}})
	asked := make(chan error, 1)
	go func() {
		endless := "WITH RECURSIVE n(i) AS (SELECT count(*) FROM books UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n"
		_, err := db.Query(ctx, Query{SQL: endless, Limit: 1, Timeout: time.Minute})
		asked <- err
	}()
	row := `{"title":"` + strings.Repeat("x", 500_000) + `"}`
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		put(t, db, "books", row)
		select {
		case err := <-asked:
			if !problem.Is(err, problem.CodeResultTooLarge) {
				t.Errorf("it ended in %v", err)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("it goes on")
}
