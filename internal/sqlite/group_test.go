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
)

// together makes the writes share one transaction: it holds the writer until
// all of them wait. The errors are in the order of the writes.
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

// A caller must be able to compare the error with its own.
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

// A write that has begun answers for what it did, whatever its context says.
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

	// The same for one whose transaction is run by somebody else.
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
		db.commitGroup(writer, db.group.take())
		db.writer <- writer
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
	if n := transactions.Load(); n != (writers+maxGroup-1)/maxGroup {
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
