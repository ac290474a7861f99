package export

import (
	"context"
	stdjson "encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/journal"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// JournalPart selects what an export of the journal holds: one of its members is set.
type JournalPart struct {
	Requests *journal.Filter      `json:"requests,omitzero"`
	Runs     *journal.RunFilter   `json:"runs,omitzero"`
	Usage    *journal.UsageFilter `json:"usage,omitzero"`
	Run      *RunRef              `json:"run,omitzero"`

	// Parameters are those of the request, which the manifest shows.
	Parameters map[string]string `json:"-"`
	// Readable lists the tables whose ids of records are shown; nil means all.
	Readable []ids.Table `json:"readable"`
	// Manifests says whether a bundle has the manifests of the artifacts of its run.
	Manifests bool `json:"manifests,omitzero"`
}

// MarshalJSON writes durations as numbers, for which only encoding/json has a form.
func (p JournalPart) MarshalJSON() ([]byte, error) {
	type plain JournalPart
	return stdjson.Marshal(plain(p))
}

// UnmarshalJSON reads what MarshalJSON has written.
func (p *JournalPart) UnmarshalJSON(text []byte) error {
	type plain JournalPart
	return stdjson.Unmarshal(text, (*plain)(p))
}

// RunRef is the run of a bundle.
type RunRef struct {
	RunID   string    `json:"run_id"`
	TokenID ids.Token `json:"token_id"`
}

// name returns what the export is called.
func (p *JournalPart) name() string {
	switch {
	case p.Runs != nil:
		return "runs"
	case p.Usage != nil:
		return "usage"
	case p.Run != nil:
		return "run"
	}
	return "requests"
}

// journalPage is how many rows are read at once.
const journalPage = 1000

// rowsOf are rows of the journal as a table.
type rowsOf struct {
	columns []format.Column
	next    func(*sqlite.Batch) (bool, error) // false after the last batch
}

// tabulate returns what fetch returns as rows. It is called with the place of the next
// page, "" for the first.
func tabulate[T any](fetch func(after string) (journal.Page[T], error)) rowsOf {
	fields := fieldsOf(reflect.TypeFor[T]())
	rows := rowsOf{}
	for _, f := range fields {
		rows.columns = append(rows.columns, f.column)
	}
	after, over := "", false
	rows.next = func(b *sqlite.Batch) (bool, error) {
		b.Reset(len(fields))
		for b.Rows == 0 && !over { // a page may be short, or even empty
			page, err := fetch(after)
			if err != nil {
				return false, err
			}
			for i := range page.Items {
				b.Append(valuesOf(fields, reflect.ValueOf(&page.Items[i]).Elem())...)
			}
			after, over = page.Next, page.Next == ""
		}
		return b.Rows > 0, nil
	}
	return rows
}

// field is a member of a JSON form that is a column of a table.
type field struct {
	index  int
	column format.Column
}

// fieldsOf returns the members of the JSON form of a type: texts, numbers, lists of
// texts, and pointers to these, which may be nil.
func fieldsOf(t reflect.Type) (fields []field) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		what := t.Field(i).Type
		if what.Kind() == reflect.Pointer {
			what = what.Elem()
		}
		column := format.Column{Name: name, Type: "TEXT"}
		switch what.Kind() {
		case reflect.Int, reflect.Int64:
			column.Type = "INTEGER"
		case reflect.Float64:
			column.Type = "REAL"
		}
		fields = append(fields, field{i, column})
	}
	return fields
}

func valuesOf(fields []field, row reflect.Value) (values []sqlite.Value) {
	for _, f := range fields {
		v := row.Field(f.index)
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				values = append(values, sqlite.Value{})
				continue
			}
			v = v.Elem()
		}
		switch v.Kind() {
		case reflect.Int, reflect.Int64:
			values = append(values, sqlite.IntValue(v.Int()))
		case reflect.Float64:
			values = append(values, sqlite.FloatValue(v.Float()))
		case reflect.Slice:
			values = append(values, sqlite.TextValue(strings.Join(v.Interface().([]string), ",")))
		default:
			values = append(values, sqlite.TextValue(v.String()))
		}
	}
	return values
}

// journalRows returns the rows that an export of the journal holds.
func (e *Exports) journalRows(ctx context.Context, r *record) rowsOf {
	part, j := r.spec.Journal, e.config.Journal()
	switch {
	case part.Runs != nil:
		return tabulate(func(after string) (journal.Page[journal.Run], error) {
			return j.Runs(ctx, r.projectID, *part.Runs, after, journalPage)
		})
	case part.Usage != nil:
		return tabulate(usageByDay(ctx, j, r.projectID, *part.Usage))
	}
	return tabulate(func(after string) (journal.Page[journal.Request], error) {
		page, err := j.Requests(ctx, r.projectID, *part.Requests, after, journalPage)
		for i := range page.Items {
			part.hide(&page.Items[i])
		}
		return page, err
	})
}

// hide removes the id of a record that the export may not show.
func (p *JournalPart) hide(r *journal.Request) { r.HideObject(p.Readable) }

// maxUsage bounds the sums of one day in an export.
const maxUsage = 1 << 20

// usageByDay returns sums of one day after the other, so that no more are in memory. A
// single sum for the whole time is one page.
func usageByDay(ctx context.Context, j *journal.Journal, projectID ids.Project, f journal.UsageFilter) func(after string) (journal.Page[journal.Usage], error) {
	from, to := f.From, f.To
	return func(string) (page journal.Page[journal.Usage], err error) {
		part := f
		part.From, part.To, part.Limit = from, to, maxUsage
		if end := from.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour); f.Hours > 0 && end.Before(to) {
			part.To, from, page.Next = end, end, "another day"
		}
		sums, _, err := j.Usage(ctx, projectID, part)
		for _, sum := range sums {
			page.Items = append(page.Items, *sum)
		}
		return page, err
	}
}

// writeJournal writes calls, runs or sums as one table.
func (e *Exports) writeJournal(j *job, l layout, w io.Writer) error {
	rows, m := e.journalRows(j.ctx, j.record), &j.record.manifest
	result := TableResult{Name: j.record.spec.Journal.name()}
	writer, err := l.tableWriter(w, tableRef{name: result.Name}, rows.columns)
	if err != nil {
		return err
	}
	content, err := j.pump(rows.next, writer)
	if err != nil {
		return err
	}
	result.hold(rows.columns, content)
	result.RowCount, result.RowsExpected, result.Replaced = content.Rows, content.Rows, replaced(writer)
	m.Tables, m.RowCount = []TableResult{result}, content.Rows
	j.rowsTotal.Store(content.Rows)
	return nil
}

// tryJournal shows the first rows of an export of the journal.
func (e *Exports) tryJournal(ctx context.Context, p *Preflight, l layout, r *record) error {
	p.expect(e, estimate{unknown: true})
	part := r.spec.Journal
	if part.Run != nil {
		_, _, err := e.config.Journal().Run(ctx, r.projectID, part.Run.TokenID, part.Run.RunID)
		return err
	}
	rows, shown := e.journalRows(ctx, r), TablePreflight{Name: part.name(), Lines: []string{}}
	var b sqlite.Batch
	more, err := rows.next(&b)
	if err == nil && more {
		shown.Lines = append(shown.Lines, l.firstLines(tableRef{name: shown.Name}, rows.columns, &b)...)
	}
	p.Tables, p.RowsChecked = append(p.Tables, shown), int64(b.Rows)
	return err
}

// writeRun writes a ZIP file with everything that is recorded about a run.
func (e *Exports) writeRun(j *job, l layout, w io.Writer) error {
	part := j.record.spec.Journal
	run, chain, err := e.config.Journal().Run(j.ctx, j.record.projectID, part.Run.TokenID, part.Run.RunID)
	if err != nil {
		return err
	}
	b := runBundle{e: e, j: j, run: run, zip: newMemberZIP(w, e.now())}
	about := struct {
		Run   journal.Run   `json:"run"`
		Chain []journal.Run `json:"chain"`
	}{run, chain}
	for _, step := range []func() error{
		func() error { return b.addJSON("run.json", about) },
		b.addCalls,
		b.addManifests,
		func() error { return b.zip.add("README.txt", b.readme(l.project)) },
		b.zip.close,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	m := &j.record.manifest
	m.Members, m.RowCount = b.zip.members, b.calls
	j.rowsTotal.Store(b.calls)
	return nil
}

// runBundle is a bundle while it is written.
type runBundle struct {
	e     *Exports
	j     *job
	run   journal.Run
	zip   *memberZIP
	calls int64
}

func (b *runBundle) addJSON(name string, value any) error {
	text, err := json.Marshal(value, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return b.zip.add(name, append(text, '\n'))
}

// addCalls adds the calls in the order in which they began, one on each line.
func (b *runBundle) addCalls() error {
	if err := b.zip.create("calls.ndjson", ""); err != nil {
		return err
	}
	var before *journal.Request
	for after := ""; ; {
		page, err := b.e.config.Journal().Calls(b.j.ctx, b.j.record.projectID, b.run, after, journalPage)
		if err != nil {
			return err
		}
		for i := range page.Items {
			call := &page.Items[i]
			b.j.record.spec.Journal.hide(call)
			line, err := json.Marshal(journal.CallOf(&b.run, before, call))
			if err != nil {
				return fmt.Errorf("encode a call: %w", err)
			}
			if _, err := b.zip.Write(append(line, '\n')); err != nil {
				return err
			}
			before = call
			b.calls++
			b.j.rowsDone.Add(1)
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

// addManifests adds the manifests of the exports that the run made, as far as they are
// still there.
func (b *runBundle) addManifests() error {
	if !b.j.record.spec.Journal.Manifests {
		return nil
	}
	for _, id := range b.run.Artifacts {
		m, err := b.e.Get(b.j.ctx, b.j.record.projectID, id)
		switch {
		case problem.Is(err, problem.CodeNotFound): // it is an import, or has been removed
		case err != nil:
			return err
		default:
			if err := b.addJSON("artifacts/"+id+".json", m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *runBundle) readme(project string) []byte {
	text := fmt.Appendf(nil, `The run %s in the project %s, as recorded until %s

run.json       the run, and the runs that it continues or that continue it
calls.ndjson   its %d calls, one on each line, in the order in which they began
artifacts/     the manifests of the exports that it made and that are still there

The names in these files are those of the HTTP API. Nothing holds bodies or values.
Exports and imports that the run made:
`, b.run.RunID, project, jobs.Timestamp(b.e.now()), b.calls)
	for _, id := range b.run.Artifacts {
		text = fmt.Appendf(text, "  %s\n", id)
	}
	if len(b.run.Artifacts) == 0 {
		text = append(text, "  none\n"...)
	}
	return text
}
