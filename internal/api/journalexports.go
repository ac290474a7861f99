package api

import (
	"context"
	"fmt"
	"reflect"
	"strconv"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// journalBody is the body of a request that exports a part of the journal; the query
// parameters are those of the list that it exports.
type journalBody struct {
	ExportOptions
	ExportDialect
}

type (
	exportRequestsIn struct {
		requestFilter
		orderIn
		Body journalBody
	}
	exportRunsIn struct {
		runFilter
		orderIn
		Body journalBody
	}
	exportUsageIn struct {
		usageIn
		orderIn
		Body journalBody
	}
	exportRunIn struct {
		runIn
		orderIn
		Body struct{ ExportOptions }
	}
)

func (h *handlers) exportRequests(ctx context.Context, ws *Workspace, in *exportRequestsIn, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
	f := in.requestFilter.read(ws, faults)
	return h.exportJournal(ctx, ws, in.Body, export.JournalPart{Requests: &f, Parameters: parametersOf(in)}, in.orderIn, faults)
}

func (h *handlers) exportRuns(ctx context.Context, ws *Workspace, in *exportRunsIn, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
	f := in.runFilter.read(faults)
	return h.exportJournal(ctx, ws, in.Body, export.JournalPart{Runs: &f, Parameters: parametersOf(in)}, in.orderIn, faults)
}

func (h *handlers) exportUsage(ctx context.Context, ws *Workspace, in *exportUsageIn, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
	f := h.usageFilter(in.usageIn, faults)
	return h.exportJournal(ctx, ws, in.Body, export.JournalPart{Usage: &f, Parameters: parametersOf(in)}, in.orderIn, faults)
}

func (h *handlers) exportJournal(ctx context.Context, ws *Workspace, body journalBody, part export.JournalPart, in orderIn, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
	if err := ws.Require(registry.JournalRead); err != nil {
		return out, err
	}
	order := body.of(export.JournalExport)
	order.CSV, order.Split = body.options(), body.Split.Or(false)
	if order.Journal, err = shownOf(ctx, ws, part); err != nil {
		return out, err
	}
	return h.makeExport(ctx, ws, faults, order, body.ExportOptions, in)
}

func (h *handlers) exportRun(ctx context.Context, ws *Workspace, in *exportRunIn, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
	if err := ws.Require(registry.JournalRead); err != nil {
		return out, err
	}
	run, _, err := h.journal.Run(ctx, ws.Project.ID, ids.Token(in.TokenID), in.RunID)
	if err != nil && !faults.Any() { // faults come first
		return out, err
	}
	order := in.Body.of(export.RunExport)
	order.Journal, err = shownOf(ctx, ws, export.JournalPart{
		Run:        &export.RunRef{RunID: run.RunID, TokenID: run.TokenID},
		Parameters: map[string]string{"run": run.RunID, "token": strconv.FormatInt(int64(run.TokenID), 10)},
		// A manifest has the filters and the statement of an export, with their values.
		Manifests: ws.May(registry.ProjectAdmin),
	})
	if err != nil {
		return out, err
	}
	return h.makeExport(ctx, ws, faults, order, in.Body.ExportOptions, in.orderIn)
}

// parametersOf returns the query parameters of an input that are not zero.
func parametersOf(in any) map[string]string {
	sent := map[string]string{}
	v := reflect.ValueOf(in).Elem()
	for _, field := range reflect.VisibleFields(v.Type()) {
		name := field.Tag.Get("query")
		if name == "" || v.FieldByIndex(field.Index).IsZero() {
			continue
		}
		switch value := v.FieldByIndex(field.Index).Interface().(type) {
		case rest.Flag:
			sent[name] = strconv.FormatBool(value.Or(false))
		default:
			sent[name] = fmt.Sprint(value)
		}
	}
	return sent
}

// shownOf limits an export of the journal to what the token may see.
func shownOf(ctx context.Context, ws *Workspace, part export.JournalPart) (export.JournalPart, error) {
	err := use(ctx, ws, func(ws *Opened) (err error) {
		part.Readable, err = readableTables(ctx, ws)
		return err
	})
	return part, err
}

// mayExportJournal returns nil if the token may read the journal, whose exports it may
// then create.
func mayExportJournal[In any](_ context.Context, ws *Workspace, _ *In) error {
	for _, needed := range []registry.Scope{registry.ExportsCreate, registry.JournalRead} {
		if err := ws.Require(needed); err != nil {
			return err
		}
	}
	return nil
}
