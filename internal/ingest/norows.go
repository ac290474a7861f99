package ingest

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// label returns the name that a user would call a column of the file.
func label(columns []format.Column, i int) string {
	if columns[i].Name != "" {
		return columns[i].Name
	}
	return "column_" + strconv.Itoa(i+1)
}

// noRows is the empty row source.
type noRows []format.Column

// withoutRows opens a table without rows. Its columns are those that types names, in
// natural order: column_10 after column_9.
func withoutRows(types map[string]string) func(context.Context) (source.Rows, error) {
	var columns noRows
	place := func(name string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "column_"))
		if err != nil {
			return 0
		}
		return n
	}
	for _, name := range slices.SortedFunc(maps.Keys(types), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a, b))
	}) {
		columns = append(columns, format.Column{Name: name})
	}
	return func(context.Context) (source.Rows, error) { return columns, nil }
}

func (r noRows) Columns() []format.Column                 { return r }
func (r noRows) Next() ([]sqlite.Value, error)            { return nil, io.EOF }
func (r noRows) Line() int64                              { return 0 }
func (r noRows) Bytes() int64                             { return 0 }
func (r noRows) Remarks() (*source.Dialect, source.Notes) { return nil, nil }
func (r noRows) Close() error                             { return nil }
