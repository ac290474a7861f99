package ingest

import (
	"errors"
	"slices"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/source"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// relax drops from the plan what prevents a table or its rows from being created, and
// notes it. It reports false if it finds nothing to drop.
func (p *tablePlan) relax(l *projectdb.Loader, from sqlite.Source, cause error) (relaxed bool, err error) {
	if differs := (*differsError)(nil); errors.As(cause, &differs) {
		p.storeGenerated(differs.column, "it would have different values here")
		return true, nil
	}
	if long := (*longError)(nil); errors.As(cause, &long) {
		p.dropUses(long.column)
		return true, nil
	}
	names := sqlite.ConstraintColumns(cause)
	switch sqlite.FaultOf(cause) {
	case sqlite.Check:
		return p.dropBrokenChecks(from)
	case sqlite.Unique:
		return p.dropUnique(names), nil
	case sqlite.NotNull:
		return p.dropNotNull(names), nil
	case sqlite.DataType:
		return p.dropTypes(names), nil
	case sqlite.BadSQL, sqlite.Expression, sqlite.Denied, sqlite.Damaged:
		if p.fitted {
			return false, nil
		}
		p.fitted = true
		return true, p.fit(l)
	}
	return false, nil
}

// storeGenerated turns a generated column into an ordinary one with the same values.
func (p *tablePlan) storeGenerated(i int, reason string) {
	p.shape.Columns[i].Generated = ""
	p.notes.Add(p.columnSubject(i), "It was generated and now has plain values: %s.", reason)
}

// dropBrokenChecks drops the checks that rows of the source violate, or all of them if
// SQLite cannot tell which.
func (p *tablePlan) dropBrokenChecks(from sqlite.Source) (bool, error) {
	var kept []string
	for _, check := range p.shape.Checks {
		const query = "SELECT count(*) FROM "
		broken, err := from.Int(query + format.QuoteIdent(p.source.Name) + " NOT INDEXED WHERE NOT (" + p.checks[check] + ")")
		if err != nil && !source.IsRefusal(err) {
			return false, damagedOnly(err)
		}
		if err == nil && broken == 0 {
			kept = append(kept, check)
			continue
		}
		p.notes.Add(p.subject(), "CHECK (%s) was not imported: %s values that violate it.", brief(check), source.RowsHave(broken))
	}
	if len(kept) == len(p.shape.Checks) {
		for _, check := range kept {
			p.notes.Add(p.subject(), "CHECK (%s) was not imported: with the types that the columns have here, rows would violate it.", brief(check))
		}
		kept = nil
	}
	dropped := len(p.shape.Checks) > 0
	p.shape.Checks = kept
	return dropped, nil
}

// dropUnique drops the constraint on the given columns, which rows violate because the
// file's own index is incomplete.
func (p *tablePlan) dropUnique(columns []string) bool {
	before := len(p.shape.Uniques)
	p.shape.Uniques = slices.DeleteFunc(p.shape.Uniques, func(u projectdb.Unique) bool {
		return sameNames(u.Columns, columns)
	})
	isKey := before == len(p.shape.Uniques) && sameNames(p.shape.PrimaryKey, columns)
	if isKey {
		p.shape.PrimaryKey, p.shape.WithoutRowid = nil, false
	}
	if !isKey && before == len(p.shape.Uniques) {
		return false
	}
	for _, name := range columns {
		p.notes.Add("column "+p.source.Name+"."+name, "It is no longer unique: several rows have the same value.")
	}
	return true
}

func sameNames(parts []projectdb.KeyPart, columns []string) bool {
	return slices.EqualFunc(parts, columns, func(part projectdb.KeyPart, name string) bool { return sqlite.SameName(part.Column, name) })
}

func (p *tablePlan) dropNotNull(columns []string) (dropped bool) {
	for _, name := range columns {
		if column := p.shape.Column(name); column != nil && column.NotNull {
			column.NotNull, dropped = false, true
			p.notes.Add("column "+p.source.Name+"."+name, "NOT NULL was not imported: rows have no value.")
		}
	}
	return dropped
}

// dropTypes changes to ANY the type of columns whose values do not fit.
func (p *tablePlan) dropTypes(columns []string) (dropped bool) {
	for i := range p.shape.Columns {
		column := &p.shape.Columns[i]
		if slices.Contains(columns, column.Name) && column.Type != "ANY" {
			p.notes.Add(p.columnSubject(i), "The type %s became ANY: the values do not fit.", column.Type)
			column.Type, p.typed[i], dropped = "ANY", "the values do not fit", true
		}
	}
	return dropped
}

// fit drops the pieces that SQLite does not compile here and keeps the others.
func (p *tablePlan) fit(l *projectdb.Loader) error {
	wanted := p.shape
	base := wanted
	base.Checks, base.Uniques, base.ForeignKeys = nil, nil, nil
	base.Columns = slices.Clone(wanted.Columns)
	for i := range base.Columns {
		base.Columns[i].Default, base.Columns[i].Generated = "", ""
	}
	p.shape = base
	for _, piece := range p.pieces(wanted) {
		before := p.shape
		p.shape.Columns = slices.Clone(before.Columns)
		piece.add(&p.shape)
		err := p.compiles(l)
		if err == nil {
			continue
		}
		if !source.IsRefusal(err) {
			return err
		}
		p.shape = before
		p.notes.Add(piece.subject, "%s SQLite says: %s.", piece.lost, source.OneLine(sqlite.Message(err)))
	}
	return nil
}

// piece is a part of a table that may have to be dropped.
type piece struct {
	subject, lost string // of the note when it is dropped
	add           func(*projectdb.Table)
}

// pieces returns everything that fit has stripped from the table.
func (p *tablePlan) pieces(wanted projectdb.Table) []piece {
	var pieces []piece
	for i, column := range wanted.Columns {
		if column.Generated != "" {
			pieces = append(pieces, piece{p.columnSubject(i), "It was generated and now has plain values.", func(t *projectdb.Table) {
				t.Columns[i].Generated = column.Generated
			}})
		}
		if column.Default != "" {
			pieces = append(pieces, piece{p.columnSubject(i), "The default " + column.Default + " was not imported.", func(t *projectdb.Table) {
				t.Columns[i].Default = column.Default
			}})
		}
	}
	for _, unique := range wanted.Uniques {
		pieces = append(pieces, piece{p.subject(), "A UNIQUE constraint was not imported.", func(t *projectdb.Table) {
			t.Uniques = append(t.Uniques[:len(t.Uniques):len(t.Uniques)], unique)
		}})
	}
	for _, check := range wanted.Checks {
		pieces = append(pieces, piece{p.subject(), "CHECK (" + check + ") was not imported.", func(t *projectdb.Table) {
			t.Checks = append(t.Checks[:len(t.Checks):len(t.Checks)], check)
		}})
	}
	for _, key := range wanted.ForeignKeys {
		pieces = append(pieces, piece{p.subject(), "The foreign key to " + key.Parent + " was not imported.", func(t *projectdb.Table) {
			t.ForeignKeys = append(t.ForeignKeys[:len(t.ForeignKeys):len(t.ForeignKeys)], key)
		}})
	}
	return pieces
}

// errTrial rolls back a successful trial.
var errTrial = errors.New("the trial is over")

// compiles creates the table, prepares an insertion, which compiles every expression,
// and rolls everything back.
func (p *tablePlan) compiles(l *projectdb.Loader) error {
	err := l.Try(func() error {
		if _, err := l.CreateTable(p.shape); err != nil {
			return err
		}
		_, into := p.stored()
		inserter, _, err := l.Insert(&p.shape, into, false)
		if err != nil {
			return err
		}
		inserter.Close()
		return errTrial
	})
	if errors.Is(err, errTrial) {
		return nil
	}
	return err
}
