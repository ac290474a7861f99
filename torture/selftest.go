//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is a deliberately broken server, with the way in which that must be detected.
type mutant struct {
	name   string
	edits  []edit
	part   string // the part that detects it
	notice string // the expected fault, as a regular expression
}

// edit replaces a piece of a source file, which must occur exactly once.
type edit struct{ file, old, new string }

// selfTest builds each mutant, runs the part on it, and requires a fault of the right
// kind. The source files are not modified: the compiler reads replacements through an
// overlay.
func (c *config) selfTest(ctx context.Context) error {
	chosen, err := choose(c.parts)
	if err != nil {
		return err
	}
	noticed := 0
	var missed []string
	for _, m := range mutants {
		if !slices.ContainsFunc(chosen, func(p part) bool { return p.name == m.part }) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fault, err := c.tryMutant(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if fault == "" {
			missed = append(missed, m.name)
			fmt.Printf("   MISSED   %s\n", m.name)
			continue
		}
		noticed++
		fmt.Printf("   noticed  %-34s by part %s: %.140s\n", m.name, m.part, fault)
	}
	if len(missed) > 0 {
		return fmt.Errorf("%w: nobody noticed: %s", errBroken, strings.Join(missed, ", "))
	}
	fmt.Printf("\neach of %d faults put in on purpose is noticed\n", noticed)
	return nil
}

// maxTries is how often a part is run until it notices a mutant.
const maxTries = 4

// tryMutant returns the fault by which a mutant is detected, or "".
func (c *config) tryMutant(ctx context.Context, m mutant) (fault string, err error) {
	broken := *c
	broken.cuts, broken.kills = 40, 100 // it ends at the first fault
	broken.folder = filepath.Join(c.folder, strings.ReplaceAll(m.name, " ", "-"))
	if err := os.MkdirAll(broken.folder, 0o700); err != nil {
		return "", err
	}
	overlay, err := m.overlay(broken.folder)
	if err != nil {
		return "", err
	}
	broken.program = filepath.Join(broken.folder, "zangtable")
	if err := build(ctx, broken.program, append(c.buildFlags(), "-overlay", overlay)...); err != nil {
		return "", err
	}
	only, err := choose(m.part)
	if err != nil {
		return "", err
	}
	notice := regexp.MustCompile(m.notice)
	// Whether a kill or a power cut hits the moment that is wrong is a matter of chance.
	for range maxTries {
		t := broken.tryTo(ctx, only[0], c.verbosity(), notice)
		if t.skipped != "" {
			return "", fmt.Errorf("part %s cannot run here: %s", m.part, t.skipped)
		}
		for _, text := range t.faults {
			if notice.MatchString(text) {
				return text, nil
			}
		}
		broken.seed++
		broken.folder += "-again"
	}
	return "", nil
}

// verbosity returns where the output of parts that are expected to fail goes.
func (c *config) verbosity() io.Writer {
	if c.verbose {
		return os.Stdout
	}
	return io.Discard
}

// overlay writes the changed sources and their list for the compiler.
func (m mutant) overlay(folder string) (list string, err error) {
	changed := map[string]string{}
	for i, e := range m.edits {
		path, err := filepath.Abs(e.file)
		if err != nil {
			return "", err
		}
		from := path
		if earlier, ok := changed[path]; ok {
			from = earlier
		}
		source, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(source), e.old); n != 1 {
			return "", fmt.Errorf("%s holds %d times what is to be changed; bring torture/mutants.go up to date:\n%s", e.file, n, e.old)
		}
		to := filepath.Join(folder, fmt.Sprintf("%d-%s", i, filepath.Base(e.file)))
		if err := os.WriteFile(to, []byte(strings.Replace(string(source), e.old, e.new, 1)), 0o600); err != nil {
			return "", err
		}
		changed[path] = to
	}
	text, err := json.Marshal(map[string]any{"Replace": changed})
	if err != nil {
		return "", err
	}
	list = filepath.Join(folder, "overlay.json")
	return list, os.WriteFile(list, text, 0o600)
}
