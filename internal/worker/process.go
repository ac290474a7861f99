package worker

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// Worker is a child process as seen by its parent. It must be used by one goroutine at
// a time; only Kill may be called from any.
type Worker struct {
	pool   *Pool
	key    string // of the project that it is bound to; "" if it is not bound
	place  place  // of the call that uses it
	folder string
	log    string // the write-ahead log that it may hold back; "" for none
	// maxPrivate is how many bytes of private memory it may use.
	maxPrivate int64
	since      time.Time

	cmd    *exec.Cmd
	in     *os.File // its standard input
	frames *frameWriter
	out    *os.File // its standard output
	reader *bufio.Reader
	stderr tail
	dead   chan struct{} // closed when the process is gone

	calls atomic.Uint32 // number of calls so far
	mu    sync.Mutex
	cause error // why it was killed; nil if it was not
}

// startTimeout is how long a child may take to say hello. It takes 20 ms on an idle
// machine.
const startTimeout = 20 * time.Second

// cancelGrace is how long a canceled call may take to end by itself. After that its
// worker is killed: there are opcodes that no interrupt stops.
const cancelGrace = 100 * time.Millisecond

// deadGrace is how long the output of a killed worker is still read.
const deadGrace = 20 * time.Millisecond

// watchInterval is how often the parent checks the resources used by a running call.
const watchInterval = 20 * time.Millisecond

// Died reports that a worker ended in the middle of a call.
type Died struct {
	Reason string // what is known about the cause
	// TooLarge means that it was ended for exceeding a limit on its resources.
	TooLarge bool
}

// Error returns a message with the reason.
func (d *Died) Error() string { return "the worker died: " + d.Reason }

// spawn starts a child and waits until it is ready.
func (p *Pool) spawn(files []*os.File) (*Worker, error) {
	folder, err := p.makeFolder()
	if err != nil {
		return nil, err
	}
	w, err := p.startIn(folder, files)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := w.greet(); err != nil {
		w.end()
		return nil, fmt.Errorf("start a worker: %w%s", err, w.lastWords())
	}
	return w, nil
}

func (p *Pool) startIn(folder string, files []*os.File) (w *Worker, err error) {
	argument, err := json.Marshal(childConfig{Folder: folder, Heap: p.options.Heap, TempBytes: p.options.TempBytes, Reserve: p.options.Reserve, Files: len(files)})
	if err != nil {
		return nil, err
	}
	path, err := executable()
	if err != nil {
		return nil, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer theirOut.Close()
	enlargePipe(theirOut)
	w = &Worker{pool: p, folder: folder, since: time.Now(), in: in, frames: &frameWriter{w: in}, out: out, reader: bufio.NewReaderSize(out, 64<<10), dead: make(chan struct{})}
	w.cmd = &exec.Cmd{
		Path: path, Args: []string{childName, string(argument)},
		Env: append([]string{"SQLITE_TMPDIR=" + folder}, zoneVariable()...),
		Dir: folder, Stdin: theirIn, Stdout: theirOut, Stderr: &w.stderr, ExtraFiles: files,
		SysProcAttr: childAttributes(),
		WaitDelay:   time.Second,
	}
	w.maxPrivate = p.maxPrivate(0)
	if err := p.spawner.do(w.cmd.Start); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	p.track(w, true)
	go w.wait()
	return w, nil
}

// zoneVariable returns the one environment variable that results of SQL depend on.
func zoneVariable() []string {
	if zone, set := os.LookupEnv("TZ"); set {
		return []string{"TZ=" + zone}
	}
	return nil
}

// wait reaps the process and removes its leftovers.
func (w *Worker) wait() {
	// The process state tells how it ended.
	_ = w.cmd.Wait()
	w.pool.track(w, false)
	if err := os.RemoveAll(w.folder); err != nil {
		w.pool.log.Warn("clear up after a worker", "error", err)
	}
	close(w.dead)
}

// end ends the process, if it is still running, and releases all its resources.
func (w *Worker) end() {
	w.Kill()
	<-w.dead
	// Errors of pipes to a dead process do not matter.
	_ = w.in.Close()
	_ = w.out.Close()
}

// greet waits for the hello of a child.
func (w *Worker) greet() error {
	late := time.AfterFunc(startTimeout, w.Kill)
	defer late.Stop()
	f, err := readFrame(w.reader)
	if err != nil {
		return err
	}
	var h hello
	if err := json.Unmarshal(f.body, &h); err != nil || f.kind != frameHello {
		return fmt.Errorf("its first frame is of kind %q: %w", f.kind, err)
	}
	w.pool.noteBounds(h.Bounds)
	return nil
}

// makeFolder creates the folder of a child.
func (p *Pool) makeFolder() (string, error) {
	folder := filepath.Join(p.folder, strconv.FormatInt(p.last.Add(1), 10))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of a worker: %w", err)
	}
	return folder, nil
}

// Kill ends the process immediately.
func (w *Worker) Kill() { w.kill(errors.New("it was ended")) }

func (w *Worker) kill(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause == nil {
		w.cause = cause
	}
	killGroup(w.cmd.Process)
	// The child's end of the pipe may stay open: the process may be busy for a while
	// with the files that it had open, and something that it started may have
	// inherited the pipe.
	_ = w.out.SetReadDeadline(time.Now().Add(deadGrace))
}

// alive reports whether the worker can take another call.
func (w *Worker) alive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.dead:
		return false
	default:
		return w.cause == nil
	}
}
