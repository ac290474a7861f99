package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
)

// keyedInsert inserts a row under a key.
func (p *process) keyedInsert(t *testing.T, number int, key string) (status int, replayed bool, err error) {
	t.Helper()
	return p.keyedPost(t, "/records/numbers", fmt.Sprintf(`{"number":%d,"square":0,"word":"keyed"}`, number), key)
}

// keyedPost makes a call with a key and returns the status and whether the answer was
// replayed. The error is that of the connection.
func (p *process) keyedPost(t *testing.T, path, body, key string) (status int, replayed bool, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", p.url+p.path(path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, false, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, false, err
	}
	return response.StatusCode, response.Header.Get("Idempotent-Replayed") == "true", nil
}

// killAtCommit kills the server some time after the log of a database has begun to
// grow, that is, during a commit or between the commit and its answer, unless stop is
// closed first.
func (p *process) killAtCommit(t *testing.T, pattern string, after time.Duration, stop <-chan struct{}) {
	logs, err := filepath.Glob(pattern)
	if err != nil {
		t.Error(err)
	}
	size := func() (sum int64) {
		for _, path := range logs {
			if info, err := os.Stat(path); err == nil {
				sum += info.Size()
			}
		}
		return sum
	}
	before := size()
	for size() == before {
		select {
		case <-stop:
			return
		default:
		}
	}
	time.Sleep(after)
	p.kill()
}

func TestKilledInsertIsMadeOnce(t *testing.T) {
	t.Parallel()
	kills := testkit.Scale(15, 50)
	data, token := numbers(t, 10)
	p := start(t, data, "p", token)
	between := 0
	for i := range kills {
		key := fmt.Sprintf("insert %d", i)
		if status, _, err := p.keyedInsert(t, 1000+i, "before "+key); status != 201 { // opens the project and its log
			t.Fatalf("before kill %d: status %d, %v", i, status, err)
		}
		stop, killed := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(killed)
			if i%5 == 4 { // at any other moment too
				time.Sleep(time.Duration(i) * 50 * time.Microsecond)
				p.kill()
				return
			}
			p.killAtCommit(t, filepath.Join(data, "projects", "*.db-wal"), time.Duration(i%10)*50*time.Microsecond, stop)
		}()
		_, _, cut := p.keyedInsert(t, i, key)
		close(stop)
		<-killed
		p.kill()

		p = start(t, data, "p", token)
		for try := range 2 {
			status, again, err := p.keyedInsert(t, i, key)
			if err != nil || status != 201 || try > 0 && !again {
				t.Fatalf("kill %d, retry %d: status %d, replayed %t, %v", i, try, status, again, err)
			}
			if try == 0 && cut != nil && again {
				between++
			}
		}
	}
	t.Logf("%d of %d kills fell between a commit and its answer", between, kills)
	if between == 0 && kills >= 50 { // with fewer kills, it may be chance
		t.Error("no kill fell between a commit and its answer")
	}
	var answer struct{ Rows json.RawMessage }
	count := map[string]string{"sql": "SELECT count(*) AS n, count(DISTINCT number) AS d FROM numbers WHERE word = 'keyed'"}
	if err := p.call(t.Context(), "POST", p.path("/query"), count, &answer); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`[{"n":%d,"d":%d}]`, 2*kills, 2*kills); string(answer.Rows) != want {
		t.Errorf("rows are %s, want %s", answer.Rows, want)
	}
}

func TestKilledOrderIsMadeOnce(t *testing.T) {
	t.Parallel()
	kills := testkit.Scale(4, 8)
	data, token := numbers(t, 1000)
	p := start(t, data, "p", token)
	between := 0
	for i := range kills {
		time.Sleep(50 * time.Millisecond) // the server looks for jobs when it starts
		stop, killed := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(killed)
			p.killAtCommit(t, filepath.Join(data, "exports.db-wal"), time.Duration(i)*100*time.Microsecond, stop)
		}()
		key := fmt.Sprintf("order %d", i)
		_, _, cut := p.keyedPost(t, "/export/table/numbers", "{}", key)
		close(stop)
		<-killed
		p.kill()

		p = start(t, data, "p", token)
		for try := range 2 {
			status, again, err := p.keyedPost(t, "/export/table/numbers", "{}", key)
			if err != nil || status != 201 || try > 0 && !again {
				t.Fatalf("kill %d, retry %d: status %d, replayed %t, %v", i, try, status, again, err)
			}
			if try == 0 && cut != nil && again {
				between++
			}
		}
	}
	t.Logf("%d of %d kills fell between a commit and its answer", between, kills)
	var list struct{ Exports []manifest }
	if err := p.call(t.Context(), "GET", p.path("/exports"), nil, &list); err != nil || len(list.Exports) != kills {
		t.Errorf("%d exports, want %d: %v", len(list.Exports), kills, err)
	}
	for _, m := range list.Exports {
		if m.Status != "ready" {
			t.Errorf("export %s is %s", m.ID, m.Status)
		}
	}
}
