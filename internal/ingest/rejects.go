package ingest

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/zangtable/zangtable/internal/problem"
)

// mostRejects is the number of faults that are reported.
const mostRejects = 1000

// rejects collects the rows that cannot be imported.
type rejects struct {
	list []Reject // the first of them
	rows int64    // total number
}

// add adds the faults of one row.
func (r *rejects) add(faults ...Reject) {
	r.rows++
	r.list = append(r.list, faults[:min(len(faults), mostRejects-len(r.list))]...)
}

// merge adds the rejects of a part of the file.
func (r *rejects) merge(other rejects) {
	r.rows += other.rows
	r.list = append(r.list, other.list[:min(len(other.list), mostRejects-len(r.list))]...)
}

// mergeByLine adds rejects found in another pass over the same tables, and sorts all by
// table and line.
func (r *rejects) mergeByLine(other rejects, tables []tableMapping) {
	r.rows += other.rows
	place := func(table string) int {
		return slices.IndexFunc(tables, func(a tableMapping) bool { return a.Name == table })
	}
	r.list = append(r.list, other.list...)
	slices.SortStableFunc(r.list, func(a, b Reject) int {
		return cmp.Or(cmp.Compare(place(a.Table), place(b.Table)), cmp.Compare(a.Line, b.Line))
	})
	r.list = r.list[:min(len(r.list), mostRejects)]
}

// full reports whether further faults would go unreported.
func (r *rejects) full() bool { return len(r.list) >= mostRejects }

// String returns the fault as a sentence.
func (r Reject) String() string {
	place := fmt.Sprintf("Line %d", r.Line)
	if r.Column != "" {
		place += ", column " + r.Column
	}
	if r.Value != "" {
		return fmt.Sprintf("%s: %s The value is %q.", place, r.Reason, r.Value)
	}
	return place + ": " + r.Reason
}

// err returns the problem of a file that is imported as a whole or not at all, nil if
// there are no rejects.
func (r *rejects) err() error {
	if r.rows == 0 {
		return nil
	}
	const shown = 20
	message := r.list[0].String()
	if r.rows > 1 {
		number := fmt.Sprint(r.rows)
		if r.full() {
			number += " or more"
		}
		message = fmt.Sprintf("%s rows cannot be imported, so nothing was. The first: %s", number, message)
	}
	p := problem.New(problem.CodeValidationFailed, "%s", message)
	for _, reject := range r.list[:min(len(r.list), shown)] {
		p.With("file", "%s", reject)
	}
	return p
}

// WriteRejects writes rejects as CSV, with a header.
func WriteRejects(w io.Writer, list []Reject) error {
	rows := [][]string{{"table", "line", "column", "value", "reason"}}
	for _, r := range list {
		rows = append(rows, []string{r.Table, strconv.FormatInt(r.Line, 10), r.Column, r.Value, r.Reason})
	}
	return csv.NewWriter(w).WriteAll(rows)
}
