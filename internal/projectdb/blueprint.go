package projectdb

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Blueprint describes tables to be created together with their first rows and indexes.
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

// Built is the result of building a blueprint.
type Built struct {
	Tables  []BuiltTable
	Indexes []Index
}

// BuiltTable is a created table and the number of rows it started with.
type BuiltTable struct {
	Table
	SeededRows int64
}

// Check notes every fault that can be found in the blueprint alone, under names such
// as tables[1].columns[0].column_type. Faults that only show when rows are stored,
// such as a repeated unique value, are left to Build.
func (b Blueprint) Check(faults *problem.Faults) {
	ch := checker{faults: faults, taken: map[string]bool{}, shapes: map[string]*Table{}}
	for i, table := range b.Tables {
		if faults.Full() {
			return
		}
		ch.table("tables["+itoa(i)+"].", table)
	}
	for i, index := range b.Indexes {
		if faults.Full() {
			return
		}
		field := "indexes[" + itoa(i) + "]."
		if t := ch.shapes[sqlite.Fold(index.Table)]; t != nil && t.Name != "" {
			ch.index(field, t, index.NewIndex)
		} else {
			faults.Unknown(field+"table_name", "table", index.Table, "in the blueprint", ch.names)
		}
	}
}

// checker checks one blueprint.
type checker struct {
	faults *problem.Faults
	shapes map[string]*Table // by folded name
	names  []string          // of the tables
	taken  map[string]bool   // folded names of tables and indexes, which share one namespace
}

func (ch *checker) table(prefix string, n BlueprintTable) {
	t := n.shape(ch.faults, prefix, func(name string) *Table { return ch.shapes[sqlite.Fold(name)] })
	ch.name(prefix+"table_name", n.Name)
	if folded := sqlite.Fold(n.Name); ch.shapes[folded] == nil {
		ch.shapes[folded], ch.names = &t, append(ch.names, n.Name)
	}
	for i, object := range n.Seed {
		if ch.faults.Full() {
			return
		}
		t.parseNewRow(ch.faults, prefix+"seed["+itoa(i)+"].", object)
	}
	for i, index := range n.Indexes {
		if ch.faults.Full() {
			return
		}
		ch.index(prefix+"indexes["+itoa(i)+"].", &t, index)
	}
}

func (ch *checker) index(prefix string, t *Table, n NewIndex) {
	before := ch.faults.Len()
	x := n.on(ch.faults, prefix, t)
	if n.Name != "" || ch.faults.Len() == before {
		ch.name(prefix+"index_name", x.Name)
	}
}

func (ch *checker) name(field, name string) {
	folded := sqlite.Fold(name)
	if ch.taken[folded] {
		ch.faults.Add(field, "Another table or index of the blueprint has the name %s.", name)
	}
	ch.taken[folded] = true
}

func named(tables []*Table, name string) *Table {
	for _, t := range tables {
		if sqlite.SameName(t.Name, name) {
			return t
		}
	}
	return nil
}

// Build creates everything in the blueprint, or nothing. It stops at the first fault;
// use Check to find them all.
func (db *DB) Build(ctx context.Context, b Blueprint) (Built, error) {
	return changing(ctx, db, new(problem.Faults), SchemaTransaction, func(tx *Tx) (Built, error) {
		builder := builder{tx: tx}
		err := builder.build(b)
		return builder.built, err
	})
}

// builder builds one blueprint.
type builder struct {
	tx     *Tx
	built  Built
	tables []*Table
}

func (b *builder) build(blueprint Blueprint) error {
	for i, table := range blueprint.Tables {
		field := "tables[" + itoa(i) + "]."
		if err := b.table(table); err != nil {
			return within(field, err)
		}
	}
	for i, index := range blueprint.Indexes {
		field := "indexes[" + itoa(i) + "]"
		t := named(b.tables, index.Table)
		if t == nil {
			return problem.Invalid(field+".table_name", "The blueprint has no table %q.", index.Table)
		}
		if err := b.index(field+".", t, index.NewIndex); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) table(n BlueprintTable) error {
	var faults problem.Faults
	shape := n.shape(&faults, "", func(name string) *Table { return named(b.tables, name) })
	if err := faults.Err(); err != nil {
		return err
	}
	t, err := b.tx.createTable(shape)
	if err != nil {
		return err
	}
	rows, err := b.seed(&t, n.Seed)
	if err != nil {
		return err
	}
	b.tables = append(b.tables, &t)
	b.built.Tables = append(b.built.Tables, BuiltTable{t, rows})
	for i, index := range n.Indexes {
		if err := b.index("indexes["+itoa(i)+"].", &t, index); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) seed(t *Table, rows []jsontext.Value) (int64, error) {
	ins := newInserter(b.tx.c, t, InsertOptions{ReturnNone: true})
	for i, object := range rows {
		prefix := "seed[" + itoa(i) + "]."
		var faults problem.Faults
		r := t.parseNewRow(&faults, prefix, object)
		if err := faults.Err(); err != nil {
			return 0, err
		}
		if err := ins.insert(prefix, r); err != nil {
			return 0, err
		}
	}
	return ins.done.Count, nil
}

func (b *builder) index(prefix string, t *Table, n NewIndex) error {
	var faults problem.Faults
	x := n.on(&faults, "", t)
	err := faults.Err()
	if err == nil {
		err = createIndex(b.tx.c, t, x)
	}
	if err != nil {
		return within(prefix, explain(err))
	}
	b.built.Indexes = append(b.built.Indexes, x)
	return b.tx.changed(t.ID)
}
