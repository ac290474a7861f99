package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// running is a call in progress, with everything that may end it.
type running struct {
	w      *Worker
	number uint32

	mu    sync.Mutex
	over  bool
	timer *time.Timer // fires the watch
	last  *time.Timer // kills the worker if a canceled call does not end; nil before cancellation
}

// call runs a task by name.
func (w *Worker) call(ctx context.Context, task string, in []byte, receive func([]byte) error) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(callBody{Task: task, In: in})
	if err != nil {
		return nil, err
	}
	return w.exchange(ctx, frameCall, body, receive)
}

// exchange sends a frame and handles the replies until the end of the call.
func (w *Worker) exchange(ctx context.Context, kind frameKind, body []byte, receive func([]byte) error) ([]byte, error) {
	r := &running{w: w, number: w.calls.Add(1)}
	defer r.stop()
	r.mu.Lock() // held until timer is set, because the watch uses it
	r.timer = time.AfterFunc(watchInterval, r.watch)
	r.mu.Unlock()
	defer context.AfterFunc(ctx, r.cancel)()
	err := w.frames.write(frame{kind, r.number, body})
	var out []byte
	if err == nil {
		out, err = w.take(ctx, r.number, receive)
	}
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return out, err
}

// take reads the frames of a call.
func (w *Worker) take(ctx context.Context, call uint32, receive func([]byte) error) ([]byte, error) {
	for {
		f, err := readFrame(w.reader)
		if err != nil {
			return nil, w.explainDeath(ctx, err)
		}
		switch {
		case f.call != call:
			err = fmt.Errorf("a frame of call %d in call %d", f.call, call)
		case f.kind == frameEnd:
			var end endBody
			if err = json.Unmarshal(f.body, &end); err == nil {
				return end.Out, end.err()
			}
		case f.kind == frameData && receive != nil:
			if err := receive(f.body); err != nil {
				w.Kill() // nobody wants the rest of what it sends
				return nil, err
			}
			continue
		default:
			err = fmt.Errorf("a frame of kind %q", f.kind)
		}
		if err != nil {
			w.kill(fmt.Errorf("it does not keep to the protocol: %w", err))
			return nil, w.explainDeath(ctx, err)
		}
	}
}

// Send sends data to the running task.
func (w *Worker) Send(p []byte) error {
	return w.frames.write(frame{frameData, w.calls.Load(), p})
}

// explainDeath says why a worker has stopped responding. If the call was to end
// anyway, the reason does not matter, and the process is not waited for.
func (w *Worker) explainDeath(ctx context.Context, err error) error {
	w.Kill()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	<-w.dead
	w.mu.Lock()
	cause := w.cause
	w.mu.Unlock()
	var died *Died
	if !errors.As(cause, &died) {
		died = w.deathBy(cause, err)
	}
	w.pool.log.Warn("a worker died", "about", w.key, "reason", died.Reason)
	return died
}

// deathBy describes an unexpected death of the worker.
func (w *Worker) deathBy(cause, err error) *Died {
	reason := cause.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		reason = w.cmd.ProcessState.String()
	}
	return &Died{Reason: reason + w.lastWords()}
}

// lastWords returns the end of the process's standard error.
func (w *Worker) lastWords() string {
	if text := strings.TrimSpace(w.stderr.String()); text != "" {
		return ": " + text
	}
	return ""
}

// cancel tells the worker to end the call, and kills it if that does not help.
func (r *running) cancel() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.last = time.AfterFunc(cancelGrace, func() {
		r.unlessOver(func() { r.w.kill(errors.New("its call did not end in time")) })
	})
	// A worker that does not listen is killed anyway.
	go func() { _ = r.w.frames.write(frame{kind: frameCancel, call: r.number}) }()
}

// watch kills the worker if it exceeds its limits, and reschedules itself.
func (r *running) watch() {
	cause := r.w.excess()
	r.unlessOver(func() {
		if cause != nil {
			r.w.kill(cause)
			return
		}
		r.timer.Reset(watchInterval)
	})
}

func (r *running) unlessOver(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		fn()
	}
}

func (r *running) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.timer.Stop()
	if r.last != nil {
		r.last.Stop()
	}
}

// excess returns which limit the worker exceeds, or nil.
func (w *Worker) excess() error {
	if n, err := privateBytes(w.cmd.Process.Pid); err == nil && n > w.maxPrivate && !raceDetector {
		return &Died{Reason: fmt.Sprintf("it had %d bytes of memory in use, and %d are allowed", n, w.maxPrivate), TooLarge: true}
	}
	if w.log == "" {
		return nil
	}
	if info, err := os.Stat(w.log); err == nil && info.Size() > w.pool.options.MaxLog {
		return &Died{Reason: fmt.Sprintf("it kept the write-ahead log from being reset, which had %d bytes", info.Size()), TooLarge: true}
	}
	return nil
}

// tail keeps the end of everything written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// maxTail is how many bytes of a worker's standard error are kept.
const maxTail = 4 << 10

// Write keeps the end of p.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[max(0, len(p)-maxTail):]...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
