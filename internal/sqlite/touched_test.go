package sqlite

import (
	"errors"
	"slices"
	"testing"
)

// TestTouched checks which tables statements reach, and that the result does not
// depend on whether the statement was compiled before, outside Touched.
func TestTouched(t *testing.T) {
	for _, test := range []struct {
		statement string
		want      []string
	}{
		{"INSERT INTO parent VALUES (9, 'i', 'x')", []string{"parent"}},
		{"UPDATE parent SET note = 'y' WHERE id = 1", []string{"parent"}},
		{"UPDATE parent SET code = 'new' WHERE id = 1", []string{"by_code", "parent"}},
		{"UPDATE parent SET id = 8 WHERE id = 3", []string{"parent"}},
		{"UPDATE parent SET id = 7 WHERE id = 2", []string{"nulled", "parent"}},
		{"DELETE FROM parent WHERE id = 3", []string{"parent"}},
		{"DELETE FROM parent WHERE id = 1", []string{"by_code", "child", "grandchild", "parent"}},
		{"DELETE FROM parent WHERE true", []string{"by_code", "child", "grandchild", "nulled", "parent"}},
		{"DELETE FROM tree WHERE id = 1", []string{"leaf", "tree"}},
		{"DELETE FROM parent WHERE id = 99", nil},
		{"INSERT INTO parent VALUES (1, 'a', 'z') ON CONFLICT (id) DO UPDATE SET code = 'zz'", []string{"by_code", "parent"}},
		{"INSERT INTO parent VALUES (1, 'a', 'z') ON CONFLICT (id) DO NOTHING", nil},
		{"UPDATE keyless SET v = 2", []string{"keyless"}},
	} {
		db := open(t, Options{})
		script(t, db, `CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE, note TEXT) STRICT;
			CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent ON DELETE CASCADE) STRICT;
			CREATE TABLE grandchild (c INTEGER REFERENCES child ON DELETE SET NULL) STRICT;
			CREATE TABLE by_code (code TEXT PRIMARY KEY REFERENCES parent (code) ON UPDATE CASCADE ON DELETE CASCADE) STRICT, WITHOUT ROWID;
			CREATE TABLE nulled (p INTEGER REFERENCES parent ON UPDATE SET NULL ON DELETE SET DEFAULT) STRICT;
			CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree ON DELETE CASCADE) STRICT;
			CREATE TABLE leaf (t INTEGER REFERENCES tree ON DELETE CASCADE) STRICT;
			CREATE TABLE keyless (v INTEGER) STRICT;
			INSERT INTO parent VALUES (1, 'a', ''), (2, 'b', ''), (3, 'c', '');
			INSERT INTO child VALUES (1, 1); INSERT INTO grandchild VALUES (1); INSERT INTO by_code VALUES ('a'); INSERT INTO nulled VALUES (2);
			INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2); INSERT INTO leaf VALUES (3); INSERT INTO keyless VALUES (1);`)
		undone := errors.New("undone")
		for _, when := range []string{"compiled before", "again"} {
			var got []string
			err := db.Exclusive(t.Context(), func(c *Conn) error {
				if err := c.Savepoint(func() error { return errors.Join(c.Exec(test.statement), undone) }); err != undone && !errors.Is(err, undone) {
					return err
				}
				tables, err := c.Touched(func() error { return c.Exec(test.statement) })
				got = tables
				return errors.Join(err, undone)
			})
			slices.Sort(got)
			if !errors.Is(err, undone) || !slices.Equal(got, test.want) {
				t.Errorf("%s, %s: %q, want %q (%v)", test.statement, when, got, test.want, err)
			}
		}
		if err := db.Exclusive(t.Context(), func(c *Conn) error { return c.Exec("DELETE FROM keyless") }); err != nil {
			t.Error("a write that nobody asks about:", err)
		}
	}
}
