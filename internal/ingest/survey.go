package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// survey is what a reading of a whole table tells, before anything is made.
type survey struct {
	columns []format.Column
	header  bool // the columns have names
	found   []inference
	rows    int64
	sample  [][]sqlite.Value // the first rows
}

// subject names a column in a note.
func (sv *survey) subject(i int) string {
	if sv.columns[i].Name != "" {
		return sv.columns[i].Name
	}
	return fmt.Sprintf("number %d", i+1)
}

// sampleRows is how many rows a preview shows.
const sampleRows = 10

// look reads a table for the types of its columns. Rows of another length do
// not count.
func (a assignment) look(ctx context.Context, told func(rows, bytes int64)) (*survey, error) {
	rows, err := a.open(ctx)
	if err != nil {
		return nil, explainFault(ctx, err)
	}
	defer rows.Close()
	sv := &survey{columns: rows.columns(), found: make([]inference, len(rows.columns()))}
	for i, column := range sv.columns {
		sv.found[i].text, sv.found[i].dates.asked = a.text, a.target.Dates
		sv.header = sv.header || column.Name != ""
	}
	for {
		row, err := rows.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, explainFault(ctx, err)
		}
		if sv.rows++; sv.rows%batchRows == 0 {
			told(sv.rows, rows.bytes())
		}
		if len(row) == len(sv.found) {
			sv.see(row, rows.line())
		}
	}
	if a.text && !sv.header && len(sv.found) == 1 && len(a.target.Types) == 0 && sv.found[0].integers+sv.found[0].reals+sv.found[0].infinities+sv.found[0].texts == 0 {
		return nil, invalid(emptyLines)
	}
	return sv, nil
}

func (sv *survey) see(row []sqlite.Value, line int64) {
	for i, v := range row {
		sv.found[i].see(v, line)
	}
	if len(sv.sample) < sampleRows {
		kept := make([]sqlite.Value, len(row))
		for i, v := range row {
			v.Bytes = bytes.Clone(v.Bytes)
			kept[i] = v
		}
		sv.sample = append(sv.sample, kept)
	}
}

// explainFault makes problems of the file from what a reader finds in it.
func explainFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *problem.Error
	var fault *format.FileError
	switch {
	case errors.As(err, &known):
		return err
	case !errors.As(err, &fault):
		return unreadable(err)
	case fault.Cell != "":
		return invalid("Cell %s: %s.", fault.Cell, strings.TrimSuffix(fault.Reason, ".")).Because(err)
	case fault.Line > 0:
		return invalid("Line %d, column %d: %s.", fault.Line, fault.Column, strings.TrimSuffix(fault.Reason, ".")).Because(err)
	}
	return invalid("%s.", strings.TrimSuffix(fault.Reason, ".")).Because(err)
}
