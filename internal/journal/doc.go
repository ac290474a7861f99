// Package journal groups the calls of a token in a project into runs of an
// operation, by what the calls say about themselves. It owns journal.db and
// knows nothing of HTTP, of what a call does, or of the projects' databases.
package journal
