package sqlite

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

func TestSnapshotConnsSeeOneState(t *testing.T) {
	db := open(t, Options{Relaxed: true})
	script(t, db, "CREATE TABLE a (n INTEGER) STRICT; CREATE TABLE b (n INTEGER) STRICT;")
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for range 3 {
		writers.Go(func() {
			for ctx.Err() == nil {
				err := db.Write(context.Background(), func(c *Conn) error {
					if err := c.Exec("INSERT INTO a VALUES (1)"); err != nil {
						return err
					}
					return c.Exec("INSERT INTO b VALUES (1)")
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for try := range 300 {
		s, err := db.Snapshot(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		var first int64 = -1
		for i, c := range s.Conns {
			for _, table := range []string{"a", "b", "a"} {
				n, err := c.Int("SELECT count(*) FROM " + table)
				if err != nil {
					t.Fatal(err)
				}
				if first < 0 {
					first = n
				}
				if n != first {
					t.Errorf("try %d: connection %d sees %d rows of %s, the first saw %d", try, i, n, table, first)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSnapshotStaysWhileTheDatabaseChanges(t *testing.T) {
	db := open(t, Options{})
	if err := db.Write(t.Context(), insertItem("old")); err != nil {
		t.Fatal(err)
	}
	s, err := db.Snapshot(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	script(t, db, "DELETE FROM item; ALTER TABLE item ADD COLUMN more TEXT; DROP TABLE item;")
	if name, err := s.Conns[0].Text("SELECT name FROM item"); err != nil || name != "old" {
		t.Errorf("the snapshot sees %q, %v", name, err)
	}
}

func TestSnapshotInterrupt(t *testing.T) {
	db := open(t, Options{})
	s, err := db.Snapshot(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s.Interrupt(ctx)
	start := time.Now()
	var wg sync.WaitGroup
	for _, c := range s.Conns {
		wg.Go(func() {
			_, err := c.Int("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
			if FaultOf(err) != Interrupted {
				t.Errorf("the endless statement answered %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > testkit.Slack {
		t.Errorf("stopped after %v", took)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSnapshotGivesUpWaiting(t *testing.T) {
	db := open(t, Options{})
	writer := <-db.writer
	defer func() { db.writer <- writer }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := db.Snapshot(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
