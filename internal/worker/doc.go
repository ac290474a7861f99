// Package worker runs the SQL and the databases of strangers in processes of
// their own. SQLite looks at an interrupt only between two opcodes, it has one
// heap limit for the whole process, and its memory is shared by all databases
// of a process; so what one stranger runs can be bounded, ended and kept apart
// from the others only where the others are not.
//
// A worker is this program started again as a child. Its life:
//
//	fresh ──Acquire──▶ bound to a project ⇄ a call ──60 s idle, or given up──▶ ended
//	     └──Start────▶ bound to one job   → its calls ──Close──▶ ended
//
// A [Pool] keeps fresh workers ready. A worker serves one project (or one job)
// from then on, one call at a time, and is ended when it has gone unused: nothing
// of a project is ever in the process that serves the next one.
//
// A [Task] is what a worker can do. It is declared once with [Define], in the
// package that knows the matter, and called by [Task.Call]. The two sides speak
// in frames over the child's standard input and output: a call with its input
// as JSON, data in either direction, and one end with the output as JSON or the
// reason why there is none. What comes from a worker may have been made by
// whoever has taken it over: frames are bounded, and their readers must believe
// nothing.
//
// What bounds a worker: SQLite's heap and temporary files ([sqlite.Confine]), the
// clock, resident memory and the size of the project's write-ahead log (the
// parent looks at them and kills), and where the system has it RLIMIT_DATA and
// Landlock. See [Pool.Bounds] for what holds here.
package worker
