package problem

import (
	"errors"
	"strings"
	"testing"
)

func TestRecovered(t *testing.T) {
	fails := errors.New("fails")
	for name, test := range map[string]struct {
		work func() error
		want string
	}{
		"a panic":    {func() error { panic("too short") }, "panic: too short\n"},
		"a bug":      {func() error { var list []int; _ = list[3]; return nil }, "index out of range"},
		"a failure":  {func() error { return fails }, "fails"},
		"no failure": {func() error { return nil }, ""},
	} {
		err := func() (err error) {
			defer Recovered(&err)
			return test.work()
		}()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s gives %v", name, err)
		}
		if panicked := err != nil && err != fails; panicked && !strings.Contains(err.Error(), "recover_test.go") {
			t.Errorf("%s: the error does not say where: %v", name, err)
		}
	}
}
