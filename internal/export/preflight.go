package export

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Preflight is what an order would become. Bytes and seconds are estimates from
// the first rows.
type Preflight struct {
	RowCount         *int64           `json:"row_count" doc:"Null for a query."`
	EstimatedBytes   *int64           `json:"estimated_bytes" doc:"Null when no estimate is possible: for a query, and when the format cannot hold the first rows."`
	EstimatedSeconds *float64         `json:"estimated_seconds" doc:"Null when estimated_bytes is."`
	Fits             bool             `json:"fits" doc:"Whether the disk has enough space."`
	Tables           []TablePreflight `json:"tables"`
	Warnings         []Warning        `json:"warnings"`
	RowsChecked      int64            `json:"rows_checked" doc:"How many rows were checked for warnings in the time available."`
}

// TablePreflight is what one table, or the result of a query, would become.
type TablePreflight struct {
	Name     string   `json:"name"`
	RowCount *int64   `json:"row_count"`
	Lines    []string `json:"lines" doc:"The first lines of its text; empty for formats that are not text."`
}

// Warning tells of values that a reader of the file may not understand as they
// are meant.
type Warning struct {
	Table   string `json:"table"`
	Column  string `json:"column,omitzero"`
	Code    string `json:"code" enum:"excel_rows,excel_columns,excel_text,big_integers,infinities,any_type,invalid_utf8,formulas,null_and_empty"`
	Count   int64  `json:"count"`
	Message string `json:"message"`
}

// checkTime bounds how long rows are looked at for warnings, and firstLines how
// many lines are shown of a table.
const (
	checkTime  = 3 * time.Second
	firstLines = 20
)

// DryRun checks an order as Create does, and tells what it would become. Nothing
// is written.
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
	if req.Kind == QueryExport {
		err = e.tryQuery(ctx, &p, r)
	} else {
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

// expect notes an estimate, the seconds with two decimals.
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
		err = nil // it has more time when it is not only tried
	}
	p.expect(e, estimate{unknown: true})
	return err
}

// look reads rows until the deadline, shows the first and checks all of them.
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

// firstLines returns the beginning of a table's text.
func (l layout) firstLines(t tableRef, columns []format.Column, b *sqlite.Batch) []string {
	var encoder format.Encoder
	switch l.format.table {
	case "csv", "json", "ndjson":
		encoder = l.encoder(l.format.table, t.id, columns)
	case "sql":
		encoder = format.NewINSERT(t.name, columns)
	default:
		return nil
	}
	few := sqlite.Batch{}
	few.Reset(b.Columns)
	for i := range min(b.Rows, firstLines) {
		few.Append(b.AppendValues(nil, i)...)
	}
	return linesOf(encoder.Rows(encoder.Head(nil), &few, true))
}

// linesOf returns the first lines of a text, each cut to what a reader can see.
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

// finding is what has been found in one column.
type finding struct {
	big, infinite, invalid, formulas, long, nulls, empty int64
	numbers, blobs, changed                              int64 // changed: class, where the type is not known
}

// checker counts the values that the format may be read wrongly for.
type checker struct {
	layout   layout
	table    tableRef
	columns  []format.Column
	findings []finding
}

func newChecker(l layout, table tableRef, columns []format.Column) *checker {
	return &checker{l, table, columns, make([]finding, len(columns))}
}

func (c *checker) rows(b *sqlite.Batch) {
	for i := range b.Rows {
		for j, cell := range b.Row(i) {
			c.findings[j].see(b, cell)
		}
	}
}

func (f *finding) see(b *sqlite.Batch, cell sqlite.Cell) {
	const exact = 1<<53 - 1
	if format.BecomesAnother(b, cell) {
		f.changed++
	}
	switch cell.Kind {
	case sqlite.Null:
		f.nulls++
	case sqlite.Integer:
		f.numbers++
		if n := cell.Int(); n > exact || n < -exact {
			f.big++
		}
	case sqlite.Real:
		f.numbers++
		if v := cell.Float(); v-v != 0 {
			f.infinite++
		}
	case sqlite.Text:
		f.seeText(b.Bytes(cell))
	case sqlite.Blob:
		f.blobs++
		if len(b.Bytes(cell))*4/3 > format.XLSXText {
			f.long++
		}
	}
}

func (f *finding) seeText(text []byte) {
	if len(text) == 0 {
		f.empty++
		return
	}
	if bytes.IndexByte([]byte("=+-@\t\r"), text[0]) >= 0 {
		f.formulas++
	}
	if !utf8.Valid(text) {
		f.invalid++
	}
	if len(text) > format.XLSXText && utf16Len(text) > format.XLSXText {
		f.long++
	}
}

func utf16Len(text []byte) (n int) {
	for _, r := range string(text) {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// warnings returns what was found, as far as it matters for the format.
func (c *checker) warnings(total *int64) []Warning {
	written := c.layout.format.table
	if c.layout.format.name == "archive" {
		written = "csv"
	}
	var list []Warning
	warn := func(column, code string, count int64, message string, formats ...string) {
		if count > 0 && slices.Contains(formats, written) {
			list = append(list, Warning{c.table.name, column, code, count, message})
		}
	}
	if total != nil && *total > format.XLSXRows-1 && !c.layout.spec.Split {
		warn("", "excel_rows", *total, "An Excel sheet has at most 1,048,576 rows; set split to continue on further sheets.", "xlsx")
	}
	if n := len(c.columns); n > format.XLSXColumns {
		warn("", "excel_columns", int64(n), "An Excel sheet has at most 16,384 columns.", "xlsx")
	}
	dialect := c.layout.spec.dialect(c.table.id)
	for i, f := range c.findings {
		name := c.columns[i].Name
		warn(name, "excel_text", f.long, "Texts longer than 32,767 characters, the limit of an Excel cell: the export would fail.", "xlsx")
		warn(name, "big_integers", f.big, "Integers beyond ±(2^53-1), which many JSON readers round.", "json", "ndjson")
		warn(name, "big_integers", f.big, "Integers beyond ±2^53 become text.", "xlsx")
		warn(name, "infinities", f.infinite, "Infinities become null.", "json", "ndjson")
		warn(name, "infinities", f.infinite, "Infinities become text.", "xlsx")
		if c.columns[i].Type == "ANY" {
			warn(name, "any_type", f.changed, "In an ANY column, readers take BLOBs, texts that look like numbers, and infinities for values of another type.", "csv")
			warn(name, "any_type", f.blobs, "In an ANY column, BLOBs cannot be told from texts that are their base64.", "json", "ndjson", "xlsx")
			warn(name, "any_type", f.numbers+f.blobs, "In an ANY column, numbers and BLOBs become texts.", "parquet")
		}
		warn(name, "invalid_utf8", f.invalid, "Texts that are not UTF-8 are written as they are, which some readers refuse.", "csv")
		warn(name, "invalid_utf8", f.invalid, "Texts that are not UTF-8 are written with U+FFFD.", "json", "ndjson", "xlsx", "parquet")
		if !dialect.FormulaGuard {
			warn(name, "formulas", f.formulas, "Texts that spreadsheets take for formulas; set formula_guard to prevent it.", "csv")
		}
		if dialect.NullText == "" && f.nulls > 0 {
			warn(name, "null_and_empty", f.empty, "NULL and the empty text differ only by quotes, which many readers ignore; set null_text to tell them apart.", "csv")
		}
	}
	return list
}
