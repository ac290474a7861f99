package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A work is a task that is measured.
type work string

const (
	csvWork  work = "CSV"
	jsonWork work = "JSON"
	zipWork  work = "ZIP"
)

// peer is another program that does one of the works.
type peer struct {
	name    string
	work    work
	command func(ctx context.Context) *exec.Cmd // writes to its standard output
}

// result is one measurement.
type result struct {
	wall, cpu time.Duration
	peak      int64 // bytes
	size      int64 // bytes written
}

// peers returns the installed programs, and reports which are missing.
func (c *config) peers(ctx context.Context, file string) (all []peer) {
	add := func(name string, w work, args ...string) {
		all = append(all, peer{name, w, func(ctx context.Context) *exec.Cmd {
			return exec.CommandContext(ctx, args[0], args[1:]...)
		}})
	}
	query := "SELECT * FROM " + tableName
	if shell, version := newestShell(ctx); shell == "" {
		say("skipped: no sqlite3 shell is installed")
	} else {
		name := "sqlite3 shell " + version
		add(name, csvWork, shell, "-readonly", "-csv", "-header", file, query)
		add(name, jsonWork, shell, "-readonly", "-json", file, query)
		for program, packer := range map[string]string{"pigz": "pigz -1", "zip": "zip -q -1 - -"} {
			if _, err := exec.LookPath(program); err != nil {
				say("skipped: %s is not installed", program)
				continue
			}
			pipe := fmt.Sprintf("%s -readonly -csv -header '%s' '%s' | %s", shell, file, query, packer)
			add(name+" into "+program+" -1", zipWork, "sh", "-c", pipe)
		}
	}
	if floor, version, err := c.buildFloor(ctx); err != nil {
		say("skipped: no C floor: %s", err)
	} else {
		add("C floor, SQLite "+version, csvWork, floor, file, tableName, "csv")
		add("C floor, SQLite "+version, jsonWork, floor, file, tableName, "json")
	}
	if duckdb, err := exec.LookPath("duckdb"); err != nil {
		say("skipped: DuckDB is not installed")
	} else if native, err := duckFile(ctx, duckdb, file, filepath.Join(c.folder, "duck.db")); err != nil {
		say("skipped: DuckDB cannot take the table over: %s", err)
	} else {
		for w, format := range map[work]string{csvWork: "csv", jsonWork: "json, array true"} {
			add("DuckDB, its own file", w, duckdb, "-readonly", native, fmt.Sprintf("COPY %s TO '/dev/stdout' (format %s)", tableName, format))
		}
	}
	return all
}

// newestShell returns the newest sqlite3 shell in the folders of PATH.
func newestShell(ctx context.Context) (path, version string) {
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		shell, err := exec.LookPath(filepath.Join(folder, "sqlite3"))
		if err != nil {
			continue
		}
		text, err := output(ctx, shell, "--version")
		if found, _, _ := strings.Cut(text, " "); err == nil && newer(found, version) {
			path, version = shell, found
		}
	}
	return path, version
}

// newer reports whether a version such as 3.54.1 is newer than another.
func newer(a, b string) bool {
	numbers := func(version string) (list []int) {
		for part := range strings.SplitSeq(version, ".") {
			n, _ := strconv.Atoi(part) // a part that is not a number counts as the oldest
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(a), numbers(b)) > 0
}

// buildFloor compiles the C program that serves as the lower bound.
func (c *config) buildFloor(ctx context.Context) (program, version string, err error) {
	program = filepath.Join(c.folder, "floor")
	args := []string{"-O2", "-o", program, "bench/testdata/floor.c"}
	header := "/usr/include/sqlite3.h"
	if c.amalgamation == "" {
		args = append(args, "-lsqlite3")
	} else {
		header = filepath.Join(c.amalgamation, "sqlite3.h")
		args = append(args, "-I", c.amalgamation, filepath.Join(c.amalgamation, "sqlite3.c"), "-lpthread", "-lm", "-ldl")
	}
	compiler, err := exec.LookPath("cc")
	if err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(header)
	if err != nil {
		return "", "", err
	}
	if _, after, ok := strings.Cut(string(text), "#define SQLITE_VERSION "); ok {
		version = strings.Trim(strings.Fields(after)[0], `"`)
	}
	if _, err := os.Stat(program); err == nil {
		return program, version, nil // from an earlier run in the same folder
	}
	out, err := exec.CommandContext(ctx, compiler, args...).CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, version, nil
}

// duckFile copies the table into a file in DuckDB's native format.
func duckFile(ctx context.Context, duckdb, file, native string) (string, error) {
	if err := os.Remove(native); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	_, err := output(ctx, duckdb, native, fmt.Sprintf("INSTALL sqlite; LOAD sqlite; CREATE TABLE %s AS FROM sqlite_scan('%s', '%[1]s')", tableName, file))
	return native, err
}

// run measures a peer once.
func (p peer) run(ctx context.Context, path string) (result, error) {
	out, err := os.Create(path)
	if err != nil {
		return result{}, err
	}
	defer os.Remove(path)
	cmd := p.command(ctx)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	r, err := measured(cmd)
	if err := errors.Join(err, out.Close()); err != nil {
		return result{}, fmt.Errorf("%s: %w", p.name, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return result{}, err
	}
	r.size = info.Size()
	return r, nil
}

// measured runs a command and measures it.
func measured(cmd *exec.Cmd) (result, error) {
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return result{}, err
	}
	state := cmd.ProcessState
	return result{wall: time.Since(began), cpu: state.UserTime() + state.SystemTime(), peak: peakMemory(state)}, nil
}

// run measures an export of the server once.
func (s *server) run(ctx context.Context, w work) (result, error) {
	path, format := "export/table/"+tableName, strings.ToLower(string(w))
	if w == zipWork {
		path = "export/database"
	}
	s.forgetPeak()
	before, began := s.usage(), time.Now()
	_, size, err := s.export(ctx, path, format)
	r := result{wall: time.Since(began), size: size}
	after := s.usage()
	r.cpu, r.peak = after.cpu-before.cpu, after.peak
	return r, err
}
