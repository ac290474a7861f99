package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// numbered creates a table of rows with the given rowids.
func numbered(name string, ids []int64) func(*projectdb.Loader) error {
	return func(l *projectdb.Loader) error {
		table, err := l.CreateTable(projectdb.Table{
			Name:       name,
			Columns:    []projectdb.Column{{Name: "text", Type: "TEXT"}, {Name: "id", Type: "INTEGER"}},
			PrimaryKey: []projectdb.KeyPart{{Column: "id"}},
			RowidKey:   true,
		})
		if err != nil {
			return err
		}
		in, _, err := l.Insert(&table, []string{"text", "id"}, false)
		if err != nil {
			return err
		}
		defer in.Close()
		for _, id := range ids {
			text := strings.Repeat("é", int(uint64(id)%40))
			if err := in.Row([]sqlite.Value{sqlite.TextValue(text), sqlite.IntValue(id)}); err != nil {
				return err
			}
		}
		return nil
	}
}

// rowids draws possible rowids: dense, sparse, in clusters far apart, and the extremes.
func rowids(t *rapid.T) []int64 {
	start := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-100, 100), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64 - 50}))
	seen := map[int64]bool{}
	var ids []int64
	for range rapid.IntRange(0, 6).Draw(t, "clusters") {
		id := start.Draw(t, "start")
		step := rapid.SampledFrom([]int64{1, 1, 2, 1000, 1 << 40, 1 << 58}).Draw(t, "step")
		for range rapid.IntRange(0, 80).Draw(t, "rows") {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
			if id > math.MaxInt64-step {
				break
			}
			id += step
		}
	}
	slices.Sort(ids)
	return ids
}

// readRanges reads a table by ranges, in pieces of at most most rows.
func readRanges(t fataler, s *projectdb.Snapshot, table *projectdb.Table, rows int64, most int) []byte {
	r, err := s.Ranges(table, projectdb.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		if rows > 0 {
			t.Fatal("the table cannot be read by ranges")
		}
		return nil
	}
	defer r.Close()
	encoder := format.NewJSON(r.Columns, format.JSONOptions{})
	g := newRanges(r, rows, encoder)
	g.setPiece(most, rows)
	var out []byte
	var count int64
	_, err = g.run(context.Background(), r.Readers, make(chan struct{}, 2), (&Exports{}).throttle(), func(piece []byte, n int) error {
		out, count = append(out, piece...), count+int64(n)
		return nil
	})
	if err != nil || count != rows {
		t.Fatalf("%d rows of %d, %v", count, rows, err)
	}
	return out
}

type fataler interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// readAll reads a table in one scan.
func readAll(t fataler, s *projectdb.Snapshot, table *projectdb.Table) []byte {
	scan, err := s.Scan(table, projectdb.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	encoder := format.NewJSON(scan.Columns, format.JSONOptions{})
	var out []byte
	_, err = copyScan(context.Background(), scan, encoder, func(piece []byte, _ int) error {
		out = append(out, piece...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRangesAreOneScan(t *testing.T) {
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, nil)
	tables := 0
	rapid.Check(t, func(t *rapid.T) {
		ids := rowids(t)
		tables++
		name := fmt.Sprintf("t%d", tables)
		if err := db.Load(background, numbered(name, ids)); err != nil {
			t.Fatal(err)
		}
		s, err := db.ParallelSnapshot(background, rapid.IntRange(1, 4).Draw(t, "readers"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		table, err := s.Table(name)
		if err != nil {
			t.Fatal(err)
		}
		got := readRanges(t, s, table, int64(len(ids)), rapid.SampledFrom([]int{1, 3, 10, 1000}).Draw(t, "piece"))
		if want := readAll(t, s, table); !bytes.Equal(got, want) {
			t.Fatalf("by ranges:\n%s\nby one scan:\n%s", got, want)
		}
	})
}

// A table with a huge gap between its rowids is read in few pieces, without probing all
// of the gap.
func TestRangesFindRowsFarApart(t *testing.T) {
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, nil)
	ids := []int64{math.MinInt64, math.MaxInt64}
	for i := range int64(20_000) {
		ids = append(ids, 1_000_000_000_000+i)
	}
	slices.Sort(ids)
	if err := db.Load(background, numbered("far", ids)); err != nil {
		t.Fatal(err)
	}
	s, err := db.ParallelSnapshot(background, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := s.Ranges(&s.Tables[0], projectdb.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pieces, rows := 0, 0
	g := newRanges(r, int64(len(ids)), format.NewCSV(r.Columns, format.DefaultDialect()))
	_, err = g.run(background, r.Readers, make(chan struct{}, 2), (&Exports{}).throttle(), func(_ []byte, n int) error {
		pieces++
		rows += n
		return nil
	})
	if err != nil || rows != len(ids) || pieces > 500 {
		t.Errorf("%d rows in %d pieces, %v", rows, pieces, err)
	}
}

func TestRangesAreRefusedForOtherOrders(t *testing.T) {
	f := newFixture(t, t.TempDir())
	db := f.project(shop.ID, func(db *projectdb.DB) error {
		if _, err := db.CreateTable(background, new(problem.Faults), projectdb.NewTable{Name: "keyed", Columns: []projectdb.NewColumn{{Name: "code", Primary: true}}}); err != nil {
			return err
		}
		return small(db)
	})
	s, err := db.ParallelSnapshot(background, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		table     string
		selection projectdb.Selection
		want      bool
	}{
		{"contacts", projectdb.Selection{}, true},
		{"contacts", projectdb.Selection{Columns: []string{"note", "age"}}, true},
		{"contacts", projectdb.Selection{Sort: "age"}, false},
		{"contacts", projectdb.Selection{Descending: true}, false},
		{"contacts", projectdb.Selection{Limit: 2}, false},
		{"contacts", projectdb.Selection{Offset: 1}, false},
		{"contacts", projectdb.Selection{Filters: []byte(`{"age":36}`)}, false},
		{"keyed", projectdb.Selection{}, false},
	} {
		table, err := s.Table(c.table)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Ranges(table, c.selection)
		if err != nil {
			t.Fatal(err)
		}
		if got := r != nil; got != c.want {
			t.Errorf("%s %+v: by ranges %t, want %t", c.table, c.selection, got, c.want)
		}
		if r != nil {
			r.Close()
		}
	}
}

// bigRanges returns the ranges of a table with that many rows.
func bigRanges(t *testing.T, rows int64) (*ranges, *projectdb.Ranges) {
	f := newFixture(t, t.TempDir())
	s, err := f.project(shop.ID, large(int(rows))).ParallelSnapshot(background, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r, err := s.Ranges(&s.Tables[0], projectdb.Selection{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return newRanges(r, rows, format.NewCSV(r.Columns, format.DefaultDialect())), r
}

func TestRangesStopWhenWritingFails(t *testing.T) {
	g, r := bigRanges(t, 50_000)
	broken := errors.New("broken")
	pieces := 0
	_, err := g.run(background, r.Readers, make(chan struct{}, 2), (&Exports{}).throttle(), func([]byte, int) error {
		if pieces++; pieces == 5 {
			return broken
		}
		return nil
	})
	if err != broken || pieces != 5 {
		t.Errorf("got %v after %d pieces", err, pieces)
	}
}

func TestRangesStopWhenCanceled(t *testing.T) {
	g, r := bigRanges(t, 50_000)
	ctx, cancel := context.WithCancel(background)
	pieces := 0
	_, err := g.run(ctx, r.Readers, make(chan struct{}, 2), (&Exports{}).throttle(), func([]byte, int) error {
		if pieces++; pieces == 5 {
			cancel()
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || pieces > 40 {
		t.Errorf("got %v after %d pieces", err, pieces)
	}
}

// failing is an encoder that panics at one piece.
type failing struct {
	format.Encoder
	at int64
}

func (e failing) Rows(dst []byte, b *sqlite.Batch, first bool) []byte {
	if b.Row(0)[0].Int() > e.at {
		panic("no such luck")
	}
	return e.Encoder.Rows(dst, b, first)
}

func TestRangesSurviveAPanic(t *testing.T) {
	g, r := bigRanges(t, 50_000)
	g.encoder = failing{g.encoder, 20_000}
	_, err := g.run(background, r.Readers, make(chan struct{}, 2), (&Exports{}).throttle(), func([]byte, int) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("got %v", err)
	}
}

func TestReadingAheadSurvivesAPanic(t *testing.T) {
	for name, panics := range map[string]func(batch int) bool{
		"at once": func(int) bool { return true },
		"later":   func(batch int) bool { return batch == 10 },
	} {
		batch := 0
		err := prefetch(background, func(*sqlite.Batch) (bool, error) {
			if batch++; panics(batch) {
				panic("no such luck")
			}
			return true, nil
		}, func(*sqlite.Batch) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "no such luck") || !strings.Contains(err.Error(), "ranges_test.go") {
			t.Errorf("%s: got %v, want the panic and its stack", name, err)
		}
	}
}

// TestPanicFailsOneJob makes the encoder of one of two jobs panic.
func TestPanicFailsOneJob(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, t.TempDir(), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	f.project(shop.ID, small)
	spoilt := f.create(Request{Kind: TableExport, Table: "contacts", CSV: CSVOptions{Profile: "excel"}})
	sound := f.create(Request{Kind: TableExport, Table: "contacts"})
	err := f.jobs.Write(background, "spoil an order", func(c *sqlite.Conn) error {
		return c.Exec("UPDATE exports SET work = replace(work, ?, ?) WHERE id = ?", `"delimiter":","`, `"delimiter":""`, spoilt.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	got, err := f.Wait(background, shop.ID, spoilt.ID)
	if got.Status != Failed || !strings.HasPrefix(*got.Error, "Something went wrong on the server.") {
		t.Errorf("got %s: %v", got.Status, err)
	}
	f.download(f.wait(sound))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "panic") || !strings.Contains(text, "csv.go") {
		t.Errorf("the log has no stack:\n%s", text)
	}
}

// TestDamageInTheMiddle damages pages in the middle of a project's file: its export
// fails with a clear message, that of another project succeeds.
func TestDamageInTheMiddle(t *testing.T) {
	folder := t.TempDir()
	f := newFixture(t, folder)
	for id := ids.Project(1); id <= 2; id++ {
		if err := f.dir.Create(background, id, large(10_000)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "projects", "1.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	middle := len(content) / 2 / page * page
	copy(content[middle:], bytes.Repeat([]byte{0xa5}, 3*page))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Start()
	for _, kind := range []string{"csv", "json"} {
		m, err := f.Wait(background, shop.ID, f.create(Request{Kind: TableExport, Table: "big", Format: kind}).ID)
		if codeOf(err) != problem.CodeExportFailed || m.Status != Failed || !strings.Contains(*m.Error, "cannot be read") {
			t.Errorf("%s: the export of a damaged file is %s: %v", kind, m.Status, err)
		}
	}
	other := ProjectRef{ID: 2, Slug: "p2"}
	f.download(f.wait(f.create(Request{Project: other, Kind: TableExport, Table: "big", Format: "csv"})))
	if files := f.files(); len(files) != 1 {
		t.Errorf("files: %q", files)
	}
}
