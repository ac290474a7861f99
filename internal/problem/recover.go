package problem

import (
	"fmt"
	"runtime/debug"
)

// Recovered turns a panic into an error that carries its stack. Defer it, by itself,
// in work that must not take the whole server down: a bug should fail one job, and
// neither the others nor the process.
func Recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}
