package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// process is a server in a separate process, which can be killed.
type process struct {
	*client
	cmd *exec.Cmd
}

// start runs the server on a data folder and waits until it listens. settings are
// environment variables, as NAME=value.
func start(t *testing.T, data, project, token string, settings ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "serve", "--data", data, "--listen", "127.0.0.1:0")
	cmd.Env = slices.Concat(os.Environ(), []string{asProgram + "=1"}, settings)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{&client{project: project, token: token}, cmd}
	t.Cleanup(p.kill)
	log := bufio.NewScanner(stderr)
	for log.Scan() {
		if _, url, ok := strings.Cut(log.Text(), "url="); ok {
			p.url = strings.TrimSpace(url)
			break
		}
	}
	go io.Copy(io.Discard, stderr)
	if p.url == "" {
		t.Fatal("the server did not say where it listens")
	}
	return p
}

// kill ends the process without notice, as a power cut would.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		_ = p.cmd.Wait()
	}
}

// command runs one command of the program and returns its output.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), args, &out, &errs); code != exitOK {
		t.Fatalf("%v: exit code %d\n%s", args, code, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// numbers creates a project with one table of n rows and returns the data folder and a
// token.
func numbers(t *testing.T, n int) (data, token string) {
	t.Helper()
	data = t.TempDir()
	var b bytes.Buffer
	b.WriteString("number,square,word\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,%d,\"row %d, as text\"\n", i, i*i, i)
	}
	file := filepath.Join(data, "numbers.csv")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "import", file, "--project", "p", "--data", data)
	return data, command(t, "token", "create", "--project", "p", "--data", data)
}

// get makes a request and returns the status, the headers and the body.
func (p *process) get(t *testing.T, path string, header ...string) (int, http.Header, []byte) {
	t.Helper()
	return p.ask(t, "GET", path, nil, header...)
}

// post sends a body and returns the status and the answer.
func (p *process) post(t *testing.T, path string, body io.Reader, header ...string) (int, string) {
	t.Helper()
	status, _, answer := p.ask(t, "POST", path, body, header...)
	return status, string(answer)
}

func (p *process) ask(t *testing.T, method, path string, body io.Reader, header ...string) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}

// exportAsync requests an export and returns without waiting for it.
func (p *process) exportAsync(t *testing.T, path string) (m manifest) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", p.url+p.path(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Prefer", "respond-async")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Data struct{ Export manifest } }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusAccepted || response.Header.Get("Location") != p.path("/exports/"+answer.Data.Export.ID) {
		t.Fatalf("status %d, Location %q", response.StatusCode, response.Header.Get("Location"))
	}
	return answer.Data.Export
}

// settle waits until an export is ready or has failed.
func (p *process) settle(t *testing.T, id string) (m manifest) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var got struct{ Export manifest }
		if err := p.call(t.Context(), "GET", p.path("/exports/"+id), nil, &got); err != nil {
			t.Fatal(err)
		}
		if got.Export.Status != "pending" && got.Export.Status != "running" {
			return got.Export
		}
	}
	t.Fatalf("export %s is not settled", id)
	return m
}

func TestTermEndsTheServerInGoodOrder(t *testing.T) {
	t.Parallel()
	data, token := numbers(t, 10)
	p := start(t, data, "p", token)
	m, err := p.export(t.Context(), "/export/table/numbers", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	p = start(t, data, "p", token)
	if status, _, _ := p.get(t, m.DownloadURL); status != 200 {
		t.Errorf("the export of before cannot be had: status %d", status)
	}
}

func TestKilledExportIsMadeAgainOrFails(t *testing.T) {
	t.Parallel()
	data, token := numbers(t, 200_000)
	for i := range testkit.Scale(2, 4) {
		p := start(t, data, "p", token)
		m := p.exportAsync(t, "/export/table/numbers")
		time.Sleep(time.Duration(i*25) * time.Millisecond)
		p.kill()

		p = start(t, data, "p", token)
		m = p.settle(t, m.ID)
		status, header, body := p.get(t, m.DownloadURL)
		sum := sha256.Sum256(body)
		switch {
		case m.Status == "ready" && (status != 200 || hex.EncodeToString(sum[:]) != m.SHA256 || header.Get("ETag") != `"`+m.SHA256+`"`):
			t.Errorf("kill %d: ready, but the download is status %d with another hash", i, status)
		case m.Status == "ready" && bytes.Count(body, []byte("\n")) != 200_001:
			t.Errorf("kill %d: %d lines", i, bytes.Count(body, []byte("\n")))
		case m.Status != "ready" && status == 200:
			t.Errorf("kill %d: %s, and can be downloaded", i, m.Status)
		}
		parts, err := filepath.Glob(filepath.Join(data, "exports", "*", "*.part"))
		if err != nil || len(parts) > 0 {
			t.Errorf("kill %d: left over: %v %v", i, parts, err)
		}
		p.kill()
	}
}

func TestExportHoldsTheMomentItBegan(t *testing.T) {
	t.Parallel()
	data, token := numbers(t, 100_000)
	p := start(t, data, "p", token)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	var written [3]int
	for w := range written {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				row := map[string]any{"number": 1_000_000 + w, "square": written[w], "word": "later"}
				if err := p.call(t.Context(), "POST", p.path("/records/numbers"), row, &struct{}{}); err != nil {
					t.Error(err)
					return
				}
				written[w]++
			}
		})
	}
	for range 3 {
		m, err := p.export(t.Context(), "/export/table/numbers", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, body := p.get(t, m.DownloadURL)
		checkMoment(t, m, body)
	}
	close(stop)
	writers.Wait()
	if written[0]+written[1]+written[2] < 30 {
		t.Errorf("only %v rows were written beside the exports", written)
	}
}

// checkMoment checks that the rows of each writer in the file are the first ones that
// it wrote, without a gap.
func checkMoment(t *testing.T, m manifest, file []byte) {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(records)-1) != m.RowCount {
		t.Errorf("%d records, the manifest says %d", len(records)-1, m.RowCount)
	}
	next := map[string]int{}
	for _, record := range records[100_001:] {
		if record[1] != strconv.Itoa(next[record[0]]) {
			t.Fatalf("writer %s: row %s follows %d", record[0], record[1], next[record[0]]-1)
		}
		next[record[0]]++
	}
}

func TestDownloadInParts(t *testing.T) {
	t.Parallel()
	data, token := numbers(t, 20_000)
	p := start(t, data, "p", token)
	m, err := p.export(t.Context(), "/export/table/numbers", nil)
	if err != nil {
		t.Fatal(err)
	}
	status, header, whole := p.get(t, m.DownloadURL)
	if status != 200 || header.Get("Content-Type") != "text/csv; charset=utf-8" || header.Get("Content-Disposition") != `attachment; filename="numbers.csv"` {
		t.Errorf("status %d, headers %v", status, header)
	}
	status, header, part := p.get(t, m.DownloadURL, "Range", "bytes=1000-1999")
	if status != 206 || !bytes.Equal(part, whole[1000:2000]) || header.Get("Content-Range") != fmt.Sprintf("bytes 1000-1999/%d", len(whole)) {
		t.Errorf("a range: status %d, %d bytes, %q", status, len(part), header.Get("Content-Range"))
	}
	if status, _, body := p.get(t, m.DownloadURL, "Range", "bytes=5-", "If-Range", `"`+strings.Repeat("0", 64)+`"`); status != 200 || !bytes.Equal(body, whole) {
		t.Errorf("a range of another file: status %d, %d bytes", status, len(body))
	}
	if status, _, body := p.get(t, m.DownloadURL, "If-None-Match", `"`+m.SHA256+`"`); status != 304 || len(body) > 0 {
		t.Errorf("the same file again: status %d, %d bytes", status, len(body))
	}
	t.Run("resumed by curl", func(t *testing.T) {
		curl := testkit.Tool(t, "curl")
		file := filepath.Join(t.TempDir(), "part.csv")
		if err := os.WriteFile(file, whole[:12_345], 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(curl, "-sS", "-f", "-C", "-", "-H", "Authorization: Bearer "+token, "-o", file, p.url+m.DownloadURL)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("curl: %v\n%s", err, out)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("the resumed file has %d bytes, %v", len(got), err)
		}
	})
}

func TestExpiredExport(t *testing.T) {
	t.Parallel()
	data, token := numbers(t, 10)
	p := start(t, data, "p", token)
	m, err := p.export(t.Context(), "/export/table/numbers", map[string]int{"expires_in": 1})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	status, header, body := p.get(t, m.DownloadURL)
	var answer struct {
		OK    bool
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	if status != 410 || answer.OK || answer.Error.Code != "export_expired" || answer.Error.Message != "Export file has expired." || header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, %s", status, body)
	}
}

// TestExportsAreKeptAsSet sets each retention limit.
func TestExportsAreKeptAsSet(t *testing.T) {
	t.Parallel()
	data, token := numbers(t, 10)
	for _, test := range []struct {
		name, value string
		want        []string // statuses, newest first
	}{
		{"ZANGTABLE_EXPORT_KEEP", "0", []string{"ready", "ready", "ready"}},
		{"ZANGTABLE_EXPORT_KEEP", "2", []string{"ready", "ready", "expired"}},
		{"ZANGTABLE_EXPORT_KEEP_BYTES", "1", []string{"ready", "expired", "expired"}},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			p := start(t, data, "p", token, "ZANGTABLE_EXPORT_LIFE=1h", test.name+"="+test.value)
			defer p.kill()
			for range 3 {
				if _, err := p.export(t.Context(), "/export/table/numbers", nil); err != nil {
					t.Fatal(err)
				}
			}
			var list struct {
				Exports []struct {
					Status      string
					CompletedAt time.Time `json:"completed_at"`
					ExpiresAt   time.Time `json:"expires_at"`
				}
			}
			var got []string
			// The surplus is removed once the newest export is ready, which is reported
			// before that.
			for deadline := time.Now().Add(10 * time.Second); !slices.Equal(got, test.want) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
				if err := p.call(t.Context(), "GET", p.path("/exports?limit=3"), nil, &list); err != nil {
					t.Fatal(err)
				}
				got = nil
				for _, e := range list.Exports {
					got = append(got, e.Status)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the exports are %v, want %v", got, test.want)
			}
			if life := list.Exports[0].ExpiresAt.Sub(list.Exports[0].CompletedAt); life != time.Hour {
				t.Errorf("the newest is kept for %s", life)
			}
		})
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--data", t.TempDir(), "--export-life", "-1h"}, &out, &errs); code == exitOK || !strings.Contains(errs.String(), "--export-life") {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
}
