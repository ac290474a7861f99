package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

func event(action string, n int) AuditEvent {
	return AuditEvent{
		Actor: Author{"token", int64(n), "ci \"quoted\" é <b>"}, Action: action, Project: Project{ID: 3, Slug: "shop"},
		Object: fmt.Sprintf("table t%d", n), Note: "a\nb", Address: "192.0.2.7", RequestID: "req_1",
	}
}

func (h *house) audit(t testing.TB, events ...AuditEvent) {
	t.Helper()
	for _, e := range events {
		if err := h.Audit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func (h *house) chain(t testing.TB) AuditChain {
	t.Helper()
	chain, err := h.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// The hashes can be recomputed with the sqlite3 shell and any SHA-256.
func TestTheAuditChainCanBeRecomputed(t *testing.T) {
	t.Parallel()
	shell := testkit.Tool(t, "sqlite3")
	h := open(t)
	for i := range 20 {
		h.audit(t, event("delete-table", i))
	}
	chain := h.chain(t)
	if !chain.Whole || chain.Entries != 20 || chain.Last != 20 {
		t.Fatalf("%+v", chain)
	}
	const query = "SELECT json_array(id, at, actor, actor_id, actor_name, action, project_id, project_slug, object, note, outcome, times, address, request_id) FROM audit ORDER BY id"
	out, err := exec.Command(shell, filepath.Join(h.folder, "server.db"), query).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	hash := strings.Repeat("0", 64)
	for line := range strings.Lines(string(out)) {
		sum := sha256.Sum256([]byte(hash + "\n" + strings.TrimSuffix(line, "\n")))
		hash = hex.EncodeToString(sum[:])
	}
	if hash != chain.Head {
		t.Errorf("recomputed %s, the head is %s", hash, chain.Head)
	}
}

func TestTamperingWithTheAuditLogShows(t *testing.T) {
	t.Parallel()
	const free = "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; "
	for name, test := range map[string]struct{ sql, fault string }{
		"nothing":          {"SELECT 1", ""},
		"a changed actor":  {free + "UPDATE audit SET actor_name = 'eve' WHERE id = 5", "Entry 5 is not as it was written."},
		"a changed hash":   {free + "UPDATE audit SET hash = zeroblob(32) WHERE id = 10", "Entry 10 is not as it was written."},
		"one is missing":   {free + "DELETE FROM audit WHERE id = 5", "Entries 5 to 5 are missing."},
		"the first go":     {free + "DELETE FROM audit WHERE id < 4", "Entries 1 to 3 are missing."},
		"the last go":      {free + "DELETE FROM audit WHERE id > 7", "Entries 8 to 10 are missing."},
		"a forged one":     {free + "INSERT INTO audit SELECT 11, at, actor, actor_id, actor_name, action, project_id, project_slug, object, note, outcome, times, address, request_id, hash FROM audit WHERE id = 10", "Entry 11 is not as it was written."},
		"update is denied": {"UPDATE audit SET actor_name = 'eve'", "append-only"},
		"delete is denied": {"DELETE FROM audit", "append-only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			for i := range 10 {
				h.audit(t, event("delete-table", i))
			}
			err := h.write(t.Context(), func(c *sqlite.Conn) error { return script(c, test.sql) })
			if test.fault == "append-only" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("%v", err)
				}
				test.fault = ""
			} else if err != nil {
				t.Fatal(err)
			}
			if chain := h.chain(t); chain.Fault != test.fault || chain.Whole != (test.fault == "") {
				t.Errorf("%+v, want %q", chain, test.fault)
			}
		})
	}
}

// Who fills the log does not sweep away what others did.
func TestWhatIsRepeatedIsCountedByTheHour(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i := range 5 * maxAlike {
		e := event("create-table", 1)
		e.Object = fmt.Sprint("table ", i)
		h.audit(t, e)
	}
	download := event(DownloadAction, 1)
	download.Object = "export exp_1"
	other := download
	other.Object = "export exp_2"
	h.audit(t, download, download, download, other, event("delete-table", 2))
	times := func() (list []string) {
		page, err := h.AuditEntries(t.Context(), AuditFilter{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Times > 1 || e.Action != "create-table" {
				list = append(list, fmt.Sprintf("%s %s %d", e.Action, e.Object, e.Times))
			}
		}
		return list
	}
	want := "[delete-table table t2 1 download-export export exp_2 1 download-export export exp_1 1]"
	if got := fmt.Sprint(times()); got != want {
		t.Errorf("before the hour is over: %s", got)
	}
	if n := h.chain(t).Entries; n != maxAlike+3 {
		t.Errorf("%d entries", n)
	}
	h.clock.Add(time.Hour)
	if err := h.storeBursts(false); err != nil {
		t.Fatal(err)
	}
	if got := times(); len(got) != 5 || !strings.Contains(fmt.Sprint(got), "create-table  400") || !strings.Contains(fmt.Sprint(got), "download-export export exp_1 2") {
		t.Errorf("afterwards: %s", got)
	}
	h.audit(t, download, download)
	h.close(t) // stores what is left
	h.open(t)
	if chain := h.chain(t); !chain.Whole || chain.Entries != maxAlike+3+2+2 {
		t.Errorf("after a restart: %+v", chain)
	}
}

func TestOldAuditEntriesAreSwept(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i := range 6 {
		h.audit(t, event("delete-table", i))
		h.clock.Add(60 * 24 * time.Hour)
	}
	h.clock.Add(100 * 24 * time.Hour) // the first is 460 days old, the second 400
	if err := h.sweepAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	chain := h.chain(t)
	if !chain.Whole || chain.First != 2 || chain.Last != 6 || chain.Entries != 5 {
		t.Errorf("%+v", chain)
	}
	h.audit(t, event("delete-table", 9))
	if after := h.chain(t); !after.Whole || after.Last != 7 {
		t.Errorf("%+v", after)
	}
}

func TestAuditEntriesAreSelected(t *testing.T) {
	t.Parallel()
	h := open(t)
	for i := range 10 {
		e := event([]string{"mint-token", "delete-table"}[i%2], i)
		e.Project.Slug, e.Actor.Name = []string{"shop", "blog"}[i/5], []string{"ada", "eve"}[i%2]
		if i == 9 {
			e.Outcome = problem.CodePermissionDenied
		}
		h.audit(t, e)
		h.clock.Add(time.Minute)
	}
	start := newClock().Now()
	for name, test := range map[string]struct {
		filter AuditFilter
		want   string
	}{
		"all":      {AuditFilter{}, "10 9 8 7 6 5 4 3 2 1"},
		"project":  {AuditFilter{Project: "blog"}, "10 9 8 7 6"},
		"action":   {AuditFilter{Action: "mint-token"}, "9 7 5 3 1"},
		"actor":    {AuditFilter{Actor: "eve", Project: "shop"}, "4 2"},
		"outcome":  {AuditFilter{Outcome: "permission_denied"}, "10"},
		"ok":       {AuditFilter{Outcome: "ok", Actor: "eve"}, "8 6 4 2"},
		"time":     {AuditFilter{From: start.Add(2 * time.Minute), To: start.Add(4 * time.Minute)}, "4 3"},
		"before":   {AuditFilter{Before: 3}, "2 1"},
		"no match": {AuditFilter{Actor: "' OR true --"}, ""},
	} {
		for _, limit := range []int{1, 2, 100} {
			var got []string
			f := test.filter
			for f.Limit = limit; ; {
				page, err := h.AuditEntries(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Entries {
					got = append(got, fmt.Sprint(e.ID))
				}
				if f.Before = page.Next; page.Next == 0 {
					break
				}
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s by %d: %s, want %s", name, limit, got, test.want)
			}
		}
	}
}

// script runs several statements.
func script(c *sqlite.Conn, text string) error {
	for statement := range strings.SplitSeq(text, ";") {
		if err := c.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}
