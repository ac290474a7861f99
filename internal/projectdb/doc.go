// Package projectdb is one project's database: its tables, columns, records,
// filters, indexes and snapshots. It knows nothing of tokens, exports or HTTP.
//
// # Terms
//
// A [Dir] holds one database file per project and leases them as [DB]. Tables are
// ordinary STRICT tables of SQLite, so that any program can read the file; next to
// them two tables of our own, the catalog, keep the ids, display names and times
// that SQLite has no place for.
//
// A [Tx] is one transaction. Every call of a DB that reads or changes records, tables
// or columns runs in its own Tx; [DB.Change] and [DB.View] pass one to a function that
// makes several calls, and [DB.Once] also keeps the answer, so that calls with the
// same [Receipt] run only once. [TransactionKind] determines how it shares the writer.
//
// A table is named by a reference: its id in decimal digits, or its name in any letter
// case. [Rights], given by [DB.As], determine whose records may be read and written.
//
// A [Selection] determines which rows and columns are wanted, and in which order:
// records are listed by it, and exports read it from a [Snapshot], all at one commit.
// A [Loader] loads whole tables.
//
// # Invariants
//
//   - A call sees one catalog, the one of its transaction.
//   - Faults in a request are collected, and nothing is changed while there are any.
//     A [problem.Error] is for a client; any other error is the server's.
//   - What was stored can be read back as it was sent, digit by digit.
//   - Whoever may not read a table learns nothing of its values, through no answer and
//     no error; see decision 28.
//   - No expression in a schema takes more than linear time; see
//     [Table.CheckExpressions].
//
// DESIGN.md says what is load-bearing, and why.
package projectdb
