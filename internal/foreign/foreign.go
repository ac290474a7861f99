package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/worker"
)

// DB is a stranger's database, open in a worker for reading in one transaction. Only one
// goroutine may use it at a time.
type DB struct {
	send   func([]byte) error
	end    func()             // ends the worker
	cancel context.CancelFunc // ends the call
	ready  chan struct{}      // closed when the file is open
	done   chan struct{}      // closed when the call is over
	last   int                // id of the last statement
	spare  []sqlite.Batch     // batches whose memory can be reused

	given, patience time.Duration // how long we wait in total, and how much of that remains

	mu      sync.Mutex
	wake    *sync.Cond // signals changes that receive waits for
	pending []*answer  // requests without an answer, in order
	held    int        // bytes of answers not yet taken
	waiting int        // number of listeners
	cause   error      // why we ended the call
	failure error      // why the call ended; set before done is closed
}

// answer is the answer to a request.
type answer struct {
	ready    chan struct{}
	maxBytes int // the limit in the request
	batch    sqlite.Batch
	more     bool
	err      error
	unwanted bool
}

// maxHeld is how many bytes of answers are held here until they are needed; beyond that,
// the worker has to wait.
const maxHeld = 8 << 20

// basePatience is how long a database may keep us waiting in total, however small it is.
// Twenty lines can ask for more than a computer does in a year.
const basePatience = time.Minute

// patienceFor returns how long we wait in total for a file of size bytes. The file is
// read about four times, and a second per million bytes is ten times what reading it
// once takes.
func patienceFor(size int64) time.Duration {
	return basePatience + 4*time.Duration(size)*time.Microsecond
}

// Options says how to open a database.
type Options struct {
	// Files are stored next to the database and belong to it, such as a write-ahead log.
	Files []string
	// Write allows the files to be changed, as in a private copy.
	Write bool
	// Check refuses a damaged database.
	Check bool
}

// Open has a worker open a database. If it cannot be read, the error is a
// validation_failed problem on the field "file". ctx applies only to the opening; see
// Interrupt for what follows. The caller closes the database.
func Open(ctx context.Context, pool *worker.Pool, path string, o Options) (*DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	scope := worker.Scope{Path: path, Read: o.Files, Memory: rowMemory}
	if o.Write {
		scope.Write = append([]string{path}, o.Files...)
	}
	w, err := pool.Start(ctx, scope)
	if err != nil {
		return nil, err
	}
	d := newDB(w.Send, w.End, patienceFor(info.Size()))
	d.begin(func(ctx context.Context) error {
		_, err := reading.Call(ctx, w, opening{Path: path, Check: o.Check}, d.receive)
		return err
	})
	defer d.Interrupt(ctx)()
	if err := d.wait(d.ready); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// rowMemory is what a worker needs on top of SQLite's memory for a row of the largest
// size that SQLite allows it.
const rowMemory = 128 << 20

func newDB(send func([]byte) error, end func(), patience time.Duration) *DB {
	d := &DB{send: send, end: end, ready: make(chan struct{}), done: make(chan struct{}), patience: patience, given: patience}
	d.wake = sync.NewCond(&d.mu)
	return d
}

// begin starts the call that lasts as long as the database is open.
func (d *DB) begin(call func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() {
		defer close(d.done)
		err := call(ctx)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failure = d.explain(err)
	}()
}

// explain returns the reason why the call ended.
func (d *DB) explain(err error) error {
	var died *worker.Died
	switch {
	case d.cause != nil:
		return d.cause
	case err == nil, errors.Is(err, context.Canceled):
		return errClosed
	case errors.As(err, &died) && died.TooLarge:
		return invalid("The database needs more memory or disk than it may use: a value or a row in it is too large.").Because(err)
	case errors.As(err, &died):
		return invalid("The database crashed the process that read it. It is damaged or malicious.").Because(err)
	}
	return err
}

var errClosed = errors.New("the database is closed")

// stop ends the call for the given reason, if it has not ended.
func (d *DB) stop(cause error) {
	d.mu.Lock()
	if d.cause == nil {
		d.cause = cause
	}
	d.mu.Unlock()
	d.cancel()
	d.wake.Broadcast()
}

// Interrupt makes the end of ctx stop the database, whatever it is doing, until the
// returned function is called. A stopped database cannot be used again.
func (d *DB) Interrupt(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, func() { d.stop(ctx.Err()) })
	return func() { stop() }
}

// Close ends the worker.
func (d *DB) Close() error {
	d.stop(errClosed)
	d.end()
	<-d.done
	return nil
}

// wait waits until ready is closed or patience runs out.
func (d *DB) wait(ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	default:
	}
	defer d.listen()()
	// Only the one goroutine that uses the database updates patience.
	began := time.Now()
	timer := time.NewTimer(d.patience)
	defer func() {
		timer.Stop()
		d.patience -= time.Since(began)
	}()
	select {
	case <-ready:
		return nil
	case <-timer.C:
		d.stop(invalid("The database could not be read within %s: it computes more than it stores.", d.given.Round(time.Second)))
		<-d.done
	case <-d.done:
		select {
		case <-ready: // closed before the call ended
			return nil
		default:
		}
	}
	return d.failed()
}

func (d *DB) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// ask sends a request and returns the answer to wait for.
func (d *DB) ask(r request) (*answer, error) {
	a := &answer{ready: make(chan struct{}), maxBytes: r.Bytes}
	if last := len(d.spare) - 1; last >= 0 && r.Op == opFetch {
		a.batch, d.spare = d.spare[last], d.spare[:last]
		a.batch.Reset(0)
	}
	d.mu.Lock()
	d.pending = append(d.pending, a)
	d.mu.Unlock()
	return a, d.tell(r)
}

// tell sends a request. It listens meanwhile, since the worker may itself be busy
// sending.
func (d *DB) tell(r request) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	defer d.listen()()
	if d.send(text) != nil {
		return d.wait(nil) // a worker that cannot be written to has ended
	}
	return nil
}

// listen accepts everything that the worker sends until the returned function is called.
func (d *DB) listen() (release func()) {
	add := func(n int) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.waiting += n
		d.wake.Broadcast()
	}
	add(1)
	return func() { add(-1) }
}

// await waits for an answer.
func (d *DB) await(a *answer) error {
	if err := d.wait(a.ready); err != nil {
		return err
	}
	d.forget(a)
	return a.err
}

// forget marks an answer as no longer needed.
func (d *DB) forget(a *answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !a.unwanted {
		a.unwanted = true
		d.held -= a.batch.Size()
		d.wake.Broadcast()
	}
}

// receive handles a message from the worker.
func (d *DB) receive(p []byte) error {
	switch {
	case len(p) == 0:
		return errProtocol
	case p[0] == isReady:
		return d.opened()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pending) == 0 {
		return errProtocol
	}
	a := d.pending[0]
	if p[0] == isRows {
		if err := d.receiveRows(a, p[1:]); err != nil {
			return err
		}
		for d.held > maxHeld && d.waiting == 0 && d.cause == nil {
			d.wake.Wait()
		}
		return nil
	}
	if err := a.finish(p); err != nil {
		return err
	}
	d.pending = d.pending[1:]
	close(a.ready)
	return nil
}

// opened records that the file is open.
func (d *DB) opened() error {
	select {
	case <-d.ready:
		return errProtocol // a second time
	default:
		close(d.ready)
		return nil
	}
}

// receiveRows adds rows to the current answer.
func (d *DB) receiveRows(a *answer, p []byte) error {
	columns, rows, err := cutHead(p)
	if err != nil {
		return err
	}
	if a.batch.Rows == 0 {
		a.batch.Reset(columns)
	}
	before := a.batch.Size()
	if a.batch.Columns != columns || before+len(p) > a.maxBytes+maxRow {
		return errProtocol
	}
	if a.unwanted {
		return nil
	}
	if err := a.batch.TakeRows(rows); err != nil {
		return errors.Join(errProtocol, err)
	}
	d.held += a.batch.Size() - before
	return nil
}

// finish handles the end of an answer.
func (a *answer) finish(p []byte) error {
	switch p[0] {
	case isFailure:
		failure, err := parseFailure(p[1:])
		if err == nil {
			a.err = failure
		}
		return err
	case isEnd:
		columns, rest, err := cutHead(p[1:])
		if err != nil || len(rest) != 1 || a.batch.Rows > 0 && a.batch.Columns != columns {
			return errors.Join(errProtocol, err)
		}
		if a.batch.Rows == 0 {
			a.batch.Reset(columns)
		}
		a.more = rest[0] == 1
		return nil
	}
	return errProtocol
}
