package ingest

import (
	"fmt"
	"slices"

	"github.com/zangtable/zangtable/internal/projectdb"
)

// refuseExpressions drops the expressions that a project may not keep from the plan:
// generated columns become plain values; defaults, checks and indexes are not carried
// over.
func (p *tablePlan) refuseExpressions() {
	e := projectdb.NewExpressions(&p.shape)
	for i := range p.shape.Columns {
		column := &p.shape.Columns[i]
		if column.Generated != "" {
			if err := e.Generated(i); err != nil {
				p.storeGenerated(i, fmt.Sprintf("its expression is not allowed here, as %s", err))
			}
		}
		if column.Default != "" {
			if err := projectdb.CheckDefault(column.Default); err != nil {
				p.notes.Add(p.columnSubject(i), "The default %s was not imported: it is not allowed here, as %s.", brief(column.Default), err)
				column.Default = ""
			}
		}
	}
	p.keepChecks(func(check string) string {
		if err := e.Add(check); err != nil {
			return fmt.Sprintf("it is not allowed here, as %s", err)
		}
		return ""
	})
	p.keepIndexes(func(x projectdb.Index) string {
		if err := e.AddIndex(x); err != nil {
			return fmt.Sprintf("it is not allowed here, as %s", err)
		}
		return ""
	})
}

// dropUses drops whatever is computed from column i, because one of its values is too
// long to compute with.
func (p *tablePlan) dropUses(i int) {
	e := projectdb.NewExpressions(&p.shape)
	reason := "the column " + p.source.Columns[i].Name + " has a value that is too long to compute with"
	uses := func(expression string) bool { return e.Uses(expression, i) }
	made := map[int]bool{}
	for k, column := range p.shape.Columns {
		made[k] = column.Generated != "" && uses(column.Generated)
	}
	p.keepChecks(func(check string) string {
		if uses(check) {
			return reason
		}
		return ""
	})
	p.keepIndexes(func(x projectdb.Index) string {
		if slices.ContainsFunc(x.Expressions(), uses) {
			return reason
		}
		return ""
	})
	for k := range p.shape.Columns {
		if made[k] {
			p.storeGenerated(k, reason)
		}
	}
}

// keepChecks keeps the checks for which refused returns "".
func (p *tablePlan) keepChecks(refused func(check string) string) {
	p.shape.Checks = slices.DeleteFunc(p.shape.Checks, func(check string) bool {
		reason := refused(check)
		if reason != "" {
			p.notes.Add(p.subject(), "CHECK (%s) was not imported: %s.", brief(check), reason)
		}
		return reason != ""
	})
}

// keepIndexes keeps the indexes for which refused returns "".
func (p *tablePlan) keepIndexes(refused func(projectdb.Index) string) {
	p.shape.Indexes = slices.DeleteFunc(p.shape.Indexes, func(x projectdb.Index) bool {
		reason := refused(x)
		if reason != "" {
			p.notes.Add("index "+x.Name, "It was not imported: %s.", reason)
		}
		return reason != ""
	})
}

// brief returns the beginning of an expression.
func brief(expression string) string {
	const most = 300
	if len(expression) > most {
		return expression[:most] + "…"
	}
	return expression
}
