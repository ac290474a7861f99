// Package jobs is what all work has in common that outlives the request which
// ordered it: the store that remembers it, the queue and its turns, the workers, and
// those who wait. What the work is belongs to others: packages export and imports
// each give a [Runner] the functions that do it.
//
// # Terms
//
//   - A job is an order and what has become of it, one row of its store.
//   - A [Store] is the store of one kind of jobs, a table in a database of its own.
//   - A worker is a goroutine of a [Dispatcher] that runs one job after the other.
//   - An attempt is one run of a job, from the claim on. It counts until the server
//     stops in an orderly way.
//   - The root of a project is the first of the projects that it was made from. Roots
//     take turns; see [Store.Claim].
//   - A suspect was running when the server died. It begins last, and alone; see
//     [Quarantine].
//   - A job is settled when no work is left to be done. It is spent when all that is
//     left is its manifest, which makes room when there are too many; see [Bounds].
//   - A [Receipt] is the idempotency record of the call that has ordered a job.
//
// # The life of a job
//
//	order ──▶ pending ────────────── cancel ─────────────▶ canceled
//	          │     ▲ ▲                                       ▲
//	    claim │     │ └─ put back: the server stops           │
//	          ▼     └─── take up: the server died,            │
//	        running      and the job is a suspect             │
//	          │ │                                             │
//	          │ └─────────────────── cancel ──────────────────┘
//	   settle │
//	          ├──▶ ready ──▶ expired
//	          └──▶ failed, also when the server died in MaxAttempts attempts
//
// An import begins as uploading, and is pending when its file is whole; one that is
// settled can be ordered anew while its file is kept. The store decides: to cancel
// is to change the row first and to stop the worker then, and a worker whose row is
// no longer running when it is done removes what it has made.
package jobs
