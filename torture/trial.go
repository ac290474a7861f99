//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// trial is one run of a part: its environment and its findings.
type trial struct {
	*config
	part   part
	ctx    context.Context
	cancel context.CancelFunc
	enough *regexp.Regexp // a fault that matches ends the part early
	out    io.Writer
	folder string // of this part
	random *rand.Rand
	began  time.Time
	took   time.Duration

	mu      sync.Mutex
	faults  []string
	skipped string // why the part did not run
	figures []figure
	secrets []string // what must not appear on disk
	servers []*server
}

// figure is one measurement.
type figure struct{ what, value string }

// abandon is the panic value of stop: the part cannot continue.
type abandon struct{}

// try runs one part and prints its findings.
func (c *config) try(ctx context.Context, p part) *trial { return c.tryTo(ctx, p, os.Stdout, nil) }

// tryTo runs one part and writes its findings to out. If enough is not nil, the part
// ends early at a fault that it matches.
func (c *config) tryTo(ctx context.Context, p part, out io.Writer, enough *regexp.Regexp) *trial {
	t := &trial{config: c, part: p, enough: enough, out: out, began: time.Now(), folder: filepath.Join(c.folder, p.name)}
	t.ctx, t.cancel = context.WithCancel(ctx)
	defer t.cancel()
	t.random = rand.New(rand.NewPCG(c.seed, hashName(p.name)))
	fmt.Fprintf(t.out, "\n== %s (%s)\n", p.name, p.promises)
	if err := os.MkdirAll(t.folder, 0o700); err != nil {
		t.fault("make the folder of the part: %v", err)
		return t
	}
	t.guarded(func() { p.run(t) })
	t.guarded(t.searchSecrets)
	t.endServers()
	t.took = time.Since(t.began)
	for _, f := range t.figures {
		fmt.Fprintf(t.out, "   %-60s %s\n", f.what, f.value)
	}
	switch {
	case t.skipped != "":
		fmt.Fprintf(t.out, "   SKIPPED: %s\n", t.skipped)
	case len(t.faults) == 0:
		fmt.Fprintf(t.out, "   holds, %.1f s\n", t.took.Seconds())
	default:
		fmt.Fprintf(t.out, "   BROKEN, %d faults, %.1f s, seed %d\n", len(t.faults), t.took.Seconds(), c.seed)
	}
	return t
}

// guarded runs fn until it returns or gives up.
func (t *trial) guarded(fn func()) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(abandon); !ok {
				panic(p)
			}
		}
	}()
	fn()
}

// maxFaults is the maximum number of faults printed for one part.
const maxFaults = 40

// fault records a broken promise.
func (t *trial) fault(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(t.faults, text) && len(t.faults) < maxFaults {
		fmt.Fprintf(t.out, "   FAULT: %s\n", text)
	}
	t.faults = append(t.faults, text)
	if t.enough != nil && t.enough.MatchString(text) {
		t.cancel()
	}
}

// stop records a broken promise after which the part cannot continue. It may only be
// called by the goroutine that runs the part.
func (t *trial) stop(format string, args ...any) {
	t.fault(format, args...)
	panic(abandon{})
}

// must stops the part if something fails that the server makes no promise about.
func (t *trial) must(err error, doing string) {
	if err != nil {
		t.stop("%s: %v", doing, err)
	}
}

// skip ends the part because this machine lacks what it needs. In CI that is a fault.
func (t *trial) skip(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	if os.Getenv("ZANGTABLE_REQUIRE_TOOLS") != "" {
		t.stop("cannot run here: %s", why)
	}
	t.skipped = why
	panic(abandon{})
}

// figure records a measurement.
func (t *trial) figure(what, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.figures = append(t.figures, figure{what, fmt.Sprintf(format, args...)})
}

// failed returns the number of faults.
func (t *trial) failed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.faults)
}

// pick returns a random number from low to high.
func (t *trial) pick(low, high int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return low + t.random.IntN(high-low+1)
}

// pause waits, unless the run is interrupted.
func (t *trial) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
	}
	if t.ctx.Err() != nil {
		t.stop("interrupted")
	}
}

// until retries until fn returns true or the time is up, and returns how long that
// took.
func (t *trial) until(limit time.Duration, fn func() bool) (took time.Duration, ok bool) {
	for begin := time.Now(); ; t.pause(10 * time.Millisecond) {
		if fn() {
			return time.Since(begin), true
		}
		if time.Since(begin) > limit {
			return time.Since(begin), false
		}
	}
}

// within returns how long something may take: the limit, or four times that in a short
// run, which may share its machine with other work.
func (t *trial) within(limit time.Duration) time.Duration {
	if t.short {
		return 4 * limit
	}
	return limit
}

// path returns a path in the folder of the part.
func (t *trial) path(names ...string) string {
	return filepath.Join(append([]string{t.folder}, names...)...)
}

// hashName derives a seed from a name.
func hashName(name string) (sum uint64) {
	for _, b := range []byte(name) {
		sum = sum*31 + uint64(b)
	}
	return sum
}

// report prints what held, and writes the figures into a document if requested.
func (c *config) report(done []*trial) error {
	var broken []string
	for _, t := range done {
		if len(t.faults) > 0 {
			broken = append(broken, fmt.Sprintf("%s (%d)", t.part.name, len(t.faults)))
		}
	}
	if c.out != "" {
		if err := c.writeFigures(done); err != nil {
			return err
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("%w: %s; seed %d", errBroken, strings.Join(broken, ", "), c.seed)
	}
	fmt.Printf("\nall of %d parts hold; seed %d\n", len(done), c.seed)
	return nil
}
