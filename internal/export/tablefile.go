package export

import (
	"io"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
)

// tableRef is what the layout of rows depends on.
type tableRef struct {
	id   ids.Table // 0 for the result of a query
	name string
	rows int64 // 0 if not counted
}

// tableWriter returns a writer for one table's rows in the format of tables.
func (l layout) tableWriter(w io.Writer, t tableRef, columns []format.Column) (format.TableWriter, error) {
	return l.format.table.Writer(w, columns, l.writing(t))
}

// writeTables writes each table to a file of its own: the artifact itself, or a member
// of a ZIP file, which is returned.
func (j *job) writeTables(s *source, l layout, w io.Writer) (*memberZIP, error) {
	var zip *memberZIP
	if l.format.isZIP() {
		zip = newMemberZIP(w, l.modified())
		w = zip
	}
	for i, t := range s.tables {
		if zip != nil {
			if err := zip.createTable("", t.Name, l.format.table.Ext); err != nil {
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
