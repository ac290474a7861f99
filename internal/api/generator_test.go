package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
)

var (
	generatedRequests = flag.Int("generate.requests", 2_000, "how many requests TestGeneratedRequests makes; 500 with -short or the race detector")
	generatorSeed     = flag.Uint64("generate.seed", 0, "of what is generated; 0 takes one by chance")
)

// perProject is how many requests are made to one project: they drop its tables and
// revoke its tokens.
const perProject = 250

// TestGeneratedRequests makes valid and invalid requests for every operation of the
// document, and checks each answer against the document. None may be internal_error,
// and nothing may leak once the server has been closed.
func TestGeneratedRequests(t *testing.T) {
	seed := *generatorSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("repeat with -generate.seed=%d -generate.requests=%d", seed, *generatedRequests)
	before := goleak.IgnoreCurrent()
	files := descriptors(t)
	t.Run("requests", func(t *testing.T) { newTrial(t, seed).requests(t) })
	t.Run("bytes", func(t *testing.T) { newTrial(t, seed).bytes(t) })
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(before, goleak.IgnoreTopFunction("testing.(*T).Run")); err != nil {
		t.Error(err)
	}
	for range 100 { // files that a garbage collection closes
		if runtime.GC(); descriptors(t) <= files {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d descriptors are open, and %d were", descriptors(t), files)
}

// descriptors returns how many files the process has open, if the system tells.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// trial is a server under generated requests.
type trial struct {
	*generator
	*house
	wire       *wire
	judge      *judge
	operations []operation
	log        *safeLog
	source     []byte // a database with tables that the API cannot create
	project    string
	tokens     []string // the first has full power; the last ones are useless
	statuses   map[int]int
}

// safeLog keeps what the server logs about its own faults.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns what was logged since the last call.
func (l *safeLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

func newTrial(t *testing.T, seed uint64) *trial {
	t.Helper()
	now := func() time.Time { return time.Now().UTC() }
	h := openHouse(t, now)
	x := &trial{
		generator: &generator{Rand: rand.New(rand.NewPCG(seed, 1)), pools: map[string][]string{}},
		house:     h, judge: newJudge(t), log: new(safeLog), source: strangeDatabase(t), statuses: map[int]int{},
	}
	text := rest.Describe(document("test"), routes(new(handlers)))
	if err := json.Unmarshal(text, &x.document); err != nil {
		t.Fatal(err)
	}
	paths := x.document["paths"].(map[string]any)
	for _, path := range sortedKeys(paths) {
		operations := paths[path].(map[string]any)
		for _, method := range sortedKeys(operations) {
			op := operation{strings.ToUpper(method), path, operations[method].(map[string]any)}
			often := 2
			switch { // mostly where tables and values matter
			case strings.Contains(path, "/records/") && method == "delete":
				often = 4
			case strings.Contains(path, "/records/"):
				often = 16
			case strings.Contains(path, "/column/"), strings.HasSuffix(path, "/query"):
				often = 5
			case method == "delete":
				often = 1
			}
			x.operations = append(x.operations, slices.Repeat([]operation{op}, often)...)
		}
	}
	server := httptest.NewServer(New(Config{
		Registry: h.registry, Exports: h.exports, Imports: h.imports, Rehearsals: h.rehearsals, Journal: h.journal, WaitLimit: 30 * time.Second,
		HTTP: rest.Config{Log: slog.New(slog.NewTextHandler(x.log, &slog.HandlerOptions{Level: slog.LevelError})), Now: now, Random: endless{}},
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	x.wire = &wire{address: server.Listener.Addr().String()}
	t.Cleanup(func() {
		x.wire.close()
		server.Close()
	})
	return x
}

// strangeDatabase returns an SQLite file with tables that only imports can create.
func strangeDatabase(t *testing.T) []byte {
	t.Helper()
	var columns []string
	for i := range 2000 {
		columns = append(columns, fmt.Sprintf("c%d TEXT", i))
	}
	path := filepath.Join(t.TempDir(), "strange.db")
	db, err := sqlite.Open(path, sqlite.Options{Schema: sqlite.Schema{Migrations: []string{`
CREATE TABLE generated (id INTEGER PRIMARY KEY, j TEXT, a TEXT AS (json_extract(j, '$.a')) STORED, v TEXT AS (json_extract(j, '$.b')));
CREATE TABLE checked (id INTEGER PRIMARY KEY, j TEXT CHECK (json_extract(j, '$.a') > 1), n INTEGER CHECK (abs(n) >= 0));
CREATE TABLE failing (id INTEGER PRIMARY KEY, v INTEGER DEFAULT (abs(-9223372036854775808)), w TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE pair (a INTEGER, b TEXT, c REAL, PRIMARY KEY (b, a)) WITHOUT ROWID;
CREATE TABLE keyless (a INTEGER, b TEXT);
CREATE TABLE blobkey (k BLOB PRIMARY KEY, v TEXT);
CREATE TABLE anykey (k PRIMARY KEY, v);
CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, code TEXT REFERENCES parent (code) ON DELETE SET NULL);
CREATE TABLE grandchild (c INTEGER NOT NULL REFERENCES child ON DELETE SET NULL);
CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree ON DELETE CASCADE);
CREATE TABLE folded (id INTEGER PRIMARY KEY, word TEXT COLLATE NOCASE UNIQUE, other TEXT);
CREATE INDEX by_lower ON folded (lower(other));
CREATE UNIQUE INDEX some_other ON folded (other) WHERE other <> '';
CREATE UNIQUE INDEX other_folded ON folded (other COLLATE NOCASE);
INSERT INTO generated (j) VALUES ('{"a":1}'), (NULL);
INSERT INTO pair VALUES (1, 'x', 1.5), (2, 'a,b/c', NULL);
INSERT INTO keyless VALUES (1, 'a'), (NULL, NULL);
INSERT INTO blobkey VALUES (x'0102', 'a'), (x'', 'b');
INSERT INTO anykey VALUES (1, 'a'), ('1', 2), (x'01', NULL);
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (1, 1, 'a'), (2, 2, 'b');
INSERT INTO grandchild VALUES (1);
INSERT INTO tree VALUES (1, NULL), (2, 1);
INSERT INTO folded VALUES (1, 'Word', 'x');
CREATE TABLE widest (` + strings.Join(columns, ", ") + `);
INSERT INTO widest (c0, c1) VALUES ('a', 'b'), ('c', 'd');`}}})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// begin creates a project with its tables and tokens.
func (x *trial) begin(t *testing.T, n int) {
	t.Helper()
	x.project = fmt.Sprint("shop", n)
	x.house.project(t, x.project)
	wide := projectdb.NewTable{Name: "wide"}
	for i := range projectdb.MaxColumns - 1 {
		wide.Columns = append(wide.Columns, projectdb.NewColumn{Name: fmt.Sprint("c", i)})
	}
	contacts := []projectdb.NewColumn{{Name: "name"}, {Name: "email", Unique: true}, {Name: "age", Type: "INTEGER"}, {Name: "score", Type: "REAL"}, {Name: "photo", Type: "BLOB"}, {Name: "extra", Type: "ANY"}}
	for _, table := range []projectdb.NewTable{{Name: "contacts", Columns: contacts}, wide, {Name: "hidden", Columns: []projectdb.NewColumn{{Name: "secret"}}}} {
		x.inside(t, x.project, func(db *projectdb.DB) error {
			_, err := db.CreateTable(t.Context(), new(problem.Faults), table)
			return err
		})
	}
	x.mint(t)
	x.tables = strangeTables
	x.pools = map[string][]string{}
	x.make(t, "/imports", "application/vnd.sqlite3", x.source)
	for _, table := range []string{"contacts", "wide", "hidden"} {
		x.make(t, "/records/"+table, "application/json", []byte(`{"data":[{},{},{}]}`))
	}
	x.make(t, "/export/table/contacts", "application/json", nil)
	x.make(t, "/export/database", "application/json", []byte(`{"format":"archive","exclude_tables":["wide","widest"]}`))
}

// make makes a valid call and remembers what its answer offers to ask for.
func (x *trial) make(t *testing.T, path, media string, body []byte) {
	t.Helper()
	header := []string{"Host: x", "Authorization: Bearer " + x.tokens[0], "Content-Type: " + media, "Prefer: wait=30"}
	response, answer, err := x.wire.exchange(x.assemble("POST", "/projects/"+x.project+path, header, body), 60*time.Second)
	if err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %v %.500s", path, err, answer)
	}
	x.learn(response.StatusCode, answer)
}

// strangeTables are the tables of each project.
var strangeTables = []generatedTable{
	{"contacts", []string{"id", "name", "email", "age", "score", "photo", "extra"}, []string{"1", "2", "3"}},
	{"wide", []string{"id", "c0", "c1", "c1998"}, []string{"1", "2"}},
	{"widest", []string{"c0", "c1", "c1999"}, []string{"1", "2"}},
	{"generated", []string{"id", "j", "a", "v"}, []string{"1", "2"}},
	{"checked", []string{"id", "j", "n"}, []string{"1"}},
	{"failing", []string{"id", "v", "w"}, []string{"1"}},
	{"pair", []string{"a", "b", "c"}, []string{"x,1", "a%2Cb%2Fc,2", "a,b", "%2C,1"}},
	{"keyless", []string{"a", "b"}, []string{"1", "2"}},
	{"blobkey", []string{"k", "v"}, []string{blobID(1, 2), blobID(), "x"}},
	{"anykey", []string{"k", "v"}, []string{"1", blobID(1), "a"}},
	{"parent", []string{"id", "code"}, []string{"1", "2"}},
	{"child", []string{"id", "p", "code"}, []string{"1", "2"}},
	{"grandchild", []string{"c"}, []string{"1"}},
	{"tree", []string{"id", "up"}, []string{"1", "2"}},
	{"folded", []string{"id", "word", "other"}, []string{"1", "2"}},
	{"hidden", []string{"id", "secret"}, []string{"1"}},
}

// mint mints the tokens of the current project.
func (x *trial) mint(t *testing.T) {
	t.Helper()
	x.tokens = nil
	for _, scopes := range [][]string{
		nil, {"records:read"}, {"records:write"}, {"records:write:contacts", "records:read:contacts"}, {"query:read", "records:read", "exports:create", "exports:read"}, {"schema:write", "schema:read", "records:write"}, {"tokens:manage"},
	} {
		if token, err := x.mintOne(t, scopes); err == nil { // a table may be gone
			x.tokens = append(x.tokens, token)
		}
	}
}

func (x *trial) mintOne(t *testing.T, scopes []string) (string, error) {
	ws, err := x.registry.Operator(t.Context(), x.project)
	if err != nil {
		return "", err
	}
	token, err := ws.Mint(t.Context(), new(problem.Faults), registry.TokenRequest{Scopes: scopes})
	return token.Secret, err
}

// howMany returns how many requests are made.
func howMany() int { return testkit.Scale(min(*generatedRequests, 500), *generatedRequests) }

// requests makes the requests and judges the answers.
func (x *trial) requests(t *testing.T) {
	n := howMany()
	faults := 0
	for i := range n {
		if i%perProject == 0 {
			x.begin(t, i/perProject)
		}
		op := x.operations[x.IntN(len(x.operations))]
		q := x.request(op, x.project, x.tokens)
		response, body, err := x.wire.exchange(q, 30*time.Second)
		if err == nil {
			x.statuses[response.StatusCode]++
			err = x.verdict(q, response, body)
		} else if isBroken(q) {
			err = nil // net/http closes a connection that it cannot parse
		}
		if err != nil {
			t.Errorf("request %d, %s %s: %v\n%s\n%s", i, op.method, op.path, err, q, x.log.take())
			if faults++; faults == 10 {
				t.Fatal("there may be more")
			}
		}
		if response != nil {
			x.learn(response.StatusCode, body)
		}
		if x.lost(t) {
			x.begin(t, n+i)
		}
	}
	t.Logf("answers by status: %v", x.statuses)
	if text := x.log.take(); strings.Contains(text, "panic") || strings.Contains(text, "internal_error") {
		t.Error(text)
	}
}

// learn remembers what later requests can ask for.
func (x *trial) learn(status int, body []byte) {
	var answer struct {
		Data struct {
			Export, Import struct{ ID string }
			Cursor         string `json:"next_cursor"`
			Token          struct {
				ID int64 `json:"token_id"`
			}
		}
	}
	if status < 300 && json.Unmarshal(body, &answer) == nil {
		for pool, text := range map[string]string{"export": answer.Data.Export.ID, "import": answer.Data.Import.ID, "cursor": answer.Data.Cursor, "token": fmt.Sprint(answer.Data.Token.ID)} {
			if text != "" && text != "0" {
				x.remember(pool, text)
			}
		}
	}
}

// lost reports whether the project is gone, and mints new tokens if they have been
// revoked.
func (x *trial) lost(t *testing.T) bool {
	if _, err := x.registry.Authenticate(t.Context(), x.project, x.tokens[0]); err == nil {
		return false
	}
	if _, err := x.registry.Operator(t.Context(), x.project); err != nil {
		return true
	}
	x.mint(t)
	return false
}

// isBroken reports whether net/http is unable to read a request.
func isBroken(q generated) bool {
	_, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(q.text)))
	return err != nil
}

// verdict returns what is wrong with an answer.
func (x *trial) verdict(q generated, response *http.Response, body []byte) error {
	status := response.StatusCode
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(q.text)))
	if err != nil || plainRefusal(response, body) {
		if status == http.StatusInternalServerError {
			return fmt.Errorf("a request that is none: status %d, %s", status, body)
		}
		return nil // answered by net/http
	}
	if status >= 500 && status != http.StatusServiceUnavailable {
		return fmt.Errorf("status %d: %s", status, body)
	}
	if response.Header.Get("X-Request-Id") == "" {
		return fmt.Errorf("no X-Request-Id; status %d", status)
	}
	handler, _ := x.judge.mux.Handler(r)
	ep, matched := handler.(*rest.Endpoint)
	if !matched {
		if status != http.StatusNotFound && status != http.StatusMethodNotAllowed && status != http.StatusUnauthorized && status != http.StatusPermanentRedirect {
			return fmt.Errorf("no such route, and status %d: %.500s", status, body)
		}
		if r.Method == http.MethodHead {
			return nil
		}
		return x.judge.compare("#/components/schemas/Failure", body)
	}
	return x.judge.described(ep, r.Method, response, body)
}

// plainRefusal reports whether net/http refused the request itself.
func plainRefusal(response *http.Response, body []byte) bool {
	return strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") && response.Header.Get("X-Request-Id") == "" && strings.HasPrefix(string(body), fmt.Sprint(response.StatusCode))
}

// described returns where an answer differs from the document.
func (j *judge) described(ep *rest.Endpoint, method string, response *http.Response, body []byte) error {
	at := pointer("paths", ep.Path, strings.ToLower(ep.Method), "responses", fmt.Sprint(response.StatusCode))
	content, err := j.media(at)
	if err != nil {
		return fmt.Errorf("status %d is not in the document: %.500s", response.StatusCode, body)
	}
	media, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	switch {
	case method == http.MethodHead, method == http.MethodOptions && len(body) == 0:
		if len(body) > 0 {
			return fmt.Errorf("a body where none can be: %q", body)
		}
		return nil
	case content == nil:
		if len(body) > 0 {
			return fmt.Errorf("a body that is not in the document: %.500s", body)
		}
		return nil
	case content[media] == nil && content["*/*"] == nil:
		return fmt.Errorf("the type %q is not in the document", media)
	case media != "application/json" || content[media] == nil:
		return nil
	}
	return j.compare(at+"/content/application~1json/schema", body)
}

// bytes sends requests with bytes changed, removed or inserted, and checks that the
// server still answers others.
func (x *trial) bytes(t *testing.T) {
	n := howMany() / 4
	x.begin(t, 0)
	var senders sync.WaitGroup
	places := make(chan struct{}, 16)
	for i := range n {
		op := x.operations[x.IntN(len(x.operations))]
		q := x.request(op, x.project, x.tokens)
		q.text = x.damage(q.text)
		places <- struct{}{}
		senders.Go(func() {
			defer func() { <-places }()
			own := wire{address: x.wire.address}
			defer own.close()
			response, body, err := own.exchange(q, 150*time.Millisecond)
			if err == nil && isFault(response.StatusCode) {
				t.Errorf("request %d: status %d, %s\n%s\n%s", i, response.StatusCode, body, q, x.log.take())
			}
		})
		if x.lost(t) {
			x.begin(t, n+i)
		}
	}
	senders.Wait()
	sound := x.assemble("GET", "/projects/"+x.project+"/tables", []string{"Host: x", "Authorization: Bearer " + x.tokens[0]}, nil)
	if response, body, err := x.wire.exchange(sound, 30*time.Second); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("a sound request after them: %v %s", err, body)
	}
	if text := x.log.take(); strings.Contains(text, "panic") || strings.Contains(text, "internal_error") {
		t.Error(text)
	}
}

// isFault reports whether a status is one that no request may cause. 501 and 505 come
// from net/http, for requests that it does not understand.
func isFault(status int) bool {
	switch status {
	case http.StatusNotImplemented, http.StatusServiceUnavailable, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// damage changes a request in a few places, mostly in its head.
func (x *trial) damage(text []byte) []byte {
	text = bytes.Clone(text)
	for range 1 + x.IntN(4) {
		if len(text) < 2 {
			break
		}
		at := x.IntN(len(text))
		if head := bytes.Index(text, []byte("\r\n\r\n")); head > 0 && x.chance(70) {
			at = x.IntN(head)
		}
		switch x.IntN(5) {
		case 0:
			text[at] = byte(x.IntN(256))
		case 1:
			text = append(text[:at], text[at+1:]...)
		case 2:
			text = append(text[:at], append([]byte(x.one("\x00", "\r", "\n", "\r\n", " ", ":", "\xff", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", strings.Repeat("x", 5000))), text[at:]...)...)
		case 3:
			text = text[:at]
		case 4:
			text[at] ^= 1 << x.IntN(8)
		}
	}
	return text
}
