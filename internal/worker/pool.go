package worker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

// Options configure where workers keep their files and what they may use. Zero numbers
// and durations mean the defaults given here.
type Options struct {
	Folder    string        // for the workers' folders; its content is removed
	Heap      int64         // 64 MiB: memory of SQLite, per worker
	TempBytes int64         // 1 GiB: of temporary files, per worker
	Reserve   int64         // bytes of the disk that temporary files leave free; 0 as in disk.Budget
	MaxLog    int64         // 1 GiB: a worker that holds back a larger write-ahead log is ended
	Max       int           // 16: workers bound to projects; a quarter of them cannot be taken by a single group
	PerKey    int           // 2: concurrent calls per project
	Fresh     int           // 2: workers started in advance
	IdleTime  time.Duration // 60 seconds: how long a worker stays bound to its project without a call
	Wait      time.Duration // 5 seconds: how long a call waits for its place
	Log       *slog.Logger
}

func (o *Options) setDefaults() {
	o.Heap = cmp.Or(o.Heap, 64<<20)
	o.TempBytes = cmp.Or(o.TempBytes, 1<<30)
	o.MaxLog = cmp.Or(o.MaxLog, 1<<30)
	o.Max = cmp.Or(o.Max, 16)
	o.PerKey = cmp.Or(o.PerKey, 2)
	o.Fresh = cmp.Or(o.Fresh, 2)
	o.IdleTime = cmp.Or(o.IdleTime, time.Minute)
	o.Wait = cmp.Or(o.Wait, 5*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
}

// Scope is everything that a worker may access in addition to its own folder.
type Scope struct {
	Path  string      // the subject of its calls, which it may read
	Group ids.Project // the group whose places a call uses: see Options
	Read  []string    // further files that it may read
	Write []string    // files that it may write
	Log   string      // a write-ahead log that it may hold back
	Files []*os.File  // inherited; they still belong to the caller
	// Memory is how many bytes its tasks need in addition to SQLite's memory, if that
	// is a lot.
	Memory int64
}

// Pool starts workers and keeps them. Its methods are safe for concurrent use.
type Pool struct {
	options Options
	folder  string
	log     *slog.Logger
	spawner spawner
	last    atomic.Int64 // number of the last folder

	mu       sync.Mutex
	closed   bool
	fresh    []*Worker
	spawning int                   // workers being started as fresh ones
	bound    map[*Worker]bool      // to projects; true while in use by a call
	used     map[place]int         // calls in progress
	waiting  []*waiter             // for a place, in order
	pids     map[int]bool          // of every living child
	bounds   []Bound               // as reported by the last child
	tidier   *time.Timer           // ends idle workers
	idleFrom map[*Worker]time.Time // of idle bound workers

	closers sync.WaitGroup
}

// Open clears the workers' folder. It does not start a worker before one is needed:
// see Warm.
func Open(options Options) (*Pool, error) {
	options.setDefaults()
	folder, err := filepath.Abs(options.Folder)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(folder); err != nil {
		return nil, fmt.Errorf("clear the folder of the workers: %w", err)
	}
	closeOnExec()
	p := &Pool{
		options: options, folder: folder, log: options.Log,
		bound: map[*Worker]bool{}, idleFrom: map[*Worker]time.Time{}, used: map[place]int{}, pids: map[int]bool{},
	}
	return p, nil
}

// Warm starts workers before the first one is needed.
func (p *Pool) Warm() { p.refill() }

// Close ends every worker. Calls in progress fail.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	workers := p.fresh
	for w := range p.bound {
		workers = append(workers, w)
	}
	p.fresh, p.bound = nil, map[*Worker]bool{}
	if p.tidier != nil {
		p.tidier.Stop()
	}
	for _, waits := range p.waiting {
		close(waits.ready)
	}
	p.waiting = nil
	p.mu.Unlock()
	for _, w := range workers {
		w.end()
	}
	p.closers.Wait()
	p.spawner.close()
	return os.RemoveAll(p.folder)
}

// busy returns the problem of a call that gets no worker.
func busy(format string, args ...any) *problem.Error {
	return problem.New(problem.CodeBusy, format, args...).Retry(time.Second)
}

// Acquire returns a worker that is bound to the scope, for one or several calls.
// Release returns it. Workers are kept by the path of their scope. A call that waits
// too long for a place is busy.
func (p *Pool) Acquire(ctx context.Context, scope Scope) (*Worker, error) {
	at := place{scope.Path, scope.Group}
	if err := p.takePlace(ctx, at); err != nil {
		return nil, err
	}
	w, err := p.bindOne(ctx, scope)
	if err != nil {
		p.returnPlace(at, nil)
		return nil, err
	}
	w.place = at
	return w, nil
}

// Release returns a worker to the pool.
func (p *Pool) Release(w *Worker) { p.returnPlace(w.place, w) }

// Start returns a worker for one job, which inherits the files of the scope. The
// caller must end it with End.
func (p *Pool) Start(ctx context.Context, scope Scope) (*Worker, error) {
	w, err := p.spawn(scope.Files)
	if err != nil {
		p.log.Error("start a worker", "error", err)
		return nil, busy("The server cannot start another process right now.").Because(err)
	}
	if err := p.bind(ctx, w, scope); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

// End ends a worker that Start has returned.
func (w *Worker) End() { w.end() }

// bind tells a worker what it may open.
func (p *Pool) bind(ctx context.Context, w *Worker, scope Scope) error {
	w.log, w.maxPrivate = scope.Log, p.maxPrivate(scope.Memory)
	b := binding{Path: scope.Path, Read: scope.Read, Write: scope.Write}
	if scope.Path != "" {
		b.Read = append(slices.Clip(b.Read), scope.Path)
	}
	body, err := json.Marshal(b)
	if err != nil {
		return err
	}
	_, err = w.exchange(ctx, frameBind, body, nil)
	return err
}

// returnPlace ends a call and keeps its worker for the next one.
func (p *Pool) returnPlace(at place, w *Worker) {
	p.mu.Lock()
	if p.used[at]--; p.used[at] == 0 {
		delete(p.used, at)
	}
	if w != nil && p.bound[w] {
		if w.alive() && !p.closed {
			p.bound[w], p.idleFrom[w] = false, time.Now()
			p.tidyLater()
			w = nil
		} else {
			delete(p.bound, w)
		}
	}
	p.admit()
	if w != nil && !p.closed { // otherwise Close ends it
		// A killed process may be busy for a while with the files that it had open: no
		// answer waits for that.
		p.closers.Go(w.end)
	}
	p.mu.Unlock()
}

// bindOne returns an idle worker of the project, or binds a fresh one.
func (p *Pool) bindOne(ctx context.Context, scope Scope) (*Worker, error) {
	w, stale := p.takeIdle(scope.Path)
	for _, old := range stale {
		old.end()
	}
	if w != nil {
		return w, nil
	}
	w, err := p.takeFresh()
	if err != nil {
		p.log.Error("start a worker", "error", err)
		return nil, busy("The server cannot start another process right now.").Because(err)
	}
	if err := p.bind(ctx, w, scope); err != nil {
		w.end()
		return nil, err
	}
	w.key = scope.Path
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.bound[w] = true
	}
	p.mu.Unlock()
	if closed {
		w.end()
		return nil, problem.Stopping()
	}
	return w, nil
}

// takeIdle takes the idle worker of a project. If there is none, it makes room for one
// by returning the longest-idle worker to be ended.
func (p *Pool) takeIdle(key string) (found *Worker, stale []*Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.idleFrom {
		switch {
		case !w.alive():
			stale = append(stale, p.forget(w))
		case w.key == key && found == nil:
			found = w
		}
	}
	if found != nil {
		delete(p.idleFrom, found)
		p.bound[found] = true
		return found, stale
	}
	for len(p.bound) >= p.options.Max && len(p.idleFrom) > 0 {
		stale = append(stale, p.forget(p.longestIdle()))
	}
	return nil, stale
}

func (p *Pool) longestIdle() (oldest *Worker) {
	for w, since := range p.idleFrom {
		if oldest == nil || since.Before(p.idleFrom[oldest]) {
			oldest = w
		}
	}
	return oldest
}

// forget removes an idle worker from the pool; the caller must end it.
func (p *Pool) forget(w *Worker) *Worker {
	delete(p.idleFrom, w)
	delete(p.bound, w)
	return w
}

// takeFresh takes a fresh worker, or starts one, and has another started for the next
// call.
func (p *Pool) takeFresh() (*Worker, error) {
	for {
		p.mu.Lock()
		var w *Worker
		if n := len(p.fresh); n > 0 {
			w, p.fresh = p.fresh[n-1], p.fresh[:n-1]
		}
		p.mu.Unlock()
		p.refill()
		switch {
		case w == nil:
			return p.spawn(nil)
		case w.alive():
			return w, nil
		}
		w.end()
	}
}

// refill starts workers until there are enough fresh ones.
func (p *Pool) refill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && len(p.fresh)+p.spawning < p.options.Fresh {
		p.spawning++
		p.closers.Go(p.addFresh)
	}
}

func (p *Pool) addFresh() {
	w, err := p.spawn(nil)
	if err != nil {
		p.log.Error("start a worker", "error", err)
	}
	p.mu.Lock()
	p.spawning--
	if w != nil && !p.closed {
		p.fresh = append(p.fresh, w)
		w = nil
	}
	p.mu.Unlock()
	if w != nil {
		w.end()
	}
}

// tidyLater schedules the end of idle workers.
func (p *Pool) tidyLater() {
	if p.tidier == nil {
		p.tidier = time.AfterFunc(p.options.IdleTime, p.tidy)
	}
}

func (p *Pool) tidy() {
	p.mu.Lock()
	var stale []*Worker
	for w, since := range p.idleFrom {
		if time.Since(since) >= p.options.IdleTime || !w.alive() {
			stale = append(stale, p.forget(w))
		}
	}
	p.tidier = nil
	if len(p.idleFrom) > 0 && !p.closed {
		p.tidier = time.AfterFunc(p.options.IdleTime/4+time.Millisecond, p.tidy)
	}
	p.mu.Unlock()
	for _, w := range stale {
		w.end()
	}
}

// Evict ends the idle workers of a project, so that no other process has its database
// open. There must be no call for it in progress.
func (p *Pool) Evict(key string) {
	p.mu.Lock()
	var stale []*Worker
	for w := range p.idleFrom {
		if w.key == key {
			stale = append(stale, p.forget(w))
		}
	}
	p.mu.Unlock()
	for _, w := range stale {
		w.end()
	}
}

// Counts are the numbers of worker processes and of the calls that wait for one.
type Counts struct {
	Busy    int // running a call
	Idle    int // bound to a project, without a call
	Fresh   int // bound to no project yet
	Waiting int // calls
}

// Counts returns what the workers are doing.
func (p *Pool) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := Counts{Idle: len(p.idleFrom), Fresh: len(p.fresh), Waiting: len(p.waiting)}
	n.Busy = len(p.bound) - n.Idle
	return n
}

// maxPrivate is how many bytes of private memory a worker may use: up to twice
// SQLite's limit, because of the allocator's size classes and fragmentation, plus what
// the program itself uses, plus what a task needs beyond that.
func (p *Pool) maxPrivate(beyond int64) int64 {
	const program = 64 << 20
	return 2*p.options.Heap + program + beyond
}

// track records that a child lives, or has ended.
func (p *Pool) track(w *Worker, lives bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lives {
		p.pids[w.cmd.Process.Pid] = true
	} else {
		delete(p.pids, w.cmd.Process.Pid)
	}
}

// Descends reports whether a process is a worker or was started by one, as far as the
// system can tell.
func (p *Pool) Descends(pid int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	const maxDepth = 64
	for range maxDepth {
		if pid <= 1 {
			return false
		}
		if p.pids[pid] {
			return true
		}
		pid = parentOf(pid)
	}
	return true // nothing legitimate is nested this deeply
}

func (p *Pool) noteBounds(bounds []Bound) {
	p.mu.Lock()
	first := p.bounds == nil
	p.bounds = bounds
	p.mu.Unlock()
	if !first {
		return
	}
	for _, b := range bounds {
		p.log.Info("bound of workers", "name", b.Name, "holds", b.Holds, "note", b.Note)
	}
}

// Bounds starts a worker and returns which limits apply to it on this system.
func (p *Pool) Bounds() ([]Bound, error) {
	w, err := p.spawn(nil)
	if err != nil {
		return nil, err
	}
	w.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.bounds), nil
}
