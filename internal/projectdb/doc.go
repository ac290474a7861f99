// Package projectdb is one project's database: its tables, columns, records,
// filters, indexes and snapshots. It knows nothing of tokens, exports or HTTP.
//
// # Terms
//
// A [Dir] holds one database file per project and leases them as [DB]. Tables are
// ordinary STRICT tables of SQLite, so that any program can read the file; beside
// them two tables of our own, the catalogue, keep the ids, display names and times
// for which SQLite has no place.
//
// A [Tx] is one transaction. Every call of a DB that reads or changes records, tables
// or columns is a Tx of its own; [DB.Change] and [DB.View] give one to a function
// that makes several calls, and [DB.Once] one whose answer is kept, so that a call
// with the same [Receipt] is made once only. [TransactionKind] says how it shares
// the writer.
//
// A table is named by a reference: its id in decimal digits, or its name in any
// letter case. [Rights], given by [DB.As], say whose records may be read and written.
//
// A [Selection] is which rows and columns are wanted, and in which order: records are
// listed by it, exports read it from a [Snapshot], all at one commit. A [Loader]
// takes whole tables in.
//
// # Invariants
//
//   - A call sees one catalogue, the one of its transaction.
//   - Faults of what was sent are collected, and nothing is changed while there are
//     any. A [problem.Error] is for a client; any other error is the server's.
//   - What was stored can be read back as it was sent, digit by digit.
//   - Who may not read a table learns nothing of its values, by no answer and no
//     error; see decision 28.
//   - No expression that a schema keeps takes more than linear time; see
//     [Table.CheckExpressions].
//
// DESIGN.md says what is load-bearing, and why.
package projectdb
