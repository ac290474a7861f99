package projectdb

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Commit is a commit of a project as its followers see it. A commit that changed
// neither records nor the schema is not shown.
type Commit struct {
	Number  int64 // see [Tx.LastCommit]
	Schema  int64 // the version of the catalog: it grows with every change to tables, columns and indexes
	Time    time.Time
	Touched []ids.Table // the tables in which records may have changed, ordered by id
	// Altered has the tables whose schema changed, ordered by id. It is empty if the
	// schema did not change, and also if EverythingAltered is set.
	Altered           []ids.Table
	EverythingAltered bool
}

// AltersSchema reports whether the commit changed the schema.
func (c *Commit) AltersSchema() bool { return c.EverythingAltered || len(c.Altered) > 0 }

// news is what a transaction has changed so far.
type news struct {
	touched, altered []ids.Table // may repeat ids
	everything       bool        // altered stands for every table
}

// touch notes that records of a table may have changed.
func (n *news) touch(id ids.Table) {
	if len(n.touched) == 0 || n.touched[len(n.touched)-1] != id {
		n.touched = append(n.touched, id)
	}
}

// alter notes that the schema of tables has changed, of every table if there are none.
func (n *news) alter(tables []ids.Table) {
	n.altered = append(n.altered, tables...)
	n.everything = n.everything || len(tables) == 0
}

// tell runs fn and adds what it has changed to the news of the commit.
func (db *DB) tell(tx *Tx, fn func(*Tx) error) error {
	err := fn(tx)
	if err == nil && db.feed != nil {
		db.feed.add(tx.news)
	}
	return err
}

// maxFed is how many commits a feed remembers.
const maxFed = 256

// feed has the newest commits of a project. It outlives the project's database, which
// may be closed and opened again, as long as somebody follows it. Nobody is waited for:
// followers read from their own place, and those that are too slow miss commits. A nil
// feed remembers nothing.
type feed struct {
	mu           sync.Mutex
	begun        bool
	floor        int64 // every commit after this one that is shown is in the ring
	last, schema int64 // the newest commit and catalog
	ring         []Commit
	oldest       int           // index in ring, once it is full
	woken        chan struct{} // closed when there is news; nil if nobody waits
	ended        bool
	now          func() time.Time

	next          news // of the open write transaction
	number, after int64
}

// begin reads where the project is. What others have committed meanwhile is unknown.
func (f *feed) begin(sql *sqlite.DB) error {
	if f == nil {
		return nil
	}
	return sql.Read(context.Background(), func(c *sqlite.Conn) error {
		return c.Query("SELECT commits, catalog FROM _project", nil, func(s *sqlite.Stmt) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.begun && f.last == s.Int(0) {
				return nil
			}
			f.begun = true
			f.forget(s.Int(0), s.Int(1))
			return nil
		})
	})
}

// forget continues from a commit whose predecessors are unknown.
func (f *feed) forget(last, schema int64) {
	f.floor, f.last, f.schema = last, last, schema
	f.ring, f.oldest = nil, 0
	f.wake()
}

// add adds to the news of the open write transaction.
func (f *feed) add(n news) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.next.touched == nil { // as mostly: of a transaction that it does not share
		f.next.touched = n.touched
	} else {
		f.next.touched = append(f.next.touched, n.touched...)
	}
	f.next.altered = append(f.next.altered, n.altered...)
	f.next.everything = f.next.everything || n.everything
}

// count gives the open write transaction its number, as its last step.
func (f *feed) count(c *sqlite.Conn) error {
	if f == nil {
		return c.Exec("UPDATE _project SET commits = commits + 1")
	}
	return c.Query("UPDATE _project SET commits = commits + 1 RETURNING commits, catalog", nil, func(s *sqlite.Stmt) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.number, f.after = s.Int(0), s.Int(1)
		return nil
	})
}

// publish shows a transaction that has ended, unless it was rolled back.
func (f *feed) publish(err error) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.next
	f.next = news{}
	switch {
	case sqlite.SyncFailed(err):
		f.forget(f.number, f.after) // it may have been committed
	case err == nil:
		f.last, f.schema = f.number, f.after
		if len(n.touched) > 0 || len(n.altered) > 0 || n.everything {
			f.keep(n.commit(f.number, f.after, f.now()))
		}
	}
}

func (n *news) commit(number, schema int64, at time.Time) Commit {
	c := Commit{Number: number, Schema: schema, Time: at, Touched: sorted(n.touched), Altered: sorted(n.altered), EverythingAltered: n.everything}
	if n.everything {
		c.Altered = nil
	}
	return c
}

func sorted(list []ids.Table) []ids.Table {
	if len(list) > 1 {
		slices.Sort(list)
		list = slices.Clip(slices.Compact(list))
	}
	return list
}

func (f *feed) keep(c Commit) {
	if len(f.ring) < maxFed {
		f.ring = append(f.ring, c)
	} else {
		f.floor = f.ring[f.oldest].Number
		f.ring[f.oldest] = c
		f.oldest = (f.oldest + 1) % maxFed
	}
	f.wake()
}

func (f *feed) wake() {
	if f.woken != nil {
		close(f.woken)
		f.woken = nil
	}
}

// read returns the commits after a place, the oldest first. If complete is false, some
// after the place are not known any more, or the place is none, and there are none.
func (f *feed) read(place int64) (list []Commit, next Place, complete bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next = Place{f.last, f.schema}
	if place < f.floor || place > f.last {
		return nil, next, false
	}
	for i := range f.ring {
		if c := f.ring[(f.oldest+i)%len(f.ring)]; c.Number > place {
			list = append(list, c)
		}
	}
	return list, next, true
}

// wait returns a channel that is closed once there are commits after a place, and false
// if there will be none.
func (f *feed) wait(place int64) (news <-chan struct{}, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil, false
	}
	if f.last != place {
		ready := make(chan struct{})
		close(ready)
		return ready, true
	}
	if f.woken == nil {
		f.woken = make(chan struct{})
	}
	return f.woken, true
}

// end tells followers that there will be no more commits.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.wake()
}

// Place is a place in the commits of a project: after a commit.
type Place struct{ Commit, Schema int64 }

// feeds has the feeds of the projects that are open or followed.
type feeds struct {
	mu    sync.Mutex
	known map[ids.Project]*feedUse
	ended bool
	now   func() time.Time
}

type feedUse struct {
	feed  *feed
	users int
}

// enter returns the feed of a project until leave is called.
func (fs *feeds) enter(id ids.Project) (f *feed, leave func()) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.known == nil {
		fs.known = map[ids.Project]*feedUse{}
	}
	use := fs.known[id]
	if use == nil {
		use = &feedUse{feed: &feed{now: fs.now, ended: fs.ended}}
		fs.known[id] = use
	}
	use.users++
	return use.feed, sync.OnceFunc(func() { fs.leave(id, use) })
}

func (fs *feeds) leave(id ids.Project, use *feedUse) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if use.users--; use.users == 0 && fs.known[id] == use {
		delete(fs.known, id)
	}
}

// end ends the feed of a project that is being deleted.
func (fs *feeds) end(id ids.Project) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if use := fs.known[id]; use != nil {
		use.feed.end()
	}
}

// StopFollowing ends every [Follower].
func (d *Dir) StopFollowing() {
	d.feeds.mu.Lock()
	defer d.feeds.mu.Unlock()
	d.feeds.ended = true
	for _, use := range d.feeds.known {
		use.feed.end()
	}
}

// Follower reads the commits of a project from a place of its own. It must be used by
// one goroutine, and closed. It does not keep the project's database open.
type Follower struct {
	feed  *feed
	close func()
	place int64
}

// Follow returns a follower of the commits from now on. The project's database must be
// open.
func (d *Dir) Follow(id ids.Project) (*Follower, Place) {
	f, leave := d.feeds.enter(id)
	_, now, _ := f.read(-1)
	return &Follower{f, leave, now.Commit}, now
}

// From moves the follower to the place after a commit. It reports false if not every
// later commit is known, and does not move.
func (f *Follower) From(commit int64) bool {
	_, _, complete := f.feed.read(commit)
	if complete {
		f.place = commit
	}
	return complete
}

// Next waits for commits and returns them, the oldest first. If some were missed, it
// returns none, and where the follower goes on. It returns false once ctx has ended or
// there will be no more.
func (f *Follower) Next(ctx context.Context) (list []Commit, missed *Place, more bool) {
	for {
		news, more := f.feed.wait(f.place)
		if !more {
			return nil, nil, false
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, nil, false
		}
		list, now, complete := f.feed.read(f.place)
		f.place = now.Commit
		switch {
		case !complete:
			return nil, &now, true
		case len(list) > 0:
			return list, nil, true
		}
	}
}

// Close ends the follower.
func (f *Follower) Close() { f.close() }
