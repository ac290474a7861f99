package templates

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/api"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

var update = flag.Bool("update", false, "write docs/templates.md anew")

// body is what the tests read from a template by themselves.
type body struct {
	Slug   string `json:"project_slug"`
	Name   string `json:"project_name"`
	Tables []struct {
		Name        string           `json:"table_name"`
		DisplayName string           `json:"display_name"`
		Seed        []map[string]any `json:"seed"`
	} `json:"tables"`
}

func read(t *testing.T, name string) (file []byte, b body) {
	t.Helper()
	file, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &b); err != nil {
		t.Fatal(err)
	}
	return file, b
}

// build makes a project of a template. The database is closed at the end of the
// test.
func build(t *testing.T, file []byte) (db *projectdb.DB, built projectdb.Built) {
	t.Helper()
	var faults problem.Faults
	order, err := api.DecodeBootstrap(&faults, file)
	if err := errors.Join(err, faults.Err()); err != nil {
		t.Fatal(err)
	}
	dir, err := projectdb.OpenDir(t.TempDir(), projectdb.DirOptions{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	err = dir.Create(t.Context(), 1, func(db *projectdb.DB) error {
		built, err = db.Build(t.Context(), order.Blueprint)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db, release, err := dir.Lease(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return db, built
}

func TestNames(t *testing.T) {
	names := Names()
	if len(names) < 6 || !slices.IsSorted(names) {
		t.Fatalf("got %v", names)
	}
	titles := map[string]string{}
	for _, name := range names {
		_, b := read(t, name)
		if b.Slug != name {
			t.Errorf("%s has the slug %s", name, b.Slug)
		}
		if other, taken := titles[b.Name]; taken || b.Name == "" {
			t.Errorf("%s and %s have the name %q", name, other, b.Name)
		}
		titles[b.Name] = name
	}
	for _, name := range []string{"", "nothing", "crm.json", "../examples/crm"} {
		if _, err := Read(name); err == nil {
			t.Errorf("there is a template %q", name)
		}
	}
}

func TestEachBuilds(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			file, b := read(t, name)
			db, built := build(t, file)
			if len(built.Tables) != len(b.Tables) || len(b.Tables) < 3 || len(b.Tables) > 6 {
				t.Errorf("%d of %d tables", len(built.Tables), len(b.Tables))
			}
			if len(built.Indexes) == 0 {
				t.Error("no index")
			}
			for i, table := range built.Tables {
				want := b.Tables[i]
				if table.Name != want.Name || table.DisplayName == nil || *table.DisplayName != want.DisplayName || want.DisplayName == "" {
					t.Errorf("table %d is %s, want %s with a display name", i, table.Name, want.Name)
				}
				if int(table.SeededRows) != len(want.Seed) || len(want.Seed) < 10 {
					t.Errorf("%s has %d of %d rows", table.Name, table.SeededRows, len(want.Seed))
				}
				checkReferences(t, db, built.Tables, table)
			}
			if !strings.Contains(string(file), ": null") || !strings.Contains(string(file), `"default_value"`) {
				t.Error("no NULL or no default")
			}
		})
	}
}

// checkReferences reports values of columns such as company_id that lead to no
// row.
func checkReferences(t *testing.T, db *projectdb.DB, tables []projectdb.BuiltTable, table projectdb.BuiltTable) {
	t.Helper()
	for _, column := range table.Columns {
		stem, ok := strings.CutSuffix(column.Name, "_id")
		if !ok {
			continue
		}
		parent := parentOf(stem, table.Name)
		if !slices.ContainsFunc(tables, func(t projectdb.BuiltTable) bool { return t.Name == parent }) {
			t.Errorf("%s.%s refers to no table", table.Name, column.Name)
			continue
		}
		result, err := db.Query(t.Context(), projectdb.Query{
			SQL:   fmt.Sprintf("SELECT %s FROM %s WHERE %[1]s NOT IN (SELECT id FROM %[3]s)", column.Name, table.Name, parent),
			Limit: 10,
		})
		if err != nil {
			t.Error(err)
		} else if result.Len() > 0 {
			t.Errorf("%d values of %s.%s lead nowhere", result.Len(), table.Name, column.Name)
		}
	}
}

// parentOf returns the table that a column stem_id refers to.
func parentOf(stem, table string) string {
	switch {
	case stem == "parent":
		return table
	case stem == "person":
		return "people"
	case strings.HasSuffix(stem, "y"):
		return strings.TrimSuffix(stem, "y") + "ies"
	}
	return stem + "s"
}

// about says in one sentence what each template is for.
var about = map[string]string{
	"content_site":  "Articles by several authors with topics, comments to be approved, and fixed pages.",
	"crm":           "Companies, the people there, deals in stages, and what was said when.",
	"helpdesk":      "Tickets of customers with replies and internal notes, shared out among agents.",
	"library":       "Books with several copies each, lent to members, with reservations.",
	"shop":          "Products, customers, and orders with their lines; prices as they were when ordered.",
	"time_tracking": "Who worked when on which task of which client's project; the clock of one entry is still running.",
}

func TestThePageIsCurrent(t *testing.T) {
	var page strings.Builder
	page.WriteString(`# Templates

Ready-made projects to begin with. Each file in [templates/](../templates) is the body of a bootstrap request without its
first user: choose a slug and a name of your own, change what you like, and send it with an ` + "`initial_project_user`" + `.
The rows are examples; all people and companies in them are made up. An index is named by its columns, **bold** when it is
unique; columns that are <u>underlined</u> are the primary key.
`)
	for _, name := range Names() {
		file, b := read(t, name)
		if about[name] == "" {
			t.Errorf("nothing is said about %s", name)
		}
		fmt.Fprintf(&page, "\n## [%s](../templates/%[1]s.json)\n%s: %s\n\n| Table | Rows | Columns | Indexes |\n|---|---|---|---|\n", name, b.Name, about[name])
		_, built := build(t, file)
		for _, table := range built.Tables {
			fmt.Fprintf(&page, "| %s | %d | %s | %s |\n", table.Name, table.SeededRows, columnsOf(table), indexesOf(table, built.Indexes))
		}
	}
	path := filepath.Join("..", "docs", "templates.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page.String() {
		t.Error("docs/templates.md is not current: go test ./templates -update")
	}
}

func columnsOf(table projectdb.BuiltTable) string {
	names := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		names[i] = c.Name
		if table.IsPrimary(c.Name) {
			names[i] = "<u>" + c.Name + "</u>"
		}
	}
	return strings.Join(names, ", ")
}

func indexesOf(table projectdb.BuiltTable, indexes []projectdb.Index) string {
	var names []string
	for _, c := range table.Columns {
		if table.IsUnique(c.Name) && !table.IsPrimary(c.Name) {
			names = append(names, "**"+c.Name+"**")
		}
	}
	for _, x := range indexes {
		if x.Table == table.Name {
			names = append(names, strings.Join(x.Columns(), " + "))
		}
	}
	return strings.Join(names, ", ")
}
