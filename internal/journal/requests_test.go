package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

// entry returns an entry of alice's that began at the clock's time.
func entry(clock *testkit.Clock, n int) Entry {
	now := clock.Now()
	return Entry{
		ProjectID: alice.ProjectID, TokenID: alice.TokenID, Source: "api", Began: now, Method: "GET", Route: "list-records", Table: "birds", Status: 200,
		RequestID: fmt.Sprintf("req_%s_%06dZ_%012x", now.UTC().Format("20060102T150405"), now.Nanosecond()/1000, n), Took: time.Millisecond,
	}
}

func requests(t *testing.T, j *Journal, f Filter, after string, limit int) Page[Request] {
	t.Helper()
	page, err := j.Requests(t.Context(), alice.ProjectID, f, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestPagesOfRequestsHoldEachOnce(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	const n = 57
	for i := range n {
		j.Record(entry(clock, i))
		if i%3 == 0 { // several in the same microsecond
			clock.Add(time.Second)
		}
	}
	var seen []string
	for after := ""; ; {
		page := requests(t, j, Filter{}, after, 10)
		for _, r := range page.Items {
			seen = append(seen, r.RequestID[len(r.RequestID)-12:])
		}
		if after = page.Next; after == "" {
			break
		}
	}
	different := map[string]bool{}
	for _, id := range seen {
		different[id] = true
	}
	if len(seen) != n || len(different) != n {
		t.Errorf("%d requests, %d different ones", len(seen), len(different))
	}
	one, err := j.Request(t.Context(), alice.ProjectID, entry(clock, 0).RequestID)
	if err == nil {
		t.Errorf("got %v, which was never recorded", one)
	}
	if _, err := j.Request(t.Context(), 2, requests(t, j, Filter{}, "", 1).Items[0].RequestID); err == nil {
		t.Error("a request of another project is shown")
	}
}

// The filter of a list and that of a stream must select the same.
func TestFiltersSelectAlikeInTheFileAndInMemory(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	began := clock.Now()
	followed := j.Follow(t.Context(), alice.ProjectID, Filter{})
	for i := range 200 {
		e := entry(clock, i)
		e.Status, e.Method, e.Table, e.Object, e.Code = []int{200, 201, 404, 500}[random.IntN(4)], pick("GET", "POST"), pick("", "birds", "Cages"), pick("", "1", "2"), pick("", "not_found")
		e.Took, e.RowsRead, e.TokenID = time.Duration(random.IntN(9))*time.Millisecond, int64(random.IntN(5)), ids.Token(random.IntN(3))
		if random.IntN(2) == 0 {
			key := pick("k", "l")
			e.Operation = &Operation{Key: &key, RunID: pick("oprun_a", "oprun_b"), Status: GeneratedRun}
		}
		j.Record(e)
		clock.Add(time.Millisecond)
	}
	all := map[string]*Request{}
	requests(t, j, Filter{}, "", 1) // stores them
	for range 200 {
		r := <-followed
		all[r.RequestID] = &r
	}
	for _, f := range []Filter{
		{}, {Status: 404}, {Class: 4}, {Class: 2}, {Failed: true}, {TokenID: 2}, {MinTook: 4 * time.Millisecond}, {MinRows: 3},
		{From: began.Add(50 * time.Millisecond)}, {To: began.Add(50 * time.Millisecond)}, {Text: "cage"}, {Text: "NOT_"}, {Text: "birds", HidesObjects: true},
		{Words: map[string]string{"run": "oprun_a"}}, {Words: map[string]string{"key": "l", "method": "POST"}, Failed: true}, {Words: map[string]string{"object": "1"}, Class: 5},
	} {
		want := 0
		for _, r := range all {
			if f.matches(r) {
				want++
			}
		}
		page := requests(t, j, f, "", 500)
		for _, r := range page.Items {
			if !f.matches(&r) {
				t.Errorf("%+v selects %+v in the file only", f, r)
			}
		}
		if len(page.Items) != want || want == 0 {
			t.Errorf("%+v: %d requests, want %d", f, len(page.Items), want)
		}
	}
}

// A page reads no more than it may: it looks rows up by an index, and sorts nothing.
func TestPagesUseIndexes(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	plan := func(query string, args ...any) (lines []string) {
		err := j.db.Read(t.Context(), func(c *sqlite.Conn) error {
			return c.Query("EXPLAIN QUERY PLAN "+query, args, func(s *sqlite.Stmt) error {
				lines = append(lines, s.Text(3))
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	for _, f := range []Filter{{}, {Failed: true}, {Class: 5}, {Words: map[string]string{"run": "oprun_a"}}, {Words: map[string]string{"table": "t"}, From: clock.Now()}} {
		table, _, where := f.from(1, place(clock.Now()))
		got := strings.Join(plan("SELECT id FROM "+table+" WHERE "+where.text()+" ORDER BY id DESC LIMIT 1", where.args...), "; ")
		if !strings.HasPrefix(got, "SEARCH requests USING") || !strings.Contains(got, "project_id=?") || !strings.Contains(got, "id>? AND id<?") || strings.Contains(got, "B-TREE") {
			t.Errorf("%+v: %s", f, got)
		}
	}
	for index, where := range map[string]string{"runs_started": "", "runs_of_key": " AND r.operation_key = 'k'"} {
		got := strings.Join(plan("SELECT run_id FROM runs r INDEXED BY "+index+" WHERE r.project_id = 1 AND r.calls > 0"+where+" AND (r.started, r.token_id, r.run_id) < (9, 9, 'x') ORDER BY r.started DESC, r.token_id DESC, r.run_id DESC LIMIT 1"), "; ")
		if !strings.Contains(got, "USING INDEX "+index) || strings.Contains(got, "B-TREE") {
			t.Errorf("%s: %s", index, got)
		}
	}
}

func TestAPageEndsWhenItHasLookedAtEnough(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 entries")
	}
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	for i := range maxExamined + 10 {
		e := entry(clock, i)
		if i == 0 {
			e.Table = "rare"
		}
		j.Record(e)
		if clock.Add(time.Millisecond); i%1000 == 0 {
			j.flush()
		}
	}
	rare := Filter{Words: map[string]string{"table": "rare"}}
	first := requests(t, j, rare, "", 10)
	second := requests(t, j, rare, first.Next, 10)
	if len(first.Items) != 0 || !first.Short || len(second.Items) != 1 || second.Short || second.Next != "" {
		t.Errorf("first %d %v, second %d %v %q", len(first.Items), first.Short, len(second.Items), second.Short, second.Next)
	}
}

func TestABurstIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	j.storing.Lock()
	const n = 2*maxQueued + 7
	for i := range n {
		j.Record(entry(clock, i))
	}
	waiting, dropped := j.Lag()
	j.storing.Unlock()
	if waiting > maxQueued || waiting+dropped != n {
		t.Errorf("%d are waiting, %d dropped, of %d", waiting, dropped, n)
	}
}

func TestADamagedOrFullFileCostsEntriesOnly(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	j.storing.Lock()
	err := j.db.Exclusive(context.Background(), func(c *sqlite.Conn) error {
		return c.Exec("CREATE TRIGGER broken BEFORE INSERT ON requests BEGIN SELECT raise(ABORT, 'broken'); END")
	})
	j.storing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	j.Record(entry(clock, 1))
	if page := requests(t, j, Filter{}, "", 1); len(page.Items) != 0 {
		t.Errorf("got %v", page)
	}
	if _, dropped := j.Lag(); dropped != 1 {
		t.Errorf("%d are dropped", dropped)
	}
}

func TestOldEntriesAndThoseOfAProjectThatIsGoneAreRemoved(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now, KeepFor: time.Hour})
	for i := range 2*sweepStep + 5 {
		j.Record(entry(clock, i))
	}
	clock.Add(2 * time.Hour)
	other := entry(clock, 1)
	other.ProjectID = 2
	j.Record(other)
	j.Record(entry(clock, 2))
	j.flush()
	sweepAll(t, j)
	if page := requests(t, j, Filter{}, "", 10); len(page.Items) != 1 {
		t.Errorf("%d are left", len(page.Items))
	}
	if err := j.Forget(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	j.Record(other) // of a call that was still running
	j.flush()
	sweepAll(t, j)
	if page, err := j.Requests(t.Context(), 2, Filter{}, "", 10); err != nil || len(page.Items) != 0 {
		t.Errorf("%v %v", page, err)
	}
}

func TestAFileThatIsTooLargeLosesItsOldestEntries(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now, KeepBytes: 400 << 10})
	for i := range 4000 {
		j.Record(entry(clock, i))
		clock.Add(time.Millisecond)
	}
	j.flush()
	sweepAll(t, j)
	var left, size int64
	err := j.db.Read(t.Context(), func(c *sqlite.Conn) (err error) {
		if left, err = c.Int("SELECT count(*) FROM requests"); err == nil {
			size, err = c.Int("SELECT (p.page_count - f.freelist_count) * 4096 FROM pragma_page_count() p, pragma_freelist_count() f")
		}
		return err
	})
	newest := requests(t, j, Filter{}, "", 1)
	if err != nil || left == 0 || left >= 4000 || size > 400<<10 || !strings.HasSuffix(newest.Items[0].RequestID, fmt.Sprintf("%012x", 3999)) {
		t.Errorf("%d are left in %d bytes, %v: the newest is %s", left, size, err, newest.Items[0].RequestID)
	}
}

func sweepAll(t *testing.T, j *Journal) {
	t.Helper()
	for range 100 {
		done, err := j.sweep()
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
	}
	t.Fatal("the sweep does not end")
}

// call joins a run and records the call.
func call(t *testing.T, j *Journal, clock *testkit.Clock, key, runID string, n int) Operation {
	t.Helper()
	o := join(t, j, alice, key, runID)
	e := entry(clock, n)
	e.Operation = &o
	if n%2 == 1 {
		e.Status = 500
	}
	j.Record(e)
	return o
}

func TestRotatedRunsAreAChain(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	call(t, j, clock, "nightly", "oprun_a", 0)
	want := []string{"oprun_a"}
	for n := range 2 {
		clock.Add(Window + time.Second)
		o := call(t, j, clock, "nightly", "oprun_a", n+1)
		if o.Status != RotatedIdleRun {
			t.Fatal(o)
		}
		want = append(want, o.RunID)
	}
	for i, id := range want {
		run, chain, err := j.Run(t.Context(), alice.ProjectID, 0, id)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range chain {
			got = append(got, r.RunID)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || (run.Status == "open") != (i == 2) || run.Calls != 1 {
			t.Errorf("%s: %+v in %v, want %v", id, run, got, want)
		}
	}
	keys, _, err := j.Keys(t.Context(), alice.ProjectID, clock.Now().Add(-24*time.Hour), clock.Now(), "NIGHT")
	if err != nil || len(keys) != 1 || keys[0].Runs != 3 || keys[0].Failing != 1 || keys[0].Calls != 3 {
		t.Errorf("%v %v", keys, err)
	}
	before := *keys[0]
	clock.Add(Window + time.Second)
	sweepAll(t, j)
	keys, _, err = j.Keys(t.Context(), alice.ProjectID, clock.Now().Add(-24*time.Hour), clock.Now(), "")
	if err != nil || len(keys) != 1 || keys[0].OpenRuns != 0 || keys[0].Runs != before.Runs || keys[0].Failing != before.Failing || keys[0].Calls != before.Calls || keys[0].P50 == 0 {
		t.Errorf("settled %v %v, before %v", keys[0], err, before)
	}
}

func TestManyKeysOfOneHourAreSummedUp(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	for i := range maxKeys + 50 {
		call(t, j, clock, fmt.Sprint("key ", i), "", 0)
	}
	j.flush()
	clock.Add(Window + time.Second)
	sweepAll(t, j)
	sweepAll(t, j)                                                                                        // at most 1,000 runs are settled at once
	keys, _, err := j.Keys(t.Context(), alice.ProjectID, clock.Now().Add(-24*time.Hour), clock.Now(), "") // all but one
	var runs int64
	for _, k := range keys {
		runs += k.Runs
	}
	if err != nil || len(keys) != maxShownKeys || runs < maxKeys+49 {
		t.Errorf("%d keys with %d runs, %v", len(keys), runs, err)
	}
}

func TestUsageIsSummedUpByHour(t *testing.T) {
	t.Parallel()
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now})
	began := clock.Now()
	for i := range 100 {
		e := entry(clock, i)
		e.Took, e.RowsRead, e.BytesOut = time.Duration(i+1)*time.Millisecond, 2, 10
		if i%10 == 0 {
			e.Status, e.Route = 500, "get-record"
		}
		j.Record(e)
		clock.Add(time.Minute)
	}
	f := UsageFilter{From: began.Add(-time.Hour), To: clock.Now(), By: "route"}
	list, more, err := j.Usage(t.Context(), alice.ProjectID, f)
	if err != nil || more || len(list) != 2 || list[0].Route != "get-record" || list[0].Errors != 10 || list[1].Calls != 90 || list[1].RowsRead != 180 || list[1].BytesOut != 900 {
		t.Fatalf("%v %v", list, err)
	}
	if p := list[1].P50; p < 50 || p > 60 {
		t.Errorf("p50 is %v", p)
	}
	f.By, f.Hours = "", 1
	if list, _, err = j.Usage(t.Context(), alice.ProjectID, f); err != nil || len(list) != 3 || list[0].Calls+list[1].Calls+list[2].Calls != 100 {
		t.Errorf("%v %v", list, err)
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{-1, 0, time.Microsecond, 7 * time.Microsecond, 8 * time.Microsecond, time.Millisecond, 1234567 * time.Microsecond, time.Hour, 1 << 62} {
		s := spread{}
		s.add(d)
		copied := spread{}
		copied.addEncoded(s.encode())
		if got, low := copied.quantile(1), max(d, 0).Truncate(time.Microsecond); got < low || got > low+low/8+time.Microsecond {
			t.Errorf("%v is shown as %v", d, got)
		}
	}
}

func TestPrivacy(t *testing.T) {
	t.Parallel()
	for ids, want := range map[string]string{"full": "ada@example.com", "none": "", "hash": "#"} {
		clock := newClock()
		j := open(t, file(t), Options{Now: clock.Now, Privacy: Privacy{IDs: ids, Addresses: map[string]string{"full": "full", "none": "none", "hash": "truncated"}[ids]}})
		e := entry(clock, 1)
		e.Kind, e.Object, e.Address = "record", "ada@example.com", netip.MustParseAddr("192.0.2.77")
		j.Record(e)
		r := requests(t, j, Filter{}, "", 1).Items[0]
		if got := orEmpty(r.Object); got != want && !(ids == "hash" && len(got) == 17) {
			t.Errorf("%s: %s", ids, got)
		}
		if got, want := orEmpty(r.Address), map[string]string{"full": "192.0.2.77", "none": "", "hash": "192.0.2.0/24"}[ids]; got != want {
			t.Errorf("%s: %s, want %s", ids, got, want)
		}
	}
}

func TestLiteralsAndSecretsAreRemoved(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		"SELECT 'a', 1.5, x'00', \"n\" -- c\nFROM t": `SELECT ?, ?, ?, "n"   FROM t`,
		"SELECT 'cut":   "SELECT ?",
		"SELECT :a, ?1": "SELECT :a, ?1",
	} {
		if got := withoutLiterals(sql, true); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	if got := withoutLiterals(`SELECT "a text"`, false); got != "SELECT ?" {
		t.Errorf("got %s", got)
	}
	if got := printable("a pat_secret/pat_other\x00"); got != "a pat_…/pat_…�" {
		t.Errorf("got %q", got)
	}
	if !isTraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") || isTraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0X") {
		t.Error("a traceparent is judged wrongly")
	}
}
