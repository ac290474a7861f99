// Package sqlite opens SQLite files the way this product needs them. It is the only
// user of the driver, and knows nothing of projects, tables or HTTP.
//
// # Terms
//
// A [DB] is one of our files: a single writer and a few readers, each a [Conn] with
// the same pragmas, limits and functions. [Open] migrates the file to the newest
// version of its [Schema].
//
// A read sees one state of the file: [DB.ReadWithin]. Concurrent writes share a
// transaction, each in a savepoint of its own: [DB.WriteWithin], the group commit.
// Schema changes and large amounts of data get a transaction of their own:
// [DB.ExclusiveWithin]; rebuilds of tables get one in which foreign keys are only
// checked at the end: [DB.RestructureWithin]. [Deadlines] bound how long each may wait
// and run.
//
// A [Snapshot] pins a state for as long as it takes to read it, with one or several
// connections. A [Stmt] fills a [Batch] with rows: values without boxing, their bytes
// in one block of memory.
//
// Files and SQL of strangers are trusted less: [OpenFile] reads a file that others
// own, a guarded connection asks an authorizer what a statement may read, and a
// [Sandbox] runs a dump.
//
// # Invariants
//
//   - A write returns after its commit, and a write that returns an error has changed
//     nothing.
//   - The function of a write may run more than once. It must have no effects outside
//     the connection.
//   - After a failed sync, nothing cached is trusted any more.
//   - Except inside RestructureWithin, nobody writes through a connection that does not
//     enforce foreign keys.
//
// DESIGN.md says what is load-bearing, and why.
package sqlite
