// Package worker runs the SQL and the databases of strangers in separate processes.
// SQLite checks for an interrupt only between two opcodes, has one heap limit per
// process, and shares its memory among all databases of a process; so one stranger's
// work can be bounded, ended and isolated from that of others only in a process of its
// own.
//
// A worker is this program, started again as a child. Its life cycle:
//
//	fresh ──Acquire──▶ bound to a project ⇄ a call ──60 s idle, or given up──▶ ended
//	     └──Start────▶ bound to one job   → its calls ──Close──▶ ended
//
// A [Pool] keeps fresh workers ready. From then on, a worker serves one project (or
// one job), one call at a time, and is ended when it is no longer used: no data of a
// project is ever in the process that serves the next one.
//
// A [Task] is something that a worker can do. It is declared once with [Define], in
// the package that it belongs to, and called with [Task.Call]. The two sides exchange
// frames over the child's standard input and output: a call with its input as JSON,
// data in either direction, and one end with the output as JSON or the reason why
// there is none. What comes from a worker may be made by an attacker who has taken it
// over: frames are bounded, and their readers must not trust them.
//
// A worker is bounded by SQLite's limits on heap and temporary files
// ([sqlite.Confine]), by the clock, by resident memory and the size of the project's
// write-ahead log (which the parent watches, killing the worker), and where the system
// supports them by RLIMIT_DATA and Landlock. See [Pool.Bounds] for the limits that
// apply on this system.
package worker
