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

// DB is a database of a stranger, open in a worker for reading in one
// transaction. One goroutine uses it at a time.
type DB struct {
	send   func([]byte) error
	end    func()             // ends the worker
	cancel context.CancelFunc // ends the call
	ready  chan struct{}      // closed when the file is open
	done   chan struct{}      // closed when the call is over
	last   int                // id of a statement
	spare  []sqlite.Batch     // whose memory can be used again

	given, patience time.Duration // that we wait in all, and what is left of it

	mu      sync.Mutex
	wake    *sync.Cond // of what receive waits for
	pending []*answer  // requests without an answer, in order
	held    int        // bytes of answers that nobody has taken
	waiting int        // who listens
	cause   error      // why we have ended the call
	failure error      // why the call is over, once it is done
}

// answer is the answer to a request.
type answer struct {
	ready    chan struct{}
	maxBytes int // that were asked for
	batch    sqlite.Batch
	more     bool
	err      error
	unwanted bool
}

// maxHeld is how many bytes of answers wait here for somebody who needs them;
// the worker waits with what is more.
const maxHeld = 8 << 20

// basePatience is how long a database may let us wait in all, however small it
// is. Twenty lines can ask for more than a computer does in a year.
const basePatience = time.Minute

// patienceFor returns how long we wait for what a file of so many bytes gives.
// It is read four times or so, and a second for each million bytes is ten times
// what that takes once.
func patienceFor(size int64) time.Duration {
	return basePatience + 4*time.Duration(size)*time.Microsecond
}

// Options say how a database is opened.
type Options struct {
	// Files lie beside it and belong to it, such as a write-ahead log.
	Files []string
	// Write says that they may be changed: a private copy.
	Write bool
	// Check refuses a database that is not sound.
	Check bool
}

// Open has a worker open a database. What cannot be read is a validation_failed
// problem about the field "file". The end of ctx ends the opening; see Interrupt
// for what comes after. The caller closes the database.
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

// rowMemory is what a worker needs beside SQLite's memory for a row that is as
// large as that lets it be.
const rowMemory = 128 << 20

func newDB(send func([]byte) error, end func(), patience time.Duration) *DB {
	d := &DB{send: send, end: end, ready: make(chan struct{}), done: make(chan struct{}), patience: patience, given: patience}
	d.wake = sync.NewCond(&d.mu)
	return d
}

// begin makes the call that lasts as long as the database is open.
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

// explain says why the call is over.
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

// stop ends the call, if it is not over, for a reason.
func (d *DB) stop(cause error) {
	d.mu.Lock()
	if d.cause == nil {
		d.cause = cause
	}
	d.mu.Unlock()
	d.cancel()
	d.wake.Broadcast()
}

// Interrupt lets the end of ctx stop whatever the database does, and the
// database with it, until the returned function is called.
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

// wait waits until ready is closed, as long as there is patience.
func (d *DB) wait(ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	default:
	}
	defer d.listen()()
	// Only the one goroutine that uses the database spends patience.
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
		case <-ready: // before it ended
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

// ask sends a request and returns what its answer will be in.
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

// tell sends a request. Meanwhile the worker is listened to: it may be busy
// sending itself.
func (d *DB) tell(r request) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	defer d.listen()()
	if d.send(text) != nil {
		return d.wait(nil) // who cannot be written to has ended
	}
	return nil
}

// listen takes from the worker whatever it sends, until the returned function is
// called.
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

// forget says that an answer need not be held any longer.
func (d *DB) forget(a *answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !a.unwanted {
		a.unwanted = true
		d.held -= a.batch.Size()
		d.wake.Broadcast()
	}
}

// receive takes a message of the worker.
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

// opened notes that the file is open.
func (d *DB) opened() error {
	select {
	case <-d.ready:
		return errProtocol // for the second time
	default:
		close(d.ready)
		return nil
	}
}

// receiveRows takes rows of the answer that comes next.
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

// finish takes the end of an answer.
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
