package problem

import (
	"fmt"
	"runtime/debug"
)

// Recovered turns a panic into an error that carries its stack. Defer it directly in
// work that must not bring down the whole server: a bug should make one job fail, but
// neither the others nor the process.
func Recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}
