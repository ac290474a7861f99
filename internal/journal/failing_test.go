package journal

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/storage"
	"github.com/zangtable/zangtable/internal/testkit"
)

// The journal knows whether entries are being lost, and notices when they no longer
// are.
func TestFailing(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	room, err := storage.OpenRoom(t.TempDir(), storage.RoomOptions{Reserve: 1 << 20, Free: func(string) (int64, int64, error) { return free.Load(), 1 << 30, nil }})
	if err != nil {
		t.Fatal(err)
	}
	clock := newClock()
	j := open(t, file(t), Options{Now: clock.Now, Room: room})
	record := func(n int) bool {
		j.Record(entry(clock, n))
		_ = j.store() // its failure is what Failing tells
		return j.Failing()
	}
	if !record(1) {
		t.Error("an entry that found no room on the disk is not told of")
	}
	if _, dropped := j.Lag(); dropped != 1 {
		t.Errorf("%d entries are counted as dropped", dropped)
	}
	free.Store(1 << 29)
	for until := time.Now().Add(testkit.Slack); record(2); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the journal still fails though there is room again")
		}
	}
}
