// Package foreign reads SQLite files of strangers. Such a file holds
// expressions, which SQLite evaluates whenever rows are read, and it may be
// made to find a fault in SQLite itself: so it is opened only by a worker
// (package worker), which sends the rows here.
//
// [Open] starts the worker and returns the database as a [sqlite.Source]. The two
// sides speak in requests and answers. Answers come in the order of the requests,
// so a scan can ask for the next batches before they are needed. Nothing that
// comes from the worker is trusted: sizes are bounded, cells must be the ones
// announced, and what is left is rows like any others that a stranger sends.
package foreign
