package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/server"
)

// summary is what the quickstart prints at the end.
type summary struct {
	ready  server.Ready
	job    job
	source string // the user's file, "" for the example
	took   time.Duration
	once   bool
	setup  string // the link to set up the panel; "" if there is an owner
}

func (s summary) print(w io.Writer) {
	url := s.job.client.url
	fmt.Fprintf(w, "\nZangTable is ready: %s is a project with a REST API and verified exports (%.1f s).\n\n", s.origin(), s.took.Seconds())
	s.printProject(w)
	s.printFiles(w)
	if s.once {
		return
	}
	if s.setup != "" {
		fmt.Fprintf(w, "  Open the panel (the link works once, within an hour)\n    %s\n\n", s.setup)
	} else {
		fmt.Fprintf(w, "  Open the panel\n    %s/admin\n\n", url)
	}
	fmt.Fprintf(w, "  Try it\n")
	for _, line := range s.curls() {
		fmt.Fprintf(w, "    %s\n", line)
	}
	fmt.Fprintf(w, "\n  Serving %s. Ctrl-C stops; your data stays in %s.\n\n", url, s.dataFolder())
}

func (s summary) origin() string {
	if s.source == "" {
		return "an example CRM"
	}
	return filepath.Base(s.source)
}

func (s summary) dataFolder() string {
	return filepath.Dir(filepath.Dir(s.job.folder))
}

func (s summary) printProject(w io.Writer) {
	fmt.Fprintf(w, "  Project   %s/projects/%s\n", s.job.client.url, s.ready.Project.Slug)
	const shown = 6
	for i, t := range s.job.tables {
		label := ""
		if i == 0 {
			label = "Tables"
		}
		if i == shown && len(s.job.tables) > shown+1 {
			fmt.Fprintf(w, "            and %d more\n", len(s.job.tables)-shown)
			break
		}
		fmt.Fprintf(w, "  %-8s  %-24s %s\n", label, t.Name, plural(t.Rows, "row"))
	}
	fmt.Fprintf(w, "  Token     %s\n", s.ready.Token)
	for i, note := range s.ready.Notes {
		label := ""
		if i == 0 {
			label = "Notes"
		}
		fmt.Fprintf(w, "  %-8s  %s\n", label, note)
	}
	fmt.Fprintln(w)
}

func (s summary) printFiles(w io.Writer) {
	fmt.Fprintf(w, "  Exported, downloaded and verified: size and SHA-256 match manifest, ETag and Repr-Digest\n")
	longest := 0
	for _, f := range s.job.files {
		longest = max(longest, len(f.DownloadName))
	}
	for _, f := range s.job.files {
		fmt.Fprintf(w, "    %-*s %9s  %s\n", longest, f.DownloadName, size(f.SizeBytes), f.told)
	}
	fmt.Fprintf(w, "    in %s\n\n", s.job.folder)
}

// size formats a number of bytes for people.
func size(bytes int64) string {
	const kilo = 1000
	switch {
	case bytes < kilo:
		return fmt.Sprintf("%d B", bytes)
	case bytes < kilo*kilo:
		return fmt.Sprintf("%.1f kB", float64(bytes)/kilo)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/(kilo*kilo))
}

// curls returns three commands to paste: read, export, download.
func (s summary) curls() []string {
	base := s.job.client.url + "/projects/" + s.ready.Project.Slug
	auth := "-H 'Authorization: Bearer " + s.ready.Token + "'"
	table := s.job.shown.Name
	return []string{
		strings.Join([]string{"curl", auth, "'" + base + "/records/" + table + "?limit=3&count=true'"}, " "),
		strings.Join([]string{"curl", auth, "-X POST", base + "/export/table/" + table}, " "),
		strings.Join([]string{"curl", auth, "-OJ", s.job.client.url + s.job.files[0].DownloadURL}, " "),
	}
}
