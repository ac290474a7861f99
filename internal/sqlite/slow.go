package sqlite

import (
	"context"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/meter"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// slowest is the statement that has taken longest so far.
type slowest struct {
	query string
	took  time.Duration
}

// noting runs fn. If that takes as long as the meter of ctx calls slow, it notes the
// plan of the statement that took longest.
func (c *Conn) noting(ctx context.Context, fn func() error) error {
	m := meter.Of(ctx)
	if !m.NotesPlans() {
		return fn()
	}
	began, noted := time.Now(), &slowest{}
	c.slowest = noted
	defer func() { // after a panic, too: others use the connection next
		c.slowest = nil
		if took := time.Since(began); took >= m.Slow && noted.query != "" {
			m.NotePlan(took, c.plan(noted.query))
		}
	}()
	return fn()
}

// noted returns fn with [Conn.noting] around it.
func noted(ctx context.Context, fn func(*Conn) error) func(*Conn) error {
	if !meter.Of(ctx).NotesPlans() {
		return fn
	}
	return func(c *Conn) error { return c.noting(ctx, func() error { return fn(c) }) }
}

// begin notes when the use of a statement begins, if that is of interest.
func (s *Stmt) begin() *Stmt {
	if s.conn.slowest != nil {
		s.began = time.Now()
	}
	return s
}

// note compares the statement with the slowest one so far.
func (s *Stmt) note() {
	noted := s.conn.slowest
	if noted == nil || s.began.IsZero() {
		return
	}
	if took := time.Since(s.began); took > noted.took {
		noted.query, noted.took = s.query, took
	}
}

// maxPlan is how many lines of a plan are noted.
const maxPlan = 20

// plan returns how SQLite runs one of our statements: lines without the values that it
// was given. Of a statement without a plan it is the first word.
func (c *Conn) plan(query string) (lines []string) {
	first := sqltext.Tokens(query)[0]
	// SQLite carries out some PRAGMAs even when it is asked to explain them.
	if !first.Is("SELECT", "WITH", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE") {
		return []string{strings.ToUpper(first.Text)}
	}
	// A failure, such as a table that has been dropped meanwhile, leaves no plan.
	_ = c.Query("EXPLAIN QUERY PLAN "+query, nil, func(s *Stmt) error {
		if len(lines) < maxPlan {
			lines = append(lines, s.Text(3))
		}
		return nil
	})
	if len(lines) == 0 {
		return []string{strings.ToUpper(first.Text)}
	}
	return lines
}
