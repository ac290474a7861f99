package api

import (
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/rest"
)

// TestBatchOnce checks batches with keys: they are made once, and dry runs not at all.
func TestBatchOnce(t *testing.T) {
	f := serveKeyed(t)
	const operations = `"operations":[{"op":"insert","table":"people","data":{"name":"Ada"}},{"op":"update","table":"people","id":1,"data":{"name":"Grace"}}]}`
	for i, test := range []struct {
		body, key, want, replayed string
		people                    string
	}{
		{`{"dry_run":true,` + operations, "", `"dry_run":true,"commit":null`, "", `[{"n":0}]`},
		{`{"dry_run":true,` + operations, "dry", `"dry_run":true,"commit":null`, "", `[{"n":0}]`},
		{`{"dry_run":true,` + operations, "dry", `"dry_run":true,"commit":null`, "true", `[{"n":0}]`},
		{`{` + operations, "k", `"row":{"id":1,"name":"Grace"}`, "", `[{"n":1}]`},
		{`{` + operations, "k", `"row":{"id":1,"name":"Grace"}`, "true", `[{"n":1}]`},
		{`{"return":"none",` + operations, "k", `Already used for a different request.`, "", `[{"n":1}]`},
		{`{"return":"none",` + strings.Replace(operations, `"id":1,`, `"id":99,`, 1), "gone", `"field":"operations[1].id"`, "", `[{"n":1}]`},
	} {
		var keys []string
		if test.key != "" {
			keys = append(keys, test.key)
		}
		got := f.post(t, "/batch", strings.NewReader(test.body), keys...)
		if !strings.Contains(got.body, test.want) || got.header.Get(rest.ReplayedHeader) != test.replayed || f.people(t) != test.people {
			t.Errorf("%d: %d %s\n%q; there are %s", i, got.status, got.body, got.header.Get(rest.ReplayedHeader), f.people(t))
		}
	}
}
