package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// ours is the name of the server in the report.
const ours = "ZangTable, through HTTP"

// report holds all measurements.
type report struct {
	config  *config
	file    string
	bytes   int64  // of the database
	load    string // load of other processes before the measurement
	idle    int64  // bytes of memory of the server before the first export
	lines   []line
	writing *writing
}

// line holds the measurements of one program for one work.
type line struct {
	name    string
	work    work
	results []result
}

// measure runs all programs in turn, for the configured number of rounds.
func (r *report) measure(ctx context.Context, s *server, peers []peer) error {
	info, err := os.Stat(r.file)
	if err != nil {
		return err
	}
	r.bytes, r.load = info.Size(), load()
	time.Sleep(time.Second)
	r.idle = s.usage().rss
	path := filepath.Join(r.config.folder, "out")
	for _, w := range []work{csvWork, jsonWork, zipWork} {
		first := len(r.lines)
		r.lines = append(r.lines, line{name: ours, work: w})
		runs := []func() (result, error){func() (result, error) { return s.run(ctx, w) }}
		for _, p := range peers {
			if p.work == w {
				r.lines = append(r.lines, line{name: p.name, work: w})
				runs = append(runs, func() (result, error) { return p.run(ctx, path) })
			}
		}
		for round := range r.config.rounds {
			for i, run := range runs {
				measured, err := run()
				if err != nil {
					return err
				}
				l := &r.lines[first+i]
				l.results = append(l.results, measured)
				say("round %d  %-5s %-40s %6.2f s", round+1, w, l.name, measured.wall.Seconds())
			}
		}
	}
	return nil
}

func (l line) median(of func(result) float64) float64 {
	values := make([]float64, len(l.results))
	for i, r := range l.results {
		values[i] = of(r)
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func (l line) wall() float64 { return l.median(func(r result) float64 { return r.wall.Seconds() }) }
func (l line) cpu() float64  { return l.median(func(r result) float64 { return r.cpu.Seconds() }) }

func (l line) peak() int64 {
	return slices.MaxFunc(l.results, func(a, b result) int { return cmp.Compare(a.peak, b.peak) }).peak
}

// table returns the table of results of works that read or write files.
func table(what, file string, lines []line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | program | wall s | CPU s | peak MiB | %s MB | ratio of wall | ratio of CPU |\n", what, file)
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|")
	var mine line
	for _, l := range lines {
		if l.name == ours {
			mine = l
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %d | %d | %.2f | %.2f |\n", l.work, l.name, l.wall(), l.cpu(), l.peak()>>20,
			l.results[0].size/1_000_000, mine.wall()/l.wall(), mine.cpu()/l.cpu())
	}
	fmt.Fprint(&b, "\nThe ratios are what ZangTable takes, divided by what the program of the line takes.\n")
	return b.String()
}

// text returns the table of results, and the results of the inserting clients.
func (r *report) text() string {
	var b strings.Builder
	b.WriteString(table("export", "output", r.lines))
	fmt.Fprintf(&b, "The server had %d MiB resident before the first export.\n", r.idle>>20)
	if w := r.writing; w != nil {
		fmt.Fprintf(&b, "\n%d clients that insert single rows into the same table over HTTP: %.0f rows/s alone, %.0f rows/s (%.0f %%)\nbeside a CSV export of it, which took %.2f s.\n",
			clients, w.alone, w.beside, 100*w.beside/w.alone, w.export.Seconds())
	}
	return b.String()
}

// document returns the report with a description of the method.
func (r *report) document() string {
	return fmt.Sprintf(`%s
- %d processors with a load of %s before the run, %s/%s, %s; %d rounds, in which the programs take turns; medians, the largest of the peaks.
- %d rows of 12 columns (integers, reals with two decimals, short texts, some with quotes, commas and line ends, NULLs,
  dates, a BLOB of 16 bytes), %d MB of database, generated from a fixed seed. All programs read the file of the project.
- ZangTable: from the request to the answer that the artifact is ready: written, synced, and with its SHA-256. The peak is
  that of the server's process, which goes on from one export to the next.
- The others write to a file in the same folder (%s), without hash and sync. CPU time of a pipe includes both programs; its
  peak is that of the larger. The ZIP of ZangTable is made of the whole database, by all processors.
- The C floor is `+"`bench/testdata/floor.c`"+`: step, column text, one thread, no shell.
`, r.text(), runtime.NumCPU(), r.load, runtime.GOOS, runtime.GOARCH, runtime.Version(), r.config.rounds, r.config.rows, r.bytes/1_000_000, place(r.config.folder))
}

// place says whether a folder is in memory or on a disk.
func place(folder string) string {
	if strings.HasPrefix(folder, "/dev/shm/") {
		return "in memory"
	}
	return "on disk"
}

// load returns the load average of the last minute, if available.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown size"
	}
	return strings.Fields(string(text))[0]
}
