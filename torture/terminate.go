//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// maxShutdown is how long shutdown may take after SIGTERM, whatever is running.
const maxShutdown = 30 * time.Second

// runTerminate sends SIGTERM to servers under load: they stop in time, lose no
// acknowledged write, and answer every call sent before.
func runTerminate(t *trial) {
	data := t.path("data")
	token := t.project(data, "p")
	book := newLedger()
	s := t.start(data)
	c := s.open("p", token)
	t.tablesOfLoad(c)
	var slowest time.Duration
	cut := int64(0)
	for range t.terms {
		l := t.startLoad(s, c, book)
		t.pause(time.Duration(t.pick(100, 900)) * time.Millisecond)
		l.signal.Store(time.Now().UnixNano())
		took, err := s.terminate(maxShutdown + 10*time.Second)
		if err != nil || took > maxShutdown {
			t.fault("SIGTERM under load: ended after %.1f s, %v", took.Seconds(), err)
		}
		l.wait()
		slowest, cut = max(slowest, took), cut+l.cut.Load()
		if n := l.cut.Load(); n > 0 {
			t.fault("%d calls that were sent before SIGTERM got no answer", n)
		}
		t.compareCopy(data, book)
		s = t.start(data)
		t.settle(s, c, book)
		t.checkLeftovers(data)
	}
	t.compareCopy(data, book)
	t.figure("SIGTERM under load, slowest end", "%d times, %.2f s", t.terms, slowest.Seconds())
	t.figure("calls sent before it and not answered", "%d", cut)
	book.figures(t)
	t.terminateBusy(s, c)
	t.compareDatabase(filepath.Join(data, "projects", "1.db"), book)
}

// terminateBusy sends SIGTERM during whatever takes longest: clients that do not read,
// statements that never end, a large import.
func (t *trial) terminateBusy(s *server, c *client) {
	c = c.at(s)
	for range 3 {
		go c.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n")
		go c.query("SELECT instr(printf('%.9000000c','a'), printf('%.4500000c','a')||'b')")
	}
	go c.post("/export/query", map[string]any{"sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n", "format": "csv"})
	if !t.short {
		go c.upload("endless.csv", "", io.MultiReader(strings.NewReader("a\n"), endlessFile{}))
	}
	var m manifest
	r, err := c.post("/export/database", map[string]any{"format": "sqlite"})
	if err == nil {
		m, err = r.manifest("export")
	}
	t.must(err, "export the database")
	// Clients that read nothing use up all the time that running calls get.
	deafClients := 4
	if t.short {
		deafClients = 0
	}
	for range deafClients {
		deaf, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		t.must(err, "connect")
		defer deaf.Close()
		fmt.Fprintf(deaf, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", m.DownloadURL, c.token)
	}
	t.pause(500 * time.Millisecond)
	took, err := s.terminate(maxShutdown + 15*time.Second)
	if err != nil || took > maxShutdown {
		t.fault("SIGTERM beside endless work: ended after %.1f s, %v", took.Seconds(), err)
	}
	t.figure("SIGTERM beside endless statements, exports, uploads, deaf clients", "%.1f s", took.Seconds())
}

// endlessFile is an endless file that arrives slowly.
type endlessFile struct{}

func (endlessFile) Read(p []byte) (int, error) {
	time.Sleep(50 * time.Millisecond)
	return copy(p, strings.Repeat("1234567\n", 1024)), nil
}
