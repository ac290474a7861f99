package imports

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

// importAndDie is what the child process of the crash test does.
func importAndDie(folder, at string) {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	projects, err := projectdb.OpenDir(filepath.Join(folder, "projects"), projectdb.DirOptions{})
	check(err)
	known, err := registry.Open(filepath.Join(folder, "server.db"), projects, registry.Options{})
	check(err)
	m, err := Open(Config{
		Database: filepath.Join(folder, "imports.db"), Folder: filepath.Join(folder, "imports"),
		Projects: projects, Registry: known, Now: time.Now, Random: rand.Reader,
		Failpoint: func(step string) {
			if step == at {
				killSelf()
			}
		},
	})
	check(err)
	m.Start()
	made, _, err := m.Begin(context.Background(), order(func(o *Order) {
		switch os.Getenv(crashKind) {
		case "project":
			o.Kind, o.NewProject = ProjectImport, &NewProject{Slug: "crowd", Name: "Crowd"}
		case "parts":
			o.Resumable, o.Size = true, int64(len(people(500)))
		}
	}))
	check(err)
	_, _, err = m.Receive(context.Background(), shop.ID, made.ID, Part{Body: strings.NewReader(people(500))})
	check(err)
	select {}
}

// TestKilledAtEachStep lets a process kill itself at one step after the other.
// Whatever it had come to, the rows are there once in the end, or not at all.
func TestKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"received", "entered", "claimed", "committed", "loaded", "settled"} {
		for _, kind := range []string{"table", "project", "parts"} {
			t.Run(step+" "+kind, func(t *testing.T) { killAt(t, step, kind) })
		}
	}
}

func killAt(t *testing.T, step, kind string) {
	folder, slug := t.TempDir(), "shop"
	f := newFixture(t, folder)
	f.shut()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashFolder+"="+folder, crashStep+"="+step, crashKind+"="+kind)
	if kind == "project" {
		slug = "crowd"
	}
	if output, err := child.CombinedOutput(); err == nil || len(output) > 0 {
		t.Fatalf("the child ended with %v, and said:\n%s", err, output)
	}

	f = newFixture(t, folder, func(c *Config) { c.Now = time.Now })
	if err := f.registry.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Start()
	list, _, err := f.List(t.Context(), shop.ID, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if step == "received" && kind != "parts" { // the sender was never answered
		if len(list) != 0 || len(f.files()) != 0 {
			t.Errorf("%d imports, files %v", len(list), f.files())
		}
		return
	}
	if len(list) != 1 {
		t.Fatalf("%d imports", len(list))
	}
	m := f.ready(list[0])
	if n := f.rows(slug, "people"); n != 500 || m.Report == nil || m.Report.Tables[0].Rows != 500 || len(f.files()) != 0 {
		t.Errorf("%d rows, report %+v, files %v", n, m.Report, f.files())
	}
}
