package export

import (
	"io"

	"github.com/zangtable/zangtable/internal/format"
)

// tableRef is what the layout of rows depends on.
type tableRef struct {
	id   int64
	name string
	rows int64 // 0 when they are not counted
}

// tableWriter returns a writer of one table's rows as a file of the format
// that the layout has for tables. The result of a query has the id 0.
func (l layout) tableWriter(w io.Writer, t tableRef, columns []format.Column) (format.TableWriter, error) {
	switch l.format.table {
	case "xlsx":
		return format.NewXLSX(w, columns, format.XLSXOptions{Sheet: t.name, Split: l.spec.Split, Rows: t.rows, Modified: l.at})
	case "parquet":
		return format.NewParquet(w, columns)
	}
	return l.encodedWriter(w, l.format.table, t.id, columns), nil
}

func (l layout) encodedWriter(w io.Writer, name string, tableID int64, columns []format.Column) format.TableWriter {
	encoder := l.encoder(name, tableID, columns)
	return countedWriter{format.NewTableWriter(w, encoder), encoder}
}

// writeTables writes each table as a file of its own: the only one, or a member
// of a ZIP file, which is returned.
func (j *job) writeTables(s *source, l layout, w io.Writer) (*memberZIP, error) {
	var zip *memberZIP
	if l.format.isZIP() {
		zip = newMemberZIP(w, l.modified())
		w = zip
	}
	for i, t := range s.tables {
		if zip != nil {
			if err := zip.createTable("", t.Name, l.format.table); err != nil {
				return zip, err
			}
		}
		result := &j.record.manifest.Tables[i]
		err := j.writeTable(s, t, result, func(columns []format.Column) (format.TableWriter, error) {
			return l.tableWriter(w, tableRef{t.ID, t.Name, result.RowsExpected}, columns)
		})
		if err != nil {
			return zip, err
		}
	}
	if zip != nil {
		return zip, zip.close()
	}
	return nil, nil
}
