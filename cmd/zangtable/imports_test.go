package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// dump has the shell write the tables and rows of a project as SQL.
func dump(t *testing.T, shell, file string) string {
	t.Helper()
	const visible = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_%' ESCAPE '\' ORDER BY name`
	var text strings.Builder
	for _, table := range strings.Fields(query(t, shell, file, visible)) {
		text.WriteString(query(t, shell, file, ".dump "+table))
	}
	return text.String()
}

// TestFilesComeInAlikeByEitherWay takes real files in by the command, as a new
// project over HTTP, and into an empty project over HTTP, and lets the sqlite3
// shell compare what is there.
func TestFilesComeInAlikeByEitherWay(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	for _, name := range []string{"chinook.sqlite", "tweets.csv", "police-deaths.csv"} {
		t.Run(name, func(t *testing.T) {
			path := realFile(t, name)
			data := t.TempDir()
			command(t, "import", path, "--project", "by_command", "--data", data)
			command(t, "project", "create", "empty", "--name", "Empty", "--data", data)
			server := start(t, data, "empty", command(t, "token", "create", "--project", "empty", "--data", data))
			for _, target := range []string{
				"/import-project?options=" + url.QueryEscape(`{"project_slug":"by_http"}`),
				"/projects/empty/imports",
			} {
				file, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				if status, answer := server.post(t, target, file, "X-File-Name", name, "Prefer", "wait=60"); status != http.StatusCreated {
					t.Fatalf("%s: %d %s", target, status, answer)
				}
			}
			want := dump(t, shell, filepath.Join(data, "projects", "1.db"))
			if !strings.Contains(want, "INSERT INTO") {
				t.Fatalf("the dump is %q", want)
			}
			for _, id := range []string{"2", "3"} {
				if dump(t, shell, filepath.Join(data, "projects", id+".db")) != want {
					t.Errorf("project %s differs from that of the command", id)
				}
			}
		})
	}
}

// TestCommandsUnpackInTheDataFolder have no other place for it, and leave
// nothing there.
func TestCommandsUnpackInTheDataFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "people.csv.gz")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, "id,name\n1,Ada\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.WriteFile(file, packed.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(data, "there is no such folder"))
	command(t, "import", file, "--project", "p", "--data", data)
	command(t, "quickstart", "--once", "--listen", "127.0.0.1:0", "--from", file, "--data", data)
	scratch := filepath.Join(data, "imports", "tmp")
	if err := os.MkdirAll(filepath.Join(scratch, "left-by-a-crash", "more"), 0o700); err != nil {
		t.Fatal(err)
	}
	command(t, "import", file, "--project", "q", "--data", data)
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Errorf("the folder for unpacking holds %v, %v", left, err)
	}
}

// lines makes a CSV file of at least size bytes, as it is read.
func lines(size int64) io.Reader {
	const rows = 1000
	block := []byte(strings.Repeat("12345,Lorem ipsum dolor sit amet,0.25\n", rows))
	readers := []io.Reader{strings.NewReader("number,text,share\n")}
	for done := int64(0); done < size; done += int64(len(block)) {
		readers = append(readers, bytes.NewReader(block))
	}
	return io.MultiReader(readers...)
}

// TestLargeUploadInBoundedMemory sends 300 MB and looks at the most memory that
// the process has ever had.
func TestLargeUploadInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("300 MB")
	}
	data, token := numbers(t, 1)
	server := start(t, data, "p", token)
	status, answer := server.post(t, "/projects/p/imports", lines(300e6), "X-File-Name", "large.csv", "Prefer", "respond-async")
	var got struct {
		Data struct {
			Import struct {
				ID        string
				SizeBytes int64 `json:"size_bytes"`
			}
		}
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusAccepted || got.Data.Import.SizeBytes < 300e6 {
		t.Fatalf("%d %s, %v", status, answer, err)
	}
	time.Sleep(time.Second) // the job has begun
	began := time.Now()
	var gone struct{ Deleted bool }
	if err := server.call(t.Context(), "DELETE", server.path("/imports/"+got.Data.Import.ID), nil, &gone); err != nil || !gone.Deleted {
		t.Errorf("cancel: %v", err)
	}
	peak, err := peakMemory(server.cmd.Process.Pid)
	if err != nil {
		t.Skipf("the system does not tell how much memory was used: %v", err)
	}
	t.Logf("at most %d MiB of memory, canceled after %v", peak>>20, time.Since(began))
	if peak > 200<<20 {
		t.Errorf("the upload took %d MiB of memory", peak>>20)
	}
}

// peakMemory returns the most bytes of memory that a process has ever had.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kilobytes << 10, err
}

// tus sends one request of an upload in parts.
func (p *process) tus(t *testing.T, method, path, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response
}

// TestKilledServerGoesOnWithUploadsAndImports kills the server between two
// parts of an upload, and again while the job loads the rows.
func TestKilledServerGoesOnWithUploadsAndImports(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	data, token := numbers(t, 1)
	text, err := io.ReadAll(lines(10e6))
	if err != nil {
		t.Fatal(err)
	}
	file := string(text)
	half := len(file) / 2
	const part = "application/offset+octet-stream"

	server := start(t, data, "p", token)
	path := server.tus(t, "POST", "/projects/p/imports", "", "Upload-Length", strconv.Itoa(len(file)), "Upload-Metadata", "filename bGFyZ2UuY3N2").Header.Get("Location")
	if got := server.tus(t, "PATCH", path, file[:half], "Upload-Offset", "0", "Content-Type", part); got.StatusCode != http.StatusNoContent {
		t.Fatal(got.Status)
	}
	server.kill()

	server = start(t, data, "p", token)
	if got := server.tus(t, "HEAD", path, "").Header.Get("Upload-Offset"); got != strconv.Itoa(half) {
		t.Fatalf("the upload has %s bytes, want %d", got, half)
	}
	if got := server.tus(t, "PATCH", path, file[half:], "Upload-Offset", strconv.Itoa(half), "Content-Type", part); got.StatusCode != http.StatusNoContent {
		t.Fatal(got.Status)
	}
	time.Sleep(100 * time.Millisecond) // it loads
	server.kill()
	rows := "SELECT count(*) FROM sqlite_schema WHERE name = 'large'"
	t.Logf("after the kill %s tables are there", strings.TrimSpace(query(t, shell, filepath.Join(data, "projects", "1.db"), rows)))

	server = start(t, data, "p", token)
	var got struct {
		Import struct{ Status, Error string }
	}
	if err := server.call(t.Context(), "GET", path+"?wait=60", nil, &got); err != nil || got.Import.Status != "ready" {
		t.Fatalf("%+v, %v", got, err)
	}
	want := strings.Count(file, "\n") - 1
	if n := strings.TrimSpace(query(t, shell, filepath.Join(data, "projects", "1.db"), "SELECT count(*) FROM large")); n != strconv.Itoa(want) {
		t.Errorf("%s rows, want %d", n, want)
	}
}
