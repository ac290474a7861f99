package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// server is a running server whose project bench contains the generated table.
type server struct {
	process *exec.Cmd
	url     string
	token   string
	file    string // the database of the project
}

// startServer imports the generated file into a new data folder and serves it.
func startServer(ctx context.Context, program, data, file string) (*server, error) {
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	if _, err := output(ctx, program, "import", file, "--project", "bench", "--data", data); err != nil {
		return nil, err
	}
	token, err := output(ctx, program, "token", "create", "--project", "bench", "--data", data)
	if err != nil {
		return nil, err
	}
	s := &server{token: strings.TrimSpace(token)}
	files, err := filepath.Glob(filepath.Join(data, "projects", "*.db"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("the data folder has the databases %q, %w", files, err)
	}
	s.file = files[0]
	s.process = exec.Command(program, "serve", "--data", data, "--listen", "127.0.0.1:0")
	log, err := s.process.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	s.url, err = address(log)
	return s, err
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s %q: %w\n%s", name, args, err, exit.Stderr)
	}
	return string(out), err
}

// address reads the address of the server from its log, and discards the rest.
func address(log io.Reader) (string, error) {
	var seen []byte
	buffer := make([]byte, 4096)
	for {
		n, err := log.Read(buffer)
		seen = append(seen, buffer[:n]...)
		if _, after, ok := strings.Cut(string(seen), "url="); ok && strings.Contains(after, "\n") {
			go io.Copy(io.Discard, log)
			return strings.Fields(after)[0], nil
		}
		if err != nil {
			return "", fmt.Errorf("the server did not start: %w\n%s", err, seen)
		}
	}
}

func (s *server) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
}

// post posts a body to a path of the project and decodes the data of the response.
func (s *server) post(ctx context.Context, path string, body, out any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", s.url+"/projects/bench/"+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	return s.do(r, out)
}

func (s *server) do(r *http.Request, out any) error {
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	answer := struct{ Data any }{out}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", r.Method, r.URL.Path, response.StatusCode, content)
	}
	return json.Unmarshal(content, &answer)
}

// export makes one export, waits until it is ready and deletes it.
func (s *server) export(ctx context.Context, path, format string) (rows, size int64, err error) {
	var made struct {
		Export struct {
			ID, Status string
			Rows       int64 `json:"row_count"`
			Size       int64 `json:"size_bytes"`
		}
	}
	if err := s.post(ctx, path, map[string]any{"format": format}, &made); err != nil {
		return 0, 0, err
	}
	if made.Export.Status != "ready" {
		return 0, 0, fmt.Errorf("the export is %s", made.Export.Status)
	}
	r, err := http.NewRequestWithContext(ctx, "DELETE", s.url+"/projects/bench/exports/"+made.Export.ID, nil)
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	return made.Export.Rows, made.Export.Size, s.do(r, new(any))
}

// usage is what the process has used so far.
type usage struct {
	cpu       time.Duration
	rss, peak int64 // bytes; peak since the last forgetPeak
}

func (s *server) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(s.process.Process.Pid), name)
}

// usage reads /proc; on systems other than Linux it is zero.
func (s *server) usage() (u usage) {
	stat, _ := os.ReadFile(s.proc("stat"))
	if _, after, ok := strings.Cut(string(stat), ") "); ok {
		const tick = 10 * time.Millisecond
		fields := strings.Fields(after)
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		u.cpu = time.Duration(user+system) * tick
	}
	status, _ := os.ReadFile(s.proc("status"))
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.rss = kb << 10
		case "VmHWM":
			u.peak = kb << 10
		}
	}
	return u
}

func (s *server) forgetPeak() { _ = os.WriteFile(s.proc("clear_refs"), []byte("5"), 0) }

// writing holds the results of the inserting clients.
type writing struct {
	alone, beside float64 // rows per second
	export        time.Duration
}

// clients is the number of concurrent inserters.
const clients = 8

// measureWriters lets clients insert single rows into the table, first alone and then
// during an export of it.
func measureWriters(ctx context.Context, s *server) (*writing, error) {
	say("%d inserting clients", clients)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 2 * clients
	var inserted atomic.Int64
	var group sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		group.Go(func() {
			for ctx.Err() == nil {
				err := s.post(ctx, "records/"+tableName, map[string]any{"customer_id": 7, "quantity": 1, "price": 9.99,
					"customer": "Ada Lovelace", "email": "ada@example.com", "ordered_on": "2026-01-01"}, new(any))
				if err != nil && ctx.Err() == nil {
					failed <- err
					return
				}
				inserted.Add(1)
			}
		})
	}
	rate := func(during func() error) (float64, time.Duration, error) {
		before, began := inserted.Load(), time.Now()
		err := during()
		took := time.Since(began)
		return float64(inserted.Load()-before) / took.Seconds(), took, err
	}
	pause := func() error { time.Sleep(3 * time.Second); return nil }
	var w writing
	_, _, _ = rate(pause) // warm up
	w.alone, _, _ = rate(pause)
	var err error
	w.beside, w.export, err = rate(func() error {
		_, _, err := s.export(ctx, "export/table/"+tableName, "csv")
		return err
	})
	stop()
	group.Wait()
	select {
	case insertErr := <-failed:
		err = errors.Join(err, insertErr)
	default:
	}
	return &w, err
}
