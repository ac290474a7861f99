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

// Options say where workers live and what they may use. Numbers and durations
// that are zero have the values given here.
type Options struct {
	Folder    string        // of their folders; what is in it is removed
	Heap      int64         // 64 MiB: of memory for SQLite, per worker
	TempBytes int64         // 1 GiB: of temporary files, per worker
	Reserve   int64         // bytes of the disk that temporary files leave free; 0 as in disk.Budget
	MaxLog    int64         // 1 GiB: a write-ahead log held back by a worker beyond this ends it
	Max       int           // 16: workers bound to projects, a quarter of which no group can take from the others
	PerKey    int           // 2: calls at once about one project
	Fresh     int           // 2: workers made ready before they are needed
	IdleTime  time.Duration // 60 seconds: how long a worker stays with its project without a call
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

// Scope is all that a worker may reach beside its own folder.
type Scope struct {
	Path  string      // what its calls are about; it may be read
	Group ids.Project // whose share of the places a call takes: see Options
	Read  []string    // further files that it may read
	Write []string    // files that it may write
	Log   string      // a write-ahead log that it may hold back
	Files []*os.File  // inherited, and still the caller's
	// Memory is what its tasks need beside SQLite's, in bytes, if that is much.
	Memory int64
}

// Pool starts workers and keeps them. Its methods may be called from many
// goroutines.
type Pool struct {
	options Options
	folder  string
	log     *slog.Logger
	spawner spawner
	last    atomic.Int64 // folder

	mu       sync.Mutex
	closed   bool
	fresh    []*Worker
	spawning int                   // workers that are to be fresh
	bound    map[*Worker]bool      // to projects; true while a call uses it
	used     map[place]int         // calls under way
	waiting  []*waiter             // for a place, in order
	pids     map[int]bool          // of every child that lives
	bounds   []Bound               // as the last child has told them
	tidier   *time.Timer           // ends idle workers
	idleFrom map[*Worker]time.Time // of idle bound workers

	closers sync.WaitGroup
}

// Open clears the folder of the workers. It starts none before one is needed: see
// Warm.
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

// Warm makes workers ready before the first is needed.
func (p *Pool) Warm() { p.refill() }

// Close ends every worker. Calls under way fail.
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

// busy is the problem of a call that finds no worker.
func busy(format string, args ...any) *problem.Error {
	return problem.New(problem.CodeBusy, format, args...).Retry(time.Second)
}

// Acquire returns a worker that is bound to the scope, for one call or several.
// Release gives it back. The path of the scope is what the worker is kept by. A
// call that finds no place for too long is busy.
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

// Release gives a worker back.
func (p *Pool) Release(w *Worker) { p.returnPlace(w.place, w) }

// Start returns a worker for one job, which inherits the files of the scope. The
// caller ends it with End.
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

// returnPlace ends a call, and keeps its worker for the next one.
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
	if w != nil && !p.closed { // else Close ends it
		// A killed process may be busy for a while with the files that it had: no
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

// takeIdle takes the idle worker of a project. Without one, it makes room for
// another: the worker that has been idle longest is to be ended.
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

// forget takes an idle worker out of the pool, for its caller to end.
func (p *Pool) forget(w *Worker) *Worker {
	delete(p.idleFrom, w)
	delete(p.bound, w)
	return w
}

// takeFresh takes a worker that is ready, or starts one, and has another made
// ready for the next call.
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

// refill starts workers until as many are fresh as there are to be.
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

// tidyLater has idle workers ended when their time has come.
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

// Evict ends the idle workers of a project, so that no other process has its
// database open. Nobody may have a call about it under way.
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

// maxPrivate is how much memory of its own a worker may have in use, in bytes:
// up to twice SQLite's limit, because of the allocator's classes and of
// fragmentation, what the program itself takes, and what a task needs beyond.
func (p *Pool) maxPrivate(beyond int64) int64 {
	const program = 64 << 20
	return 2*p.options.Heap + program + beyond
}

// track notes that a child lives, or no longer.
func (p *Pool) track(w *Worker, lives bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if lives {
		p.pids[w.cmd.Process.Pid] = true
	} else {
		delete(p.pids, w.cmd.Process.Pid)
	}
}

// Descends reports whether a process is a worker or has been started by one, as
// far as the system tells.
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
	return true // nobody who means well is so deep
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

// Bounds starts a worker and returns which limits hold for it on this system.
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
