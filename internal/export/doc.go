// Package export makes files out of projects: an order is checked and becomes
// a job, a worker takes one snapshot of the project and writes the artifact,
// and the manifest says what it holds until it expires. The package owns
// exports.db, the job store of all exports, and the folder of artifacts. It knows
// nothing of tokens and HTTP, and of a project only its id and slug.
//
// An artifact can be downloaded only when it is complete: it is written under
// another name, synced, moved into place, and entered in the job store as ready
// with its size and hash, in this order. What a crash leaves without an entry
// is removed at the next start.
package export
