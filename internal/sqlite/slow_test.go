package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/meter"
)

// planOf returns the plan that is noted while work runs.
func planOf(t *testing.T, slow time.Duration, work func(context.Context) error) string {
	t.Helper()
	m := &meter.Meter{Slow: slow}
	if err := work(meter.With(t.Context(), m)); err != nil {
		t.Fatal(err)
	}
	return strings.Join(m.Plan(), "; ")
}

func TestThePlanOfASlowStatementIsNoted(t *testing.T) {
	db := open(t, Options{})
	if err := db.Write(t.Context(), insertItem("canary")); err != nil {
		t.Fatal(err)
	}
	const slow = "SELECT count(*) FROM item WHERE name = ? OR name = (WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000) SELECT max(x) FROM n)"
	statements := func(c *Conn) error {
		for range 20 {
			if _, err := c.Int("SELECT 1"); err != nil {
				return err
			}
		}
		_, err := c.Int(slow, "canary")
		return err
	}
	for name, run := range map[string]func(context.Context, func(*Conn) error) error{
		"read": db.Read, "write": db.Write, "exclusive": db.Exclusive, "restructure": db.Restructure,
	} {
		plan := planOf(t, 1, func(ctx context.Context) error { return run(ctx, statements) })
		// The commit may have taken longer than the statement.
		if !strings.Contains(plan, "item") && plan != "COMMIT" || strings.Contains(plan, "canary") {
			t.Errorf("%s: %q", name, plan)
		}
		if plan := planOf(t, time.Hour, func(ctx context.Context) error { return run(ctx, statements) }); plan != "" {
			t.Errorf("%s: of a fast call: %q", name, plan)
		}
	}
	if plan := planOf(t, 1, func(ctx context.Context) error { return db.Read(ctx, statements) }); !strings.Contains(plan, "RECURSIVE STEP") {
		t.Errorf("the plan is not that of the slowest statement: %q", plan)
	}
}

// The statement that a deadline ends is the one whose plan matters most.
func TestThePlanOfAnInterruptedStatementIsNoted(t *testing.T) {
	db := open(t, Options{})
	endless := func(c *Conn) error {
		return c.Exec("WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n")
	}
	for name, run := range map[string]func(context.Context, Deadlines, func(*Conn) error) error{"read": db.ReadWithin, "exclusive": db.ExclusiveWithin} {
		m := &meter.Meter{Slow: time.Millisecond}
		err := run(meter.With(t.Context(), m), Deadlines{Run: 20 * time.Millisecond}, endless)
		if !errors.Is(err, ErrTooLong) || !strings.Contains(fmt.Sprint(m.Plan()), "RECURSIVE STEP") {
			t.Errorf("%s: %v, plan %q", name, err, m.Plan())
		}
	}
}

// SQLite obeys some PRAGMAs even when it is asked to explain them.
func TestStatementsWithoutAPlanAreNotExplained(t *testing.T) {
	db := open(t, Options{})
	err := db.Read(t.Context(), func(c *Conn) error {
		for statement, want := range map[string]string{"PRAGMA foreign_keys = OFF": "[PRAGMA]", "commit": "[COMMIT]", "SELECT * FROM gone": "[SELECT]"} {
			if got := fmt.Sprint(c.plan(statement)); got != want {
				t.Errorf("%s: %s", statement, got)
			}
		}
		if on, err := c.Int("PRAGMA foreign_keys"); err != nil || on != 1 {
			t.Errorf("foreign keys: %d, %v", on, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
