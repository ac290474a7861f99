package export

import (
	"bytes"
	"context"
	"math"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Preflight says what a request would produce. Bytes and seconds are estimates from the
// first rows.
type Preflight struct {
	RowCount         *int64           `json:"row_count" doc:"Null for a query."`
	EstimatedBytes   *int64           `json:"estimated_bytes" doc:"Null when no estimate is possible: for a query, and when the format cannot hold the first rows."`
	EstimatedSeconds *float64         `json:"estimated_seconds" doc:"Null when estimated_bytes is."`
	Fits             bool             `json:"fits" doc:"Whether the disk has enough space."`
	Tables           []TablePreflight `json:"tables"`
	Warnings         []Warning        `json:"warnings"`
	RowsChecked      int64            `json:"rows_checked" doc:"How many rows were checked for warnings in the time available."`
}

// TablePreflight says what one table, or the result of a query, would produce.
type TablePreflight struct {
	Name     string   `json:"name"`
	RowCount *int64   `json:"row_count"`
	Lines    []string `json:"lines" doc:"The first lines of its text; empty for formats that are not text."`
}

// Warning describes values that a reader of the file may misinterpret.
type Warning struct {
	Table   string `json:"table"`
	Column  string `json:"column,omitzero"`
	Code    string `json:"code" enum:"excel_rows,excel_columns,excel_text,big_integers,infinities,any_type,invalid_utf8,formulas,null_and_empty"`
	Count   int64  `json:"count"`
	Message string `json:"message"`
}

// checkTime limits how long rows are read to look for warnings; firstLines is how many
// lines of a table are shown.
const (
	checkTime  = 3 * time.Second
	firstLines = 20
)

// DryRun checks a request as Create does, and says what it would produce. It writes
// nothing.
func (e *Exports) DryRun(ctx context.Context, faults *problem.Faults, req Request) (Preflight, error) {
	r, err := e.check(ctx, faults, req)
	if err != nil {
		return Preflight{}, err
	}
	p := Preflight{Tables: []TablePreflight{}, Warnings: []Warning{}}
	f, _ := formatOf(req.Kind, r.manifest.Format)
	l := layout{format: f, spec: &r.spec, project: req.Project.Slug, at: e.now()}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch req.Kind {
	case QueryExport:
		err = e.tryQuery(ctx, &p, r)
	case JournalExport, RunExport:
		err = e.tryJournal(ctx, &p, l, r)
	default:
		err = e.tryTables(ctx, &p, l, r)
	}
	return p, err
}

func (e *Exports) tryTables(ctx context.Context, p *Preflight, l layout, r *record) error {
	s, err := e.openSource(ctx, r)
	if err != nil {
		return err
	}
	defer s.close()
	j := newJob(ctx, r, e.now())
	if l.format.kind == SchemaExport {
		var schema bytes.Buffer
		err := l.writeSchema(&schema, s.tables)
		p.Tables = append(p.Tables, TablePreflight{Name: "schema", Lines: linesOf(schema.Bytes())})
		p.RowCount = new(int64)
		p.expect(e, estimate{bytes: int64(schema.Len()), space: int64(schema.Len())})
		return err
	}
	if err := j.count(s); err != nil {
		return err
	}
	expected, err := l.estimate(s, r.manifest.Tables)
	if err != nil {
		return err
	}
	total := j.rowsTotal.Load()
	p.RowCount = &total
	p.expect(e, expected)
	deadline := time.Now().Add(checkTime)
	for i, t := range s.tables {
		scan, err := s.snapshot.Scan(t, s.spec.Selections[t.ID])
		if err != nil {
			return err
		}
		err = p.look(l, tableRef{id: t.ID, name: t.Name}, &r.manifest.Tables[i].RowsExpected, scan, deadline)
		scan.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// expect sets the estimate, with seconds rounded to two decimals.
func (p *Preflight) expect(e *Exports, expected estimate) {
	p.Fits = e.config.Disk.Need(expected.space) == nil
	if expected.unknown {
		return
	}
	seconds := math.Round(expected.took.Seconds()*100) / 100
	p.EstimatedBytes, p.EstimatedSeconds = &expected.bytes, &seconds
}

func (e *Exports) tryQuery(ctx context.Context, p *Preflight, r *record) error {
	db, release, err := e.projects.Lease(ctx, r.projectID)
	if err != nil {
		return err
	}
	defer release()
	q := e.query(r)
	q.Timeout = checkTime
	order, err := e.queryRequest(r, q)
	if err != nil {
		return err
	}
	tried, err := projectdb.CallQuery(ctx, db, q, tryTask, order)
	p.Tables, p.Warnings, p.RowsChecked = append(p.Tables, tried.Tables...), append(p.Warnings, tried.Warnings...), tried.RowsChecked
	if problem.Is(err, problem.CodeQueryTimeout) {
		err = nil // a real run has more time
	}
	p.expect(e, estimate{unknown: true})
	return err
}

// look reads rows until the deadline, shows the first ones and checks all of them.
func (p *Preflight) look(l layout, t tableRef, total *int64, scan *projectdb.Scan, deadline time.Time) error {
	check := newChecker(l, t, scan.Columns)
	shown := TablePreflight{Name: t.name, RowCount: total, Lines: []string{}}
	var b sqlite.Batch
	for first := true; first || time.Now().Before(deadline); first = false {
		more, err := scan.Next(&b)
		if err != nil {
			return err
		}
		if first {
			shown.Lines = append(shown.Lines, l.firstLines(t, scan.Columns, &b)...)
		}
		if !more {
			break
		}
		check.rows(&b)
		p.RowsChecked += int64(b.Rows)
	}
	p.Tables = append(p.Tables, shown)
	p.Warnings = append(p.Warnings, check.warnings(total)...)
	return nil
}

// firstLines returns the first lines of a table's text.
func (l layout) firstLines(t tableRef, columns []format.Column, b *sqlite.Batch) []string {
	if !l.format.encodes() {
		return nil
	}
	encoder := l.format.table.NewEncoder(columns, l.writing(t))
	few := sqlite.Batch{}
	few.Reset(b.Columns)
	for i := range min(b.Rows, firstLines) {
		few.Append(b.AppendValues(nil, i)...)
	}
	return linesOf(encoder.Rows(encoder.Head(nil), &few, true))
}

// linesOf returns the first lines of a text, each shortened for display.
func linesOf(text []byte) []string {
	const longest = 500
	lines := []string{}
	for line := range strings.Lines(string(text)) {
		if len(lines) == firstLines {
			break
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) > longest {
			line = line[:longest] + "…"
		}
		lines = append(lines, strings.ToValidUTF8(line, "\ufffd"))
	}
	return lines
}

// checker counts values that are likely to be misread in the format.
type checker struct {
	layout   layout
	table    tableRef
	columns  []format.Column
	findings []format.Findings
}

func newChecker(l layout, table tableRef, columns []format.Column) *checker {
	return &checker{l, table, columns, make([]format.Findings, len(columns))}
}

func (c *checker) rows(b *sqlite.Batch) {
	for i := range b.Rows {
		for j, cell := range b.Row(i) {
			c.findings[j].See(b, cell)
		}
	}
}

// warnings returns the findings that matter for the format.
func (c *checker) warnings(total *int64) (list []Warning) {
	written, writing := c.layout.format.rows(), c.layout.writing(c.table)
	warn := func(column, code, message string, count int64) {
		if count > 0 {
			list = append(list, Warning{c.table.name, column, code, count, message})
		}
	}
	for _, caveat := range written.TableCaveats {
		rows := int64(0)
		if total != nil {
			rows = *total
		}
		warn("", caveat.Code, caveat.Message, caveat.Count(rows, len(c.columns), writing))
	}
	for i, column := range c.columns {
		for _, caveat := range written.Caveats {
			warn(column.Name, caveat.Code, caveat.Message, caveat.Count(&c.findings[i], column, writing))
		}
	}
	return list
}
