//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server is a zangtable process.
type server struct {
	t     *trial
	cmd   *exec.Cmd
	data  string
	log   string // path of its log file
	url   string
	ended chan struct{} // closed when the process has ended
	err   error         // its exit error
	ready time.Duration // from start until /readyz succeeds
}

// startOptions modify how a server is started.
type startOptions struct {
	flags       []string
	environment []string
	descriptors int    // ulimit -n; 0 means that of this process
	log         string // path of the log; "" means next to the data folder
	anyState    bool   // accept a server that is not ready
}

var running struct {
	sync.Mutex
	servers map[*server]bool
}

// endServers kills every server that is still running.
func endServers() {
	running.Lock()
	defer running.Unlock()
	for s := range running.servers {
		_ = s.cmd.Process.Kill()
	}
}

func (t *trial) endServers() {
	for _, s := range t.servers {
		s.kill()
	}
}

// start runs a server on a data folder and waits until it is ready.
func (t *trial) start(data string, options ...func(*startOptions)) *server {
	s, err := t.tryStart(data, options...)
	if err != nil {
		t.stop("start a server on %s: %v", data, err)
	}
	return s
}

// tryStart is start for a server that may refuse to start.
func (t *trial) tryStart(data string, options ...func(*startOptions)) (*server, error) {
	var o startOptions
	for _, option := range options {
		option(&o)
	}
	s := &server{t: t, data: data, log: data + ".log", ended: make(chan struct{})}
	if o.log != "" {
		s.log = o.log
	}
	begin := time.Now()
	if err := s.run(o); err != nil {
		return nil, err
	}
	// Ten thousand projects may take a while, and the machine may be busy.
	for time.Since(begin) < time.Minute {
		select {
		case <-s.ended:
			return nil, fmt.Errorf("it ended at once: %w: %s", s.err, s.lastWords())
		case <-t.ctx.Done():
			s.kill()
			return nil, t.ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
		if s.url == "" {
			s.url = s.findURL()
			continue
		}
		r, err := s.open("", "").get("/readyz")
		if err == nil && (r.status == 200 || o.anyState) {
			s.ready = time.Since(begin)
			return s, nil
		}
	}
	s.kill()
	return nil, fmt.Errorf("it was not ready after a minute: %s", s.lastWords())
}

// run starts the process.
func (s *server) run(o startOptions) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err := fmt.Fprintf(log, "\n%s\n", logMark); err != nil {
		return err
	}
	args := append([]string{"serve", "--data", s.data, "--listen", "127.0.0.1:0"}, o.flags...)
	program := s.t.program
	if o.descriptors > 0 {
		script := fmt.Sprintf(`ulimit -n %d; exec "$@"`, o.descriptors)
		program, args = "sh", append([]string{"-c", script, "sh", s.t.program}, args...)
	}
	s.cmd = exec.Command(program, args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(os.Environ(), o.environment...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	running.Lock()
	if running.servers == nil {
		running.servers = map[*server]bool{}
	}
	running.servers[s] = true
	running.Unlock()
	s.t.servers = append(s.t.servers, s)
	go func() {
		s.err = s.cmd.Wait()
		running.Lock()
		delete(running.servers, s)
		running.Unlock()
		close(s.ended)
	}()
	return nil
}

// logMark separates the runs of a server in its log.
const logMark = "---- start"

// logText returns what the server has logged since its last start.
func (s *server) logText() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return ""
	}
	if i := bytes.LastIndex(text, []byte(logMark)); i >= 0 {
		text = text[i+len(logMark):]
	}
	return string(text)
}

func (s *server) findURL() string {
	lines := bufio.NewScanner(strings.NewReader(s.logText()))
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "url="); ok {
			return strings.TrimSpace(url)
		}
	}
	return ""
}

// lastWords returns the end of the log.
func (s *server) lastWords() string {
	text := strings.TrimSpace(s.logText())
	return text[max(0, len(text)-600):]
}

// alive reports whether the process is running.
func (s *server) alive() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// kill kills the process without warning.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// terminate asks the process to stop and returns how long it took.
func (s *server) terminate(limit time.Duration) (time.Duration, error) {
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-s.ended:
		return time.Since(begin), s.err
	case <-time.After(limit):
		s.kill()
		return time.Since(begin), fmt.Errorf("still running %s after SIGTERM", limit)
	}
}

// end stops the process cleanly and reports a fault if that fails.
func (s *server) end() {
	if took, err := s.terminate(40 * time.Second); err != nil {
		s.t.fault("SIGTERM: after %.1f s: %v: %s", took.Seconds(), err, s.lastWords())
	}
}

// checkLog reports panics that the server survived, and data races.
func (s *server) checkLog() {
	for _, word := range []string{"panic", "DATA RACE", "fatal error"} {
		if text := s.logText(); strings.Contains(text, word) {
			at := strings.Index(text, word)
			s.t.fault("the log says %q: %s", word, text[at:min(len(text), at+400)])
		}
	}
}

// resident returns the resident memory of the process, without its children, in bytes.
func (s *server) resident() int64 { return residentOf(s.cmd.Process.Pid) }

func residentOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	if fields := strings.Fields(string(text)); len(fields) > 1 {
		pages, _ := strconv.ParseInt(fields[1], 10, 64)
		return pages * int64(os.Getpagesize())
	}
	return 0
}

// children returns the child processes of the server.
func (s *server) children() (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// descriptors returns how many files the process has open.
func (s *server) descriptors() int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	return len(entries)
}

// watch samples the memory of the server and of its children until the returned
// function is called, and kills a server that exceeds the limit, since others use this
// machine too.
func (s *server) watch(limit int64) (peaks func() (own, worker int64)) {
	stop, done := make(chan struct{}), make(chan struct{})
	var own, worker int64
	go func() {
		defer close(done)
		for {
			own = max(own, s.resident())
			for _, pid := range s.children() {
				worker = max(worker, residentOf(pid))
			}
			if own > limit {
				s.t.fault("the server was ended at %d MiB", own>>20)
				s.kill()
				return
			}
			select {
			case <-stop:
				return
			case <-s.ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return sync.OnceValues(func() (int64, int64) {
		close(stop)
		<-done
		return own, worker
	})
}

// command runs a command of the program and returns its output.
func (t *trial) command(args ...string) string {
	out, err := t.tryCommand("", args...)
	t.must(err, "zangtable "+strings.Join(args, " "))
	return out
}

func (t *trial) tryCommand(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.program, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return strings.TrimSpace(out.String()), fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// project creates a project and returns a token for it. The server need not be
// running.
func (t *trial) project(data, slug string) (token string) {
	t.command("project", "create", slug, "--name", slug, "--data", data)
	return t.token(data, slug)
}

// token mints a token with full power, or with the given scopes.
func (t *trial) token(data, slug string, scopes ...string) string {
	args := []string{"token", "create", "--project", slug, "--data", data}
	for _, scope := range scopes {
		args = append(args, "--scope", scope)
	}
	return t.secret(t.command(args...))
}

// secret records a secret, which is later searched for where it must not be.
func (t *trial) secret(text string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secrets = append(t.secrets, text)
	return text
}

// copyFolder copies a folder unchanged.
func copyFolder(from, to string) error {
	return errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from)), os.Chmod(to, 0o700))
}

// copyFile copies one file; a missing file is skipped.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
