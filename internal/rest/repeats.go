package rest

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Bounds on log lines that clients can cause as often as they like.
const (
	repeatWindow = time.Minute
	maxRepeats   = 10   // lines of one kind per window
	maxKinds     = 1000 // that are counted apart per window
)

// repeats keeps clients from filling the log: of each kind of line it lets only the
// first few per window through. The zero value is ready for use.
type repeats struct {
	mu    sync.Mutex
	until time.Time // end of the window
	lines map[string]int
	left  int // lines that were left out
}

// admit reports whether a line of the kind may be written now. If it begins a window,
// leftOut is the number of lines that the last one left out.
func (r *repeats) admit(kind string, now time.Time) (ok bool, leftOut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lines == nil || now.After(r.until) {
		leftOut = r.left
		r.until, r.lines, r.left = now.Add(repeatWindow), map[string]int{}, 0
	}
	n, known := r.lines[kind]
	if n >= maxRepeats || !known && len(r.lines) >= maxKinds {
		r.left++
		return false, leftOut
	}
	r.lines[kind]++
	return true, leftOut
}

// logRepeatable logs a line about the call that its client can cause again and again.
// Only lines with different causes are counted apart.
func (c *call) logRepeatable(level slog.Level, message, cause string, args ...any) {
	about := []any{"request_id", c.id, "address", c.ClientAddress(c.r), "method", c.r.Method, "path", c.loggedPath()}
	c.logBounded(level, message, cause, append(about, args...)...)
}

// logBounded is logRepeatable for a line that says itself what it is about.
func (c *call) logBounded(level slog.Level, message, cause string, args ...any) {
	ok, leftOut := c.repeats.admit(message+"\x00"+cause, c.Now())
	if leftOut > 0 {
		c.Log.Warn("lines of the log were left out because they repeated too often", "lines", leftOut)
	}
	if ok {
		c.Log.Log(context.WithoutCancel(c.r.Context()), level, message, args...)
	}
}

// loggedPath returns the path of the call without the key of a record, which is a value,
// and without anything that no route has asked for.
func (c *call) loggedPath() string {
	if c.ep == nil {
		return "unmatched"
	}
	parts := strings.Split(c.r.URL.EscapedPath(), "/")
	for i, name := range strings.Split(c.ep.Path, "/") {
		if i < len(parts) && name == "{id}" {
			parts[i] = name
		}
	}
	return strings.Join(parts, "/")
}
