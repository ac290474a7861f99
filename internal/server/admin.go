package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/storage"
)

// The operator's commands reach the process that has the data folder through a socket
// in the folder, which only its owner can open. A command line without a running server
// opens the folder itself and then talks to its own socket, so that every command takes
// the same path.

// Command is an operator command with typed input and output.
type Command[In, Out any] struct {
	name  string
	reads reading
	run   func(context.Context, *App, In) (Out, error)
}

// reading says whether a command only reads. Others are in the audit log.
type reading bool

const (
	reads   reading = true
	changes reading = false
)

// registrable is a command with its types hidden.
type registrable interface {
	register(*http.ServeMux, *App)
}

func (cmd Command[In, Out]) register(mux *http.ServeMux, app *App) {
	mux.HandleFunc("POST /"+cmd.name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		out, err := cmd.serve(app, r, &in)
		if !cmd.reads {
			app.auditCommand(r.Context(), cmd.name, in, err)
		}
		answer := adminAnswer{Data: out}
		if err != nil {
			app.log.Warn("command", "name", cmd.name, "error", err)
			answer.Error = adminError(err)
		}
		// A command line that has exited needs no answer.
		_ = json.NewEncoder(w).Encode(answer)
	})
}

func (cmd Command[In, Out]) serve(app *App, r *http.Request, in *In) (any, error) {
	if err := json.NewDecoder(r.Body).Decode(in); err != nil {
		return nil, fmt.Errorf("read the command: %w", err)
	}
	return cmd.run(r.Context(), app, *in)
}

// Stream is an operator command whose outputs arrive one after the other, until the
// operator ends it or the server stops.
type Stream[In, Out any] struct {
	name string
	run  func(context.Context, *App, In) (<-chan Out, error)
}

func (cmd Stream[In, Out]) register(mux *http.ServeMux, app *App) {
	mux.HandleFunc("POST /"+cmd.name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		outs, err := cmd.start(app, r, &in)
		if err != nil {
			app.log.Warn("command", "name", cmd.name, "error", err)
			_ = json.NewEncoder(w).Encode(adminAnswer{Error: adminError(err)})
			return
		}
		flusher, encoder := http.NewResponseController(w), json.NewEncoder(w)
		for out := range outs {
			// Once the command line has exited, the context of the request ends the outputs.
			if encoder.Encode(adminAnswer{Data: out}) != nil || flusher.Flush() != nil {
				return
			}
		}
	})
}

func (cmd Stream[In, Out]) start(app *App, r *http.Request, in *In) (<-chan Out, error) {
	if err := json.NewDecoder(r.Body).Decode(in); err != nil {
		return nil, fmt.Errorf("read the command: %w", err)
	}
	return cmd.run(r.Context(), app, *in)
}

// errNothingToFollow is returned by Call of a Stream if the process is the only one that
// works on the folder.
var errNothingToFollow = errors.New("no server is running on this data folder, so there is nothing to follow")

// Call runs the command and hands each output to each, until ctx ends.
func (cmd Stream[In, Out]) Call(ctx context.Context, admin *Admin, in In, each func(Out) error) error {
	if admin.alone {
		return errNothingToFollow
	}
	response, err := admin.post(ctx, cmd.name, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for decoder := json.NewDecoder(response.Body); ; {
		var out Out
		answer := adminAnswer{Data: &out}
		switch err := decoder.Decode(&answer); {
		case ctx.Err() != nil || errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the server's answer: %w", err)
		case answer.Error != nil:
			return answer.Error
		}
		if err := each(out); err != nil {
			return err
		}
	}
}

// adminAnswer is the answer to a command: data, or an error with whatever is known
// nevertheless.
type adminAnswer struct {
	Data  any            `json:"data,omitempty"`
	Error *problem.Error `json:"error,omitempty"`
}

// adminError returns an error that shows the operator details that clients of the API
// would not see.
func adminError(err error) *problem.Error {
	var known *problem.Error
	if errors.As(storage.Explain(err), &known) {
		return known
	}
	return problem.New(problem.CodeInternal, "%s", err)
}

// Call runs the command in the process that has the data folder. A failure of the
// command itself is a *problem.Error; an output may accompany it.
func (cmd Command[In, Out]) Call(ctx context.Context, admin *Admin, in In) (out Out, err error) {
	response, err := admin.post(ctx, cmd.name, in)
	if err != nil {
		return out, err
	}
	defer response.Body.Close()
	answer := adminAnswer{Data: &out}
	decoder := json.NewDecoder(response.Body)
	decoder.UseNumber() // a preview has 64-bit integers
	if err := decoder.Decode(&answer); err != nil {
		return out, fmt.Errorf("read the server's answer: %w", err)
	}
	if answer.Error != nil {
		return out, answer.Error
	}
	return out, nil
}

// Admin is a connection to the process that has a data folder.
type Admin struct {
	client *http.Client
	close  func() error
	alone  bool // the process has opened the folder itself
}

// post sends the input of a command.
func (a *Admin) post(ctx context.Context, name string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", "http://admin/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := a.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("speak to the server: %w", err)
	}
	return response, nil
}

// dialTimeout is how long Dial waits for a process that has the folder but is still
// starting or already stopping.
const dialTimeout = 10 * time.Second

// Dial connects to the process that has the data folder, or opens the folder if no
// process has it.
func Dial(ctx context.Context, folder string, log *slog.Logger) (*Admin, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for {
		// What a server keeps is its setting: a command removes nothing from the journal.
		app, err := Open(folder, Settings{Journal: JournalSettings{KeepFor: -1, KeepBytes: -1}}, log)
		if err == nil {
			return app.self()
		}
		if !errors.Is(err, ErrInUse) {
			return nil, err
		}
		admin := dialAdmin(folder)
		if err := admin.ping(ctx); err == nil {
			return admin, nil
		}
		// The process that has the folder is still starting or already stopping.
		select {
		case <-ctx.Done():
			return nil, ErrInUse
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// self returns an Admin for this process's own commands.
func (app *App) self() (*Admin, error) {
	listener, err := app.listenAdmin()
	if err != nil {
		return nil, errors.Join(err, app.Close())
	}
	admin := dialAdmin(app.folder)
	admin.alone = true
	admin.close = func() error { return errors.Join(listener.Close(), app.Close()) }
	return admin, nil
}

func dialAdmin(folder string) *Admin {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return atShortPath(folder, func(path string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) })
	}}
	return &Admin{
		client: &http.Client{Transport: transport},
		close:  func() error { transport.CloseIdleConnections(); return nil },
	}
}

func (a *Admin) ping(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://admin/ping", nil)
	if err != nil {
		return err
	}
	response, err := a.client.Do(r)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Close closes the connection, and the folder if Dial opened it.
func (a *Admin) Close() error { return a.close() }

// listenAdmin serves the commands on the folder's socket until the returned listener is
// closed.
func (app *App) listenAdmin() (io.Closer, error) {
	// The lock is ours, so an existing socket was left by a crash.
	if err := os.Remove(app.path("admin.sock")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := atShortPath(app.folder, func(path string) (net.Listener, error) { return net.Listen("unix", path) })
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	if err := os.Chmod(app.path("admin.sock"), 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(http.ResponseWriter, *http.Request) {})
	for _, cmd := range commands() {
		cmd.register(mux, app)
	}
	registerProfiles(mux)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(operatorsOnly{listener, app})
	return srv, nil
}

// operatorsOnly is the listener of the socket. It closes connections from workers: they
// run as the owner of the folder, and a worker taken over by a stranger must not
// command the server.
type operatorsOnly struct {
	net.Listener
	app *App
}

// Accept waits for a connection that does not come from a worker.
func (l operatorsOnly) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		pid, err := peerProcess(conn)
		if err == nil && !l.app.Workers.Descends(pid) {
			return conn, nil
		}
		l.app.log.Error("a worker has tried to command the server", "process", pid, "error", err)
		if err := conn.Close(); err != nil {
			return nil, err
		}
	}
}

// registerProfiles adds Go's profiles, which reveal too much for any other listener.
func registerProfiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and the named profiles below it
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// atShortPath calls use with a path to the folder's socket that is short enough for the
// system: socket addresses hold about a hundred bytes. A long path is reached through a
// symbolic link that exists for the duration of the call.
func atShortPath[T any](folder string, use func(path string) (T, error)) (result T, err error) {
	const longest = 100
	path := filepath.Join(folder, "admin.sock")
	if len(path) <= longest {
		return use(path)
	}
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return result, err
	}
	short, err := os.MkdirTemp("", "zangtable-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(short)
	link := filepath.Join(short, "data")
	if err := os.Symlink(absolute, link); err != nil {
		return result, err
	}
	return use(filepath.Join(link, "admin.sock"))
}
