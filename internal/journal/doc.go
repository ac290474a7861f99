// Package journal groups the calls of a token into runs of an operation, by the key
// and the run id that the calls carry, and keeps an entry about every call, never
// anything of its body or its answer. It owns journal.db and knows nothing of HTTP, of
// what a call does, or of the projects' databases.
//
// A call joins a run in memory, from which [Journal.Join] answers; [Journal.Record]
// takes an entry without waiting. What has changed is written to the file twice a second, in
// one transaction. A burst that is too long for the queue is dropped and counted. If
// the file is lost, only the grouping of calls and the entries are lost.
//
// # Terms
//
//   - An [Entry] is what the journal is told about a call; a [Request] is what it shows.
//   - A place is the position of an entry: when its call began.
//   - A spread is a histogram of durations. Hours are sums kept for 13 months, longer
//     than entries; a run is settled when it is over and its sums are in its hour.
package journal
