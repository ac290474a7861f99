package testkit

import (
	"flag"
	"strconv"
	"sync"
	"testing"
)

const checksFlag = "rapid.checks"

// Checks sets how often rapid checks the properties of a slow test: n times, or a fifth
// of that under the race detector and, as rapid itself does, with -short. A number
// given on the command line takes precedence. A test that calls Checks cannot be
// parallel.
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

// checksGiven reports whether the command line gives a number of checks. It is
// evaluated before the first test sets the flag.
var checksGiven = sync.OnceValue(func() (given bool) {
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == checksFlag })
	return given
})
