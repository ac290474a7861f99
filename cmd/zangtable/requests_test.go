package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// lockedBuffer may be read while a command writes to it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestRequestsAndRunsInTheShell(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	command(t, "project", "create", "shop", "--name", "The shop", "--data", data)
	s := start(t, data, "shop", command(t, "token", "create", "--project", "shop", "--name", "the till", "--data", data))
	operation := []string{"X-Operation-Key", "checkout", "X-Operation-Run-Id", "oprun_1"}
	s.post(t, "/projects/shop/table", strings.NewReader(`{"table_name":"items","columns":[{"column_name":"n","column_type":"INTEGER"}]}`))
	s.post(t, "/projects/shop/records/items", strings.NewReader(`{"n":"many"}`), operation...)
	s.post(t, "/projects/shop/records/items", strings.NewReader(`{"n":7}`), operation...)
	s.get(t, "/projects/shop/records/items/1", operation...)

	requests := func(args ...string) string {
		t.Helper()
		return command(t, append([]string{"requests", "--project", "shop", "--data", data}, args...)...)
	}
	routes := func(output string) (list []string) {
		for line := range strings.Lines(output) {
			list = append(list, strings.Fields(line)[3])
		}
		return list
	}
	if got := strings.Join(routes(requests()), " "); got != "create-table insert-records insert-records get-record" {
		t.Errorf("all: %s", got)
	}
	for _, test := range []struct{ args, want string }{
		{"--failed", "422 POST"},
		{"--failed", `code=validation_failed fields=n token="the till" key=checkout run=oprun_1 req_`},
		{"--route get-record", "200 GET"}, {"--route get-record", "table=items object=1 rows=1"},
		{"--limit 1", "get-record"}, {"--run oprun_1 --limit 1", "get-record"}, {"--status 422 --since 1h", "422"},
	} {
		got := requests(strings.Fields(test.args)...)
		if strings.Count(got, "\n") != 0 || !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.args, got, test.want)
		}
	}
	var entry struct {
		Route string `json:"route"`
		Rows  int64  `json:"rows_changed"`
	}
	if err := json.Unmarshal([]byte(requests("--json", "--method", "POST", "--limit", "1")), &entry); err != nil || entry.Route != "insert-records" || entry.Rows != 1 {
		t.Errorf("as JSON: %+v, %v", entry, err)
	}

	list := command(t, "runs", "--project", "shop", "--data", data)
	if !strings.Contains(list, "oprun_1  open    3      1") || !strings.Contains(list, `"the till"  checkout`) {
		t.Errorf("runs:\n%s", list)
	}
	shown := command(t, "runs", "oprun_1", "--project", "shop", "--data", data)
	if lines := strings.Split(shown, "\n"); len(lines) != 4 || !strings.Contains(lines[0], "3 calls, 1 failed") || !strings.Contains(lines[1], "+0.00ms 422") || !strings.Contains(lines[2], "retry_of=req_") {
		t.Errorf("one run:\n%s", shown)
	}

	followCalls(t, s, data)
	s.kill()
	if got := requests("--route", "create-table"); !strings.Contains(got, "create-table") {
		t.Errorf("without a server: %s", got)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"requests", "--follow", "--project", "shop", "--data", data}, &out, &errs); code != exitError || !strings.Contains(errs.String(), "nothing to follow") {
		t.Errorf("following without a server: %d %s", code, errs.String())
	}
}

// followCalls follows failed calls and makes one of each kind.
func followCalls(t *testing.T, s *process, data string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"requests", "--follow", "--failed", "--limit", "0", "--project", "shop", "--data", data}, &out, &errs)
	}()
	deadline := time.Now().Add(testkit.Slack)
	for !strings.Contains(out.String(), "table=gone") {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was printed: %s%s", out.String(), errs.String())
		}
		s.get(t, "/projects/shop/records/items")
		s.get(t, "/projects/shop/records/gone")
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if code := <-done; code != exitOK || strings.Contains(out.String(), "table=items") {
		t.Errorf("exit code %d, printed\n%s%s", code, out.String(), errs.String())
	}
}
