package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rehearsal"
	"github.com/zangtable/zangtable/internal/rest"
)

// ExportOptions are the options common to all export requests.
type ExportOptions struct {
	Format    rest.Optional[string] `json:"format,omitzero"`
	FileName  rest.Optional[string] `json:"file_name,omitzero" doc:"The name offered for the download; at most 400 bytes."`
	ExpiresIn rest.Optional[int64]  `json:"expires_in,omitzero" doc:"Seconds from completion until the file is removed."`

	Compression string    `json:"compression,omitzero" doc:"For formats that do not compress their own output."`
	Canonical   rest.Flag `json:"canonical,omitzero" doc:"Makes exports of equal rows equal byte for byte."`

	DryRun rest.Flag `json:"dry_run,omitzero" doc:"Makes nothing; the answer describes what the export would be."`
}

func (o ExportOptions) of(kind export.Kind) export.Request {
	return export.Request{
		Kind: kind, Format: o.Format.Value, FileName: o.FileName.Value, ExpiresIn: o.ExpiresIn.Ptr(),
		Compression: o.Compression, Canonical: o.Canonical.Or(false),
	}
}

// ExportDialect says how rows are written where the format leaves a choice.
type ExportDialect struct {
	CSVDialect
	Split rest.Flag `json:"split,omitzero" doc:"Whether a workbook continues on another sheet when one is full."`
}

// CSVDialect says how CSV files are written.
type CSVDialect struct {
	Profile      string                `json:"profile,omitzero" doc:"A named CSV dialect to start from; lossless when absent."`
	Delimiter    rest.Optional[string] `json:"delimiter,omitzero" doc:"For CSV: a comma, semicolon, tab or vertical bar."`
	Header       rest.Flag             `json:"header,omitzero" doc:"For CSV: whether the first row names the columns."`
	BOM          rest.Flag             `json:"bom,omitzero" doc:"For CSV: whether the file begins with a byte order mark."`
	NullText     rest.Optional[string] `json:"null_text,omitzero" doc:"For CSV: the text that stands for NULL."`
	LineEnding   string                `json:"line_ending,omitzero" enum:"lf,crlf" doc:"For CSV."`
	Quote        string                `json:"quote,omitzero" enum:"minimal,all" doc:"For CSV."`
	FormulaGuard rest.Flag             `json:"formula_guard,omitzero" doc:"For CSV: whether to keep spreadsheets from running text as a formula."`
}

func (d CSVDialect) options() export.CSVOptions {
	return export.CSVOptions{
		Profile: d.Profile, Delimiter: d.Delimiter.Ptr(), Header: d.Header.Ptr(), BOM: d.BOM.Ptr(), NullText: d.NullText.Ptr(),
		LineEnding: given(format.LineEnd(d.LineEnding)), Quote: given(format.Quoting(d.Quote)), FormulaGuard: d.FormulaGuard.Ptr(),
	}
}

// given returns a pointer to the word, or nil if it was not sent.
func given[T ~string](word T) *T {
	if word == "" {
		return nil
	}
	return &word
}

// ExportSelection says what an export contains of one table.
type ExportSelection struct {
	Columns []string `json:"columns,omitzero"`
	Filters Filters  `json:"filters,omitzero"`
	Sort    string   `json:"sort,omitzero"`
	Order   string   `json:"order,omitzero" enum:"asc,desc"`
	Limit   int64    `json:"limit,omitzero" minimum:"1"`
	Offset  int64    `json:"offset,omitzero" minimum:"0"`
}

func (s ExportSelection) selection() projectdb.Selection {
	return projectdb.Selection{
		Columns: s.Columns, Filters: jsontext.Value(s.Filters), Sort: s.Sort,
		Descending: s.Order == "desc", Limit: s.Limit, Offset: s.Offset,
	}
}

type exportTableIn struct {
	tableIn
	orderIn
	Body struct {
		ExportOptions
		ExportDialect
		ExportSelection
	}
}

// exportOut has the export, exportMade the result of an export request.
type (
	exportOut struct {
		Export export.Manifest `json:"export"`
	}
	exportMade struct {
		Export    *export.Manifest  `json:"export,omitzero"`
		Preflight *export.Preflight `json:"preflight,omitzero" doc:"Only with dry_run, in place of the export."`
	}
)

func (h *handlers) exportTable(ctx context.Context, ws *Workspace, in *exportTableIn, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
	order := in.Body.of(export.TableExport)
	order.Selection = in.Body.selection()
	err = use(ctx, ws, func(ws *Opened) error {
		t, err := tableOf(ctx, ws, in.Table, registry.ExportsCreate, registry.RecordsRead)
		if err == nil {
			order.Table = idOf(t)
		}
		return err
	})
	if err != nil {
		return out, err
	}
	order.CSV, order.Split = in.Body.options(), in.Body.Split.Or(false)
	return h.makeExport(ctx, ws, faults, order, in.Body.ExportOptions, in.orderIn)
}

func (h *handlers) mayExportTable(ctx context.Context, ws *Workspace, in *exportTableIn) error {
	return mayTable(ctx, ws, in.Table, registry.ExportsCreate, registry.RecordsRead)
}

// TableOptions says what a database export contains of one table, and how it is
// written. The dialect starts from that of the whole export, or from a profile.
type TableOptions struct {
	ExportSelection
	CSVDialect
}

type exportDatabaseIn struct {
	orderIn
	Body struct {
		ExportOptions
		ExportDialect
		Include []string                `json:"include_tables,omitzero" doc:"Only these tables; all when absent."`
		Exclude []string                `json:"exclude_tables,omitzero"`
		Options map[string]TableOptions `json:"table_options,omitzero" doc:"Options for individual tables: which rows and columns are exported, and how their CSV files are written."`
	}
}

func (h *handlers) exportDatabase(ctx context.Context, ws *Workspace, in *exportDatabaseIn, faults *problem.Faults) (rest.Answer[exportMade], error) {
	order := in.Body.of(export.DatabaseExport)
	order.CSV, order.Split = in.Body.options(), in.Body.Split.Or(false)
	order.Include, order.Exclude = in.Body.Include, in.Body.Exclude
	order.TableOptions = map[string]export.TableOptions{}
	for table, options := range in.Body.Options {
		order.TableOptions[table] = export.TableOptions{Selection: options.selection(), CSV: options.options()}
	}
	return h.makeExport(ctx, ws, faults, order, in.Body.ExportOptions, in.orderIn)
}

type exportSchemaIn struct {
	orderIn
	Body struct{ ExportOptions }
}

func (h *handlers) exportSchema(ctx context.Context, ws *Workspace, in *exportSchemaIn, faults *problem.Faults) (rest.Answer[exportMade], error) {
	return h.makeExport(ctx, ws, faults, in.Body.of(export.SchemaExport), in.Body.ExportOptions, in.orderIn)
}

type exportQueryIn struct {
	orderIn
	Body struct {
		QueryStatement
		ExportOptions
		ExportDialect
	}
}

func (h *handlers) exportQuery(ctx context.Context, ws *Workspace, in *exportQueryIn, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
	if err := h.mayExportQuery(ctx, ws, in); err != nil {
		return out, err
	}
	order := in.Body.of(export.QueryExport)
	order.CSV, order.Split = in.Body.options(), in.Body.Split.Or(false)
	order.SQL, order.Params = in.Body.SQL, in.Body.Params
	err = use(ctx, ws, func(ws *Opened) error {
		order.Readable, err = readableTables(ctx, ws)
		return err
	})
	if err != nil {
		return out, err
	}
	return h.makeExport(ctx, ws, faults, order, in.Body.ExportOptions, in.orderIn)
}

func (h *handlers) mayExportQuery(_ context.Context, ws *Workspace, _ *exportQueryIn) error {
	for _, needed := range []registry.Scope{registry.ExportsCreate, registry.QueryRead} {
		if err := ws.Require(needed); err != nil {
			return err
		}
	}
	return nil
}

// readableTables returns the tables whose records the token may read; nil means all.
func readableTables(ctx context.Context, ws *Opened) ([]ids.Table, error) {
	if ws.May(registry.RecordsRead) {
		return nil, nil
	}
	tables, err := ws.DB.Tables(ctx)
	readable := []ids.Table{}
	for _, t := range tables {
		if ws.MayTable(registry.RecordsRead, t.ID) {
			readable = append(readable, t.ID)
		}
	}
	return readable, err
}

// orderOnce returns the export that the same call created before, after waiting for it
// as that call did, or makes the request.
func orderOnce[In interface{ ordered() orderIn }](h *handlers, order rest.Handler[*Workspace, In, rest.Answer[exportMade]]) rest.Handler[*Workspace, In, rest.Answer[exportMade]] {
	return func(ctx context.Context, ws *Workspace, in *In, faults *problem.Faults) (out rest.Answer[exportMade], err error) {
		call := (*in).ordered()
		receipt := receiptOf(ws, call.Call.Key)
		if receipt == nil {
			return order(ctx, ws, in, faults)
		}
		m, ordered, err := h.exports.Recall(ctx, ws.Project.ID, *receipt)
		if err != nil {
			return out, otherRequest(err)
		}
		if !ordered {
			return order(ctx, ws, in, faults)
		}
		out, err = h.await(ctx, ws, m, call)
		out.Replayed = true
		return out, err
	}
}

// makeExport creates an export and waits for it as long as the caller wants, or only
// does a dry run.
func (h *handlers) makeExport(ctx context.Context, ws *Workspace, faults *problem.Faults, order export.Request, options ExportOptions, in orderIn) (out rest.Answer[exportMade], err error) {
	order.Project = export.ProjectRef{ID: ws.Project.ID, Slug: ws.Project.Slug}
	order.Root = ws.Project.Root
	order.TokenID, order.OperationRunID, order.Receipt = ws.Token.ID, in.Call.RunID(), receiptOf(ws, in.Call.Key)
	if options.DryRun.Or(false) {
		p, err := h.exports.DryRun(ctx, faults, order)
		return rest.Answer[exportMade]{Data: exportMade{Preflight: &p}, Head: rest.Head{Status: http.StatusOK}}, err
	}
	m, err := h.exports.Create(ctx, faults, order)
	if err != nil {
		return out, otherRequest(err)
	}
	return h.await(ctx, ws, m, in)
}

// await waits for an export as long as the caller wants.
func (h *handlers) await(ctx context.Context, ws *Workspace, m export.Manifest, in orderIn) (out rest.Answer[exportMade], err error) {
	if m, out.Head, err = h.exportJobs().await(ctx, ws, m, in, h.waitLimit); err != nil {
		return out, err
	}
	if out.Data.Export = &m; !m.Status.Finished() {
		out.Location = "/projects/" + ws.Project.Slug + "/exports/" + m.ID
	}
	return out, nil
}

// exportJobs handles calls about the exports that the token may download.
func (h *handlers) exportJobs() jobsOf[export.Manifest] {
	return jobsOf[export.Manifest]{h.exports, mayRead}
}

// mayRead returns nil when the token may download the export.
func mayRead(ws *Workspace, m *export.Manifest) error {
	return mayExport(ws, m, registry.ExportsRead)
}

// mayExport returns nil if the token has an export scope for what the export holds: for
// a table, together with the right to read its records; for a query or a part of the
// journal, if the token created it; for anything else, only with full power.
func mayExport(ws *Workspace, m *export.Manifest, scope registry.Scope) error {
	switch {
	case (m.Kind == export.JournalExport || m.Kind == export.RunExport) && m.CreatedByTokenID != nil && *m.CreatedByTokenID == ws.Token.ID:
		if err := ws.Require(registry.JournalRead); err != nil {
			return err
		}
		return ws.Require(scope)
	case m.Kind == export.QueryExport && m.CreatedByTokenID != nil && *m.CreatedByTokenID == ws.Token.ID:
		return ws.Require(scope)
	case m.Kind != export.TableExport:
		return ws.Require(registry.ProjectAdmin)
	}
	for _, id := range m.TableIDs {
		for _, needed := range []registry.Scope{scope, registry.RecordsRead} {
			if err := ws.RequireTable(needed, id); err != nil {
				return err
			}
		}
	}
	return nil
}

type listExportsIn struct {
	Status string `query:"status" enum:"all,ready,not_found,pending,running,failed,canceled,expired" default:"all"`
	pageIn
}

type exportsOut struct {
	Exports []export.Manifest `json:"exports"`
	JobPage
}

func (h *handlers) listExports(ctx context.Context, ws *Workspace, in *listExportsIn) (out exportsOut, err error) {
	out.Exports, out.JobPage, err = h.exportJobs().list(ctx, ws, in.Status, in.pageIn)
	return out, err
}

type exportIDIn struct {
	ID string `path:"export_id"`
}

type getExportIn struct {
	exportIDIn
	waitIn
}

func (h *handlers) getExport(ctx context.Context, ws *Workspace, in *getExportIn) (out exportOut, err error) {
	out.Export, err = h.exportJobs().look(ctx, ws, in.ID, in.Wait)
	return out, err
}

func (h *handlers) followExport(ctx context.Context, ws *Workspace, in *exportIDIn) (*rest.Events[export.Manifest], error) {
	return h.exportJobs().follow(ctx, ws, in.ID)
}

// deleteExport is allowed for tokens that may create such an export.
func (h *handlers) deleteExport(ctx context.Context, ws *Workspace, in *exportIDIn) (out jobDeleted, err error) {
	m, err := h.exports.Get(ctx, ws.Project.ID, in.ID)
	if err != nil {
		return out, err
	}
	if err := mayExport(ws, &m, registry.ExportsCreate); err != nil {
		return out, err
	}
	return jobDeleted{true, m.ID}, h.exports.Delete(ctx, ws.Project.ID, m.ID)
}

func (h *handlers) downloadExport(ctx context.Context, ws *Workspace, in *exportIDIn) (*rest.Download, error) {
	if _, err := h.exportJobs().get(ctx, ws, in.ID); err != nil {
		return nil, err
	}
	artifact, err := h.exports.Artifact(ctx, ws.Project.ID, in.ID)
	if err != nil {
		return nil, err
	}
	m := artifact.Manifest
	d := &rest.Download{Disposition: m.Disposition(), ContentType: m.ContentType, Modified: artifact.Completed, Content: artifact.File, Link: artifact.Link}
	if !readSum(d.SHA256[:], m.SHA256) {
		return nil, errors.Join(fmt.Errorf("exports.db has no SHA-256 of %s", m.ID), artifact.File.Close())
	}
	return d, nil
}

// readSum reads a sum from hexadecimal digits, and reports whether there is one.
func readSum(sum []byte, digits *string) bool {
	if digits == nil || len(*digits) != hex.EncodedLen(len(sum)) {
		return false
	}
	_, err := hex.Decode(sum, []byte(*digits))
	return err == nil
}

type verificationOut struct {
	Verification export.Verification `json:"verification"`
}

func (h *handlers) verifyExport(ctx context.Context, ws *Workspace, in *exportIDIn) (out verificationOut, err error) {
	if _, err := h.exportJobs().get(ctx, ws, in.ID); err != nil {
		return out, err
	}
	out.Verification, err = h.exports.Verify(ctx, ws.Project.ID, in.ID)
	return out, err
}

type rehearsalOut struct {
	Rehearsal rehearsal.Rehearsal `json:"rehearsal"`
}

func (h *handlers) rehearseRestore(ctx context.Context, ws *Workspace, in *exportIDIn, faults *problem.Faults) (out rehearsalOut, err error) {
	m, err := h.exportJobs().get(ctx, ws, in.ID)
	if err != nil {
		return out, err
	}
	if rehearsal.Check(faults, &m); faults.Any() {
		return out, faults.Err()
	}
	artifact, err := h.exports.Artifact(ctx, ws.Project.ID, in.ID)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, artifact.File.Close()) }()
	out.Rehearsal, err = h.rehearsals.Rehearse(ctx, artifact.File, &artifact.Manifest)
	return out, err
}
