package projectdb

import (
	"maps"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
)

// computedDefault is a default that is computed for each row.
type computedDefault struct {
	sql   string
	types []string // of the columns that can have it
}

// computedDefaults are the computed defaults that a column can be given, by the names
// that clients use for them.
var computedDefaults = map[string]computedDefault{
	"CURRENT_TIMESTAMP": {"CURRENT_TIMESTAMP", []string{"TEXT", "ANY"}},
	"now_ms":            {"CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)", []string{"INTEGER", "ANY"}},
	"uuid":              {uuidSQL, []string{"TEXT", "ANY"}},
}

// uuidSQL makes a random UUID: version 4, variant 1.
const uuidSQL = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || " +
	"substr('89AB', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"

// replaceDefault gives the column a computed default. A literal one cannot be asked for
// at the same time.
func (column *Column) replaceDefault(faults *problem.Faults, prefix, name string) {
	if column.Default != "" {
		faults.Add(prefix+"default_expression", "A column has one default: send either default_value or default_expression.")
		return
	}
	column.setComputedDefault(faults, prefix+"default_expression", name)
}

// setComputedDefault gives the column the computed default with the given name.
func (column *Column) setComputedDefault(faults *problem.Faults, field, name string) {
	for known, d := range computedDefaults {
		if strings.EqualFold(known, name) {
			column.Default = d.sql
			column.refuseUnfitDefault(faults, field)
			return
		}
	}
	faults.WrongChoice(field, slices.Sorted(maps.Keys(computedDefaults)))
}

// refuseUnfitDefault notes a computed default whose values the column cannot hold.
func (column *Column) refuseUnfitDefault(faults *problem.Faults, field string) {
	if name, d := column.computedDefault(); name != "" && isColumnType(column.Type) && !slices.Contains(d.types, column.Type) {
		faults.Add(field, "The default %s is for columns of the type %s.", name, strings.Join(d.types, " or "))
	}
}

// computedDefault returns the computed default of the column, with its name, or "".
func (column *Column) computedDefault() (name string, d computedDefault) {
	for name, d := range computedDefaults {
		if column.Default == d.sql {
			return name, d
		}
	}
	return "", d
}
