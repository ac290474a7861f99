package projectdb

import (
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/meter"
	"github.com/zangtable/zangtable/internal/problem"
)

func TestThePlanOfASlowQueryIsNoted(t *testing.T) {
	t.Parallel()
	db := openLibrary(t)
	const endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
	for _, test := range []struct {
		sql, want string
		slow      time.Duration
		code      problem.Code
	}{
		{"SELECT title FROM books WHERE pages > 'canary'", "SCAN books", 1, ""},
		{"SELECT title FROM books", "", time.Hour, ""},
		{"EXPLAIN QUERY PLAN SELECT title FROM books", "", 1, ""},
		{endless, "RECURSIVE STEP", time.Millisecond, problem.CodeQueryTimeout},
		{"SELECT nothing FROM books", "", 1, problem.CodeValidationFailed},
	} {
		m := &meter.Meter{Slow: test.slow}
		q := Query{SQL: test.sql, Limit: 10, Readable: booksOnly}
		if test.code == problem.CodeQueryTimeout {
			q.Timeout = 100 * time.Millisecond
		}
		_, err := db.Query(meter.With(t.Context(), m), q)
		if plan := strings.Join(m.Plan(), "; "); !strings.Contains(plan, test.want) || plan != "" && test.want == "" || strings.Contains(plan, "canary") {
			t.Errorf("%s: the plan %q", test.sql, plan)
		}
		if err != nil && !problem.Is(err, test.code) || err == nil && test.code != "" {
			t.Errorf("%s: %v", test.sql, err)
		}
	}
}
