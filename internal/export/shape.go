package export

import (
	"maps"
	"slices"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// shape is a table as it will be in the exported database.
type shape struct {
	table   *projectdb.Table
	counter int64 // the largest id assigned by AUTOINCREMENT
}

// shapes returns the tables of the source as they will be in the exported database, and
// a source of their rows without computed values.
func (s *source) shapes() (*source, []shape, error) {
	stored, ordered := *s, *s.spec
	stored.spec = &ordered
	ordered.Selections = maps.Clone(s.spec.Selections)
	shapes := make([]shape, len(s.tables))
	for i, t := range s.tables {
		counter, err := s.snapshot.Counter(t)
		if err != nil {
			return nil, nil, err
		}
		shapes[i] = shape{s.spec.shape(t, s.tables), counter}
		if selection := s.spec.Selections[t.ID]; selection.Columns == nil {
			selection.Columns = storedColumns(t)
			ordered.setSelection(t.ID, selection)
		}
	}
	return &stored, shapes, nil
}

// noteSchemas records the schemas of the artifact's tables.
func (s *source) noteSchemas(results []TableResult) {
	for i, t := range s.tables {
		results[i].SchemaSHA256 = s.spec.shape(t, s.tables).SchemaSHA256()
	}
}

// storedColumns returns the names of the columns with stored values, or nil if that is
// all of them.
func storedColumns(t *projectdb.Table) []string {
	var names []string
	for _, column := range t.Columns {
		if column.Generated == "" {
			names = append(names, column.Name)
		}
	}
	if len(names) == len(t.Columns) {
		return nil
	}
	return names
}

// shape returns a table without the constraints that would fail with only part of its
// columns, of the tables or of their rows.
func (sp *spec) shape(t *projectdb.Table, among []*projectdb.Table) *projectdb.Table {
	chosen := sp.Selections[t.ID].Columns
	if chosen != nil {
		return shapeOfColumns(t, chosen)
	}
	whole := *t
	whole.ForeignKeys = slices.DeleteFunc(slices.Clone(t.ForeignKeys), func(key projectdb.ForeignKey) bool {
		return !slices.ContainsFunc(among, func(parent *projectdb.Table) bool {
			return sqlite.SameName(parent.Name, key.Parent) && !sp.isPart(parent.ID)
		})
	})
	return &whole
}

// shapeOfColumns returns a table of the chosen columns with only their types and, if it
// is among them, the primary key.
func shapeOfColumns(t *projectdb.Table, chosen []string) *projectdb.Table {
	part := &projectdb.Table{ID: t.ID, Name: t.Name}
	for _, name := range chosen {
		column := *t.Column(name)
		column.Generated, column.Stored = "", false
		part.Columns = append(part.Columns, column)
	}
	for _, key := range t.PrimaryKey {
		if part.Column(key.Column) == nil {
			return part
		}
	}
	part.PrimaryKey, part.RowidKey, part.WithoutRowid, part.Autoincrement = t.PrimaryKey, t.RowidKey, t.WithoutRowid, t.Autoincrement
	return part
}
