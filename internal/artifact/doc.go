// Package artifact keeps finished files until they are downloaded: in a directory of
// the server, or in a bucket at an object storage provider. It knows each file by a
// [Ref], and nothing about the jobs that make them.
//
// # From bytes to an artifact
//
// [Dir.Create] begins a file under a temporary name and returns a [Writer], which
// hashes what it writes. Either [Stores.Publish] gives the file its name, durably and
// as a whole, or [Writer.Discard] removes it. An artifact never changes after that, so
// a file whose size differs from its Ref counts as missing.
//
// # In a directory
//
//	<project id>/<id>.<ext>            an artifact
//	<project id>/<id>.<ext>.part       an artifact being written
//	<project id>/<id>.manifest         its manifest, also for an artifact in a bucket
//	tmp/                               scratch files
//	lost/                              unknown files, which are never removed
//
// # In a bucket
//
// An artifact is uploaded after it is complete on the disk. [Remote] is all that this
// package knows about providers: addresses, credentials, retries, and which answers
// mean that an object is missing. A provider that does not answer is never a reason to
// give an artifact up.
package artifact
