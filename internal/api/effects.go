package api

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/rest"
)

// What answers tell the journal about the effect of their call.

// Effect returns how many rows were read.
func (out recordsOut) Effect() rest.Effect { return rest.Effect{Rows: int64(out.Returned)} }

// Effect returns how many rows were read or changed.
func (out recordOut) Effect() rest.Effect { return rest.Effect{Rows: 1} }

// Effect returns how many rows were stored, as far as the answer says so.
func (out recordsInserted) Effect() (effect rest.Effect) {
	if out.Inserted != nil {
		effect.Rows = *out.Inserted
	}
	if out.Rows != nil { // updated ones, too
		effect.Rows = max(effect.Rows, int64(out.Rows.rows.Len()))
	}
	if out.Row != nil {
		effect.Rows = int64(out.Row.rows.Len())
	}
	return effect
}

// Effect returns how many rows were changed.
func (out recordsAffected) Effect() rest.Effect { return rest.Effect{Rows: out.Affected} }

// Effect returns how many rows all operations together have changed.
func (out batchOut) Effect() (effect rest.Effect) {
	if out.DryRun {
		return effect
	}
	for _, done := range out.Results {
		effect.Rows += done.Affected
	}
	return effect
}

// Effect returns that a row was deleted.
func (recordDeleted) Effect() rest.Effect { return rest.Effect{Rows: 1} }

// Effect returns how many rows were read.
func (out queryOut) Effect() rest.Effect { return rest.Effect{Rows: int64(out.RowCount)} }

// Effect returns the export that was created.
func (out exportMade) Effect() rest.Effect {
	if out.Export == nil {
		return rest.Effect{}
	}
	return rest.Effect{Kind: "export", Created: out.Export.ID}
}

// Effect returns the import that was created.
func (out importMade) Effect() rest.Effect {
	return rest.Effect{Kind: "import", Created: out.Import.ID}
}

// What inputs tell the journal about their call.

// Describe returns the SQL.
func (in *queryIn) Describe() (statement, parameters string) { return in.Body.SQL, "" }

// Describe returns the SQL.
func (in *exportQueryIn) Describe() (statement, parameters string) { return in.Body.SQL, "" }

// Describe returns what is listed, with the columns and operators of the filters but
// without their values.
func (in *listRecordsIn) Describe() (statement, parameters string) { return "", in.describe() }

// Describe returns what is listed, as for a list.
func (in *searchRecordsIn) Describe() (statement, parameters string) { return "", in.Body.describe() }

func (in *listing) describe() string {
	var parts []string
	for _, part := range [...][2]string{{"sort=", in.Sort}, {"columns=", strings.Join(in.Columns, ",")}, {"filters=", conditionsOf(in.Filters)}} {
		if part[1] != "" {
			parts = append(parts, part[0]+part[1])
		}
	}
	return strings.Join(parts, "&")
}

// maxDescribed is how long filters may be to be described.
const maxDescribed = 4 << 10

// conditionsOf returns the columns and operators of filters.
func conditionsOf(filters Filters) string {
	if len(filters) == 0 || len(filters) > maxDescribed {
		return ""
	}
	var list []string
	appendConditions(&list, jsontext.Value(filters))
	return strings.Join(list, ",")
}

// appendConditions appends the conditions in a filter, an array of filters or a group.
func appendConditions(list *[]string, filter jsontext.Value) {
	switch filter.Kind() {
	case jsontext.KindBeginArray:
		_ = eachOf(filter, func(element jsontext.Value) { appendConditions(list, element) })
	case jsontext.KindBeginObject:
		var column, operator string
		_ = rest.EachMember(filter, func(name string, value jsontext.Value) {
			switch text := textOf(value); {
			case name == "column":
				column = text
			case name == "op", name == "operator":
				operator = text
			case name == "and", name == "or", name == "not":
				appendConditions(list, value)
			}
		})
		if column != "" {
			*list = append(*list, column+" "+operator)
		}
	}
}

func textOf(value jsontext.Value) string {
	if value.Kind() != jsontext.KindString {
		return ""
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return ""
	}
	return string(text)
}

// eachOf calls do for each element of an array that has been read before.
func eachOf(array jsontext.Value, do func(jsontext.Value)) error {
	d := jsontext.NewDecoder(strings.NewReader(string(array)), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != jsontext.KindEndArray {
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		do(value.Clone())
	}
	return nil
}
