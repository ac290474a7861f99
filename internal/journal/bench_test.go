package journal

import (
	"fmt"
	"testing"

	"github.com/zangtable/zangtable/internal/ids"
)

func BenchmarkJoin(b *testing.B) {
	calls := map[string]struct{ key, runID string }{
		"key":        {"nightly", ""},
		"run id":     {"", "oprun_a"},
		"key and id": {"nightly", "oprun_a"},
	}
	for title, call := range calls {
		b.Run(title, func(b *testing.B) {
			j := open(b, file(b), Options{})
			b.ReportAllocs()
			for b.Loop() {
				join(b, j, alice, call.key, call.runID)
			}
		})
	}
	b.Run("64 callers at once", func(b *testing.B) {
		j := open(b, file(b), Options{})
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for i := ids.Token(0); pb.Next(); i++ {
				if _, err := j.Join(b.Context(), Caller{1, i % 64}, "nightly", ""); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("new runs", func(b *testing.B) {
		j := open(b, file(b), Options{})
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			join(b, j, alice, "nightly", fmt.Sprint("oprun_", i))
		}
	})
}
