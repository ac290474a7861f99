// Command bench measures exports, or imports, side by side with other programs: with
// the same rows, on the same machine, taking turns. It writes the results into a
// document.
//
//	go run ./bench -rows 2000000 -out docs/benchmarks.md
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

// config is the configuration from the command line.
type config struct {
	rows, rounds int
	folder       string
	out          string
	amalgamation string
	writers      bool
	imports      bool
	batches      bool
	positions    bool
}

func main() {
	var c config
	flag.IntVar(&c.rows, "rows", 2_000_000, "rows of the table")
	flag.IntVar(&c.rounds, "rounds", 3, "how often each is measured; the median counts")
	flag.StringVar(&c.folder, "dir", "", "folder for data and output, best in memory; kept when given (default a temporary one in /dev/shm or the usual place)")
	flag.StringVar(&c.out, "out", "", "file to write the report to, besides standard output")
	flag.StringVar(&c.amalgamation, "amalgamation", "", "folder with sqlite3.c and sqlite3.h to build the floor with, in place of the system's library")
	flag.BoolVar(&c.writers, "writers", true, "measure also how inserting clients fare beside an export")
	flag.BoolVar(&c.imports, "imports", false, "measure imports instead")
	flag.BoolVar(&c.positions, "positions", false, "measure pages at positions of a list instead")
	flag.BoolVar(&c.batches, "batches", false, "measure batches of changes instead")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := c.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (c *config) run(ctx context.Context) error {
	remove, err := c.chooseFolder()
	if err != nil {
		return err
	}
	defer remove()
	say("data: %d rows in %s", c.rows, c.folder)
	file := filepath.Join(c.folder, "generated.db")
	if err := generate(file, c.rows); err != nil {
		return err
	}
	program := filepath.Join(c.folder, "zangtable")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/zangtable").CombinedOutput(); err != nil {
		return fmt.Errorf("build the server: %w\n%s", err, out)
	}
	s, err := startServer(ctx, program, filepath.Join(c.folder, "data"), file)
	if err != nil {
		return err
	}
	defer s.stop()
	if c.imports {
		r, err := c.measureImports(ctx, s)
		if err != nil {
			return err
		}
		return c.tell("Imports", r.importsDocument())
	}
	if c.positions {
		text, err := c.measurePositions(ctx, s)
		if err != nil {
			return err
		}
		return c.tell("Positions", text)
	}
	if c.batches {
		text, err := c.measureBatches(ctx, s)
		if err != nil {
			return err
		}
		return c.tell("Batches", text)
	}
	r := report{config: c, file: s.file}
	if err := r.measure(ctx, s, c.peers(ctx, s.file)); err != nil {
		return err
	}
	if c.writers {
		if r.writing, err = measureWriters(ctx, s); err != nil {
			return err
		}
	}
	return c.tell("Exports", r.document())
}

// tell prints a report, and writes it into the document in place of the previous one.
func (c *config) tell(heading, text string) error {
	fmt.Print(text)
	if c.out == "" {
		return nil
	}
	document, err := os.ReadFile(c.out)
	if err != nil {
		return err
	}
	before, after, found := strings.Cut(string(document), "\n## "+heading+"\n")
	if !found {
		return fmt.Errorf("%s has no part ## %s", c.out, heading)
	}
	if _, next, more := strings.Cut(after, "\n## "); more {
		text += "\n## " + next
	}
	return os.WriteFile(c.out, []byte(before+"\n## "+heading+"\n\n"+text), 0o644)
}

// chooseFolder creates the folder of the run. A given folder is kept.
func (c *config) chooseFolder() (remove func(), err error) {
	if c.folder != "" {
		return func() {}, os.MkdirAll(c.folder, 0o700)
	}
	parent := ""
	if _, err := os.Stat("/dev/shm"); err == nil {
		parent = "/dev/shm"
	}
	c.folder, err = os.MkdirTemp(parent, "zangtable-bench-")
	return func() { os.RemoveAll(c.folder) }, err
}

// say prints progress messages, separate from the report.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
