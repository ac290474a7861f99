package registry

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// On a full disk, nobody is signed out: that is when people have to look.
func TestSessionsGoOnOnAFullDisk(t *testing.T) {
	disk := testkit.SmallDisk(t)
	h := &house{folder: disk, clock: newClock()}
	h.open(t)
	t.Cleanup(func() { h.close(t) })
	if _, err := h.AddOwner(t.Context(), "ada", "correct horse battery staple"); err != nil {
		t.Fatal(err)
	}
	secret, err := h.SignIn(t.Context(), "", "ada", "correct horse battery staple", From{})
	if err != nil || secret == "" {
		t.Fatal(secret, err)
	}
	testkit.FillDisk(t, filepath.Join(disk, "filler"))
	h.clock.Add(2 * seenEvery)
	if v, err := h.Visit(t.Context(), secret); err != nil || v.Username != "ada" {
		t.Errorf("the session is %v, %v", v, err)
	}
}

// A session ends after a time without calls, and at the latest after its whole life.
func TestSessionsEndByThemselves(t *testing.T) {
	t.Parallel()
	h := open(t)
	if _, err := h.AddOwner(t.Context(), "ada", "correct horse battery staple"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ pause, until time.Duration }{
		"without calls":            {sessionIdle, sessionIdle},
		"at the end of its life":   {sessionIdle / 2, SessionLife},
		"with a call just in time": {sessionIdle - time.Second, SessionLife},
	} {
		secret, err := h.SignIn(t.Context(), "", "ada", "correct horse battery staple", From{})
		if err != nil {
			t.Fatal(err)
		}
		began, ended := h.clock.Now(), time.Duration(0)
		for ended == 0 {
			h.clock.Add(test.pause)
			if _, err := h.Visit(t.Context(), secret); problem.Is(err, problem.CodeInvalidToken) {
				ended = h.clock.Now().Sub(began)
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if ended < test.until || ended > test.until+test.pause {
			t.Errorf("%s: the session ended after %v", name, ended)
		}
	}
}
