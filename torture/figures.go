//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// writeFigures writes the measurements into the document, between the marks of each
// part.
func (c *config) writeFigures(done []*trial) error {
	text, err := os.ReadFile(c.out)
	if err != nil {
		return err
	}
	document := string(text)
	for _, t := range done {
		begin, end := "<!-- figures: "+t.part.name+" -->\n", "<!-- end -->\n"
		before, rest, found := strings.Cut(document, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			return fmt.Errorf("%s has no place for the figures of %s", c.out, t.part.name)
		}
		document = before + begin + t.figuresTable() + end + after
	}
	return os.WriteFile(c.out, []byte(document), 0o644)
}

// figuresTable returns the figures of a part as a Markdown table.
func (t *trial) figuresTable() string {
	var b strings.Builder
	form := "make torture PARTS=" + t.part.name
	if t.short {
		form = "make torture-short PARTS=" + t.part.name
	}
	fmt.Fprintf(&b, "\n| `%s SEED=%d`, %s, %d cores | |\n|---|---|\n", form, t.seed, t.began.Format(time.DateOnly), runtime.NumCPU())
	for _, f := range t.figures {
		fmt.Fprintf(&b, "| %s | %s |\n", f.what, f.value)
	}
	result := fmt.Sprintf("holds, %.0f s", t.took.Seconds())
	switch {
	case t.skipped != "":
		result = "not run: " + t.skipped
	case len(t.faults) > 0:
		result = fmt.Sprintf("**broken**: %d faults", len(t.faults))
	}
	fmt.Fprintf(&b, "| result | %s |\n\n", result)
	return b.String()
}
