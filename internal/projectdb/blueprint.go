package projectdb

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Blueprint describes tables to be created together, with their first rows and
// their indexes.
type Blueprint struct {
	Tables  []BlueprintTable
	Indexes []BlueprintIndex // of any of the tables
}

// BlueprintTable is one table of a blueprint.
type BlueprintTable struct {
	NewTable
	Seed    []jsontext.Value // rows, each a JSON object
	Indexes []NewIndex
}

// BlueprintIndex is an index with the name of its table.
type BlueprintIndex struct {
	Table string
	NewIndex
}

// Built is what a blueprint has become.
type Built struct {
	Tables  []BuiltTable
	Indexes []Index
}

// BuiltTable is a table with how many rows it began with.
type BuiltTable struct {
	Table
	SeededRows int64
}

// Build creates everything in the blueprint, or nothing. The faults of all its
// parts are told at once, with names such as tables[1].columns[0].column_type.
func (db *DB) Build(ctx context.Context, b Blueprint) (built Built, err error) {
	err = explain(db.sql.Exclusive(ctx, func(c *sqlite.Conn) error {
		built = Built{}
		builder := builder{db: db, c: c, built: &built}
		return builder.build(b)
	}))
	return built, err
}

// builder builds one blueprint. After a fault it goes on only to find further
// ones.
type builder struct {
	db     *DB
	c      *sqlite.Conn
	built  *Built
	faults problem.Faults
}

func (b *builder) build(blueprint Blueprint) error {
	for i, table := range blueprint.Tables {
		if err := b.table("tables["+itoa(i)+"]", table); err != nil {
			return err
		}
	}
	for i, index := range blueprint.Indexes {
		field := "indexes[" + itoa(i) + "]"
		t := b.find(index.Table)
		if t == nil {
			b.faults.Add(field+".table_name", "The blueprint has no table %q.", index.Table)
			continue
		}
		if err := b.index(field, t, index.NewIndex); err != nil {
			return err
		}
	}
	return b.faults.Err()
}

// note keeps the fields that err names, and returns what is not about fields of
// the blueprint.
func (b *builder) note(field string, err error) error {
	e := problem.From(err)
	switch {
	case err == nil, b.faults.Merge(field, err):
		return nil
	case e.Code == problem.CodeConflict:
		return within(field+".", err)
	}
	return err
}

func (b *builder) table(field string, n BlueprintTable) error {
	shape, err := n.shape()
	if err != nil {
		return b.note(field, err)
	}
	t, err := b.db.createTable(b.c, shape)
	if err != nil {
		return b.note(field, err)
	}
	rows, err := b.seed(field, &t, n.Seed)
	if err != nil {
		return b.note(field, err)
	}
	b.built.Tables = append(b.built.Tables, BuiltTable{t, rows})
	for i, index := range n.Indexes {
		if err := b.index(field+".indexes["+itoa(i)+"]", &t, index); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) seed(field string, t *Table, rows []jsontext.Value) (int64, error) {
	ins := newInserter(b.c, t, InsertOptions{ReturnNone: true})
	for i, object := range rows {
		prefix := field + ".seed[" + itoa(i) + "]."
		r := t.parseRow(&b.faults, prefix, object)
		t.requireColumns(&b.faults, prefix, r)
		if b.faults.Len() >= maxFaults {
			return 0, b.faults.Err()
		}
		if b.faults.Len() > 0 {
			continue
		}
		if err := ins.insert("seed["+itoa(i)+"].", r); err != nil {
			return 0, err
		}
	}
	return ins.done.Count, nil
}

func (b *builder) index(field string, t *Table, n NewIndex) error {
	x, err := n.on(t)
	if err == nil {
		err = createIndex(b.c, t, x)
	}
	if err != nil {
		return b.note(field, explain(err))
	}
	b.built.Indexes = append(b.built.Indexes, x)
	return changed(b.c)
}

// find returns a table of the blueprint that has been created.
func (b *builder) find(name string) *Table {
	for i := range b.built.Tables {
		if sameName(b.built.Tables[i].Name, name) {
			return &b.built.Tables[i].Table
		}
	}
	return nil
}
