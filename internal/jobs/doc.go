// Package jobs has what is common to all work that outlives the request that asked for
// it: the store that remembers the jobs, the queue, the goroutines that run them, and
// the clients that wait for them. What the work consists of is up to others: packages
// export and imports each provide a [Kind].
//
// # Terms
//
//   - A job is a request and what has become of it: one row of its store, decoded as
//     a record.
//   - A [Store] holds the jobs of one kind in a table of a database of its own.
//   - A spec is what the job has been asked to do. A manifest is what clients see of
//     the job.
//   - A worker is a goroutine of a [Dispatcher] that runs one job after another.
//     It is unrelated to package worker, which runs strangers' SQL in child
//     processes.
//   - A [Runner] claims jobs, has its [Kind] run them, and saves their outcomes.
//   - An attempt is one run of a job, from the claim on. It does not count if the
//     server stops in an orderly way.
//   - The root of a project is the first of the projects that it was made from. Roots
//     take turns; see [Store.Claim].
//   - A suspect is a job that was running when the server crashed. It begins last,
//     and alone; see [Quarantine].
//   - A job has finished when nothing more will happen to it by itself. It is
//     prunable when only its manifest is left; prunable records make room for new
//     jobs when a project has too many; see [Bounds].
//   - A [Receipt] is the idempotency record of the call that requested a job.
//   - A [View] shows the jobs of a store to clients.
//
// # The life of a job
//
//	request ─▶ uploading            imports only
//	                │ its file is complete
//	                ▼
//	request ────▶ pending ───────── cancel ─────────────▶ canceled
//	              │     ▲ ▲                                  ▲
//	        claim │     │ └─ put back: the server stops      │
//	              ▼     └─── recovered: the server crashed,  │
//	            running      and the job is a suspect        │
//	              │ │                                        │
//	              │ └─────────────── cancel ─────────────────┘
//	         save │
//	              ├──▶ ready ──▶ expired
//	              └──▶ failed, also after the server crashed in MaxAttempts attempts
//
// An upload can be canceled, and expires if it is never completed. A finished import can
// be requested again while its file is kept, and one that has failed expires with it.
// Each kind of job recovers, cancels and expires its own in its store; the runner does
// the rest.
//
// # Invariants
//
//   - The store decides. To cancel a job, its row is changed first, and then its
//     worker is stopped. A worker whose row is no longer running has its outcome
//     dropped.
//   - Counters in the store follow the jobs through triggers, even when a transaction
//     is rolled back, so that no statement reads the whole queue.
//   - A claim, and everything that a request leaves in the store, is one transaction.
//   - Saving an outcome is retried until the store has it. Saving it twice has the
//     same effect as once.
package jobs
