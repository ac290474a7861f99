// Package registry owns server.db: accounts, projects, project users and tokens, and
// what each token may do. It turns a secret into a [Workspace], the proof that access
// to a project was checked. It knows nothing of HTTP, and of a project's contents only
// the names of its tables.
//
// # Terms
//
//   - A [Project] has a slug, by which people know it, and an id, by which everything
//     stored refers to it. Ids are never reused.
//   - A [Token] opens one project. Only the hash of its secret is stored.
//   - A [Scope] is one thing that a token may do; its power is the set of its scopes,
//     limited by the [Role] of the project user that it was minted for, if any.
//   - The audit log holds what actors did, each [AuditEntry] with a hash over the one
//     before it.
//   - The root of a project is the first in the chain of projects whose tokens created it.
//     Limits that projects share are shared by root.
//
// # Creating and deleting
//
// A project exists once its row is committed, and is gone once its row is deleted: the
// files are created before and removed after. The table unfinished records whose files
// are in between, so that [Registry.Sweep] can finish after a crash.
package registry
