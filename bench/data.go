package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// tableName is the only table in the generated database.
const tableName = "orders"

const createTable = `CREATE TABLE orders (
	id INTEGER PRIMARY KEY,
	customer_id INTEGER NOT NULL,
	quantity INTEGER NOT NULL,
	price REAL NOT NULL,
	discount REAL,
	customer TEXT NOT NULL,
	email TEXT NOT NULL,
	city TEXT,
	note TEXT,
	ordered_on TEXT NOT NULL,
	shipped_at TEXT,
	signature BLOB
) STRICT`

// generate creates a database with one table whose rows depend only on their number.
// An existing file is used as it is.
func generate(path string, rows int) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := sqlite.Open(path, sqlite.Options{Schema: sqlite.Schema{Migrations: []string{createTable}}, Relaxed: true})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	err = db.Exclusive(context.Background(), func(c *sqlite.Conn) error {
		s, err := c.Prepare("INSERT INTO " + tableName + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
		if err != nil {
			return err
		}
		defer s.Close()
		for id := range rows {
			s.Bind(row(random, id+1)...)
			if _, err := s.Step(); err != nil {
				return err
			}
			if err := s.Reset(); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// row returns the values of one row: integers, reals with two decimals, short texts,
// some NULLs, a few quotes, commas and line breaks, dates and a blob of 16 bytes.
func row(r *rand.Rand, id int) []any {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	first := pick("Ada", "Björn", "Chen", "Dilara", "Émile", "Fatima", "Grace", "Hiroshi")
	last := pick("Lovelace", "Nakamura", "O'Neill", "Petrov", "Okafor", "García", "Schmidt", "Lindqvist")
	day := fmt.Sprintf("20%02d-%02d-%02d", r.IntN(25), 1+r.IntN(12), 1+r.IntN(28))
	values := []any{
		id, r.IntN(500_000), 1 + r.IntN(40),
		float64(r.IntN(1_000_000)) / 100, float64(r.IntN(5_000)) / 100,
		first + " " + last, fmt.Sprintf("customer.%d@example.com", r.IntN(500_000)),
		pick("Berlin", "São Paulo", "Nairobi", "Kyoto", "Reykjavík", "Winnipeg"),
		pick("left at the door", "call before delivery", "gift wrapping, please", `the "large" box`, "second floor\nring twice", "nothing to add to this order"),
		day, day + "T" + fmt.Sprintf("%02d:%02d:%02dZ", r.IntN(24), r.IntN(60), r.IntN(60)), nil,
	}
	blob := make([]byte, 16)
	for i := range blob {
		blob[i] = byte(r.Uint32())
	}
	values[11] = blob
	for _, nullable := range []int{4, 7, 8, 10, 11} {
		if r.IntN(10) == 0 {
			values[nullable] = nil
		}
	}
	return values
}
