// Package imports takes files in from clients: an upload is kept in a folder as
// it comes, and when it is whole a job reads it into the project with package
// ingest. It owns imports.db, the job store of all imports, and the folder of
// uploads. It knows nothing of tokens and HTTP.
//
// What an import changes is committed in one transaction of the project, with a
// receipt in it: a job that runs again after a crash finds the receipt and
// changes nothing a second time.
package imports
