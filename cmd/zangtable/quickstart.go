package main

import (
	"archive/zip"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/limits"
	"github.com/zangtable/zangtable/internal/server"
)

// quickstart runs the main job from end to end: data in, a REST API, verified exports
// out.
type quickstart struct {
	dataFlag
	listenFlag
	From string `type:"path" placeholder:"FILE" help:"Your own SQLite or CSV file, instead of the example."`
	Once bool   `help:"Stop when done: exit code 0, or 1 if anything does not verify."`
}

// Run does the job through the server's own HTTP API, prints a summary, and keeps
// serving.
func (q *quickstart) Run(p *program) error {
	began := time.Now()
	log := p.logger(slog.LevelWarn)
	app, err := server.Open(q.Data, server.Settings{Limits: limits.Defaults(), Metrics: server.MetricsLoopback, Admin: true}, log)
	if err != nil {
		return err
	}
	defer p.endInTime(log)()
	defer app.Close()
	ready, err := server.Prepare(p.ctx, app, q.From)
	if err != nil {
		return err
	}
	listener, err := q.listen(p.stdout)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(p.ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- app.Serve(ctx, listener, buildVersion()) }()

	j := job{
		client: &client{url: baseURL(listener), project: ready.Project.Slug, token: ready.Token},
		folder: filepath.Join(q.Data, "quickstart", ready.Project.Slug),
	}
	if err := j.run(ctx); err != nil {
		stop()
		return errors.Join(err, <-served, app.Close())
	}
	link, err := app.SetupLink(p.ctx, j.client.url)
	if err != nil {
		stop()
		return errors.Join(err, <-served, app.Close())
	}
	summary{ready: ready, job: j, setup: link, took: time.Since(began), once: q.Once, source: q.From}.print(p.stdout)
	if q.Once {
		stop()
	}
	return errors.Join(<-served, app.Close())
}

// listen listens on the address, or on the next free port if it is in use.
func (q *quickstart) listen(out io.Writer) (net.Listener, error) {
	listener, err := net.Listen("tcp", q.Listen)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return listener, err
	}
	host, port, err := net.SplitHostPort(q.Listen)
	if err != nil {
		return nil, err
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return nil, err
	}
	for next := number + 1; next < number+100 && next < 1<<16; next++ {
		address := net.JoinHostPort(host, fmt.Sprint(next))
		if listener, err = net.Listen("tcp", address); err == nil {
			fmt.Fprintf(out, "%s is in use, so this is %s.\n", q.Listen, address)
			return listener, nil
		}
	}
	return nil, fmt.Errorf("no free port after %s: %w", q.Listen, err)
}

// job is the main job: three exports, downloaded and verified.
type job struct {
	client *client
	folder string // for the downloaded files

	tables []tableSummary
	shown  tableSummary // the table exported by itself: the largest
	files  []verifiedFile
}

type tableSummary struct {
	Name  string `json:"table_name"`
	Rows  int64  `json:"row_count_estimate"`
	total int64
}

type verifiedFile struct {
	manifest
	path string
	told string // what was verified besides size and hash
}

func (j *job) run(ctx context.Context) error {
	if err := j.client.waitUntilReady(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(j.folder, 0o700); err != nil {
		return err
	}
	if err := j.lookAround(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		path  string
		order map[string]string
		check func(verifiedFile) (string, error)
	}{
		{"/export/table/" + j.shown.Name, map[string]string{"format": "csv"}, j.checkTable},
		{"/export/database", map[string]string{"format": "zip"}, j.checkDatabase},
		{"/export/schema", map[string]string{"format": "sql", "file_name": "schema.sql"}, j.checkSchema},
	} {
		if err := j.export(ctx, step.path, step.order, step.check); err != nil {
			return err
		}
	}
	return nil
}

// lookAround lists the tables and counts the rows of the largest.
func (j *job) lookAround(ctx context.Context) error {
	var listed struct{ Tables []tableSummary }
	if err := j.client.call(ctx, "GET", j.client.path("/tables"), nil, &listed); err != nil {
		return err
	}
	if len(listed.Tables) == 0 {
		return errors.New("the file contains no table that can be imported")
	}
	j.tables = listed.Tables
	j.shown = slices.MaxFunc(j.tables, func(a, b tableSummary) int { return cmp.Compare(a.Rows, b.Rows) })
	var page struct{ Total int64 }
	if err := j.client.call(ctx, "GET", j.client.path("/records/"+j.shown.Name+"?limit=1&count=true"), nil, &page); err != nil {
		return err
	}
	j.shown.total = page.Total
	return nil
}

func (j *job) export(ctx context.Context, path string, order map[string]string, check func(verifiedFile) (string, error)) error {
	m, err := j.client.export(ctx, path, order)
	if err != nil {
		return err
	}
	file := verifiedFile{manifest: m, path: filepath.Join(j.folder, m.DownloadName)}
	if err := j.client.download(ctx, m, file.path); err != nil {
		return err
	}
	if file.told, err = check(file); err != nil {
		return fmt.Errorf("%s: %w", file.path, err)
	}
	j.files = append(j.files, file)
	return nil
}

// checkTable reads the CSV again and compares its number of rows with the API's total.
func (j *job) checkTable(file verifiedFile) (string, error) {
	f, err := os.Open(file.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	rows, err := countRows(f)
	if err != nil {
		return "", err
	}
	if rows != j.shown.total || rows != file.RowCount {
		return "", fmt.Errorf("the file has %d rows, the API says %d, the manifest %d", rows, j.shown.total, file.RowCount)
	}
	return plural(rows, "row") + ", as many as the API counts", nil
}

// checkDatabase reads every CSV in the ZIP again and compares its number of rows with
// the manifest.
func (j *job) checkDatabase(file verifiedFile) (string, error) {
	z, err := zip.OpenReader(file.path)
	if err != nil {
		return "", err
	}
	defer z.Close()
	if len(z.File) != len(file.Tables) {
		return "", fmt.Errorf("%d members, the manifest has %d tables", len(z.File), len(file.Tables))
	}
	for i, member := range z.File {
		content, err := member.Open()
		if err != nil {
			return "", err
		}
		rows, err := countRows(content)
		if err = errors.Join(err, content.Close()); err != nil {
			return "", fmt.Errorf("%s: %w", member.Name, err)
		}
		if want := file.Tables[i]; rows != want.RowCount {
			return "", fmt.Errorf("%s has %d rows, the manifest says %d", member.Name, rows, want.RowCount)
		}
	}
	return plural(file.RowCount, "row") + " of " + plural(int64(len(z.File)), "table") + ", one snapshot", nil
}

// countRows counts the rows of a CSV as this server writes it.
func countRows(r io.Reader) (int64, error) {
	reader, err := format.NewCSVReader(r, format.DefaultDialect().Reading())
	if err != nil {
		return 0, err
	}
	for rows := int64(0); ; rows++ {
		if _, err := reader.Read(); err == io.EOF {
			return rows, nil
		} else if err != nil {
			return rows, err
		}
	}
}

// checkSchema looks for every table in the statements.
func (j *job) checkSchema(file verifiedFile) (string, error) {
	text, err := os.ReadFile(file.path)
	if err != nil {
		return "", err
	}
	for _, t := range j.tables {
		if !strings.Contains(string(text), "CREATE TABLE "+format.QuoteIdent(t.Name)+" (") {
			return "", fmt.Errorf("the table %s is missing", t.Name)
		}
	}
	return plural(int64(len(j.tables)), "table") + " to build anew", nil
}

// plural returns a number with its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// grouped formats a number with separators between thousands.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
