// Package foreign reads SQLite files from strangers. Such a file contains expressions,
// which SQLite evaluates whenever rows are read, and it may be crafted to exploit a bug
// in SQLite itself: so it is opened only by a worker (package worker), which sends the
// rows here.
//
// [Open] starts the worker and returns the database as a [sqlite.Source]. The two sides
// exchange requests and answers. Answers come in the order of the requests, so a scan
// can ask for the next batches before they are needed. Nothing that the worker sends is
// trusted: sizes are bounded, cells must be the ones announced, and what remains is
// treated like any other rows from a stranger.
package foreign
