//go:build !plain

package sqlite

import (
	"fmt"
	"testing"
	"unsafe"

	lib "modernc.org/sqlite/lib"
)

// aheadOf returns the readAhead of a connection.
func aheadOf(t *testing.T, c *Conn) *readAhead {
	t.Helper()
	thread, db, err := handles(c.c)
	if err != nil {
		t.Fatal(err)
	}
	place := lib.Xsqlite3_malloc64(thread, uint64(unsafe.Sizeof(uintptr(0))))
	defer lib.Xsqlite3_free(thread, place)
	if code := lib.Xsqlite3_file_control(thread, db, 0, lib.SQLITE_FCNTL_FILE_POINTER, place); code != lib.SQLITE_OK {
		t.Fatalf("code %d", code)
	}
	return view[readAhead](view[lib.Tsqlite3_file](*view[uintptr](place)).FpMethods)
}

func items(t *testing.T, c *Conn, query string) (all []string) {
	t.Helper()
	err := c.Query(query, nil, func(s *Stmt) error {
		all = append(all, s.Text(0))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A snapshot reads ahead. It must not change although all pages change, in the log and
// then in the file, between two of its reads.
func TestSnapshotReadsAhead(t *testing.T) {
	for _, pageSize := range []int{512, 4096, 65536} {
		t.Run(fmt.Sprint(pageSize), func(t *testing.T) {
			db := open(t, Options{Schema: Schema{Migrations: []string{fmt.Sprintf(`PRAGMA page_size = %d;
				CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, more BLOB) STRICT`, pageSize)}}})
			script(t, db, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
				INSERT INTO item SELECT i, 'item ' || i, zeroblob(200) FROM n`)
			// Half of what the snapshot sees is in the file, the other half in the
			// log.
			if err := db.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			script(t, db, "UPDATE item SET name = name || ' anew' WHERE id > 2500")
			s, err := db.Snapshot(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			c := s.Conns[0]
			ahead := aheadOf(t, c)
			first := items(t, c, "SELECT name FROM item WHERE id <= 500 ORDER BY id")
			if ahead.end == 0 {
				t.Error("nothing was read ahead")
			}
			script(t, db, "UPDATE item SET name = 'other', more = randomblob(200)")
			writer := <-db.writer
			err = writer.Exec("PRAGMA wal_checkpoint(PASSIVE)")
			db.writer <- writer
			if err != nil {
				t.Fatal(err)
			}
			names := append(first, items(t, c, "SELECT name FROM item WHERE id > 500 ORDER BY id")...)
			if again := items(t, c, "SELECT name FROM item ORDER BY id"); fmt.Sprint(again) != fmt.Sprint(names) {
				t.Error("the second reading differs")
			}
			if len(names) != 5000 {
				t.Fatalf("%d rows", len(names))
			}
			for i, name := range names {
				want := fmt.Sprintf("item %d", i+1)
				if i >= 2500 {
					want += " anew"
				}
				if name != want {
					t.Fatalf("row %d is %q, want %q", i+1, name, want)
				}
			}
		})
	}
}
