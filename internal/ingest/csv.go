package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// loadCSV reads the file twice: to choose the types, and to insert the rows.
func (s *Source) loadCSV(ctx context.Context, db *projectdb.DB, o Options, report *Report) error {
	survey, err := s.surveyCSV(ctx, o.CSV)
	if err != nil {
		return err
	}
	t := survey.table(s.tableName(o), report)
	return db.Load(ctx, func(l *projectdb.Loader) error {
		taken, err := l.Names()
		if err != nil {
			return err
		}
		if taken[sqlite.Fold(t.Name)] {
			return nameConflict([]string{t.Name})
		}
		if _, err := l.CreateTable(t); err != nil {
			return err
		}
		rows, err := s.insertCSV(ctx, l, &t, survey)
		report.Tables[0].Rows, report.Tables[0].Inserted = rows, rows
		return err
	})
}

// tableName is the name asked for, or that of the file in an allowed form.
func (s *Source) tableName(o Options) string {
	if o.Table != "" {
		return o.Table
	}
	return projectdb.AdjustName(strings.TrimSuffix(s.name, filepath.Ext(s.name)), "table", map[string]bool{})
}

// csvFile is a CSV file while it is read from its start to its end.
type csvFile struct {
	*format.CSVReader
	all  io.Reader
	file *os.File
	sum  func() string
}

func (s *Source) openCSV(d format.ReadDialect) (*csvFile, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return nil, unreadable(err)
	}
	sum := sha256.New()
	f := &csvFile{file: file, all: io.TeeReader(file, sum), sum: func() string { return hex.EncodeToString(sum.Sum(nil)) }}
	if f.CSVReader, err = format.NewCSVReader(f.all, d); err != nil {
		file.Close()
		return nil, csvProblem(err)
	}
	return f, nil
}

// each calls use with every record, and makes sure that the content is the one
// that was opened.
func (s *Source) each(ctx context.Context, f *csvFile, use func([]format.Field) error) error {
	for n := 0; ; n++ {
		if n%batchRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		fields, err := f.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return csvProblem(err)
		}
		if err := use(fields); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, f.all); err != nil {
		return unreadable(err)
	}
	if f.sum() != s.sha256 {
		return invalid("The file was changed while it was read.")
	}
	return nil
}

func (f *csvFile) Close() error { return f.file.Close() }

// csvProblem turns what the reader says into a problem of the file.
func csvProblem(err error) error {
	var fault *format.CSVError
	if !errors.As(err, &fault) {
		return unreadable(err)
	}
	if fault.Line == 0 {
		return invalid("%s", fault.Reason)
	}
	return invalid("Line %d, column %d: %s.", fault.Line, fault.Column, fault.Reason)
}

// survey is what the first reading of a CSV file tells.
type survey struct {
	asked   format.ReadDialect
	dialect format.Detected
	header  []string
	columns []inference
	invalid int64 // fields that are not UTF-8
	faults  csvFaults
}

func (s *Source) surveyCSV(ctx context.Context, d format.ReadDialect) (*survey, error) {
	f, err := s.openCSV(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sv := &survey{asked: d, dialect: f.Dialect(), header: f.Header()}
	if sv.header != nil {
		sv.columns = make([]inference, len(sv.header))
	}
	judge := newRealJudge()
	err = s.each(ctx, f, func(fields []format.Field) error {
		if sv.columns == nil {
			sv.columns = make([]inference, len(fields))
		}
		if len(fields) != len(sv.columns) {
			sv.faults.add("Line %d has %s, but the first row has %d.", f.Line(), plural(int64(len(fields)), "field"), len(sv.columns))
			return nil
		}
		for i, field := range fields {
			if !sv.columns[i].see(field, judge) {
				sv.faults.add("Line %d, column %s: the value holds a NUL character.", f.Line(), sv.sourceName(i))
			}
		}
		return nil
	})
	sv.invalid = f.InvalidUTF8()
	switch {
	case err != nil:
		return nil, err
	case sv.faults.total > 0:
		return nil, sv.faults.err()
	case sv.header == nil && (len(sv.columns) == 0 || len(sv.columns) == 1 && sv.columns[0] == inference{}):
		return nil, invalid("The file holds nothing but empty lines.")
	}
	return sv, nil
}

func (sv *survey) sourceName(i int) string {
	if i < len(sv.header) && sv.header[i] != "" {
		return sv.header[i]
	}
	return "number " + strconv.Itoa(i+1)
}

// csvFaults are the rows that cannot be imported, the first of them in full.
type csvFaults struct {
	shown problem.Faults
	total int
}

func (f *csvFaults) add(format string, args ...any) {
	const show = 20
	if f.total++; f.total <= show {
		f.shown.Add("file", format, args...)
	}
}

func (f *csvFaults) err() error {
	err := f.shown.Err()
	var p *problem.Error
	if errors.As(err, &p) && f.total > 1 {
		p.Message = fmt.Sprintf("%d faults in the file, nothing was imported. The first: %s", f.total, p.Details[0].Message)
	}
	return err
}

// table returns the shape of the table and reports it.
func (sv *survey) table(name string, report *Report) projectdb.Table {
	source := sv.header
	if !sv.dialect.Header {
		source = make([]string, len(sv.columns))
		for i := range source {
			source[i] = "column_" + strconv.Itoa(i+1)
		}
	}
	t := projectdb.Table{Name: name}
	tr := TableReport{Source: report.Source, Name: name, Mode: Create}
	var said notes
	for i, columnName := range columnNames(source) {
		if columnName != source[i] {
			said.add("column "+sv.sourceName(i), "The name is empty, not allowed here or used twice; the column is now named %s.", columnName)
		}
		chosen, reason := sv.columns[i].columnType()
		t.Columns = append(t.Columns, projectdb.Column{Name: columnName, Type: chosen})
		tr.Columns = append(tr.Columns, ColumnReport{Source: source[i], Name: columnName, Type: chosen, Reason: reason})
	}
	if sv.dialect.Encoding != format.UTF8 {
		said.add("file", "It was read as %s; texts are kept as UTF-8.", sv.dialect.Encoding)
	}
	if sv.invalid > 0 {
		said.add("file", "%s bytes that are not UTF-8. They are kept as they are.", strings.Replace(have(sv.invalid), "row", "field", 1))
	}
	report.Tables, report.Notes = append(report.Tables, tr), append(report.Notes, said...)
	return t
}

// columnNames returns allowed names for the columns of a CSV file. An empty one
// is named by its place.
func columnNames(source []string) []string {
	named := make([]string, len(source))
	for i, name := range source {
		named[i] = name
		if strings.TrimSpace(name) == "" {
			named[i] = "column_" + strconv.Itoa(i+1)
		}
	}
	return allowedNames(named, "column", map[string]bool{})
}

func (s *Source) insertCSV(ctx context.Context, l *projectdb.Loader, t *projectdb.Table, sv *survey) (int64, error) {
	f, err := s.openCSV(sv.told())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		names[i] = column.Name
	}
	inserter, _, err := l.Insert(t, names, false)
	if err != nil {
		return 0, err
	}
	defer inserter.Close()
	row := make([]sqlite.Value, len(names))
	err = s.each(ctx, f, func(fields []format.Field) error {
		if len(fields) != len(row) {
			return invalid("The file was changed while it was read.")
		}
		for i, field := range fields {
			if row[i], err = fieldValue(field, t.Columns[i].Type); err != nil {
				return err
			}
		}
		return inserter.Row(row)
	})
	return inserter.Rows(), err
}

// told returns the dialect of the first reading, for the second.
func (sv *survey) told() format.ReadDialect {
	d := sv.asked
	d.Encoding, d.Delimiter, d.Quote, d.LineEnd = sv.dialect.Encoding, sv.dialect.Delimiter, sv.dialect.Quote, sv.dialect.LineEnd
	d.Header = format.WithoutHeader
	if sv.dialect.Header {
		d.Header = format.WithHeader
	}
	return d
}
