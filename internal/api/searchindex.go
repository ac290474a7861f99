package api

import (
	"context"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

type newSearchIndexIn struct {
	tableIn
	Body struct {
		Columns   []string `json:"columns" minItems:"1"`
		Tokenizer string   `json:"tokenizer,omitzero" enum:"unicode61,trigram" default:"unicode61" doc:"unicode61 finds words without regard to case and accents, trigram any parts of at least three characters."`
	}
}

type searchIndexOut struct {
	SearchIndex projectdb.SearchIndexObject `json:"search_index"`
}

func (h *handlers) createSearchIndex(ctx context.Context, ws *Workspace, in *newSearchIndexIn, faults *problem.Faults) (out searchIndexOut, err error) {
	err = ws.Change(ctx, faults, projectdb.SchemaTransaction, func(tx *projectdb.Tx) error {
		var err error
		out.SearchIndex, err = tx.CreateSearchIndex(faults, string(in.Table), projectdb.NewSearchIndex{Columns: in.Body.Columns, Tokenizer: in.Body.Tokenizer})
		return err
	})
	return out, err
}

func (h *handlers) getSearchIndex(ctx context.Context, ws *Opened, in *tableIn) (out searchIndexOut, err error) {
	t, err := tableOf(ctx, ws, in.Table, registry.SchemaRead)
	if err != nil {
		return out, err
	}
	out.SearchIndex, err = t.SearchObject()
	return out, err
}

type searchIndexDeleted struct {
	Deleted bool   `json:"deleted"`
	Table   string `json:"table"`
}

func (h *handlers) deleteSearchIndex(ctx context.Context, ws *Opened, in *tableIn) (searchIndexDeleted, error) {
	table, err := ws.DB.DropSearchIndex(ctx, string(in.Table))
	return searchIndexDeleted{true, table}, err
}
