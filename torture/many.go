//go:build linux

package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// R6: how long a start may take.
const (
	maxStart     = 2 * time.Second  // with 1,000 projects
	maxSlowStart = 10 * time.Second // with 10,000
)

// runRestart starts a server that has many projects, after a clean shutdown and after
// a kill.
func runRestart(t *trial) {
	data := t.path("data")
	first := t.project(data, "p0")
	s := t.start(data)
	tokens := t.makeProjects(s, first, t.projects)
	s.end()
	limit := maxStart
	if t.projects > 1000 {
		limit = maxSlowStart
	}
	var slowest, slowestKilled time.Duration
	for n := range 4 {
		s = t.start(data)
		if s.ready > limit {
			t.fault("start %d with %d projects: ready after %.2f s", n, t.projects, s.ready.Seconds())
		}
		if n%2 == 0 {
			slowest = max(slowest, s.ready)
		} else {
			slowestKilled = max(slowestKilled, s.ready)
		}
		t.readAll(s, tokens, 200)
		if n%2 == 0 {
			s.kill()
		} else {
			s.end()
		}
	}
	t.figure(fmt.Sprintf("ready with %d projects after SIGTERM, after SIGKILL", len(tokens)), "%.2f s, %.2f s", slowest.Seconds(), slowestKilled.Seconds())
}

// makeProjects creates projects with one table of two rows each, and returns their
// tokens.
func (t *trial) makeProjects(s *server, token string, n int) map[string]string {
	tokens := map[string]string{}
	var mu sync.Mutex
	var next atomic.Int64
	var crew sync.WaitGroup
	for range 4 {
		crew.Go(func() {
			c := s.open("p0", token)
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				slug := fmt.Sprintf("many%d", i)
				made, err := t.bootstrap(c, slug)
				if err != nil {
					t.fault("make a project: %v", err)
					return
				}
				mu.Lock()
				tokens[slug] = made
				mu.Unlock()
			}
		})
	}
	crew.Wait()
	if len(tokens) < n {
		t.stop("only %d of %d projects were made", len(tokens), n)
	}
	return tokens
}

func (t *trial) bootstrap(c *client, slug string) (token string, err error) {
	order := map[string]any{
		"project_slug": slug, "project_name": slug,
		"initial_project_user": map[string]any{"username": "u", "password": t.secret("password-of-" + slug)},
		"project_api_tokens":   []any{map[string]any{"account_user_id": 1}},
		"tables":               []any{map[string]any{"table_name": "t", "seed": []any{map[string]any{"id": 1}, map[string]any{"id": 2}}}},
	}
	var r reply
	for range 50 {
		if r, err = c.call("POST", "/bootstrap", order); err != nil {
			return "", err
		}
		if r.status != 503 && r.status != 429 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if r.status != 201 {
		return "", fmt.Errorf("%s", r)
	}
	var made struct {
		Tokens []struct{ Token string } `json:"project_api_tokens"`
	}
	if err := r.data(&made); err != nil || len(made.Tokens) != 1 {
		return "", fmt.Errorf("%v %s", err, r)
	}
	return t.secret(made.Tokens[0].Token), nil
}

// readAll reads up to max of the projects and checks that each has its two rows.
func (t *trial) readAll(s *server, tokens map[string]string, max int) {
	c := s.open("", "")
	for slug, token := range tokens {
		if max--; max < 0 {
			return
		}
		c.project, c.token = slug, token
		if n, err := c.count("t"); err != nil || n != 2 {
			t.fault("project %s has %d rows: %v", slug, n, err)
		}
	}
}

// The open file limit and the numbers of projects of part descriptors.
const (
	descriptorLimit         = 256
	descriptorProjects      = 500
	descriptorProjectsShort = 150
)

// runDescriptors lets a server that may open 256 files work on 500 projects. It may
// ask clients to retry, but never makes them fail, and is back to normal two seconds
// after the load.
func runDescriptors(t *trial) {
	data := t.path("data")
	first := t.project(data, "p0")
	few := func(o *startOptions) { o.descriptors = descriptorLimit }
	s := t.start(data, few)
	projects := descriptorProjects
	if t.short {
		projects = descriptorProjectsShort
	}
	tokens := t.makeProjects(s, first, projects)
	var answers [600]atomic.Int64
	var work []func(*client) (reply, error)
	work = append(work,
		func(c *client) (reply, error) { return c.get(c.path("/records/t?count=1")) },
		func(c *client) (reply, error) { return c.get(c.path("/auth/me")) },
		func(c *client) (reply, error) { return c.post("/records/t", map[string]any{}) },
		func(c *client) (reply, error) {
			return c.post("/query", map[string]any{"sql": "SELECT count(*) AS n FROM t"})
		},
		func(c *client) (reply, error) { return c.post("/export/table/t", map[string]any{}) },
	)
	var slugs []string
	for slug := range tokens {
		slugs = append(slugs, slug)
	}
	rounds := 3
	if t.short {
		rounds = 1
	}
	begin := time.Now()
	var crew sync.WaitGroup
	for w := range 8 {
		crew.Go(func() {
			c := s.open("", "")
			for i := w; i < rounds*len(slugs) && t.failed() < maxFaults && time.Since(begin) < 2*time.Minute; i += 8 {
				c.project = slugs[i%len(slugs)]
				c.token = tokens[c.project]
				for k, do := range work[:2+(i/8)%4] {
					r, err := do(c)
					if err != nil {
						t.fault("call %d of %s: %v", k, c.project, err)
						continue
					}
					answers[r.status].Add(1)
					if r.status >= 500 && r.status != 503 || r.failure().Code == "project_damaged" {
						t.fault("call %d: %d %s", k, r.status, r.failure().Code)
					}
				}
			}
		})
	}
	crew.Wait()
	if took := time.Since(begin); took > time.Minute {
		t.fault("the calls took %.0f s", took.Seconds())
	}
	t.pause(2 * time.Second)
	for _, slug := range slugs[:50] {
		c := s.open(slug, tokens[slug])
		if n, err := c.count("t"); err != nil || n < 2 {
			t.fault("two seconds after the load: %d rows, %v", n, err)
		}
	}
	for status := range answers {
		if n := answers[status].Load(); n > 0 {
			t.figure(fmt.Sprintf("answers of %d with %d descriptors and %d projects", status, descriptorLimit, projects), "%d", n)
		}
	}
	t.figure("descriptors two seconds after the load", "%d", s.descriptors())
	s.checkLog()
	s.end()
}
