// Package projectdb is one project's database: its tables, columns, records,
// filters, indexes and snapshots. Tables are ordinary STRICT tables of SQLite;
// beside them two tables of our own remember the ids and times that SQLite has
// no place for. The package knows nothing of tokens, exports or HTTP.
package projectdb
