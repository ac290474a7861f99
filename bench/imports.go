package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// The import works: the same table in three file formats.
const (
	csvImport    work = "CSV"
	dumpImport   work = "SQL dump"
	sqliteImport work = "SQLite file"
)

// measureImports has the server create projects from files, and the shell new
// databases, alternately.
func (c *config) measureImports(ctx context.Context, s *server) (*report, error) {
	shell, version := newestShell(ctx)
	if shell == "" {
		return nil, errors.New("no sqlite3 shell is installed to measure imports beside")
	}
	files, err := c.importFiles(ctx, s, shell)
	if err != nil {
		return nil, err
	}
	r := &report{config: c, load: load(), idle: s.usage().rss}
	scripts := map[work]string{
		csvImport:    ".import --csv '" + files[csvImport] + "' " + tableName,
		dumpImport:   ".read '" + files[dumpImport] + "'",
		sqliteImport: copyOf(files[sqliteImport]),
	}
	for _, w := range []work{csvImport, dumpImport, sqliteImport} {
		mine, theirs := line{name: ours, work: w}, line{name: "sqlite3 shell " + version, work: w}
		for round := range c.rounds {
			slug := fmt.Sprintf("import_%d_%d", len(r.lines), round)
			for _, run := range []struct {
				line *line
				run  func() (result, error)
			}{
				{&mine, func() (result, error) { return s.importProject(ctx, slug, files[w]) }},
				{&theirs, func() (result, error) { return c.importByShell(ctx, shell, scripts[w]) }},
			} {
				measured, err := run.run()
				if err != nil {
					return nil, err
				}
				info, err := os.Stat(files[w])
				if err != nil {
					return nil, err
				}
				measured.size = info.Size()
				run.line.results = append(run.line.results, measured)
				say("round %d  %-12s %-30s %6.2f s", round+1, w, run.line.name, measured.wall.Seconds())
			}
		}
		r.lines = append(r.lines, mine, theirs)
	}
	return r, nil
}

// importFiles creates the files: the CSV with the server, which encodes BLOBs in
// base64, and the dump with the shell.
func (c *config) importFiles(ctx context.Context, s *server, shell string) (map[work]string, error) {
	files := map[work]string{
		csvImport: filepath.Join(c.folder, "orders.csv"), dumpImport: filepath.Join(c.folder, "orders.sql"),
		sqliteImport: filepath.Join(c.folder, "orders.sqlite"),
	}
	if err := s.download(ctx, files[csvImport]); err != nil {
		return nil, err
	}
	if err := os.Remove(files[sqliteImport]); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, args := range [][]string{
		{"-readonly", s.file, ".output '" + files[dumpImport] + "'", ".dump " + tableName},
		{files[sqliteImport], copyOf(s.file)},
	} {
		if _, err := output(ctx, shell, args...); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// copyOf returns the script that copies the table from another database.
func copyOf(file string) string {
	return "ATTACH '" + file + "' AS source; " + createTable + "; INSERT INTO " + tableName + " SELECT * FROM source." + tableName + ";"
}

// download saves a CSV export of the table to a file.
func (s *server) download(ctx context.Context, path string) error {
	var made struct {
		Export struct {
			URL string `json:"download_url"`
		}
	}
	if err := s.post(ctx, "export/table/"+tableName, map[string]any{"format": "csv"}, &made); err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+made.Export.URL, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, response.Body)
	return errors.Join(err, out.Close())
}

// importProject creates a project from a file, which is sent as the body.
func (s *server) importProject(ctx context.Context, slug, path string) (result, error) {
	file, err := os.Open(path)
	if err != nil {
		return result{}, err
	}
	defer file.Close()
	options, err := json.Marshal(map[string]string{"project_slug": slug})
	if err != nil {
		return result{}, err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", s.url+"/import-project?options="+url.QueryEscape(string(options)), file)
	if err != nil {
		return result{}, err
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + s.token, "X-File-Name": filepath.Base(path), "Prefer": "wait=3600"} {
		r.Header.Set(name, value)
	}
	s.forgetPeak()
	before, began := s.usage(), time.Now()
	var made struct{ Import struct{ Status string } }
	if err := s.do(r, &made); err != nil {
		return result{}, err
	}
	if made.Import.Status != "ready" {
		return result{}, fmt.Errorf("the import of %s is %s", path, made.Import.Status)
	}
	after := s.usage()
	return result{wall: time.Since(began), cpu: after.cpu - before.cpu, peak: after.peak}, nil
}

// importByShell runs a script on a new database.
func (c *config) importByShell(ctx context.Context, shell, script string) (result, error) {
	path := filepath.Join(c.folder, "shell.sqlite")
	defer os.Remove(path)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, shell, path, script)
	cmd.Stderr = os.Stderr
	return measured(cmd)
}

// importsDocument returns the report on imports with a description of the method.
func (r *report) importsDocument() string {
	return fmt.Sprintf(`%s
The server had %d MiB resident before the first import.

- %d processors with a load of %s before the run, %s/%s, %s; %d rounds, in which the programs take turns; medians, the largest of the peaks.
- %d rows of the same table as above. Both make a new database in the same folder (%s).
- ZangTable: a request to `+"`/import-project`"+` with the file as its body, to the answer that the project is there: received, synced, hashed,
  types chosen by all values, committed and synced.
- sqlite3: `+"`.import --csv`, `.read`, and `INSERT … SELECT`"+` from the attached file. Its CSV is all text: it chooses no types. Nothing is synced in memory.
`, table("import", "input", r.lines), r.idle>>20, runtime.NumCPU(), r.load, runtime.GOOS, runtime.GOARCH, runtime.Version(), r.config.rounds, r.config.rows, place(r.config.folder))
}
