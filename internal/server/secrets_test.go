package server

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zangtable/zangtable/internal/limits"
)

// logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}

const canary = "kanarienvogel"

// callsWithValues are calls whose bodies, parameters, statements and paths hold the
// canary, right ones and wrong ones.
var callsWithValues = [][3]string{
	{"POST", "/table", `{"table_name":"cage","columns":[{"column_name":"bird"}]}`},
	{"POST", "/records/cage", `{"bird":"` + canary + `"}`},
	{"POST", "/records/cage", `{"` + canary + `":1,"bird":{"` + canary + `":2}}`},
	{"POST", "/records/cage", `{"data":[{"` + canary + `":{}}]}`},
	{"PATCH", "/records/cage/1", `{"bird":"` + canary + `2"}`},
	{"GET", "/records/cage?filters=" + `{"bird":"` + canary + `"}`, ""},
	{"GET", "/records/cage?sort=" + canary, ""},
	{"GET", "/records/cage?" + canary + "=1", ""},
	{"POST", "/records/cage/search", `{"filters":[{"column":"bird","op":"eq","value":"` + canary + `"}]}`},
	{"POST", "/query", `{"sql":"SELECT '` + canary + `' AS a, x'00' -- ` + canary + `","params":[]}`},
	{"POST", "/query", `{"sql":"SELECT bird FROM cage WHERE bird = \"` + canary + `\""}`},
	{"POST", "/query", `{"sql":"SELECT :a","params":{"a":"` + canary + `"}}`},
	{"POST", "/export/query", `{"sql":"SELECT * FROM cage WHERE bird = '` + canary + `'","file_name":"` + canary + `"}`},
	{"POST", "/batch", `{"operations":[{"op":"insert","table":"cage","data":{"bird":"` + canary + `"}},{"op":"update","table":"cage","id":"` + canary + `","data":{"bird":"` + canary + `"}}]}`},
	{"POST", "/records/cage/aggregate", `{"group_by":["` + canary + `"],"filters":{"bird":"` + canary + `"}}`},
	{"PUT", "/cells/cage/1/bird", canary},
}

// Whatever clients and people send, neither the journal, the server's database, the
// metrics nor the log holds a value, a token or a password.
func TestNoValueTokenOrPasswordIsLeftBehind(t *testing.T) {
	t.Parallel()
	var log logBuffer
	// Each call counts as slow, so that its plan is logged.
	settings := Settings{Limits: limits.Defaults(), Metrics: MetricsLoopback, Admin: true, SlowCall: 1}
	s := stopped(t, startLogging(t, t.TempDir(), settings, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	c := &labeled{t: t, base: s.url + "/projects/" + s.ready.Project.Slug, token: s.ready.Token}
	escape := strings.NewReplacer(`"`, "%22", "{", "%7B", "}", "%7D")
	for _, call := range callsWithValues {
		c.call(call[0], escape.Replace(call[1]), call[2], nil)
	}
	var made struct{ Token struct{ Token string } }
	c.call("POST", "/auth/tokens", `{"token_name":"one","revoke_previous":false}`, &made)
	c.call("GET", "/records/"+s.ready.Token, "", nil) // a token in a path
	secrets := []string{canary, s.ready.Token, made.Token.Token, passphrase, "another passphrase"}
	account := &labeled{t: t, base: s.url, token: s.ready.Token}
	if status, _ := account.call("POST", "/bootstrap", `{"project_slug":"cages","project_name":"Cages","initial_project_user":{"username":"keeper","password":"`+canary+` passphrase"}}`, nil); status != http.StatusCreated {
		t.Errorf("bootstrap: %d", status)
	}
	stranger := &labeled{t: t, base: c.base, token: canary}
	stranger.call("GET", "/tables", "", nil)
	var list struct {
		Requests []struct{ Statement, Parameters *string }
	}
	if c.call("GET", "/requests", "", &list); len(list.Requests) != len(callsWithValues)+3 {
		t.Errorf("%d requests are recorded", len(list.Requests))
	}

	b := newBrowser(t, s)
	b.setUp(s)
	b.post("/admin/sign-in", map[string]string{"username": "ada", "password": "another passphrase"})
	if got := b.post("/admin/sign-in", map[string]string{"username": "ada", "password": passphrase}); got.status != http.StatusSeeOther {
		t.Errorf("sign in: %d", got.status)
	}
	b.get("/admin/projects/" + s.ready.Project.Slug)
	for _, cookie := range b.cookies {
		if len(cookie.Value) > 8 {
			secrets = append(secrets, cookie.Value)
		}
	}
	places := map[string][]byte{"the metrics": []byte(s.answer(t, "/metrics", strings.TrimPrefix(s.url, "http://"))), "the log": log.Bytes()}
	if !bytes.Contains(places["the log"], []byte("slow call")) || !bytes.Contains(places["the log"], []byte(`plan="SCAN `)) {
		t.Error("no call was logged with its plan")
	}
	files, err := filepath.Glob(filepath.Join(s.app.folder, "*.db*"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		// The stores of jobs hold the statements of exports, which are run from there.
		if name := filepath.Base(file); strings.HasPrefix(name, "journal.") || strings.HasPrefix(name, "server.") {
			if places[name], err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	for place, content := range places {
		for _, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds %q", place, secret)
			}
		}
	}
}
