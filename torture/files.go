//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	zs "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Limits on the cost of a hostile file.
const (
	maxFileTime   = 100 * time.Second
	maxFileMemory = 560 << 20
	maxCancel     = 5 * time.Second
)

// hostileFile is a malicious file sent to be imported.
type hostileFile struct {
	name, file string
	content    func() ([]byte, error)
}

// runFiles sends hostile files to be imported. Whatever becomes of the import, the
// server keeps running, another project is served meanwhile, and a file that ended a
// worker is not retried forever.
func runFiles(t *trial) {
	data := t.path("data")
	token := t.project(data, "p")
	victim := t.project(data, "victim")
	s := t.start(data)
	slowest, most := time.Duration(0), int64(0)
	files := t.hostileFiles()
	for _, f := range files {
		if t.ctx.Err() != nil || t.failed() >= maxFaults {
			break
		}
		content, err := f.content()
		t.must(err, "make "+f.name)
		if !s.alive() {
			s = t.start(data)
		}
		took, grew := t.sendFile(s, f, content, s.open("p", token), s.open("victim", victim))
		slowest, most = max(slowest, took), max(most, grew)
	}
	t.figure("hostile files: number, slowest, most memory of the server", "%d, %.1f s, %d MiB", len(files), slowest.Seconds(), most>>20)
	t.killBeside(s, data, token)
}

// sendFile imports a file and waits until the job is settled, canceling it if
// necessary.
func (t *trial) sendFile(s *server, f hostileFile, content []byte, c, other *client) (took time.Duration, grew int64) {
	base := s.resident()
	peaks := s.watch(memoryForced)
	began := time.Now()
	var m manifest
	r, err := c.withDeadline(time.Minute).upload(f.file, "", bytes.NewReader(content), "Prefer", "respond-async")
	if err == nil && r.status == 202 {
		m, err = r.manifest("import")
	}
	if err != nil || r.status >= 500 {
		t.fault("%s: %s %v", f.name, r, err)
	}
	t.importBeside(f, other)
	patience := maxFileTime
	if t.short {
		patience = 4 * time.Second
	}
	for m.ID != "" && !m.settled() && time.Since(began) < patience && s.alive() {
		t.pause(100 * time.Millisecond)
		if next, err := c.job("import", m.ID); err == nil {
			m = next
		}
	}
	if m.ID != "" && !m.settled() && s.alive() {
		if !t.short {
			t.fault("%s: not settled after %.0f s", f.name, patience.Seconds())
		}
		t.cancelImport(f, c, m)
	}
	own, _ := peaks()
	if !s.alive() {
		t.fault("%s: the server ended: %s", f.name, s.lastWords())
	}
	if own-base > maxFileMemory {
		t.fault("%s: the server grew by %d MiB", f.name, (own-base)>>20)
	}
	return time.Since(began), own - base
}

// importBeside imports a small file into another project.
func (t *trial) importBeside(f hostileFile, other *client) {
	asked := time.Now()
	r, err := other.withDeadline(30*time.Second).upload("small.csv", "", strings.NewReader("a\n1\n"))
	if took := time.Since(asked); err != nil || r.status != 201 && r.status != 409 || took > 10*time.Second {
		t.fault("%s: the import of another project meanwhile: after %.1f s: %s %v", f.name, took.Seconds(), r, err)
	}
}

// cancelImport cancels a job, which may already have ended.
func (t *trial) cancelImport(f hostileFile, c *client, m manifest) {
	asked := time.Now()
	r, err := c.withDeadline(time.Minute).call("DELETE", c.path("/imports/"+m.ID), nil)
	if took := time.Since(asked); err != nil || r.status != 200 && r.status != 404 && r.status != 409 || took > maxCancel {
		t.fault("%s: canceling the import: after %.1f s: %s %v", f.name, took.Seconds(), r, err)
	}
}

// killBeside kills the server while it reads a hostile file. After the next start the
// job ends, and the server keeps running.
func (t *trial) killBeside(s *server, data, token string) {
	if !s.alive() {
		s = t.start(data)
	}
	c := s.open("p", token)
	content := []byte("CREATE TABLE t(a);\nINSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n;\n")
	r, err := c.upload("endless.sql", "", bytes.NewReader(content), "Prefer", "respond-async")
	if err != nil || r.status != 202 {
		t.fault("send a dump without an end: %s %v", r, err)
		return
	}
	m, err := r.manifest("import")
	t.must(err, "send a dump without an end")
	t.pause(300 * time.Millisecond)
	s.kill()
	s = t.start(data)
	if !t.short {
		if took, ok := t.until(maxFileTime, func() bool {
			m, err = s.open("p", token).job("import", m.ID)
			return err == nil && m.settled()
		}); !ok {
			t.fault("the dump without an end is not settled %.0f s after a kill", took.Seconds())
		}
	}
	s.checkLog()
	s.end()
}

func (t *trial) hostileFiles() []hostileFile {
	columns := func(each string) string {
		var list []string
		for i := range 40 {
			list = append(list, fmt.Sprintf("ALTER TABLE t ADD COLUMN g%d TEXT AS (%s) VIRTUAL", i, each))
		}
		// An insert after the columns are added would compute them here.
		return "CREATE TABLE t(a INTEGER); INSERT INTO t(a) VALUES (1); " + strings.Join(list, "; ")
	}
	return []hostileFile{
		{"a database with forty generated columns of 250 MB", "bomb.db", t.database(columns("printf('%.250000000c','x')"))},
		{"a database with generated columns without an end", "slow.db", t.database(columns("replace(printf('%.9000000c','a'), printf('%.4000000c','a')||'b', 'c')"))},
		{"a database whose check takes for ever", "check.db", t.database("CREATE TABLE t(a TEXT, CHECK (instr(printf('%.9000000c','a'), printf('%.4000000c','a')||a) = 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES ('b')")},
		{"a database whose default takes for ever", "default.db", t.database("CREATE TABLE t(a TEXT, b TEXT DEFAULT (replace(printf('%.9000000c','a'), printf('%.4000000c','a')||'b', 'c'))); INSERT INTO t VALUES ('b','c')")},
		{"a database with a view without an end", "view.db", t.database("CREATE TABLE t(a); INSERT INTO t VALUES (1); CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n")},
		{"a database with triggers", "trigger.db", t.database("CREATE TABLE t(a); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO t SELECT randomblob(1000000000); END; INSERT INTO t SELECT 1 WHERE 0")},
		{"a database with two thousand columns", "columns.db", t.database("CREATE TABLE t(" + repeated(2000, "c#") + "); INSERT INTO t(c1) VALUES (1)")},
		{"a database with three thousand tables", "tables.db", t.database(strings.ReplaceAll(repeated(3000, "CREATE TABLE t#(a)"), "),", ");"))},
		{"a database, cut", "cut.db", func() ([]byte, error) {
			whole, err := t.database("CREATE TABLE t(a); INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 20000) SELECT hex(randomblob(50)) FROM n")()
			return whole[:len(whole)/2], err
		}},
		{"a database with noise in it", "noise.db", func() ([]byte, error) {
			whole, err := t.database("CREATE TABLE t(a); INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 20000) SELECT hex(randomblob(50)) FROM n")()
			for at := 8192; at < len(whole); at += 12_288 {
				copy(whole[at:], noise(64))
			}
			return whole, err
		}},
		{"a dump of sixty values of 250 MB", "bomb.sql", text("CREATE TABLE t(a);\n" + strings.Repeat("INSERT INTO t SELECT printf('%.250000000c','x');\n", 60))},
		{"a dump without an end", "endless.sql", text("CREATE TABLE t(a);\nINSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT i FROM n;\n")},
		{"a dump with a function without an end", "replace.sql", text("CREATE TABLE t(a);\nINSERT INTO t SELECT replace(printf('%.9000000c','a'), printf('%.4000000c','a')||'b', 'c');\n")},
		{"a dump with a comment of 2 MB in a trigger", "comment.sql", text("CREATE TABLE t(a);\n/*" + strings.Repeat("x", 2<<20) + "*/CREATE TRIGGER g AFTER INSERT ON t BEGIN " + strings.Repeat("SELECT 1;", 200_000) + " END;\n")},
		{"a dump that reaches outside", "attach.sql", text("CREATE TABLE t(a);\nATTACH '" + t.path("stranger.db") + "' AS s;\nCREATE TABLE s.t(a);\nVACUUM INTO '" + t.path("stranger2.db") + "';\n")},
		{"two gigabytes of zeros, packed", "zeros.csv.gz", packed(2<<30, []byte("0,0,0,0,0,0,0,0\n"))},
		{"a line of 300 MB, packed", "line.csv.gz", packed(300<<20, []byte("aaaaaaaaaaaaaaaa"))},
		{"a million columns", "wide.csv", text(repeated(1_000_000, "c#") + "\n1\n")},
		{"deep JSON", "deep.json", text(strings.Repeat("[", 5_000_000))},
		{"a workbook of ten million empty texts", "texts.xlsx", workbook("xl/sharedStrings.xml", `<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">`, "<si/>", 10_000_000, "</sst>")},
		{"a workbook of wide rows", "rows.xlsx", workbook("xl/worksheets/sheet1.xml", `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`, `<row><c r="XFD1"><v>1</v></c></row>`, 200_000, "</sheetData></worksheet>")},
		{"a zip of zips", "zips.zip", func() ([]byte, error) {
			content := []byte("a\n1\n")
			var err error
			for range 6 {
				if content, err = zipped(map[string][]byte{"inner.zip": content}); err != nil {
					return nil, err
				}
			}
			return content, nil
		}},
		{"a zip that reaches outside", "outside.zip", func() ([]byte, error) {
			return zipped(map[string][]byte{"../../../stranger.csv": []byte("a\n1\n"), "/etc/stranger.csv": []byte("a\n1\n")})
		}},
	}
}

func text(s string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(s), nil } }

// database returns a function that creates a SQLite file with a script.
func (t *trial) database(script string) func() ([]byte, error) {
	return func() ([]byte, error) {
		path := t.path("hostile.db")
		os.Remove(path)
		db, err := zs.OpenConn(path, zs.OpenReadWrite|zs.OpenCreate)
		if err != nil {
			return nil, err
		}
		err = sqlitex.ExecuteScript(db, script, nil)
		if closing := db.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return nil, err
		}
		return os.ReadFile(path)
	}
}

// packed returns a function that makes size bytes of repeated text, gzipped.
func packed(size int, piece []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			return nil, err
		}
		block := bytes.Repeat(piece, (1<<20)/len(piece))
		for written := 0; written < size; written += len(block) {
			if _, err := w.Write(block); err != nil {
				return nil, err
			}
		}
		err = w.Close()
		return b.Bytes(), err
	}
}

func zipped(members map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range members {
		member, err := w.Create(name)
		if err != nil {
			return nil, err
		}
		if _, err := member.Write(content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// workbook returns a workbook of one sheet, one of whose members contains a repeated
// piece.
func workbook(large, before, piece string, n int, after string) func() ([]byte, error) {
	const main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
	const relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	members := [][2]string{
		{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>`},
		{"_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="` + relations + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/workbook.xml", `<workbook xmlns="` + main + `" xmlns:r="` + relations + `"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="` + relations + `/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="` + relations + `/sharedStrings" Target="sharedStrings.xml"/></Relationships>`},
		{"xl/worksheets/sheet1.xml", `<worksheet xmlns="` + main + `"><sheetData><row><c t="s"><v>0</v></c></row><row><c><v>1</v></c></row></sheetData></worksheet>`},
		{"xl/sharedStrings.xml", `<sst xmlns="` + main + `"><si><t>a</t></si></sst>`},
	}
	return func() ([]byte, error) {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, member := range members {
			to, err := w.Create(member[0])
			if err != nil {
				return nil, err
			}
			if member[0] != large {
				_, err = io.WriteString(to, member[1])
			} else if _, err = io.WriteString(to, before); err == nil {
				for done := 0; done < n && err == nil; done += 1000 {
					_, err = io.WriteString(to, strings.Repeat(piece, min(1000, n-done)))
				}
				if err == nil {
					_, err = io.WriteString(to, after)
				}
			}
			if err != nil {
				return nil, err
			}
		}
		err := w.Close()
		return b.Bytes(), err
	}
}
