package api

import (
	"context"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

func (h *handlers) mayInsert(ctx context.Context, ws *Workspace, in *insertRecordsIn) error {
	return mayTable(ctx, ws, in.Table, registry.RecordsWrite)
}

// keptInserted is recordsInserted as stored in a receipt.
type keptInserted struct {
	Table    string           `json:"table"`
	Row      jsontext.Value   `json:"row,omitzero"`
	ID       *string          `json:"id,omitzero"`
	Inserted *int64           `json:"inserted,omitzero"`
	Rows     []jsontext.Value `json:"rows,omitzero"`
	IDs      []string         `json:"ids,omitzero"`
}

// narrowInserted removes from the replayed answer to an insert what a token that may no
// longer read the table would not get from a first call. Skipped rows are not in the
// answer, so its rows cannot be matched with those sent: if there were several, only
// columns sent in all of them are left.
func (h *handlers) narrowInserted(ctx context.Context, ws *Workspace, in *insertRecordsIn, data jsontext.Value) (jsontext.Value, error) {
	if ws.May(registry.RecordsRead) {
		return data, nil
	}
	var t *projectdb.Table
	err := use(ctx, ws, func(ws *Opened) (err error) {
		t, err = tableOf(ctx, ws, in.Table)
		return err
	})
	if err != nil || ws.MayTable(registry.RecordsRead, t.ID) {
		return data, err
	}
	shown, err := in.Body.sentInAll(t)
	if err != nil {
		return nil, err
	}
	for _, part := range t.PrimaryKey {
		shown = append(shown, part.Column)
	}
	var kept keptInserted
	if err := json.Unmarshal(data, &kept); err != nil {
		return nil, err
	}
	if isObject(kept.Row) {
		if kept.Row, err = onlyMembers(kept.Row, shown); err != nil {
			return nil, err
		}
	}
	for i, row := range kept.Rows {
		if kept.Rows[i], err = onlyMembers(row, shown); err != nil {
			return nil, err
		}
	}
	return json.Marshal(kept)
}

// sentInAll returns the names of the columns of t that every row has.
func (b *insertBody) sentInAll(t *projectdb.Table) (names []string, err error) {
	rows := make([]rest.Values, 1)
	if b.many {
		err = json.Unmarshal(b.data, &rows)
	} else {
		err = json.Unmarshal(b.data, &rows[0])
	}
	counts := map[string]int{}
	for _, row := range rows {
		for _, member := range row {
			if column := t.Column(member.Name); column != nil {
				counts[column.Name]++
			}
		}
	}
	for name, n := range counts {
		if n == len(rows) {
			names = append(names, name)
		}
	}
	return names, err
}

// onlyMembers returns the object reduced to the named members.
func onlyMembers(object jsontext.Value, names []string) (jsontext.Value, error) {
	var members rest.Values
	err := json.Unmarshal(object, &members)
	members = slices.DeleteFunc(members, func(m rest.NamedValue) bool { return !slices.Contains(names, m.Name) })
	return members.JSON(), err
}
