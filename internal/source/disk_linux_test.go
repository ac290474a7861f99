package source

import (
	"context"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

// TestUnpackingLeavesTheReserve unpacks on a disk of 4 MiB: content that fits without
// touching the reserve is accepted, anything larger is not.
func TestUnpackingLeavesTheReserve(t *testing.T) {
	s, err := newScratch(Opening{Workers: workers, Scratch: testkit.SmallDisk(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	small := write(t, "small.csv.gz", gzipped(t, strings.NewReader("a,b\n")))
	if _, err := s.unpackContents(context.Background(), small, "small.csv.gz", ""); err != nil {
		t.Error(err)
	}
	dump := write(t, "small.sql", dumpText)
	if c, err := s.unpackContents(context.Background(), dump, "small.sql", ""); err != nil {
		t.Error(err)
	} else {
		c.db.Close()
	}
	large := write(t, "large.csv.gz", gzipped(t, strings.NewReader(strings.Repeat("a,b\n", 2<<20))))
	if _, err := s.unpackContents(context.Background(), large, "large.csv.gz", ""); problem.From(err).Code != problem.CodeStorageFull {
		t.Errorf("got %v", err)
	}
}
