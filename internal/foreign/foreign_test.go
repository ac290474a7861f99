package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

func TestMain(m *testing.M) {
	worker.Main()
	m.Run()
}

// pipe is a worker in this process that sends to a DB.
type pipe struct {
	requests chan []byte
	receive  func([]byte) error
}

func (p *pipe) Send(b []byte) error { return p.receive(append([]byte{}, b...)) }

func (p *pipe) Receive(ctx context.Context) ([]byte, error) {
	select {
	case r := <-p.requests:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begun returns a DB whose worker is the function run.
func begun(t testing.TB, patience time.Duration, run func(context.Context, *pipe) error) *DB {
	t.Helper()
	p := &pipe{requests: make(chan []byte, 8)}
	d := newDB(func(b []byte) error { p.requests <- b; return nil }, func() {}, patience)
	p.receive = d.receive
	d.begin(func(ctx context.Context) error { return run(ctx, p) })
	t.Cleanup(func() { d.Close() })
	return d
}

// file creates a SQLite file by running statements.
func file(t testing.TB, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	c, err := sqlite.OpenPrivate(context.Background(), path)
	for _, s := range statements {
		if err == nil {
			err = c.Exec(s)
		}
	}
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// opened opens a file and serves it in this process.
func opened(t testing.TB, path string) *DB {
	t.Helper()
	d := begun(t, time.Minute, func(ctx context.Context, p *pipe) error { return serve(ctx, p, opening{Path: path, Check: true}) })
	if err := d.wait(d.ready); err != nil {
		t.Fatal(err)
	}
	return d
}

const manyRows = "INSERT INTO t SELECT i, i * 0.5, 'row ' || i, x'00ff', NULL FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n)"

func TestRowsAreThoseOfTheFile(t *testing.T) {
	path := file(t, "CREATE TABLE t (a, b, c, d, e)", manyRows)
	here, err := sqlite.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	read := func(s sqlite.Source) string {
		var all strings.Builder
		scan, err := s.Scan("SELECT * FROM t")
		if err != nil {
			t.Fatal(err)
		}
		defer scan.Close()
		var b sqlite.Batch
		for more := true; more; {
			if more, err = scan.Fill(&b, 300, 4<<10); err != nil {
				t.Fatal(err)
			}
			for i := range b.Rows {
				for _, c := range b.Row(i) {
					v := b.Value(c)
					fmt.Fprint(&all, v.Kind, v.Int, v.Float, string(v.Bytes), "|")
				}
			}
		}
		return all.String()
	}
	if there := read(opened(t, path)); there != read(here) {
		t.Errorf("read %.200q", there)
	}
}

// TestStatementsAreInterleaved sends requests while other answers are in transit.
func TestStatementsAreInterleaved(t *testing.T) {
	d := opened(t, file(t, "CREATE TABLE t (a, b, c, d, e)", manyRows))
	first, err := d.Scan("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	var b sqlite.Batch
	for i := range 3 {
		if more, err := first.Fill(&b, 100, 1<<20); err != nil || !more || b.Rows != 100 || b.Row(0)[0].Int() != int64(100*i+1) {
			t.Fatalf("batch %d: %d rows, %v, %v", i, b.Rows, more, err)
		}
		n, err := d.Int("SELECT count(*) FROM t WHERE a > ? AND c > ?", 4000, "row")
		if err != nil || n != 1000 {
			t.Fatalf("%d, %v", n, err)
		}
	}
	first.Close()
	rows := 0
	err = d.Rows("SELECT c FROM t ORDER BY a", nil, func(r sqlite.Row) error {
		rows++
		if text := r.Text(0); text != fmt.Sprint("row ", rows) {
			return fmt.Errorf("%q in row %d", text, rows)
		}
		return nil
	})
	if err != nil || rows != 5000 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	if _, err := d.Scan("SELECT missing FROM t"); sqlite.FaultOf(err) != sqlite.BadSQL || !strings.Contains(sqlite.Message(err), "no such column: missing") {
		t.Fatal(err)
	}
}

// TestWhatIsReadAheadIsBounded leaves large rows unread.
func TestWhatIsReadAheadIsBounded(t *testing.T) {
	d := opened(t, file(t, "CREATE TABLE t (a)", "INSERT INTO t SELECT zeroblob(3000000) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40) SELECT i FROM n)"))
	scan, err := d.Scan("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	var b sqlite.Batch
	for more := true; more; {
		if more, err = scan.Fill(&b, 2, 1<<30); err != nil {
			t.Fatal(err)
		}
		rows += b.Rows
		time.Sleep(time.Millisecond)
		d.mu.Lock()
		if d.held > maxHeld+maxPiece+3_000_000 {
			t.Errorf("%d bytes are held", d.held)
		}
		d.mu.Unlock()
	}
	if rows != 40 {
		t.Errorf("%d rows", rows)
	}
}

// TestAWorkerIsNotBelieved has a worker send what it should not.
func TestAWorkerIsNotBelieved(t *testing.T) {
	end := []byte{isEnd, 1, 0}
	for name, messages := range map[string][][]byte{
		"nothing":                    {{}},
		"an unknown kind":            {{'?'}},
		"ready again":                {{isReady}},
		"no columns":                 {{isEnd}},
		"too many columns":           {{isEnd, 0xff, 0xff, 0xff, 0x7f, 0}},
		"rows that are none":         {{isRows, 1, 9}},
		"rows without columns":       {{isRows, 0, 1}},
		"a text beyond its end":      {{isRows, 1, byte(sqlite.Text), 200, 1, 'x'}},
		"rows of different widths":   {{isRows, 1, 0}, {isRows, 2, 0, 0}},
		"a failure that is no JSON":  {{isFailure, '{'}},
		"a failure that is too long": {append([]byte{isFailure}, make([]byte, maxFailure+1)...)},
		"an answer too many":         {end, end, end, end, end},
	} {
		d := begun(t, time.Minute, func(ctx context.Context, p *pipe) error {
			if err := p.Send([]byte{isReady}); err != nil {
				return err
			}
			if _, err := p.Receive(ctx); err != nil {
				return err
			}
			for _, m := range messages {
				if err := p.Send(m); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return ctx.Err()
		})
		_, err := d.Scan("SELECT 1")
		if err == nil {
			_, err = d.Scan("SELECT 1")
		}
		if !errors.Is(err, errProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// More rows, or other columns, than requested.
	for _, message := range [][]byte{{isRows, 1, 0, 0, 0}, {isRows, 2, 0, 0}} {
		d := begun(t, time.Minute, func(ctx context.Context, p *pipe) error {
			err := errors.Join(p.Send([]byte{isReady}), second(p.Receive(ctx)), p.Send(end), second(p.Receive(ctx)), p.Send(message), p.Send([]byte{isEnd, message[1], 0}))
			<-ctx.Done()
			return errors.Join(err, ctx.Err())
		})
		scan, err := d.Scan("SELECT 1")
		if err != nil {
			t.Fatal(err)
		}
		var b sqlite.Batch
		if _, err := scan.Fill(&b, 2, 1); !errors.Is(err, errProtocol) {
			t.Errorf("%v: %v", message, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestPatienceEnds has one worker that never answers, and one that exits.
func TestPatienceEnds(t *testing.T) {
	d := begun(t, 50*time.Millisecond, func(ctx context.Context, p *pipe) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if err := d.wait(d.ready); !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), "computes more than it stores") {
		t.Error(err)
	}
	d = begun(t, time.Minute, func(context.Context, *pipe) error { return &worker.Died{Reason: "test", TooLarge: true} })
	if err := d.wait(d.ready); !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), "more memory") {
		t.Error(err)
	}
	d = begun(t, time.Minute, func(ctx context.Context, p *pipe) error {
		<-ctx.Done()
		return ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer d.Interrupt(ctx)()
	cancel()
	if err := d.wait(d.ready); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestHostileFiles reads hostile files with real workers. Each fails with a problem of
// the file, and uses only the worker's time and memory.
func TestHostileFiles(t *testing.T) {
	pool, err := worker.Open(worker.Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	large := "CREATE TABLE t (a"
	for i := range 40 {
		large += fmt.Sprintf(", g%d AS (printf('%%.000000001c', 'x'))", i)
	}
	// The expressions are harmless while the file is made.
	harmful := strings.NewReplacer("%.000000001c", "%.250000000c", "%.0000009c", "%.9000000c", "%.0000004c", "%.4500000c")
	for _, test := range []struct{ name, table, want string }{
		{"a large row", large + ")", "too large"},
		{"a slow function", "CREATE TABLE t (a, g AS (length(replace(printf('%.0000009c', 'a'), printf('%.0000004c', 'a') || 'b', ''))))", "computes more"},
	} {
		path := file(t, test.table, "INSERT INTO t (a) VALUES (1)")
		content, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(harmful.Replace(string(content))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), pool, path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := d.Int("SELECT count(*) FROM t"); n != 1 || err != nil {
			t.Error(test.name, n, err)
		}
		d.patience = time.Second
		err = d.Rows("SELECT * FROM t", nil, func(sqlite.Row) error { return nil })
		if err = Damaged(err); !problem.Is(err, problem.CodeValidationFailed) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
