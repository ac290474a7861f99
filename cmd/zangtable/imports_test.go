package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/csv"
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

	"github.com/google/go-cmp/cmp"

	"github.com/zangtable/zangtable/internal/testkit"
)

// visibleTables lists the tables of a project that are not the server's own.
const visibleTables = "SELECT s.name FROM sqlite_schema AS s WHERE " + visible + " ORDER BY s.name"

// holds has the shell print the schema and content of all tables of a project, and
// returns that with the number of rows.
func holds(t *testing.T, shell, file string) (text string, rows int) {
	t.Helper()
	var all strings.Builder
	for _, table := range strings.Fields(query(t, shell, file, visibleTables)) {
		all.WriteString(query(t, shell, file, "SELECT sql FROM sqlite_schema WHERE tbl_name = '"+table+"' ORDER BY name"))
		columns := strings.Split(strings.TrimSpace(query(t, shell, file, "SELECT name FROM pragma_table_xinfo('"+table+"')")), "\n")
		list := values(t, shell, file, table, columns)
		for _, row := range list {
			fmt.Fprintln(&all, strings.Join(row, "|"))
		}
		rows += len(list)
	}
	return all.String(), rows
}

// realFiles returns the paths of all real files that can be imported.
func realFiles(t *testing.T) (paths []string) {
	t.Helper()
	folder := realFile(t, "")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "README.md" {
			paths = append(paths, filepath.Join(folder, entry.Name()))
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no files in %s", folder)
	}
	return paths
}

// rowsIn counts the rows of a real file with independent readers.
func rowsIn(t *testing.T, shell, path string) (rows int) {
	t.Helper()
	if filepath.Ext(path) == ".csv" {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		records, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return len(records) - 1
	}
	for _, table := range strings.Fields(query(t, shell, path, visibleTables)) {
		n, err := strconv.Atoi(strings.TrimSpace(query(t, shell, path, `SELECT count(*) FROM "`+table+`"`)))
		if err != nil {
			t.Fatal(err)
		}
		rows += n
	}
	return rows
}

// TestFilesComeInAlikeByEitherWay imports every real file with the command, as a new
// project over HTTP, and into an empty project over HTTP, in one piece and in parts.
// The sqlite3 shell compares the results; the reports must be equal.
func TestFilesComeInAlikeByEitherWay(t *testing.T) {
	t.Parallel()
	shell := testkit.Tool(t, "sqlite3")
	for _, path := range realFiles(t) {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			var byCommand struct{ Report json.RawMessage }
			if err := json.Unmarshal([]byte(command(t, "import", path, "--project", "by_command", "--json", "--data", data)), &byCommand); err != nil {
				t.Fatal(err)
			}
			command(t, "project", "create", "empty", "--name", "Empty", "--data", data)
			command(t, "project", "create", "parts", "--name", "Parts", "--data", data)
			server := start(t, data, "empty", command(t, "token", "create", "--project", "empty", "--data", data))
			reports := [][]byte{
				server.send(t, "/import-project?options="+url.QueryEscape(`{"project_slug":"by_http"}`), path),
				server.send(t, "/projects/empty/imports", path),
			}
			server.token = command(t, "token", "create", "--project", "parts", "--data", data)
			reports = append(reports, server.sendInParts(t, "parts", path))

			want, rows := holds(t, shell, filepath.Join(data, "projects", "1.db"))
			if expected := rowsIn(t, shell, path); rows != expected || rows == 0 {
				t.Fatalf("%d rows came in of %d", rows, expected)
			}
			for _, id := range []string{"2", "3", "4"} {
				if got, _ := holds(t, shell, filepath.Join(data, "projects", id+".db")); got != want {
					t.Errorf("project %s differs from that of the command", id)
				}
			}
			var report any
			if err := json.Unmarshal(byCommand.Report, &report); err != nil {
				t.Fatal(err)
			}
			for i, text := range reports {
				var other any
				if err := json.Unmarshal(text, &other); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(report, other); diff != "" {
					t.Errorf("report %d of HTTP differs: %s", i, diff)
				}
			}
		})
	}
}

// reportOf returns the report from an answer with a ready import.
func reportOf(t *testing.T, status int, answer string) []byte {
	t.Helper()
	var got struct {
		Data struct {
			Import struct {
				Status string
				Report json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || got.Data.Import.Status != "ready" {
		t.Fatalf("%d %s, %v", status, answer, err)
	}
	return got.Data.Import.Report
}

// send imports a file sent in one piece, and returns the report.
func (p *process) send(t *testing.T, target, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	status, answer := p.post(t, target, file, "X-File-Name", filepath.Base(path), "Prefer", "wait=60")
	return reportOf(t, status, answer)
}

// sendInParts imports a file sent in three parts, and returns the report.
func (p *process) sendInParts(t *testing.T, project, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name := base64.StdEncoding.EncodeToString([]byte(filepath.Base(path)))
	made := p.tus(t, "POST", "/projects/"+project+"/imports", "", "Upload-Length", strconv.Itoa(len(content)), "Upload-Metadata", "filename "+name)
	address := made.Header.Get("Location")
	third := len(content)/3 + 1
	for offset := 0; offset < len(content); offset += third {
		part := string(content[offset:min(offset+third, len(content))])
		response := p.tus(t, "PATCH", address, part, "Upload-Offset", strconv.Itoa(offset), "Content-Type", "application/offset+octet-stream")
		if response.StatusCode != http.StatusNoContent {
			t.Fatal(response.Status)
		}
	}
	status, _, answer := p.get(t, address+"?wait=60")
	return reportOf(t, status, string(answer))
}

// TestCommandsUnpackInTheDataFolder checks that commands unpack nowhere else, and leave
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

// lines returns a reader that generates a CSV file of at least size bytes.
func lines(size int64) io.Reader {
	const rows = 1000
	block := []byte(strings.Repeat("12345,Lorem ipsum dolor sit amet,0.25\n", rows))
	readers := []io.Reader{strings.NewReader("number,text,share\n")}
	for done := int64(0); done < size; done += int64(len(block)) {
		readers = append(readers, bytes.NewReader(block))
	}
	return io.MultiReader(readers...)
}

// TestLargeUploadInBoundedMemory sends 300 MB and checks the peak memory of the
// process.
func TestLargeUploadInBoundedMemory(t *testing.T) {
	t.Parallel()
	testkit.Slow(t)
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
	limit := int64(200 << 20)
	if testkit.Race {
		limit = 280 << 20 // the race detector keeps a shadow of all memory
	}
	if peak > limit {
		t.Errorf("the upload took %d MiB of memory", peak>>20)
	}
}

// peakMemory returns the peak memory of a process, in bytes.
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

// TestKilledServerGoesOnWithUploadsAndImports kills the server between two parts of an
// upload, and again while the job loads the rows.
func TestKilledServerGoesOnWithUploadsAndImports(t *testing.T) {
	t.Parallel()
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
	time.Sleep(100 * time.Millisecond) // loading
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
