//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	slowClients    = 40
	maxSlowMemory  = 300 << 20 // what forty clients that do not read may cost
	maxSlowClient  = time.Minute
	memoryOfBodies = 512 << 20 // the server's budget for bodies and answers
	memoryForced   = 3 << 30   // at which the harness kills the server
)

// runSlow lets clients request large pages without reading them, send large bodies at
// once, and send bodies that never end. Memory stays bounded, the clients are
// disconnected within a minute, and others are served.
func runSlow(t *trial) {
	data := t.path("data")
	token := t.project(data, "p")
	s := t.start(data)
	c := s.open("p", token)
	t.table(c, "t", "a")
	for range 6 {
		rows := make([]map[string]any, 80)
		for i := range rows {
			rows[i] = map[string]any{"a": strings.Repeat("\x01", 50_000)}
		}
		t.expect(c, "POST", c.path("/records/t"), map[string]any{"data": rows, "return": "none"}, nil)
	}
	other := s.open("other", t.project(data, "other"))
	t.table(other, "small", "a")
	t.deafClients(s, c, other)
	t.largeBodies(s, c)
	t.endlessBodies(s, c, other)
	s.checkLog()
	s.end()
}

// deafClients request pages of 24 MB and read nothing.
func (t *trial) deafClients(s *server, c, other *client) {
	base := s.resident()
	peaks := s.watch(memoryForced)
	var gone sync.WaitGroup
	var slowest time.Duration
	var mu sync.Mutex
	for range slowClients {
		deaf, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.fault("connect: %v", err)
			break
		}
		defer deaf.Close()
		deaf.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprintf(deaf, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", c.path("/records/t?limit=480"), c.token)
		gone.Go(func() {
			asked := time.Now()
			patience := maxSlowClient + 15*time.Second
			if t.short {
				patience = 10 * time.Second // too short to check disconnection
			}
			if !dropped(deaf, patience) && !t.short {
				t.fault("a client that reads nothing is still connected after %.0f s", time.Since(asked).Seconds())
			}
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(asked))
		})
	}
	t.othersAreServed(s, other, "small", "beside clients that do not read", 3*time.Second)
	gone.Wait()
	own, _ := peaks()
	limit := int64(maxSlowMemory)
	if t.short {
		limit = memoryOfBodies // garbage is collected late on a busy machine
	}
	if own-base > limit {
		t.fault("forty clients that read nothing cost %d MiB", (own-base)>>20)
	}
	if slowest > maxSlowClient {
		t.fault("the last of them was dropped after %.0f s", slowest.Seconds())
	}
	if t.short {
		t.figure("forty clients that read nothing: memory", "%d MiB", (own-base)>>20)
		return
	}
	t.figure("forty clients that read nothing: memory, gone after", "%d MiB, %.0f s", (own-base)>>20, slowest.Seconds())
}

// dropped waits until the server has closed a connection.
func dropped(c net.Conn, limit time.Duration) bool {
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(200 * time.Millisecond) {
		if !served(c) {
			return true
		}
	}
	return false
}

// othersAreServed reads a table for a while and checks that it is served.
func (t *trial) othersAreServed(s *server, c *client, table, when string, d time.Duration) {
	other := s.open(c.project, c.token).withDeadline(5 * time.Second)
	var slowest time.Duration
	calls, refused := 0, 0
	for begin := time.Now(); time.Since(begin) < d && s.alive(); t.pause(10 * time.Millisecond) {
		asked := time.Now()
		r, err := other.get(c.path("/records/" + table + "?limit=1"))
		if err != nil || r.status != 200 && r.status != 503 && r.status != 429 {
			t.fault("a small read %s: %s %v", when, r, err)
			return
		}
		if calls++; r.status != 200 {
			refused++
		}
		slowest = max(slowest, time.Since(asked))
	}
	if refused*2 > calls {
		t.fault("%d of %d small reads %s were refused", refused, calls, when)
	}
	t.figure("small reads "+when+": refused, slowest", "%d of %d, %.0f ms", refused, calls, float64(slowest.Microseconds())/1000)
}

// largeBodies sends sixteen bodies of 28 MiB at once. Those that exceed the budget are
// told to retry.
func (t *trial) largeBodies(s *server, c *client) {
	rows := make([]map[string]string, 28)
	for i := range rows {
		rows[i] = map[string]string{"a": strings.Repeat("y", 1<<20-100)}
	}
	body, err := json.Marshal(map[string]any{"data": rows, "return": "none"})
	t.must(err, "make a body")
	base := s.resident()
	peaks := s.watch(memoryForced)
	var crew sync.WaitGroup
	for range 16 {
		crew.Go(func() {
			r, err := s.open(c.project, c.token).send("POST", c.path("/records/t"), bytes.NewReader(body), "Content-Type", "application/json")
			if err != nil || r.status != 201 && r.status != 503 && r.status != 429 {
				t.fault("a body of 28 MiB: %s %v", r, err)
			}
		})
	}
	crew.Wait()
	own, _ := peaks()
	// Garbage that has not been collected yet may double the memory in use.
	if own-base > 2*memoryOfBodies+maxSlowMemory {
		t.fault("sixteen bodies of 28 MiB cost %d MiB", (own-base)>>20)
	}
	t.figure("sixteen bodies of 28 MiB at once", "%d MiB", (own-base)>>20)
}

// endlessBodies sends bodies one byte at a time.
func (t *trial) endlessBodies(s *server, c, other *client) {
	for range 200 {
		slow, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.fault("connect: %v", err)
			return
		}
		defer slow.Close()
		fmt.Fprintf(slow, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", c.path("/records/t"), c.token)
		slow.SetReadDeadline(time.Now().Add(40 * time.Second))
		defer func() {
			answer, err := io.ReadAll(io.LimitReader(slow, 1<<10))
			if len(answer) == 0 && err != nil {
				t.fault("a body that never comes is waited for: %v", err)
			}
		}()
	}
	t.othersAreServed(s, other, "small", "beside bodies that do not come", 3*time.Second)
}
