package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
)

// ImportTarget says where the rows of one table of a file go, and how.
type ImportTarget struct {
	Table   string            `json:"table,omitzero" doc:"The name of the new table, or the name or id of one that exists; made of the name in the file when absent."`
	Mode    string            `json:"mode,omitzero" enum:"create,append,replace,upsert,update" doc:"create, the default, makes a new table; append adds rows to one that exists; replace removes its rows first; upsert changes the rows whose key exists and adds the others; update only changes rows."`
	Key     []string          `json:"key,omitzero" doc:"Of upsert and update: the columns that tell rows apart; the primary key when absent. Of create: the primary key."`
	Columns map[string]string `json:"columns,omitzero" doc:"From a column of the file to one of the table."`
	Skip    []string          `json:"skip,omitzero" doc:"Columns of the file that are left out."`
	Types   map[string]string `json:"types,omitzero" doc:"From a column of the file to its type: INTEGER, REAL, TEXT, BLOB or ANY."`
	Dates   Flag              `json:"dates,omitzero" doc:"Whether dates become texts such as 2026-06-01; else they stay as the file has them."`
	ImportDialect
}

// ImportDialect says how CSV is read.
type ImportDialect struct {
	Profile      string           `json:"profile,omitzero" doc:"A named dialect of CSV, as exports write it; the options beside it change it."`
	Delimiter    string           `json:"delimiter,omitzero" doc:"Of CSV; found out when absent, like header, encoding and quote."`
	Header       Flag             `json:"header,omitzero" doc:"Whether the first row of a CSV or sheet names the columns."`
	Encoding     string           `json:"encoding,omitzero" enum:"utf-8,utf-16le,utf-16be,windows-1252"`
	Quote        string           `json:"quote,omitzero" doc:"Of CSV: a character, or none."`
	NullText     Optional[string] `json:"null_text,omitzero" doc:"What stands for NULL in a CSV where it has no quotes; nothing when absent."`
	FormulaGuard Flag             `json:"formula_guard,omitzero" doc:"Whether the apostrophes that the formula guard of an export has put into a CSV are taken away."`
}

// ImportOptions is what an import can say of its file.
type ImportOptions struct {
	ImportTarget
	Tables    map[string]ImportTarget `json:"tables,omitzero" doc:"The same of single tables, by their names in the file."`
	Include   []string                `json:"include_tables,omitzero" doc:"Only these tables of the file; all when absent."`
	Exclude   []string                `json:"exclude_tables,omitzero"`
	NullTexts []string                `json:"null_texts,omitzero" doc:"Texts that stand for NULL, beside the dialect's own."`
	Sheet     string                  `json:"sheet,omitzero" doc:"Of a workbook."`
	OnError   string                  `json:"on_error,omitzero" enum:"abort,skip" doc:"What a row that is refused does: abort, the default, imports nothing; skip leaves it out."`
	Format    string                  `json:"format,omitzero" doc:"The kind of the file; recognized by its content when absent."`
	DryRun    Flag                    `json:"dry_run,omitzero" doc:"Changes nothing, and shows what the import would do."`
}

func (t ImportTarget) target() imports.Target {
	return imports.Target{Table: t.Table, Mode: t.Mode, Key: t.Key, Columns: t.Columns, Skip: t.Skip, Types: t.Types, Dates: t.Dates.Or(false), Dialect: t.dialect()}
}

func (d ImportDialect) dialect() imports.Dialect {
	return imports.Dialect{
		Profile: d.Profile, Delimiter: d.Delimiter, Header: d.Header.Ptr(), Encoding: d.Encoding, Quote: d.Quote,
		NullText: d.NullText.Ptr(), FormulaGuard: d.FormulaGuard.Ptr(),
	}
}

func (o ImportOptions) options() imports.Options {
	options := imports.Options{
		Target: o.target(), IncludeTables: o.Include, ExcludeTables: o.Exclude,
		NullTexts: o.NullTexts, Sheet: o.Sheet, OnError: o.OnError, Format: o.Format,
	}
	for name, t := range o.Tables {
		if options.Tables == nil {
			options.Tables = map[string]imports.Target{}
		}
		options.Tables[name] = t.target()
	}
	return options
}

// sendIn is the part of an input that brings a file: the body itself, a form, or
// an upload in parts by the protocol tus.
type sendIn struct {
	preferIn
	Options    string `query:"options" doc:"The options of a file that is the body itself, as JSON."`
	FileName   string `header:"X-File-Name" doc:"Of a file that is the body itself; percent-encoded where it is not ASCII."`
	ReprDigest string `header:"Repr-Digest" doc:"sha-256=:base64: of the whole file, which is refused when it arrives as another (RFC 9530)."`
	Resumable  string `header:"Tus-Resumable" doc:"1.0.0 begins an upload in parts (tus 1.0): the body is empty."`
	Length     string `header:"Upload-Length" doc:"Of an upload in parts: the size of the file in bytes."`
	Deferred   string `header:"Upload-Defer-Length" doc:"1 instead of Upload-Length when a part will tell the size."`
	Metadata   string `header:"Upload-Metadata" doc:"Of an upload in parts: filename and options, each with a space and its value in base64, joined by a comma."`
	Body       Incoming
}

// importOut has the import, importMade also the project that it has made.
type (
	importOut struct {
		Import imports.Manifest `json:"import"`
	}
	importMade struct {
		Import  imports.Manifest  `json:"import"`
		Project *registry.Project `json:"project,omitzero" doc:"The new project, when it is made."`
	}
)

var (
	importOptions        = newTextPlan[ImportOptions]()
	projectImportOptions = newTextPlan[ProjectImportOptions]()
)

type createImportIn struct{ sendIn }

func (h *handlers) createImport(ctx context.Context, ws *Workspace, in *createImportIn, faults *problem.Faults) (out Answer[importMade], err error) {
	s, err := in.open(faults, h.imports.MaxBytes())
	if err != nil {
		return out, err
	}
	body := importOptions.decode(faults, s.options)
	s.order.Kind, s.order.Options, s.order.DryRun = imports.TableImport, body.options(), body.DryRun.Or(false)
	if !faults.Any() {
		if s.order.TableID, err = importTable(ctx, ws, &s.order.Options); err != nil {
			return out, err
		}
	}
	return h.receiveImport(ctx, ws, faults, in.sendIn, s)
}

// importTable checks that the token may import: with power over one table only,
// into this one, whose id is returned; else into any, new ones included.
func importTable(ctx context.Context, ws *Workspace, o *imports.Options) (id int64, err error) {
	if ws.May(registry.SchemaWrite) && ws.May(registry.RecordsWrite) {
		return 0, nil
	}
	if o.Table != "" && o.Mode != "" && o.Mode != "create" && len(o.Tables) == 0 {
		t, err := tableOf(ctx, ws, Ref(o.Table), registry.RecordsWrite)
		if err != nil {
			return 0, err
		}
		return t.ID, nil
	}
	return 0, errors.Join(ws.Require(registry.SchemaWrite), ws.Require(registry.RecordsWrite))
}

// NewProjectOptions is what an import can say of the project that it makes.
type NewProjectOptions struct {
	Slug string                  `json:"project_slug" doc:"Of the characters a-z, 0-9, _ and -."`
	Name string                  `json:"project_name,omitzero" doc:"The slug when absent."`
	User Optional[blueprintUser] `json:"initial_project_user,omitzero"`
}

// ProjectImportOptions is what an import can say that makes a project.
type ProjectImportOptions struct {
	NewProjectOptions
	ImportOptions
}

type importProjectIn struct{ sendIn }

func (h *handlers) importProject(ctx context.Context, ws *Workspace, in *importProjectIn, faults *problem.Faults) (out Answer[importMade], err error) {
	s, err := in.open(faults, h.imports.MaxBytes())
	if err != nil {
		return out, err
	}
	body := projectImportOptions.decode(faults, s.options)
	if !faults.Has("options") {
		if s.order.NewProject, err = h.newProject(ctx, ws, faults, body.NewProjectOptions); err != nil {
			return out, err
		}
	}
	s.order.Kind, s.order.Options, s.order.DryRun = imports.ProjectImport, body.options(), body.DryRun.Or(false)
	s.order.Metadata = withoutOptions(s.order.Metadata) // they may hold a password
	return h.receiveImport(ctx, ws, faults, in.sendIn, s)
}

// newProject checks the project that is to be made. Its password is hashed, and
// its slug looked up, only when there are no faults.
func (h *handlers) newProject(ctx context.Context, ws *Workspace, faults *problem.Faults, o NewProjectOptions) (*imports.NewProject, error) {
	made := &imports.NewProject{Slug: strings.ToLower(o.Slug), Name: cmp.Or(o.Name, o.Slug)}
	order := registry.NewProject{Slug: made.Slug, Name: made.Name}
	user := o.User.Ptr()
	if user != nil {
		order.User = &registry.NewProjectUser{Username: user.Username, Password: user.Password}
	}
	if err := ws.CheckProject(ctx, faults, order); err != nil || faults.Any() {
		return nil, err
	}
	switch _, err := h.registry.Project(ctx, made.Slug); {
	case err == nil:
		return nil, problem.New(problem.CodeConflict, "There is a project %s already.", made.Slug).With("project_slug", "The slug is taken.")
	case !problem.Is(err, problem.CodeNotFound):
		return nil, err
	}
	if user == nil {
		return made, nil
	}
	var err error
	made.Username = user.Username
	made.PasswordHash, err = h.registry.HashPassword(user.Password)
	return made, err
}

// receiveImport takes the file as it comes and waits for the job as long as the
// caller wants. An upload in parts is only begun.
func (h *handlers) receiveImport(ctx context.Context, ws *Workspace, faults *problem.Faults, in sendIn, s *sending) (out Answer[importMade], err error) {
	order := s.order
	order.Project = imports.ProjectRef{ID: ws.Project.ID, Slug: ws.Project.Slug}
	order.Root = ws.Project.Root
	order.TokenID, order.OperationRunID = ws.Token.ID, runIDOf(ctx)
	order.Receipt = s.receipt(ctx, ws)
	m, replayed, err := h.imports.Begin(ctx, faults, order)
	if err != nil {
		return out, err
	}
	ws.Close() // an upload takes long, and keeps no project from being deleted
	if s.file == nil && order.Size != 0 {
		out = Answer[importMade]{Data: importMade{Import: m}, Location: importPath(&m), Header: uploadHeaders(&m), Replayed: replayed}
		return out, nil
	}
	m, replayed, err = h.imports.Receive(ctx, ws.Project.ID, m.ID, imports.Part{Body: cmp.Or(s.file, io.Reader(http.NoBody))})
	if err != nil {
		return out, err
	}
	out, err = h.awaitImport(ctx, ws, m, in.Prefer)
	out.Replayed = replayed
	return out, err
}

func importPath(m *imports.Manifest) string { return "/projects/" + m.Project + "/imports/" + m.ID }

// awaitImport waits for an import as long as the caller wants.
func (h *handlers) awaitImport(ctx context.Context, ws *Workspace, m imports.Manifest, prefer string) (out Answer[importMade], err error) {
	preferred := readPrefer(prefer)
	if wait := preferred.limit(h.waitLimit); wait > 0 {
		ws.Close() // who waits keeps no project from being deleted
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if m, err = h.imports.Wait(waiting, ws.Project.ID, m.ID); err != nil {
			return out, err
		}
	}
	out = Answer[importMade]{Data: importMade{m, m.NewProject}, Applied: preferred.applied(h.waitLimit), Location: importPath(&m)}
	if !m.Status.Finished() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

// mayImport returns nil when the token may see and change the import: its own,
// or any with full power.
func mayImport(ws *Workspace, m *imports.Manifest) error {
	if m.CreatedByTokenID != nil && *m.CreatedByTokenID == ws.Token.ID {
		return nil
	}
	return ws.Require(registry.ProjectAdmin)
}

// importOf returns the manifest of an import that the token may see.
func (h *handlers) importOf(ctx context.Context, ws *Workspace, id string) (imports.Manifest, error) {
	m, err := h.imports.Get(ctx, ws.Project.ID, id)
	if err == nil {
		err = mayImport(ws, &m)
	}
	return m, err
}

type listImportsIn struct {
	Status string `query:"status" enum:"all,uploading,pending,running,ready,failed,canceled,expired" default:"all"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	Offset int    `query:"offset" minimum:"0"`
}

type importsOut struct {
	Imports  []imports.Manifest `json:"imports"`
	Limit    int                `json:"limit"`
	Offset   int                `json:"offset"`
	Returned int                `json:"returned"`
	HasMore  bool               `json:"has_more"`
}

func (h *handlers) listImports(ctx context.Context, ws *Workspace, in *listImportsIn) (importsOut, error) {
	list, more, err := h.imports.List(ctx, ws.Project.ID, imports.ListOptions{
		Status: in.Status, Limit: in.Limit, Offset: in.Offset,
		Visible: func(m *imports.Manifest) bool { return mayImport(ws, m) == nil },
	})
	return importsOut{list, in.Limit, in.Offset, len(list), more}, err
}

type importIDIn struct {
	ID string `path:"import_id"`
}

type getImportIn struct {
	importIDIn
	Wait int `query:"wait" minimum:"0" maximum:"60" doc:"Seconds to wait until the import is ready or has come to another end."`
}

func (h *handlers) getImport(ctx context.Context, ws *Workspace, in *getImportIn) (out importOut, err error) {
	if in.Wait == 0 {
		out.Import, err = h.importOf(ctx, ws, in.ID)
		return out, err
	}
	out.Import, err = await(ctx, ws, in.Wait, func(ctx context.Context) (<-chan imports.Manifest, error) {
		return h.watchImport(ctx, ws, in.ID)
	})
	return out, err
}

func (h *handlers) followImport(ctx context.Context, ws *Workspace, in *importIDIn) (*Events[imports.Manifest], error) {
	updates, err := h.watchImport(ctx, ws, in.ID)
	return &Events[imports.Manifest]{updates}, err
}

func (h *handlers) watchImport(ctx context.Context, ws *Workspace, id string) (<-chan imports.Manifest, error) {
	if _, err := h.importOf(ctx, ws, id); err != nil {
		return nil, err
	}
	ws.Close() // who waits keeps no project from being deleted
	return h.imports.Watch(whileAdmitted(ctx, ws), ws.Project.ID, id)
}

type importDeleted struct {
	Deleted bool   `json:"deleted"`
	ID      string `json:"id"`
}

type deleteImportIn struct {
	importIDIn
	Resumable string `header:"Tus-Resumable" doc:"1.0.0 asks for the answer of that protocol: 204 without a body."`
}

func (h *handlers) deleteImport(ctx context.Context, ws *Workspace, in *deleteImportIn) (out Answer[importDeleted], err error) {
	m, err := h.importOf(ctx, ws, in.ID)
	if err != nil {
		return out, err
	}
	ws.Close() // the job that is to end may be waiting for the project
	if out.Data = (importDeleted{true, m.ID}); in.Resumable != "" {
		out.Status = http.StatusNoContent
	}
	return out, h.imports.Delete(ctx, ws.Project.ID, m.ID)
}

type runImportIn struct {
	importIDIn
	preferIn
	Body struct{ ImportOptions }
}

// runImport takes options that are sent instead of all that were sent before.
func (h *handlers) runImport(ctx context.Context, ws *Workspace, in *runImportIn, faults *problem.Faults) (out Answer[importMade], err error) {
	m, err := h.importOf(ctx, ws, in.ID)
	if err != nil {
		return out, err
	}
	dryRun := in.Body.DryRun.Or(false)
	in.Body.DryRun = Flag{}
	var options *imports.Options
	if !reflect.DeepEqual(in.Body.ImportOptions, ImportOptions{}) {
		sent := in.Body.options()
		options, m.Options = &sent, sent
	}
	tableID := int64(0)
	switch {
	case faults.Any():
	case m.Kind == imports.TableImport:
		tableID, err = importTable(ctx, ws, &m.Options)
	default:
		err = ws.Require(registry.ProjectAdmin)
	}
	if err != nil {
		return out, err
	}
	if m, err = h.imports.Run(ctx, faults, ws.Project.ID, m.ID, options, dryRun, tableID); err != nil {
		return out, err
	}
	return h.awaitImport(ctx, ws, m, in.Prefer)
}

func (h *handlers) importRejects(ctx context.Context, ws *Workspace, in *importIDIn) (*Download, error) {
	m, err := h.importOf(ctx, ws, in.ID)
	if err != nil {
		return nil, err
	}
	rejects, err := h.imports.Rejects(ctx, ws.Project.ID, m.ID)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := ingest.WriteRejects(&text, rejects); err != nil {
		return nil, err
	}
	name := m.ID + "_rejects.csv"
	return &Download{
		Disposition: export.ContentDisposition(name, name), ContentType: "text/csv; charset=utf-8",
		SHA256: sha256.Sum256(text.Bytes()), Content: bytes.NewReader(text.Bytes()),
	}, nil
}

// receipt tells this call from others with other keys or of another content.
func (s *sending) receipt(ctx context.Context, ws *Workspace) *projectdb.Receipt {
	k, ok := ctx.Value(keyedKey{}).(*keyed)
	if !ok {
		return nil
	}
	for _, part := range []string{string(s.options), s.order.FileName, strconv.FormatInt(s.order.Size, 10), s.order.SHA256} {
		k.request.Write([]byte(strconv.Quote(part)))
	}
	r := &projectdb.Receipt{TokenID: ws.Token.ID, Key: k.key}
	k.request.Sum(r.Request[:0])
	return r
}

// digest reads the SHA-256 of a header of RFC 9530, in hexadecimal digits; ""
// when the header has none.
func digest(faults *problem.Faults, header, value string) string {
	for item := range strings.SplitSeq(value, ",") {
		name, text, _ := strings.Cut(strings.TrimSpace(item), "=")
		if !strings.EqualFold(name, "sha-256") {
			continue
		}
		sum, err := base64Of(strings.Trim(text, ":"))
		if err != nil || len(sum) != sha256.Size {
			faults.WrongType(header, "sha-256=:base64:")
			return ""
		}
		return hex.EncodeToString(sum)
	}
	return ""
}
