// Package imports receives files from clients and imports them. An upload is written to
// a file as it arrives; once it is complete, a job reads it into the project with
// package ingest. The package owns imports.db and the directory of uploads. Package
// jobs runs the jobs. It knows nothing about tokens and HTTP.
//
// # Terms
//
//   - An upload is an import whose file is still arriving. A resumable upload may come
//     in parts.
//   - A dry run does everything but the commit, and keeps the file for the real run.
//   - A report says what an import did, a preview says what it would do, and rejects are
//     the rows that it refuses.
//   - A receipt, in the database of the project, says that an import was committed.
//
// # Invariants
//
//   - Everything that an import changes is committed in one transaction of the project,
//     together with its receipt. A job that runs again after a crash finds the receipt and
//     changes nothing a second time.
//   - The offset of an upload is the size of its file. No counter can disagree with it.
//   - A complete file becomes a job, however its last part ended.
//   - A canceled import has changed nothing; if it was committed before the cancel, it is
//     ready.
package imports
