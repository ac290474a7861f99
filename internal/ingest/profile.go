package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// profile is what the values of a table say about the types of its columns.
type profile struct {
	columns []format.Column
	header  bool // the columns have names
	found   []inference
	rows    int64
	whole   bool             // rows covers the whole table
	sample  [][]sqlite.Value // the first rows
}

// subject names a column in a note.
func (sv *profile) subject(i int) string {
	if sv.columns[i].Name != "" {
		return sv.columns[i].Name
	}
	return fmt.Sprintf("number %d", i+1)
}

// sampleRows is the number of rows that a preview shows.
const sampleRows = 10

// look profiles at least the first maxRows rows of a table. Rows with too few or too
// many values do not count.
func (a tableMapping) look(ctx context.Context, maxRows int64, told func(rows, bytes int64)) (*profile, error) {
	rows, err := a.Open(ctx)
	if err != nil {
		return nil, source.ExplainFault(ctx, err)
	}
	defer rows.Close()
	sv := &profile{columns: rows.Columns(), found: make([]inference, len(rows.Columns()))}
	for i, column := range sv.columns {
		sv.found[i].text, sv.found[i].told, sv.found[i].dates.asked = a.Text, a.Told, a.target.Dates
		sv.header = sv.header || column.Name != ""
	}
	for sv.rows < maxRows || a.blank(sv) {
		row, err := rows.Next()
		if err == io.EOF {
			sv.whole = true
			break
		}
		if err != nil {
			return nil, source.ExplainFault(ctx, err)
		}
		if sv.rows++; sv.rows%source.BatchRows == 0 {
			told(sv.rows, rows.Bytes())
		}
		sv.see(row, rows.Line())
	}
	if a.blank(sv) {
		return nil, source.Invalid(format.EmptyLines)
	}
	return sv, nil
}

// blank reports whether only empty lines have been read so far.
func (a tableMapping) blank(sv *profile) bool {
	if !a.Text || a.Rowless || sv.header || len(sv.found) != 1 || len(a.target.Types) > 0 {
		return false
	}
	n := &sv.found[0]
	return n.integers+n.reals+n.infinities+n.texts+n.other+n.empty == 0
}

func (sv *profile) see(row []sqlite.Value, line int64) {
	if len(row) != len(sv.found) {
		return
	}
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
