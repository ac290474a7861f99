package jobs

import (
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// TestHistoryIsBounded adds jobs of 100 bytes to a store that holds 1,000 bytes per
// project.
func TestHistoryIsBounded(t *testing.T) {
	b := openStore(t)
	bounds := Bounds{Pending: -1, Bytes: 1000}
	order := func(n, project int, bytes int64) error {
		return b.Write(t.Context(), "order", func(c *sqlite.Conn) error {
			if err := b.Admit(c, ids.Project(project), bounds, 0, bytes); err != nil {
				return err
			}
			if err := enter(c, n, project, project); err != nil {
				return err
			}
			return c.Exec("UPDATE works SET text = ? WHERE seq = ?", strings.Repeat("ä", int(bytes/2)), n)
		})
	}
	left := func() (ids string) {
		must(t, b, func(c *sqlite.Conn) (err error) {
			ids, err = c.Text("SELECT group_concat(id, ' ' ORDER BY seq) FROM works WHERE project_id = 1")
			return err
		})
		return ids
	}
	for n := range 10 {
		if err := order(n+1, 1, 100); err != nil {
			t.Fatal(err)
		}
	}
	if err := order(11, 1, 2); !problem.Is(err, problem.CodeStorageFull) {
		t.Errorf("beside 1,000 bytes of pending jobs, 2 more: %v", err)
	}
	if err := order(20, 2, 1000); err != nil {
		t.Errorf("another project: %v", err)
	}
	must(t, b, func(c *sqlite.Conn) error { return c.Exec("UPDATE works SET status = 'ready' WHERE seq IN (2, 3, 5)") })
	if err := order(12, 1, 400); !problem.Is(err, problem.CodeStorageFull) || left() != "1 2 3 4 5 6 7 8 9 10" {
		t.Errorf("300 bytes can go, 400 are needed: %v, left are %s", err, left())
	}
	if err := order(12, 1, 102); err != nil || left() != "1 4 5 6 7 8 9 10 12" {
		t.Errorf("300 bytes can go, 102 are needed: %v, left are %s", err, left())
	}
	var differs string
	must(t, b, func(c *sqlite.Conn) (err error) {
		differs, err = c.Text("SELECT group_concat(project_id) FROM history AS h WHERE bytes <> (SELECT sum(octet_length(text)) FROM works WHERE project_id = h.project_id)")
		return err
	})
	if differs != "" {
		t.Errorf("the bytes of the projects %s are not counted right", differs)
	}
}
