//go:build linux

package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// damages are the ways to damage a database file.
var damages = []struct {
	name string
	do   func(path string) error
}{
	{"cut in half", func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()/2)
	}},
	{"cut to 100 bytes", func(path string) error { return os.Truncate(path, 100) }},
	{"emptied", func(path string) error { return os.Truncate(path, 0) }},
	{"a page zeroed", func(path string) error { return scribble(path, 4096, make([]byte, 4096)) }},
	{"header overwritten", func(path string) error { return scribble(path, 0, []byte(strings.Repeat("X", 16))) }},
	{"noise", func(path string) error { return os.WriteFile(path, noise(60_000), 0o600) }},
	{"missing", os.Remove},
	{"a folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }},
	{"a link to it", func(path string) error {
		return errors.Join(os.Rename(path, path+".real"), os.Symlink(path+".real", path))
	}},
	{"a link elsewhere", func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/hostname", path)) }},
	{"noise for a log", func(path string) error { return os.WriteFile(path+"-wal", noise(30_000), 0o600) }},
	{"noise in many pages", func(path string) error {
		info, err := os.Stat(path)
		for at := int64(8192); err == nil && at < info.Size(); at += 3 * 4096 {
			err = scribble(path, at, noise(64))
		}
		return err
	}},
}

func scribble(path string, at int64, bytes []byte) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(bytes, at)
	return errors.Join(err, file.Close())
}

// noise returns n bytes that are always the same.
func noise(n int) []byte {
	bytes := make([]byte, n)
	random := rand.NewPCG(1, 2)
	for i := range bytes {
		bytes[i] = byte(random.Uint64())
	}
	return bytes
}

// wounded is a data folder with three projects, parts of which are damaged.
type wounded struct {
	t        *trial
	data     string
	sound    string // an undamaged copy of the folder
	tokens   map[string]string
	exports  map[string]manifest
	problems int
}

// runDamage damages each database file in each way. A damaged project is reported as
// damaged, and no other project is affected; a damaged replaceable database is set
// aside and the server runs; with a damaged registry the server refuses to start and
// says what to do. Nothing ever silently becomes empty, and no artifact is lost.
func runDamage(t *trial) {
	w := t.makeWounded()
	for _, file := range []string{"projects/1.db", "exports.db", "imports.db", "journal.db", "server.db"} {
		for i, d := range damages {
			if t.short && i%3 != len(file)%3 && d.name != "missing" && d.name != "noise" {
				continue
			}
			t.must(copyFolder(w.sound, w.data), "copy a folder")
			t.must(d.do(filepath.Join(w.data, file)), d.name)
			before := t.failed()
			if file == "server.db" {
				w.tryRegistry(d.name)
			} else {
				w.try(file, d.name)
			}
			if t.failed() > before {
				w.problems++
			}
		}
	}
	if out, err := t.tryCommand("", "check", "--data", w.sound); err != nil {
		t.fault("zangtable check finds faults in a sound folder: %v\n%s", err, out)
	}
	t.figure("kinds of damage x files", "%d x 5; %d went wrong", len(damages), w.problems)
}

func (t *trial) makeWounded() *wounded {
	w := &wounded{t: t, data: t.path("data"), sound: t.path("sound"), tokens: map[string]string{}, exports: map[string]manifest{}}
	for _, slug := range []string{"a", "b", "c"} {
		w.tokens[slug] = t.project(w.data, slug)
	}
	s := t.start(w.data, logBeside(t))
	for slug, token := range w.tokens {
		c := s.open(slug, token)
		t.table(c, "t", "k")
		rows := make([]map[string]any, 3000)
		for i := range rows {
			rows[i] = map[string]any{"k": strings.Repeat(slug, 200)}
		}
		t.expect(c, "POST", c.path("/records/t"), map[string]any{"data": rows, "return": "none"}, nil)
		var made struct{ Export manifest }
		t.expect(c, "POST", c.path("/export/table/t"), map[string]any{}, &made)
		w.exports[slug] = made.Export
		r, err := c.upload("rows.csv", `{"table":"t","mode":"append"}`, strings.NewReader("k\nimported\n"), "X-Operation-Key", "label")
		if err != nil || r.status != 201 {
			t.stop("import: %s %v", r, err)
		}
	}
	s.end()
	t.must(copyFolder(w.data, w.sound), "copy a folder")
	return w
}

// try starts a server on a folder in which the database of project a, or a replaceable
// one, is damaged.
func (w *wounded) try(file, damage string) {
	t := w.t
	s, err := t.tryStart(w.data, logBeside(t), func(o *startOptions) { o.anyState = true })
	if err != nil {
		t.fault("%s, %s: the server does not start: %v", file, damage, err)
		return
	}
	defer s.kill()
	for slug, token := range w.tokens {
		c := s.open(slug, token)
		hurt := file == "projects/1.db" && slug == "a"
		n, err := c.count("t")
		switch {
		case hurt && err != nil && !strings.Contains(err.Error(), "project_damaged"):
			t.fault("%s, %s: the damaged project answers %v", file, damage, err)
		case hurt && err != nil:
			continue
		case err != nil || n != 3001:
			t.fault("%s, %s: project %s has %d rows, %v", file, damage, slug, n, err)
			continue
		}
		w.tryJobs(file, damage, c)
	}
	s.checkLog()
	s.end()
}

// tryJobs writes, exports, and downloads the earlier artifact.
func (w *wounded) tryJobs(file, damage string, c *client) {
	if r, err := c.post("/records/t", map[string]any{"k": "new"}); err != nil || r.status != 201 {
		w.t.fault("%s, %s: insert into %s: %s %v", file, damage, c.project, r, err)
	}
	if r, err := c.post("/export/table/t", map[string]any{}); err != nil || r.status != 201 {
		w.t.fault("%s, %s: export of %s: %s %v", file, damage, c.project, r, err)
	}
	if r, err := c.upload("rows.csv", `{"table":"t","mode":"append"}`, strings.NewReader("k\nagain\n"), "X-Operation-Key", "label"); err != nil || r.status != 201 {
		w.t.fault("%s, %s: import into %s: %s %v", file, damage, c.project, r, err)
	}
	m := w.exports[c.project]
	r, err := c.get(m.DownloadURL)
	if err != nil || r.status != 200 || fmt.Sprintf("%x", sha256.Sum256(r.body)) != m.SHA256 {
		w.t.fault("%s, %s: the artifact of %s of before: %.200s %v", file, damage, c.project, r, err)
	}
}

// tryRegistry starts a server whose registry is damaged: it either serves correct
// data, or refuses and says what to do.
func (w *wounded) tryRegistry(damage string) {
	t := w.t
	begin := time.Now()
	s, err := t.tryStart(w.data, logBeside(t), func(o *startOptions) { o.anyState = true })
	if err != nil {
		if time.Since(begin) > 10*time.Second || !strings.Contains(err.Error(), "zangtable check") {
			t.fault("server.db, %s: refuses without saying what to do: %v", damage, err)
		}
		w.repair(damage)
		return
	}
	defer s.kill()
	for slug, token := range w.tokens {
		c := s.open(slug, token)
		if n, err := c.count("t"); err != nil && !strings.HasPrefix(err.Error(), "50") || err == nil && n != 3001 {
			t.fault("server.db, %s: it starts, and project %s has %d rows, %v", damage, slug, n, err)
		}
	}
	s.end()
}

// repair rebuilds the registry. The projects must be in it with all their data; only
// tokens and users are lost.
func (w *wounded) repair(damage string) {
	t := w.t
	if out, err := t.tryCommand("", "check", "--data", w.data); err == nil {
		t.fault("server.db, %s: zangtable check finds no fault: %s", damage, out)
	}
	out, err := t.tryCommand("", "check", "--repair", "--data", w.data)
	s, failed := t.tryStart(w.data, logBeside(t), func(o *startOptions) { o.anyState = true })
	if failed != nil {
		t.fault("server.db, %s: the server does not start after the repair: %v; %v %s", damage, failed, err, out)
		return
	}
	defer s.kill()
	for slug := range w.tokens {
		token, err := t.tryCommand("", "token", "create", "--project", slug, "--data", w.data)
		if err != nil {
			t.fault("server.db, %s: project %s is not there after the repair: %v", damage, slug, err)
			continue
		}
		c := s.open(slug, t.secret(token))
		if n, err := c.count("t"); err != nil || n != 3001 {
			t.fault("server.db, %s: project %s has %d rows after the repair, %v", damage, slug, n, err)
		}
	}
	s.end()
}
