//go:build linux

package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// runSchemas changes tables between and during calls with the same SQL text. Every
// answer must reflect a single moment: each cell names the column that it was written
// to. Meanwhile another project queries texts with a canary, which must not appear
// anywhere.
func runSchemas(t *trial) {
	data := t.path("data")
	alpha, beta := t.project(data, "alpha"), t.project(data, "beta")
	s := t.start(data)
	w := &wide{t: t, s: s, c: s.open("alpha", alpha)}
	for _, columns := range []int{2, 40, 300, 1900} {
		w.inTurn(columns)
	}
	t.figure("changes between calls of the same text, answers compared", "%d, %d", w.changes, w.answers)
	stop := make(chan struct{})
	var crew sync.WaitGroup
	for range 2 {
		crew.Go(func() { w.tellCanary(s.open("beta", beta), stop) })
	}
	seconds := 60
	if t.short {
		seconds = 8
	}
	w.atOnce(time.Duration(seconds) * time.Second)
	close(stop)
	crew.Wait()
	t.figure("changes beside calls of the same text, answers compared", "%d, %d", w.changes, w.answers)
	if s.alive() {
		s.checkLog()
		s.end()
	}
}

// wide is a table whose cells hold the name of the column that they were written to.
type wide struct {
	t *trial
	s *server
	c *client

	mu      sync.Mutex
	changes int
	answers int
}

// cellsOf matches the texts that cells may hold.
var cellsOf = regexp.MustCompile(`^c[0-9]+$`)

// make recreates the table with columns c0 and so on and two rows.
func (w *wide) make(table string, columns int) error {
	var list []map[string]any
	row := map[string]any{}
	for i := range columns {
		name := fmt.Sprintf("c%d", i)
		list = append(list, map[string]any{"name": name})
		row[name] = name
	}
	if _, err := w.c.call("DELETE", w.c.path("/table/"+table), nil); err != nil {
		return err
	}
	r, err := w.c.post("/table", map[string]any{"table_name": table, "columns": list})
	if err == nil && r.status == 201 {
		r, err = w.c.post("/records/"+table, map[string]any{"data": []any{row, row}, "return": "none"})
	}
	if err == nil && r.status != 201 {
		err = fmt.Errorf("%s", r)
	}
	return err
}

// ask selects all columns and compares each cell with its column name. want is the
// expected list of names, if known.
func (w *wide) ask(table string, want []string) {
	rows, r, err := w.c.query("SELECT * FROM " + table)
	if err != nil {
		w.t.fault("ask for %s: %v", table, err)
		return
	}
	w.mu.Lock()
	w.answers++
	w.mu.Unlock()
	if r.status != 200 {
		if r.status >= 500 && r.status != 503 {
			w.t.fault("ask for %s: %s", table, r)
		}
		if want != nil {
			w.t.fault("ask for %s after a change: %s", table, r)
		}
		return
	}
	for _, row := range rows {
		w.compare(table, row, want)
	}
}

func (w *wide) compare(table string, row map[string]any, want []string) {
	for name, cell := range row {
		text, isText := cell.(string)
		_, number, _ := strings.Cut(name, "_")
		switch {
		case name == "id" || strings.HasPrefix(name, "new_") && cell == nil:
		case isText && strings.Contains(text, foreignCanary):
			w.t.fault("%s: the column %s shows another project: %.80q", table, name, text)
		case !isText || !cellsOf.MatchString(text):
			w.t.fault("%s: the column %s shows memory: %.80q", table, name, fmt.Sprint(cell))
		case text != name && text != "c"+number:
			w.t.fault("%s: the column %s shows the value of %s", table, name, text)
		}
	}
	for _, name := range want {
		if _, ok := row[name]; !ok {
			w.t.fault("%s: the answer has no column %s", table, name)
		}
	}
	if want != nil && len(row) != len(want)+1 {
		w.t.fault("%s: the answer has %d columns, want %d", table, len(row), len(want)+1)
	}
}

// inTurn runs a statement several times, changes the table, and runs it again.
func (w *wide) inTurn(columns int) {
	table := fmt.Sprintf("w%d", columns)
	names := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("c%d", i))
		}
		return list
	}
	changes := []struct {
		name string
		do   func() (reply, error)
		want []string
	}{
		{"rename", func() (reply, error) {
			return w.c.call("PATCH", w.c.path("/column/"+table+"/c1"), map[string]any{"new_column_name": "renamed_1"})
		}, append([]string{"c0", "renamed_1"}, names(columns)[2:]...)},
		{"drop", func() (reply, error) { return w.c.call("DELETE", w.c.path("/column/"+table+"/c0"), nil) }, names(columns)[1:]},
		{"add", func() (reply, error) {
			return w.c.post("/column/"+table, map[string]any{"column_name": "new_1"})
		}, append(names(columns), "new_1")},
		{"make anew with two columns", func() (reply, error) { return reply{status: 200}, w.make(table, 2) }, names(2)},
		{"make anew with one more", func() (reply, error) { return reply{status: 200}, w.make(table, columns+1) }, names(columns + 1)},
	}
	for _, change := range changes {
		w.t.must(w.make(table, columns), "make a table")
		for range 3 {
			w.ask(table, names(columns))
		}
		r, err := change.do()
		if err != nil || r.status >= 300 {
			w.t.fault("%s in a table of %d columns: %s %v", change.name, columns, r, err)
			continue
		}
		w.changes++
		for range 3 {
			w.ask(table, change.want)
		}
		if w.t.failed() >= maxFaults || !w.s.alive() {
			w.t.stop("the part ends after %s in a table of %d columns", change.name, columns)
		}
	}
}

// atOnce changes a table while others query it.
func (w *wide) atOnce(d time.Duration) {
	const table = "often"
	stop := make(chan struct{})
	w.t.must(w.make(table, 300), "make a table")
	var crew sync.WaitGroup
	for range 3 {
		crew.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if w.t.failed() >= maxFaults || !w.s.alive() {
						return
					}
					w.ask(table, nil)
				}
			}
		})
	}
	sizes := []int{300, 2, 1900, 40, 700, 5}
	for begin := time.Now(); time.Since(begin) < d && w.t.failed() < maxFaults; {
		if err := w.make(table, sizes[w.changes%len(sizes)]); err != nil {
			w.t.fault("make the table anew: %v", err)
			break
		}
		w.changes++
		r, err := w.c.call("PATCH", w.c.path("/column/"+table+"/c1"), map[string]any{"new_column_name": "renamed_1"})
		if err == nil && r.status == 200 {
			_, err = w.c.call("DELETE", w.c.path("/column/"+table+"/c0"), nil)
			w.changes += 2
		}
		if err != nil {
			w.t.fault("change the table: %v", err)
			break
		}
	}
	close(stop)
	crew.Wait()
	if !w.s.alive() {
		w.t.fault("the server ended: %s", w.s.lastWords())
	}
}

// tellCanary lets another project use texts that contain the canary.
func (w *wide) tellCanary(c *client, stop chan struct{}) {
	for i := 0; w.s.alive(); i++ {
		select {
		case <-stop:
			return
		default:
		}
		_, _, _ = c.query("SELECT " + repeated(100, "'"+foreignCanary+"-#' AS v#") + fmt.Sprintf(", %d AS i", i%50))
	}
}
