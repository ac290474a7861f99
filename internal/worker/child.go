package worker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/disk"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// childName is the process name (argv[0]) of a worker.
const childName = "zangtable-worker"

// childConfig is the configuration of a child, passed as its only argument.
type childConfig struct {
	Folder    string `json:"folder"`     // the child's own, absolute
	Heap      int64  `json:"heap"`       // bytes of memory for SQLite
	TempBytes int64  `json:"temp_bytes"` // of temporary files
	Reserve   int64  `json:"reserve"`    // see Options
	Files     int    `json:"files"`      // number of open files inherited beyond the usual three
}

// hello is the first message of a child.
type hello struct {
	Bounds []Bound `json:"bounds"`
}

// A Bound is a limit on workers that a system may or may not support.
type Bound struct {
	Name  string `json:"name"`
	Holds bool   `json:"holds"`
	Note  string `json:"note"`
}

// binding lists what a child may open from now on, in addition to its folder.
type binding struct {
	Path  string   `json:"path"`  // the subject of the calls
	Read  []string `json:"read"`  // files
	Write []string `json:"write"` // files
}

// Session is the worker's side of what it is bound to: one project or one job.
type Session struct {
	Path   string     // see Scope
	Folder string     // the worker's own, for temporary files
	Files  []*os.File // inherited: see Scope
	// State is whatever a task keeps for the next call.
	State any

	out  *frameWriter
	data chan []byte
	call uint32
}

// Send sends data of the running call to the parent. p may be reused afterwards.
func (s *Session) Send(p []byte) error {
	return s.out.write(frame{frameData, s.call, p})
}

// Receive returns the next data that the parent sends to the running call.
func (s *Session) Receive(ctx context.Context) ([]byte, error) {
	select {
	case p := <-s.data:
		return p, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Main must be called first by every program that may have workers: it returns at once
// unless the process was started as a worker, in which case it never returns.
func Main() {
	if len(os.Args) != 2 || os.Args[0] != childName {
		return
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(argument string) error {
	var config childConfig
	if err := json.Unmarshal([]byte(argument), &config); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	bounds, err := limitProcess(config)
	if err != nil {
		return err
	}
	budget := disk.Budget{Folder: config.Folder, Reserve: config.Reserve}
	if err := sqlite.Confine(sqlite.Bounds{Heap: config.Heap, TempBytes: config.TempBytes, Room: budget.Room}); err != nil {
		return err
	}
	c := &child{
		in:       bufio.NewReaderSize(os.Stdin, 64<<10),
		calls:    make(chan frame),
		canceled: make(chan uint32, 1),
		session:  &Session{Folder: config.Folder, out: &frameWriter{w: os.Stdout}, data: make(chan []byte, 4)},
	}
	for i := range config.Files {
		c.session.Files = append(c.session.Files, os.NewFile(uintptr(3+i), "inherited"))
	}
	// SQLite's memory is not managed by Go, which itself needs little.
	debug.SetGCPercent(50)
	// Values of megabytes produce garbage faster than the percentage triggers a
	// collection, and mapped memory counts toward RLIMIT_DATA whether it is in use or
	// not.
	debug.SetMemoryLimit(64 << 20)
	// The time zone is read from files that a bound worker cannot open.
	_ = time.Now().Local().String()
	debug.FreeOSMemory()
	if err := c.say(frameHello, 0, hello{bounds}); err != nil {
		return err
	}
	go c.listen()
	return c.run()
}

// child is the state of a worker process.
type child struct {
	in       *bufio.Reader
	calls    chan frame
	canceled chan uint32
	session  *Session
}

// listen reads frames from the parent. If the parent is gone or closes the pipe, the
// process exits whatever it is doing.
func (c *child) listen() {
	for {
		f, err := readFrame(c.in)
		switch {
		case err == io.EOF:
			os.Exit(0)
		case err != nil:
			fmt.Fprintln(os.Stderr, "worker: read a frame:", err)
			os.Exit(1)
		}
		switch f.kind {
		case frameData:
			c.session.data <- f.body
		case frameCancel:
			select {
			case c.canceled <- f.call:
			default: // the previous one has not been read yet
			}
		default:
			c.calls <- f
		}
	}
}

// run executes calls one after the other.
func (c *child) run() error {
	for f := range c.calls {
		var end endBody
		switch f.kind {
		case frameBind:
			end = c.bind(f.body)
		case frameCall:
			end = c.answer(f)
		default:
			return fmt.Errorf("a frame of kind %q", f.kind)
		}
		if err := c.say(frameEnd, f.call, end); err != nil {
			return err
		}
	}
	return nil
}

func (c *child) say(kind frameKind, call uint32, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.session.out.write(frame{kind, call, text})
}

func (c *child) bind(body []byte) endBody {
	var b binding
	if err := json.Unmarshal(body, &b); err != nil {
		return endOf(err)
	}
	c.session.Path = b.Path
	if err := restrictFiles(c.session.Folder, b); err != nil {
		return endOf(err)
	}
	return endBody{}
}

func (c *child) answer(f frame) endBody {
	var call callBody
	if err := json.Unmarshal(f.body, &call); err != nil {
		return endOf(err)
	}
	run := tasks[call.Task]
	if run == nil {
		return endOf(fmt.Errorf("there is no task %q", call.Task))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go c.watch(f.call, done, cancel)
	c.session.call = f.call
	out, err := run(ctx, c.session, call.In)
	if err != nil {
		return endOf(err)
	}
	return endBody{Out: out}
}

// watch cancels a call when the parent asks for it. A late request refers to an
// earlier call and is ignored.
func (c *child) watch(call uint32, done <-chan struct{}, cancel func()) {
	for {
		select {
		case <-done:
			return
		case number := <-c.canceled:
			if number == call {
				cancel()
			}
		}
	}
}
