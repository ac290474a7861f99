// Package journal groups the calls of a token into runs of an operation, by the key
// and the run id that the calls carry. Despite its name it keeps no log of calls. It
// owns journal.db and knows nothing of HTTP, of what a call does, or of the projects'
// databases.
//
// A call joins a run in memory, from which [Journal.Join] answers; changes are written
// to the file every half second. If the file is lost, only the grouping of calls is lost.
package journal
