package journal

import (
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/testkit"
)

// model is a second implementation of the grouping, with everything in three maps.
type model struct {
	now     time.Time
	last    map[modelName]time.Time // of runs
	becomes map[modelName]string    // what an idle run's id now refers to
	keys    map[modelName]string
	ours    map[modelName]bool // runs whose id was generated
}

type modelName struct {
	caller Caller
	text   string
}

// join returns the status and the run of a call; "" for a generated run, whose id is
// passed to learn.
func (m *model) join(caller Caller, key, sent string) (Status, string) {
	open := func(run string) bool {
		last, known := m.last[modelName{caller, run}]
		return known && m.now.Sub(last) <= 420*time.Second
	}
	if regexp.MustCompile(`^oprun_[A-Za-z0-9_-]{1,122}$`).MatchString(sent) {
		n := modelName{caller, sent}
		if next, continued := m.becomes[n]; continued {
			if open(next) {
				return "rotated_idle_run", next
			}
			return "rotated_idle_run", ""
		}
		if _, known := m.last[n]; known && !open(sent) {
			return "rotated_idle_run", ""
		}
		return "accepted_provided_run", sent
	}
	joined := m.keys[modelName{caller, key}]
	joins := key != "" && open(joined)
	switch {
	case sent != "" && joins && m.ours[modelName{caller, joined}]:
		return "ignored_invalid_run", joined
	case sent != "":
		return "ignored_invalid_run", ""
	case joins:
		return "continued_run", joined
	}
	return "generated_run", ""
}

func (m *model) learn(caller Caller, key, sent string, status Status, run string) {
	m.last[modelName{caller, run}] = m.now
	if status == "rotated_idle_run" {
		m.becomes[modelName{caller, sent}] = run
	}
	if key != "" {
		m.keys[modelName{caller, key}] = run
	}
}

// With memory for only three names in each part, almost every call reads the file.
func TestLikeTheModel(t *testing.T) {
	for title, names := range map[string]int{"with memory": 0, "almost without": 1} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h := history{path: file(t), clock: newClock(), names: names}
			h.open(t)
			defer func() { h.journal.Close() }()
			rapid.Check(t, h.likeTheModel)
		})
	}
}

// history is a journal used by many projects one after the other.
type history struct {
	path    string
	clock   *testkit.Clock
	names   int
	journal *Journal
	project ids.Project
}

func (h *history) open(t interface{ Fatal(...any) }) {
	j, err := Open(h.path, Options{Now: h.clock.Now, Names: h.names})
	if err != nil {
		t.Fatal(err)
	}
	h.journal = j
}

func (h *history) likeTheModel(t *rapid.T) {
	h.project += 2
	m := model{now: h.clock.Now(), last: map[modelName]time.Time{}, becomes: map[modelName]string{}, keys: map[modelName]string{}, ours: map[modelName]bool{}}
	sendable := []string{"", "", "oprun_a", "oprun_b", "oprun_", "undefined"}
	callers := []Caller{{h.project, 1}, {h.project, 2}, {h.project + 1, 1}}
	t.Repeat(map[string]func(*rapid.T){
		"join": func(t *rapid.T) {
			caller := rapid.SampledFrom(callers).Draw(t, "caller")
			key := rapid.SampledFrom([]string{"", "nightly", "hourly", "oprun_a"}).Draw(t, "key")
			sent := rapid.SampledFrom(sendable).Draw(t, "sent")
			got, err := h.journal.Join(t.Context(), caller, key, sent)
			if err != nil {
				t.Fatal(err)
			}
			status, run := m.join(caller, key, sent)
			if _, known := m.last[modelName{caller, got.RunID}]; run == "" && !known && generated(got.RunID) {
				run = got.RunID
				m.ours[modelName{caller, run}] = true
				sendable = append(sendable, run)
			}
			if got.Status != status || got.RunID != run || (got.Key == nil) != (key == "") || got.Key != nil && *got.Key != key {
				t.Fatalf("got %s %s, want %s %s", got.Status, got.RunID, status, run)
			}
			m.learn(caller, key, sent, status, run)
			if h.names == 0 {
				return
			}
			if err := h.journal.store(); err != nil {
				t.Fatal(err)
			}
		},
		"wait": func(t *rapid.T) {
			h.clock.Add(time.Duration(rapid.SampledFrom([]int{1, 60, 419, 420, 421, 4000}).Draw(t, "seconds")) * time.Second)
			m.now = h.clock.Now()
		},
		"restart": func(t *rapid.T) {
			if rapid.IntRange(0, 39).Draw(t, "seldom") > 0 {
				return
			}
			if err := h.journal.Close(); err != nil {
				t.Fatal(err)
			}
			h.open(t)
		},
	})
}
