package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// together makes the writes share one transaction: it holds the writer until all of
// them wait. It returns the errors in the order of the writes.
func together(t testing.TB, db *DB, writes ...func(*Conn) error) []error {
	t.Helper()
	writer := <-db.writer
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	for i, fn := range writes {
		wg.Go(func() { errs[i] = db.Write(context.Background(), fn) })
		waitFor(t, func() bool { return db.group.length() == i+1 })
	}
	db.writer <- writer
	wg.Wait()
	return errs
}

func (g *group) length() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

func waitFor(t testing.TB, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ready(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long")
		}
	}
}

func TestGroupCommitStoresExactlyTheAnswered(t *testing.T) {
	const writers, each = 64, 100
	var transactions atomic.Int64
	db := open(t, Options{BeforeCommit: func(*Conn) error { transactions.Add(1); return nil }})
	var stored, duplicates atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("%d/%d", w, i)
				if i%10 == 9 {
					name = fmt.Sprintf("%d/%d", w, i-1)
				}
				switch err := db.Write(t.Context(), insertItem(name)); {
				case err == nil:
					stored.Add(1)
				case FaultOf(err) == Unique:
					duplicates.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	const distinct = writers * each * 9 / 10
	if n := count(t, db, "SELECT count(*) FROM item"); n != distinct || stored.Load() != distinct {
		t.Errorf("%d rows stored, %d answered as stored, want %d", n, stored.Load(), distinct)
	}
	if duplicates.Load() != writers*each/10 {
		t.Errorf("%d duplicates refused, want %d", duplicates.Load(), writers*each/10)
	}
	if n := transactions.Load(); n > writers*each/5 {
		t.Errorf("%d transactions for %d writes", n, writers*each)
	}
	checkIntegrity(t, db)
}

func TestGroupMemberFailsAlone(t *testing.T) {
	const parents = `CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;
		CREATE TABLE child (p INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED) STRICT;
		CREATE TABLE strict_name (name TEXT UNIQUE ON CONFLICT ROLLBACK) STRICT;
		INSERT INTO strict_name VALUES ('taken');`
	tests := []struct {
		name  string
		write func(*Conn) error
		fault Fault
	}{
		{"its own error", func(c *Conn) error {
			if err := c.Exec("INSERT INTO item (name) VALUES ('half')"); err != nil {
				return err
			}
			return errors.New("changed its mind")
		}, Other},
		{"a duplicate after a good row", func(c *Conn) error {
			if err := c.Exec("INSERT INTO item (name) VALUES ('half')"); err != nil {
				return err
			}
			return c.Exec("INSERT INTO item (name) VALUES ('half')")
		}, Unique},
		{"a conflict clause that rolls everything back", func(c *Conn) error {
			if err := c.Exec("INSERT INTO item (name) VALUES ('half')"); err != nil {
				return err
			}
			return c.Exec("INSERT INTO strict_name VALUES ('taken')")
		}, Unique},
		{"a deferred foreign key", func(c *Conn) error {
			if err := c.Exec("INSERT INTO item (name) VALUES ('half')"); err != nil {
				return err
			}
			return c.Exec("INSERT INTO child VALUES (99)")
		}, ForeignKey},
		{"its own ROLLBACK, hidden", func(c *Conn) error {
			c.Exec("ROLLBACK")
			return errors.New("gone")
		}, Other},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db := open(t, Options{})
			script(t, db, parents)
			errs := together(t, db, insertItem("first"), test.write, insertItem("last"))
			if errs[0] != nil || errs[2] != nil {
				t.Errorf("the others failed: %v, %v", errs[0], errs[2])
			}
			if errs[1] == nil || FaultOf(errs[1]) != test.fault {
				t.Errorf("the member answered %v, want fault %d", errs[1], test.fault)
			}
			if n := count(t, db, "SELECT count(*) FROM item WHERE name IN ('first', 'last')"); n != 2 {
				t.Errorf("%d of the others' rows are stored", n)
			}
			if n := count(t, db, "SELECT count(*) FROM item WHERE name = 'half'"); n != 0 {
				t.Error("the failed write left a row")
			}
		})
	}
}

// Callers must be able to compare the error with their own.
func TestGroupMemberGetsItsErrorUnchanged(t *testing.T) {
	db := open(t, Options{})
	mine := errors.New("mine")
	for _, err := range together(t, db, func(*Conn) error { return mine }, func(*Conn) error { return mine }) {
		if err != mine {
			t.Errorf("got %#v", err)
		}
	}
}

func TestGroupMemberPanicsAtHome(t *testing.T) {
	for others := range 3 {
		db := open(t, Options{})
		var raised any
		writes := []func(*Conn) error{}
		for i := range others {
			writes = append(writes, insertItem(fmt.Sprint(i)))
		}
		var wg sync.WaitGroup
		writer := <-db.writer
		wg.Go(func() {
			defer func() { raised = recover() }()
			db.Write(context.Background(), func(c *Conn) error {
				c.Exec("INSERT INTO item (name) VALUES ('half')")
				panic("boom")
			})
		})
		errs := make([]error, others)
		for i, fn := range writes {
			wg.Go(func() { errs[i] = db.Write(context.Background(), fn) })
		}
		waitFor(t, func() bool { return db.group.length() == others+1 })
		db.writer <- writer
		wg.Wait()
		if raised != "boom" {
			t.Errorf("the panic arrived as %v", raised)
		}
		if err := errors.Join(errs...); err != nil {
			t.Errorf("others failed: %v", err)
		}
		if n := count(t, db, "SELECT count(*) FROM item"); n != int64(others) {
			t.Errorf("%d rows, want %d", n, others)
		}
	}
}

func TestBeforeCommitFails(t *testing.T) {
	refuse := errors.New("not now")
	var broken atomic.Bool
	db := open(t, Options{BeforeCommit: func(*Conn) error {
		if broken.Load() {
			return refuse
		}
		return nil
	}})
	broken.Store(true)
	for _, err := range together(t, db, insertItem("a"), insertItem("b")) {
		if !errors.Is(err, refuse) {
			t.Errorf("got %v", err)
		}
	}
	broken.Store(false)
	if n := count(t, db, "SELECT count(*) FROM item"); n != 0 {
		t.Errorf("%d rows were stored", n)
	}
	if err := db.Write(t.Context(), insertItem("a")); err != nil {
		t.Error(err)
	}
}

func TestWriteGivesUpWaiting(t *testing.T) {
	db := open(t, Options{})
	writer := <-db.writer
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() { answer <- db.Write(ctx, insertItem("never")) }()
	waitFor(t, func() bool { return db.group.length() == 1 })
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	db.writer <- writer
	if err := db.Write(t.Context(), insertItem("other")); err != nil {
		t.Error(err)
	}
	if n := count(t, db, "SELECT count(*) FROM item WHERE name = 'never'"); n != 0 {
		t.Error("a write that was given up is stored")
	}
}

// A write that has begun returns its real outcome, even if its context is canceled.
func TestBegunWriteIsNotCancelled(t *testing.T) {
	db := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(c *Conn) error {
		cancel()
		return insertItem("stays")(c)
	})
	if err != nil {
		t.Errorf("the leader's write: %v", err)
	}

	// The same for a write whose transaction is run by another caller.
	writer := <-db.writer
	ctx, cancel = context.WithCancel(t.Context())
	begun, goOn := make(chan struct{}), make(chan struct{})
	answer := make(chan error, 1)
	go func() {
		answer <- db.Write(ctx, func(c *Conn) error {
			close(begun)
			<-goOn
			return insertItem("stays too")(c)
		})
	}()
	waitFor(t, func() bool { return db.group.length() == 1 })
	led := make(chan struct{})
	go func() {
		db.commitWaiting(writer, nil, 0)
		close(led)
	}()
	<-begun
	cancel()
	select {
	case err := <-answer:
		t.Errorf("answered %v while the write ran", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	if err := <-answer; err != nil {
		t.Errorf("the follower's write: %v", err)
	}
	<-led
	if n := count(t, db, "SELECT count(*) FROM item"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

func TestManyMoreWritersThanAGroupHolds(t *testing.T) {
	var transactions atomic.Int64
	db := open(t, Options{BeforeCommit: func(*Conn) error { transactions.Add(1); return nil }})
	const writers = 2000
	writer := <-db.writer
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			if err := db.Write(t.Context(), insertItem(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, func() bool { return db.group.length() == writers })
	db.writer <- writer
	wg.Wait()
	if n := count(t, db, "SELECT count(*) FROM item"); n != writers {
		t.Errorf("%d rows, want %d", n, writers)
	}
	// A slow machine ends some groups early.
	if n := transactions.Load(); n < (writers+maxGroup-1)/maxGroup || n > writers/8 {
		t.Errorf("%d transactions for %d waiting writes", n, writers)
	}
}

func TestCloseWhileWriting(t *testing.T) {
	for range 20 {
		db := open(t, Options{})
		path := db.Path()
		var stored atomic.Int64
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := 0; ; i++ {
					err := db.Write(context.Background(), insertItem(fmt.Sprint(w, "/", i)))
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					stored.Add(1)
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		c, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.Int("SELECT count(*) FROM item"); err != nil || n != stored.Load() {
			t.Errorf("%d rows after closing, %d acknowledged (%v)", n, stored.Load(), err)
		}
		c.Close()
	}
}

func TestWaitersLeaveWhenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &DB{writer: make(chan *Conn, 1), closed: make(chan struct{})}
		answer := make(chan error)
		go func() { answer <- db.Write(context.Background(), insertItem("x")) }()
		synctest.Wait()
		close(db.closed)
		if err := <-answer; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// endless is a statement that runs until it is interrupted: one variant reads, the
// other writes.
const (
	endlessRead  = "SELECT count(*) FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)"
	endlessWrite = "INSERT INTO item (name) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'e' || i FROM n WHERE i % 1000000 = 1"
)

// A write that takes too long fails alone; the others of its group are stored promptly
// and exactly once.
func TestSlowMemberLeavesItsGroup(t *testing.T) {
	const limit = 1500 * time.Millisecond
	for name, statement := range map[string]string{"reading": endlessRead, "writing": endlessWrite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, Options{})
			writer := <-db.writer
			var wg sync.WaitGroup
			var took [9]time.Duration
			var errs [9]error
			var began time.Time
			for i := range errs {
				wg.Go(func() {
					errs[i] = db.WriteWithin(context.Background(), Deadlines{Run: limit}, func(c *Conn) error {
						if err := insertItem(fmt.Sprint(i))(c); err != nil || i != 4 {
							return err
						}
						return c.Exec(statement)
					})
					took[i] = time.Since(began)
				})
				waitFor(t, func() bool { return db.group.length() == i+1 })
			}
			began = time.Now()
			db.writer <- writer
			wg.Wait()
			for i, err := range errs {
				switch {
				case i != 4 && (err != nil || took[i] > limit):
					t.Errorf("write %d: %v after %v", i, err, took[i])
				case i == 4 && (!errors.Is(err, ErrTooLong) || FaultOf(err) != Interrupted || took[i] < limit):
					t.Errorf("the slow write: %v after %v", err, took[i])
				}
			}
			if n := count(t, db, "SELECT count(*) FROM item"); n != 8 {
				t.Errorf("%d rows are stored, want 8", n)
			}
			checkIntegrity(t, db)
		})
	}
}

// A write that needs more than its share, but not too much, is stored.
func TestLongMemberIsStored(t *testing.T) {
	db := open(t, Options{})
	var runs atomic.Int64
	errs := together(t, db, insertItem("first"), func(c *Conn) error {
		runs.Add(1)
		if err := insertItem("long")(c); err != nil {
			return err
		}
		began := time.Now()
		for time.Since(began) < 3*maxShare {
			if err := c.Exec("SELECT 1"); err != nil {
				return err
			}
		}
		return nil
	}, insertItem("last"))
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if n := count(t, db, "SELECT count(*) FROM item"); n != 3 || runs.Load() != 2 {
		t.Errorf("%d rows after %d runs, want 3 after 2", n, runs.Load())
	}
}

// Other writes continue next to slow ones, and whatever is acknowledged is stored
// exactly once.
func TestManyWritersBesideSlowOnes(t *testing.T) {
	t.Parallel()
	db := open(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Scale(1500*time.Millisecond, 3*time.Second))
	defer cancel()
	bounds := Deadlines{Wait: 2 * time.Second, Run: 300 * time.Millisecond}
	var stored, slow, waited atomic.Int64
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprint(w, "/", i)
				err := db.WriteWithin(context.Background(), bounds, func(c *Conn) error {
					if err := insertItem(name)(c); err != nil || w > 1 {
						return err
					}
					return c.Exec([]string{endlessRead, endlessWrite}[w])
				})
				switch {
				case w <= 1 && errors.Is(err, ErrTooLong):
					slow.Add(1)
				case w > 1 && err == nil:
					stored.Add(1)
				case errors.Is(err, ErrWaited):
					waited.Add(1)
				default:
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	if n := count(t, db, "SELECT count(*) FROM item"); n != stored.Load() || n < 14 || slow.Load() < 2 {
		t.Errorf("%d rows are stored, %d answered as stored, %d writes took too long, %d waited too long", n, stored.Load(), slow.Load(), waited.Load())
	}
	checkIntegrity(t, db)
}

func TestBounds(t *testing.T) {
	db := open(t, Options{Readers: 2})
	begun, end := make(chan struct{}, 3), make(chan struct{})
	var wg sync.WaitGroup
	hold := func(*Conn) error {
		begun <- struct{}{}
		<-end
		return nil
	}
	wg.Go(func() { db.Exclusive(context.Background(), hold) })
	<-begun
	if err := insertItemWithin(db, Deadlines{Wait: 50 * time.Millisecond}); !errors.Is(err, ErrWaited) {
		t.Errorf("a write beside one that goes on: %v", err)
	}
	for name, within := range map[string]func(context.Context, Deadlines, func(*Conn) error) error{"exclusive": db.ExclusiveWithin, "restructure": db.RestructureWithin} {
		if err := within(t.Context(), Deadlines{Wait: 50 * time.Millisecond}, hold); !errors.Is(err, ErrWaited) {
			t.Errorf("%s beside one that goes on: %v", name, err)
		}
	}
	read := Deadlines{Wait: 50 * time.Millisecond, Run: 100 * time.Millisecond}
	fine := func(c *Conn) error { return c.Exec("SELECT 1") }
	if err := db.ReadWithin(t.Context(), read, fine); err != nil {
		t.Errorf("a read beside a write: %v", err)
	}
	for range 2 {
		wg.Go(func() { db.Read(context.Background(), hold) })
		<-begun
	}
	if err := db.ReadWithin(t.Context(), read, fine); !errors.Is(err, ErrWaited) {
		t.Errorf("a read beside two that go on: %v", err)
	}
	close(end)
	wg.Wait()
	slow := func(c *Conn) error { return c.Exec(endlessRead) }
	for name, within := range map[string]func(context.Context, Deadlines, func(*Conn) error) error{
		"read": db.ReadWithin, "write": db.WriteWithin, "exclusive": db.ExclusiveWithin, "restructure": db.RestructureWithin,
	} {
		if err := within(t.Context(), read, slow); !errors.Is(err, ErrTooLong) {
			t.Errorf("a slow %s: %v", name, err)
		}
		if err := within(t.Context(), read, fine); err != nil {
			t.Errorf("another %s afterwards: %v", name, err)
		}
		// Many short statements are interrupted as well.
		err := within(t.Context(), read, func(c *Conn) error {
			for range 100_000_000 {
				if err := fine(c); err != nil {
					return err
				}
			}
			return nil
		})
		if !errors.Is(err, ErrTooLong) {
			t.Errorf("a long %s: %v", name, err)
		}
		// Canceling the context is not reported as a timeout.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := within(ctx, Deadlines{Run: time.Second}, slow); errors.Is(err, ErrTooLong) != (name == "write") {
			t.Errorf("a %s that is given up: %v", name, err)
		}
		cancel()
	}
	if n, err := db.foreignKeys(); n != 1 || err != nil {
		t.Errorf("foreign keys are %d (%v)", n, err)
	}
}

func insertItemWithin(db *DB, b Deadlines) error {
	return db.WriteWithin(context.Background(), b, insertItem("x"))
}

// foreignKeys returns whether the writer enforces foreign keys.
func (db *DB) foreignKeys() (n int64, err error) {
	err = db.Exclusive(context.Background(), func(c *Conn) error {
		n, err = c.Int("PRAGMA foreign_keys")
		return err
	})
	return n, err
}

func TestCommittedCountsTheWritesOfACommit(t *testing.T) {
	var sizes []int
	db := open(t, Options{Committed: func(writes int) { sizes = append(sizes, writes) }})
	if err := db.Write(t.Context(), insertItem("alone")); err != nil {
		t.Fatal(err)
	}
	for i, err := range together(t, db, insertItem("a"), insertItem("b"), insertItem("c")) {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if err := db.Write(t.Context(), func(*Conn) error { return errors.New("no") }); err == nil {
		t.Error("the write did not fail")
	}
	if got := fmt.Sprint(sizes); got != "[1 3]" {
		t.Errorf("commits of %s writes", got)
	}
}
