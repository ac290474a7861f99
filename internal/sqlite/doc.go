// Package sqlite opens SQLite files the way this product needs them. It is the only
// user of the driver, and knows nothing of projects, tables or HTTP.
//
// # Terms
//
// A [DB] is one file of ours: a single writer and a few readers, each a [Conn] with
// the same pragmas, limits and functions. [Open] brings the file to the newest form
// of its [Schema].
//
// A read sees one state of the file: [DB.ReadWithin]. Writes that come at the same
// time share a transaction, each in a savepoint of its own: [DB.WriteWithin], the
// group commit. Changes of the schema and large bodies have a transaction for
// themselves: [DB.ExclusiveWithin]; rebuilds of tables one in which foreign keys are
// not enforced until its end: [DB.RestructureWithin]. [Deadlines] bound how long each
// may wait and run.
//
// A [Snapshot] pins a state for as long as it takes to read it, with one or several
// connections. A [Stmt] fills a [Batch] with rows: values without boxing, their
// bytes in one piece of memory.
//
// Files and SQL of strangers are opened with less trust: [OpenFile] reads a file
// that others own, a guarded connection asks an authorizer what a statement may
// read, and a [Sandbox] runs a dump.
//
// # Invariants
//
//   - A write is answered after its commit, and a write that was answered with an
//     error has changed nothing.
//   - The function of a write may run more than once. It has no effect outside the
//     connection.
//   - After a sync has failed, nothing that was cached is trusted any more.
//   - Nobody writes through a connection that does not enforce foreign keys, but
//     inside RestructureWithin.
//
// DESIGN.md says what is load-bearing, and why.
package sqlite
