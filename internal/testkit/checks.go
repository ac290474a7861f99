package testkit

import (
	"flag"
	"strconv"
	"sync"
	"testing"
)

const checksFlag = "rapid.checks"

// Checks sets how often rapid tries the properties of a slow test, which is a
// fifth of that under the race detector and, as rapid has it, with -short. If the
// command line says how often, that holds. A test that calls it cannot be parallel.
func Checks(t testing.TB, n int) {
	t.Helper()
	if checksGiven() {
		return
	}
	if Race {
		n = max(1, n/5)
	}
	usual := flag.Lookup(checksFlag).Value.String()
	if err := flag.Set(checksFlag, strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set(checksFlag, usual) })
}

// checksGiven reports whether the command line says how often, which it looks up
// before the first test sets the flag.
var checksGiven = sync.OnceValue(func() (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == checksFlag })
	return given
})
