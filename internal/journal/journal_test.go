package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/sqlite"
)

var alice = Caller{ProjectID: 1, TokenID: 10}

// step is one call in a story with its expected result. A run is written as the id
// sent, or as $1, $2 … for generated ids in the order of their generation.
type step struct {
	wait   time.Duration
	caller Caller
	key    string
	run    string
	want   string // status, run, and the key unless it is the key sent
}

func TestStories(t *testing.T) {
	const past = Window + time.Microsecond
	bob, elsewhere := Caller{1, 11}, Caller{2, 10}
	tests := map[string][]step{
		"a run id sent is used, with and without a key": {
			{0, alice, "", "oprun_a", "accepted_provided_run oprun_a"},
			{0, alice, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{0, alice, "nightly", "oprun_b", "accepted_provided_run oprun_b"},
		},
		"a key opens a run and joins it while it is open": {
			{0, alice, "nightly", "", "generated_run $1"},
			{Window, alice, "nightly", "", "continued_run $1"},
			{Window, alice, "nightly", "", "continued_run $1"},
			{past, alice, "nightly", "", "generated_run $2"},
			{0, alice, "hourly", "", "generated_run $3"},
			{0, alice, "nightly", "", "continued_run $2"},
		},
		"a key joins the run it was last used in": {
			{0, alice, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{0, alice, "nightly", "", "continued_run oprun_a"},
			{0, alice, "nightly", "oprun_b", "accepted_provided_run oprun_b"},
			{0, alice, "nightly", "", "continued_run oprun_b"},
			{0, alice, "hourly", "oprun_a", "accepted_provided_run oprun_a"},
			{0, alice, "hourly", "", "continued_run oprun_a"},
			{0, alice, "nightly", "", "continued_run oprun_b"},
		},
		"calls without the key keep its run open": {
			{0, alice, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{Window, alice, "", "oprun_a", "accepted_provided_run oprun_a"},
			{Window, alice, "nightly", "", "continued_run oprun_a"},
		},
		"an idle run continues under a new id, whoever goes on sending the old one": {
			{0, alice, "", "oprun_a", "accepted_provided_run oprun_a"},
			{Window, alice, "", "oprun_a", "accepted_provided_run oprun_a"},
			{past, alice, "", "oprun_a", "rotated_idle_run $1"},
			{0, alice, "", "oprun_a", "rotated_idle_run $1"},
			{Window, alice, "", "$1", "accepted_provided_run $1"},
			{Window, alice, "", "oprun_a", "rotated_idle_run $1"},
			{past, alice, "", "oprun_a", "rotated_idle_run $2"},
			{0, alice, "", "$1", "rotated_idle_run $3"},
			{0, alice, "", "$2", "accepted_provided_run $2"},
		},
		"a key follows its run to the new id": {
			{0, alice, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{past, alice, "nightly", "oprun_a", "rotated_idle_run $1"},
			{0, alice, "nightly", "", "continued_run $1"},
		},
		"an idle run of a key is not continued by another key's call": {
			{0, alice, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{past, alice, "", "oprun_a", "rotated_idle_run $1"},
			{0, alice, "nightly", "", "generated_run $2"},
		},
		"a generated id may be sent": {
			{0, alice, "nightly", "", "generated_run $1"},
			{0, alice, "nightly", "$1", "accepted_provided_run $1"},
			{0, bob, "", "$1", "accepted_provided_run $1"},
			{past, alice, "", "$1", "rotated_idle_run $2"},
		},
		"an id that is not acceptable counts as not sent": {
			{0, alice, "nightly", "undefined", "ignored_invalid_run $1"},
			{0, alice, "nightly", "undefined", "ignored_invalid_run $1"},
			{0, alice, "nightly", "", "continued_run $1"},
			{0, alice, "hourly", "undefined", "ignored_invalid_run $2"},
			{0, alice, "", "undefined", "ignored_invalid_run $3 null"},
			{0, alice, "", "undefined", "ignored_invalid_run $4 null"},
			{past, alice, "nightly", "undefined", "ignored_invalid_run $5"},
		},
		"an id that is not acceptable never leads to one that a client named": {
			{0, alice, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{0, alice, "nightly", "undefined", "ignored_invalid_run $1"},
			{0, alice, "nightly", "undefined", "ignored_invalid_run $1"},
			{0, alice, "nightly", "", "continued_run $1"},
			{past, alice, "nightly", "oprun_a", "rotated_idle_run $2"},
			{0, alice, "nightly", "undefined", "ignored_invalid_run $2"},
		},
		"a key that is not acceptable counts as not sent": {
			{0, alice, "a\tb", "oprun_a", "accepted_provided_run oprun_a null"},
			{0, alice, "a\tb", "", "generated_run $1 null"},
			{0, alice, "a\tb", "", "generated_run $2 null"},
			{0, alice, "a\tb", "undefined", "ignored_invalid_run $3 null"},
			{0, alice, "", "$1", "accepted_provided_run $1 null"},
		},
		"other tokens and projects have runs of their own": {
			{0, alice, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{past, bob, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{0, elsewhere, "nightly", "oprun_a", "accepted_provided_run oprun_a"},
			{0, alice, "nightly", "oprun_a", "rotated_idle_run $1"},
			{0, bob, "nightly", "", "continued_run oprun_a"},
			{0, elsewhere, "hourly", "", "generated_run $2"},
			{0, bob, "hourly", "", "generated_run $3"},
		},
		"a key may look like a run id": {
			{0, alice, "oprun_a", "", "generated_run $1"},
			{0, alice, "", "oprun_a", "accepted_provided_run oprun_a"},
			{0, alice, "oprun_a", "", "continued_run $1"},
		},
		"a clock that goes back keeps runs open": {
			{0, alice, "nightly", "", "generated_run $1"},
			{-time.Hour, alice, "nightly", "", "continued_run $1"},
			{Window, alice, "nightly", "$1", "accepted_provided_run $1"},
			{past, alice, "nightly", "", "generated_run $2"},
			{past, alice, "", "$1", "rotated_idle_run $3"},
			{-3 * past, alice, "", "$1", "rotated_idle_run $3"},
		},
	}
	modes := map[string]func(t *testing.T, j *Journal, path string, options Options) *Journal{
		"in memory": func(_ *testing.T, j *Journal, _ string, _ Options) *Journal { return j },
		"in the file": func(t *testing.T, j *Journal, path string, options Options) *Journal {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, path, options)
		},
	}
	for title, story := range tests {
		for mode, between := range modes {
			t.Run(title+" "+mode, func(t *testing.T) {
				t.Parallel()
				clock, path := newClock(), file(t)
				options := Options{Now: clock.Now}
				j := open(t, path, options)
				var ids []string
				for i, step := range story {
					clock.Add(step.wait)
					if got, want := tell(t, j, step, &ids), step.telling(); got != want {
						t.Errorf("step %d: got %s, want %s", i+1, got, want)
					}
					j = between(t, j, path, options)
				}
			})
		}
	}
}

// telling returns want in full.
func (s step) telling() string {
	switch {
	case strings.Count(s.want, " ") > 1:
		return s.want
	case s.key == "":
		return s.want + " null"
	}
	return s.want + " " + s.key
}

// tell runs a step and returns its result in the notation of step.want. It appends ids
// not seen before to ids.
func tell(t *testing.T, j *Journal, s step, ids *[]string) string {
	t.Helper()
	sent := s.run
	var n int
	if _, err := fmt.Sscanf(sent, "$%d", &n); err == nil {
		sent = (*ids)[n-1]
	}
	operation := join(t, j, s.caller, s.key, sent)
	key, run := "null", operation.RunID
	if operation.Key != nil {
		key = *operation.Key
	}
	for i, id := range *ids {
		if run == id {
			run = fmt.Sprint("$", i+1)
		}
	}
	if generated(run) {
		*ids = append(*ids, run)
		run = fmt.Sprint("$", len(*ids))
	}
	return fmt.Sprint(operation.Status, " ", run, " ", key)
}

func TestGeneratedIDsHaveTheLayout(t *testing.T) {
	random := bytes.NewReader([]byte{0xab, 0xc1, 0x23, 0xde, 0xf4, 0x56})
	zone := time.FixedZone("", 7200)
	j := open(t, file(t), Options{Now: func() time.Time { return newClock().Now().In(zone) }, Random: random})
	if got, want := join(t, j, alice, "k", "").RunID, "oprun_20260602T012345_123456Z_abc123def456"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := j.Join(t.Context(), alice, "other", ""); err == nil {
		t.Error("a run was opened without randomness")
	}
}

func TestWhatIsAcceptable(t *testing.T) {
	long := strings.Repeat("é", 128)
	keys := map[string]bool{
		"k": true, "nightly sync 🚚": true, long: true, "null": true, `<"&'>`: true,
		"": false, long + "x": false, "a\x00": false, "a\x7f": false, "a\nb": false, "\xff": false, "a\u2028b": false, "a\u202eb": false,
	}
	for key, want := range keys {
		if validKey(key) != want {
			t.Errorf("key %q: got %v", key, !want)
		}
	}
	longest := "oprun_" + strings.Repeat("x", 122)
	ids := map[string]bool{
		"oprun_1": true, "oprun_-_": true, "oprun_AZaz09": true, longest: true,
		"": false, "oprun_": false, "oprun": false, longest + "x": false, "Oprun_1": false, "oprun_a.b": false,
		"oprun_é": false, "oprun_a\n": false, " oprun_a": false, "oprun_a ": false, "xoprun_a": false,
	}
	for id, want := range ids {
		if validRunID(id) != want {
			t.Errorf("run id %q: got %v", id, !want)
		}
	}
}

func TestSimultaneousCallsShareOneRun(t *testing.T) {
	j := open(t, file(t), Options{})
	var wg sync.WaitGroup
	start := make(chan struct{})
	operations := make([]Operation, 64)
	for i := range operations {
		wg.Go(func() {
			<-start
			operations[i], _ = j.Join(t.Context(), alice, "nightly", "")
		})
	}
	close(start)
	wg.Wait()
	count := map[Status]int{}
	for _, operation := range operations {
		count[operation.Status]++
		if operation.RunID == "" || operation.RunID != operations[0].RunID {
			t.Errorf("got %s and %s", operation.RunID, operations[0].RunID)
		}
	}
	if count[GeneratedRun] != 1 || count[ContinuedRun] != 63 {
		t.Errorf("got %v", count)
	}
}

func TestWhatACrashLeaves(t *testing.T) {
	clock, path := newClock(), file(t)
	j := open(t, path, Options{Now: clock.Now})
	first := join(t, j, alice, "nightly", "")
	for deadline := time.Now().Add(10 * time.Second); stored(t, j) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was stored within ten seconds")
		}
	}
	// The files of a running process are those that a crash would leave.
	copied := file(t)
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	after := open(t, copied, Options{Now: clock.Now})
	if again := join(t, after, alice, "nightly", ""); again.RunID != first.RunID || again.Status != ContinuedRun {
		t.Errorf("got %v, want run %s continued", again, first.RunID)
	}
}

// stored returns the number of runs in the file.
func stored(t *testing.T, j *Journal) (n int64) {
	t.Helper()
	err := j.db.Read(t.Context(), func(c *sqlite.Conn) (err error) {
		n, err = c.Int("SELECT count(*) FROM runs")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A name that is loaded from the file must not bring back the older last-call time in
// the file.
func TestMemoryKnowsTheLastCall(t *testing.T) {
	clock, path := newClock(), file(t)
	j := open(t, path, Options{Now: clock.Now})
	join(t, j, alice, "nightly", "oprun_a")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, path, Options{Now: clock.Now})
	j.storing.Lock()
	defer j.storing.Unlock()
	clock.Add(Window)
	join(t, j, alice, "", "oprun_a")
	clock.Add(Window)
	if got := join(t, j, alice, "nightly", ""); got.Status != ContinuedRun {
		t.Errorf("got %v", got)
	}
}

func TestForget(t *testing.T) {
	clock, path := newClock(), file(t)
	j := open(t, path, Options{Now: clock.Now})
	neighbor := Caller{ProjectID: 2, TokenID: 10}
	for _, caller := range []Caller{alice, neighbor} {
		join(t, j, caller, "stored", "oprun_stored")
	}
	if err := j.store(); err != nil {
		t.Fatal(err)
	}
	for _, caller := range []Caller{alice, neighbor} {
		join(t, j, caller, "fresh", "oprun_fresh")
	}
	for range 2 {
		if err := j.Forget(t.Context(), alice.ProjectID); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"stored", "fresh"} {
		if got := join(t, j, alice, key, ""); got.Status != GeneratedRun {
			t.Errorf("%s: the forgotten project has %v", key, got)
		}
		if got := join(t, j, neighbor, key, ""); got.Status != ContinuedRun {
			t.Errorf("%s: the neighbor has %v", key, got)
		}
	}
}

func TestOldRunsAreRemoved(t *testing.T) {
	clock, path := newClock(), file(t)
	j := open(t, path, Options{Now: clock.Now})
	join(t, j, alice, "old", "oprun_old")
	clock.Add(time.Hour)
	join(t, j, alice, "young", "oprun_young")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	clock.Add(Retention - time.Minute)
	j = open(t, path, Options{Now: clock.Now})
	sweepAll(t, j)
	if n := stored(t, j); n != 1 {
		t.Errorf("%d runs are left, want 1", n)
	}
	if got := join(t, j, alice, "", "oprun_young"); got.Status != RotatedIdleRun {
		t.Errorf("the young run: %v", got)
	}
	if got := join(t, j, alice, "", "oprun_old"); got.Status != AcceptedProvidedRun {
		t.Errorf("the old run: %v", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const room = 64
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now, Names: room * shards})
	for i := range 5000 {
		join(t, j, alice, fmt.Sprint("key ", i), fmt.Sprint("oprun_", i%3*i))
		join(t, j, alice, fmt.Sprint("another ", i), "oprun_one")
	}
	s := j.shardOf(alice)
	s.mu.Lock()
	defer s.mu.Unlock()
	names := 0
	for e := s.recent.Front(); e != nil; e = e.Next() {
		names += len(e.Value.(*run).names)
	}
	if len(s.named) > room || names != len(s.named) || len(s.dirty) > s.recent.Len() {
		t.Errorf("%d names, %d of runs, %d runs, %d to be stored; room for %d", len(s.named), names, s.recent.Len(), len(s.dirty), room)
	}
}

func TestAFailingFileCostsNoCall(t *testing.T) {
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	first := join(t, j, alice, "nightly", "")
	exec := func(query string) {
		t.Helper()
		err := j.db.Exclusive(t.Context(), func(c *sqlite.Conn) error { return c.Exec(query) })
		if err != nil {
			t.Fatal(err)
		}
	}
	j.storing.Lock()
	exec("CREATE TRIGGER broken BEFORE INSERT ON runs BEGIN SELECT raise(ABORT, 'broken'); END")
	j.storing.Unlock()
	join(t, j, alice, "nightly", "oprun_a")
	if err := j.store(); err == nil {
		t.Fatal("storing did not fail")
	}
	if got := join(t, j, alice, "nightly", first.RunID); got.Status != AcceptedProvidedRun {
		t.Errorf("got %v", got)
	}
	exec("DROP TRIGGER broken")
	if err := j.store(); err != nil {
		t.Fatal(err)
	}
	if n := stored(t, j); n != 2 {
		t.Errorf("%d runs are stored, want 2", n)
	}
}

func TestClosed(t *testing.T) {
	j := open(t, file(t), Options{})
	join(t, j, alice, "nightly", "")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Join(context.Background(), alice, "nightly", ""); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("join: %v", err)
	}
	if err := j.Close(); !errors.Is(err, sqlite.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}
