// Package export makes files of projects. A [Request] is checked and stored as a job; a
// worker takes one snapshot of the project and writes the artifact; and the [Manifest]
// says what the artifact contains until it expires. The package owns exports.db.
// Package jobs runs the jobs, package artifact keeps the files. It knows nothing about
// tokens and HTTP, and of a project only its id and slug.
//
// # Terms
//
//   - An artifact is the finished file of an export.
//   - A spec is what was requested, with tables by id.
//   - A layout says how values are written: format, dialect, compression.
//   - A source is the tables of a snapshot that a job reads.
//   - A sidecar is the manifest file beside an artifact.
//   - An orphan is an object in a bucket that no export needs.
//
// # Invariants
//
//   - An artifact can be downloaded only when it is complete. It is written under
//     a temporary name, synced and renamed; then its sidecar is written; and only then
//     does the store say ready. What a crash leaves without a record is removed at the
//     next start.
//   - All tables of an artifact come from one state of the project.
//   - The rows written are exactly those counted in the same snapshot; otherwise the
//     job fails.
//   - An export yields to requests; see [Exports.NoteRequest].
package export
