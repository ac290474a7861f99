package projectdb

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// cutList returns the columns in SQL with their texts and blobs cut to a number of bytes.
// SQLite cuts them, before it sorts, so that the rest is never kept. What is cut comes
// as a blob of the first letter of its type, its size and a colon, and its beginning;
// uncover tells it by its length, which is above the limit.
func cutList(columns []*Column, limit int) string {
	list := make([]string, len(columns))
	for i, column := range columns {
		name := quote(column.Name)
		list[i] = name
		if column.Type != "INTEGER" && column.Type != "REAL" {
			// One byte more than the limit tells where a character ends.
			list[i] = fmt.Sprintf("CASE WHEN octet_length(%[1]s) > %[2]d AND typeof(%[1]s) IN ('text', 'blob')"+
				" THEN CAST(substr(typeof(%[1]s), 1, 1) || octet_length(%[1]s) || ':' || substr(CAST(%[1]s AS BLOB), 1, %[3]d) AS BLOB) ELSE %[1]s END", name, limit, limit+1)
		}
	}
	return strings.Join(list, ", ")
}

// uncover replaces what cutList has cut by the beginnings of the values.
func (q query) uncover(b *sqlite.Batch) {
	if q.cellLimit == 0 {
		return
	}
	for i := range b.Rows {
		for j, cell := range b.Row(i)[:len(q.columns)] {
			if cell.Kind != sqlite.Blob {
				continue
			}
			value := b.Bytes(cell)
			if len(value) <= q.cellLimit {
				continue
			}
			kind := sqlite.Text
			if value[0] == 'b' {
				kind = sqlite.Blob
			}
			colon := bytes.IndexByte(value, ':')
			// SQLite has written the number.
			size, _ := strconv.ParseInt(string(value[1:colon]), 10, 64)
			b.Excerpt(i, j, kind, colon+1, q.cellLimit, size)
		}
	}
}
