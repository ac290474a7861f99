//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ledger records what clients were told, to compare it with what is there after a
// crash.
type ledger struct {
	mu      sync.Mutex
	next    int             // numbers all names
	singles map[string]bool // rows inserted one by one: whether the server acknowledged them
	batches map[string]work
	keyed   map[string]work // rows inserted under an idempotency key
	imports map[string]work // files imported under an idempotency key
	exports map[string]bool // acknowledged orders: whether the artifact has been compared
	checked int             // number of artifacts compared
	lenient bool            // the disk makes calls fail, so jobs and calls may fail
	refused int             // calls that failed for that reason
}

// work is something that must be stored completely or not at all.
type work struct {
	size  int
	acked bool
	busy  bool // a client is working on it
}

func newLedger() *ledger {
	return &ledger{singles: map[string]bool{}, batches: map[string]work{}, keyed: map[string]work{}, imports: map[string]work{}, exports: map[string]bool{}}
}

// name returns an unused name.
func (l *ledger) name(kind string) string {
	l.next++
	return fmt.Sprintf("%s-%06d", kind, l.next)
}

// again returns earlier work whose call was cut off, to be sent again under the same
// key, or starts new work.
func (l *ledger) again(of map[string]work, kind string, size int) (string, work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, w := range of {
		if !w.acked && !w.busy {
			w.busy = true
			of[name] = w
			return name, w
		}
	}
	name, w := l.name(kind), work{size: size, busy: true}
	of[name] = w
	return name, w
}

// finish records how a call ended.
func (l *ledger) finish(of map[string]work, name string, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := of[name]
	w.busy, w.acked = false, w.acked || acked
	of[name] = w
}

func acked(of map[string]work) (n int) {
	for _, w := range of {
		if w.acked {
			n++
		}
	}
	return n
}

// load is a mixed load on one server: single rows, batches, rows and files under
// idempotency keys, and exports.
type load struct {
	t      *trial
	s      *server
	client *client
	book   *ledger
	halt   chan struct{}
	crew   sync.WaitGroup
	signal atomic.Int64 // when the server was told to stop, in nanoseconds; 0 before that
	cut    atomic.Int64 // calls sent before that which got no answer
}

// tablesOfLoad creates the tables that a load works on.
func (t *trial) tablesOfLoad(c *client) {
	t.table(c, "singles", "k")
	t.table(c, "batches", "batch", "place INTEGER")
	t.table(c, "keyed", "k")
	t.table(c, "imported", "tag", "place INTEGER")
	t.table(c, "ballast", "n INTEGER", "words")
	rows := make([]map[string]any, 2000)
	for i := range rows {
		rows[i] = map[string]any{"n": i, "words": strings.Repeat("ballast ", 12)}
	}
	t.expect(c, "POST", c.path("/records/ballast"), map[string]any{"data": rows, "return": "none"}, nil)
}

// startLoad lets clients work until the server is gone or stop is called.
func (t *trial) startLoad(s *server, c *client, book *ledger) *load {
	l := &load{t: t, s: s, client: c.at(s), book: book, halt: make(chan struct{})}
	for range 3 {
		l.crew.Go(func() { l.repeat(l.insertOne) })
	}
	for range 2 {
		l.crew.Go(func() { l.repeat(l.insertBatch) })
		l.crew.Go(func() { l.repeat(l.insertKeyed) })
	}
	l.crew.Go(func() { l.repeat(l.importFile) })
	l.crew.Go(func() { l.repeat(l.export) })
	return l
}

// wait waits until every client has noticed that the server is gone.
func (l *load) wait() { l.crew.Wait() }

// stop ends the load on a server that keeps running.
func (l *load) stop() {
	close(l.halt)
	l.crew.Wait()
}

// repeat calls step until it fails because the server is gone.
func (l *load) repeat(step func(*client) error) {
	for l.t.ctx.Err() == nil {
		select {
		case <-l.halt:
			return
		default:
		}
		c := *l.client
		call := &sending{load: l}
		c.ctx = httptrace.WithClientTrace(l.t.ctx, call.trace())
		if err := step(&c); err != nil {
			call.begin("") // counts a last call without an answer
			return
		}
	}
}

// sending follows the consecutive calls of a client, and counts those sent before the
// server was told to stop that got no answer. The client library may itself send a
// call a second time: then the first one is counted.
type sending struct {
	load *load
	mu   sync.Mutex
	sent time.Time // when the call was written; zero before that and once it is answered
}

func (s *sending) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: s.begin,
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				s.set(time.Now())
			}
		},
		GotFirstResponseByte: func() { s.set(time.Time{}) },
	}
}

func (s *sending) set(sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = sent
}

func (s *sending) begin(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if signal := s.load.signal.Load(); signal != 0 && !s.sent.IsZero() && s.sent.UnixNano() < signal {
		s.load.cut.Add(1)
	}
	s.sent = time.Time{}
}

// judge reports as a fault a response that is neither a success nor a refusal that
// tells the client to retry.
func (l *load) judge(what string, r reply) bool {
	switch {
	case r.status >= 200 && r.status < 300:
		return true
	case r.failure().Code == "project_damaged":
		l.t.fault("%s: %s", what, r)
	case r.status == 503 || r.status == 429 || r.status == 507:
	case l.book.lenient && r.status == 409 && (r.failure().Code == "export_failed" || r.failure().Code == "import_failed"):
	default:
		l.t.fault("%s: %s", what, r)
	}
	l.book.mu.Lock()
	l.book.refused++
	l.book.mu.Unlock()
	return false
}

func (l *load) insertOne(c *client) error {
	l.book.mu.Lock()
	k := l.book.name("single")
	l.book.singles[k] = false
	l.book.mu.Unlock()
	r, err := c.post("/records/singles", map[string]any{"k": k})
	if err != nil {
		return err
	}
	if l.judge("insert a row", r) {
		l.book.mu.Lock()
		l.book.singles[k] = true
		l.book.mu.Unlock()
	}
	return nil
}

func (l *load) insertBatch(c *client) error {
	size := l.t.pick(1, 50)
	l.book.mu.Lock()
	name := l.book.name("batch")
	l.book.batches[name] = work{size: size, busy: true}
	l.book.mu.Unlock()
	rows := make([]map[string]any, size)
	for i := range rows {
		rows[i] = map[string]any{"batch": name, "place": i}
	}
	r, err := c.post("/records/batches", map[string]any{"data": rows, "return": "none"})
	if err != nil {
		return err
	}
	l.book.finish(l.book.batches, name, l.judge("insert a batch", r))
	return nil
}

func (l *load) insertKeyed(c *client) error {
	name, _ := l.book.again(l.book.keyed, "keyed", 1)
	r, err := c.post("/records/keyed", map[string]any{"k": name}, "Idempotency-Key", name)
	// 409 means that the first call with this key is still running.
	ok := err == nil && r.status != 409 && l.judge("insert under a key", r)
	l.book.finish(l.book.keyed, name, ok)
	return err
}

func (l *load) importFile(c *client) error {
	name, w := l.book.again(l.book.imports, "import", l.t.pick(50, 400))
	var file bytes.Buffer
	file.WriteString("tag,place\n")
	for i := range w.size {
		fmt.Fprintf(&file, "%s,%d\n", name, i)
	}
	r, err := c.upload("rows.csv", `{"table":"imported","mode":"append"}`, &file, "Idempotency-Key", name)
	ok := err == nil && r.status == 201 && l.judge("import a file", r)
	if err == nil && r.status != 409 {
		l.judge("import a file", r)
	}
	l.book.finish(l.book.imports, name, ok)
	return err
}

// orders are the requests for exports.
var orders = []struct {
	path string
	body map[string]any
}{
	{"/export/table/ballast", map[string]any{"format": "csv"}},
	{"/export/table/batches", map[string]any{"format": "ndjson"}},
	{"/export/table/singles", map[string]any{"format": "parquet"}},
	{"/export/database", map[string]any{"format": "zip"}},
	{"/export/database", map[string]any{"format": "sqlite"}},
	{"/export/database", map[string]any{"format": "archive"}},
	{"/export/query", map[string]any{"sql": "SELECT n, words FROM ballast", "format": "csv"}},
}

func (l *load) export(c *client) error {
	order := orders[l.t.pick(0, len(orders)-1)]
	r, err := c.post(order.path, order.body, "Prefer", "respond-async")
	if err != nil {
		return err
	}
	if !l.judge("order an export", r) {
		return nil
	}
	m, err := r.manifest("export")
	if err != nil {
		return err
	}
	l.book.mu.Lock()
	l.book.exports[m.ID] = false
	l.book.mu.Unlock()
	for !m.settled() {
		select {
		case <-l.halt:
			return errors.New("stopped")
		default:
		}
		if m, err = c.job("export", m.ID); err != nil {
			return err
		}
	}
	return l.t.compare(c, l.book, m)
}

// compare downloads an artifact and compares it with its manifest. An artifact
// reported as ready must exist, complete, from that moment on.
func (t *trial) compare(c *client, book *ledger, m manifest) error {
	if m.Status != "ready" {
		if m.Status != "failed" && m.Status != "canceled" {
			t.fault("export %s is %s", m.ID, m.Status)
		}
		return nil
	}
	r, err := c.get(m.DownloadURL)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(r.body)
	switch {
	case r.status == 503:
		return nil
	case r.status != 200:
		t.fault("export %s is ready, and its download answers %s", m.ID, r)
	case int64(len(r.body)) != m.SizeBytes || hex.EncodeToString(sum[:]) != m.SHA256:
		t.fault("export %s is ready with %d bytes of SHA-256 %s; the download has %d of %x", m.ID, m.SizeBytes, m.SHA256, len(r.body), sum)
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	if !book.exports[m.ID] {
		book.exports[m.ID] = true
		book.checked++
	}
	return nil
}

// settle waits until every job from before a crash is settled, and compares the
// artifacts. Jobs must be settled within a minute of the restart.
func (t *trial) settle(s *server, c *client, book *ledger) time.Duration {
	c = c.at(s)
	var open []string
	took, ok := t.until(time.Minute, func() bool {
		var exports []manifest
		exports, open = t.jobs(c, "export")
		imports, waiting := t.jobs(c, "import")
		if open = append(open, waiting...); len(open) > 0 {
			return false
		}
		t.compareAll(c, book, exports)
		for _, m := range imports {
			if m.Status == "failed" && !book.lenient {
				t.fault("import %s failed: %s %s", m.ID, m.ErrorCode, m.Error)
			}
		}
		return true
	})
	if !ok {
		t.fault("jobs are not settled a minute after the restart: %v", open)
	}
	return took
}

// jobs lists the exports or imports of the project, and those that are not settled.
func (t *trial) jobs(c *client, kind string) (all []manifest, open []string) {
	for more := true; more; {
		r, err := c.get(c.path(fmt.Sprintf("/%ss?limit=500&offset=%d", kind, len(all))))
		if err == nil && r.status != 200 {
			err = fmt.Errorf("%s", r)
		}
		var page struct {
			Exports, Imports []manifest
			HasMore          bool `json:"has_more"`
		}
		if err == nil {
			err = r.data(&page)
		}
		t.must(err, "list the "+kind+"s")
		all = append(append(all, page.Exports...), page.Imports...)
		more = page.HasMore
	}
	for _, m := range all {
		if !m.settled() {
			open = append(open, fmt.Sprintf("%s %s", m.ID, m.Status))
		}
	}
	return all, open
}

// compareAll compares every artifact not compared yet, and checks that every
// acknowledged order is in the list.
func (t *trial) compareAll(c *client, book *ledger, exports []manifest) {
	known := map[string]bool{}
	for _, m := range exports {
		known[m.ID] = true
		book.mu.Lock()
		compared := book.exports[m.ID]
		book.mu.Unlock()
		if compared {
			continue
		}
		if err := t.compare(c, book, m); err != nil {
			t.fault("download export %s: %v", m.ID, err)
		}
	}
	book.mu.Lock()
	ids := slices.Collect(maps.Keys(book.exports))
	book.mu.Unlock()
	for _, id := range ids {
		if !known[id] {
			t.fault("the acknowledged order %s is not in the list of exports", id)
		}
	}
}

// figures reports how much the ledger holds.
func (l *ledger) figures(t *trial) {
	l.mu.Lock()
	defer l.mu.Unlock()
	singles := 0
	for _, ok := range l.singles {
		if ok {
			singles++
		}
	}
	text, _ := json.Marshal(map[string]int{"rows": singles, "batches": acked(l.batches), "keys": acked(l.keyed), "imports": acked(l.imports)})
	t.figure("acknowledged", "%s", strings.Trim(strings.ReplaceAll(string(text), `"`, ""), "{}"))
	t.figure("artifacts compared by SHA-256 and length", "%d", l.checked)
}

// withDeadline returns a copy of the client whose calls time out after d.
func (c *client) withDeadline(d time.Duration) *client {
	limited := *c
	inner := *c.http
	inner.Timeout = d
	limited.http = &inner
	limited.ctx = context.WithoutCancel(c.ctx)
	return &limited
}
