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
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/export"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/imports"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// ImportOptions are the options of an import request.
type ImportOptions struct {
	ingest.Options
	DryRun bool `json:"dry_run,omitzero" doc:"Changes nothing; the answer shows what the import would do."`
}

// sendIn is the part of an input that carries a file: the body itself, a form, or an
// upload in parts by the tus protocol.
type sendIn struct {
	orderIn
	Options    string `query:"options" doc:"The options as JSON, when the body is the file itself."`
	FileName   string `header:"X-File-Name" doc:"The name of the file, when the body is the file itself; percent-encoded where it is not ASCII."`
	ReprDigest string `header:"Repr-Digest" doc:"sha-256=:base64: of the whole file, which is refused if what arrives does not match (RFC 9530)."`
	Resumable  string `header:"Tus-Resumable" doc:"1.0.0 starts an upload in parts (tus 1.0); the body is empty."`
	Length     string `header:"Upload-Length" doc:"For uploads in parts: the size of the file in bytes."`
	Deferred   string `header:"Upload-Defer-Length" doc:"1 in place of Upload-Length when a later part will give the size."`
	Metadata   string `header:"Upload-Metadata" doc:"For uploads in parts: filename and options, each followed by a space and its value in base64, separated by commas."`
	Body       rest.Incoming
}

// importOut has the import, importMade also the project that it created.
type (
	importOut struct {
		Import imports.Manifest `json:"import"`
	}
	importMade struct {
		Import  imports.Manifest  `json:"import"`
		Project *registry.Project `json:"project,omitzero" doc:"The new project, once it exists."`
	}
)

var (
	importOptions        = rest.NewText[ImportOptions]()
	projectImportOptions = rest.NewText[ProjectImportOptions]()
)

type createImportIn struct{ sendIn }

func (h *handlers) createImport(ctx context.Context, ws *Workspace, in *createImportIn, faults *problem.Faults) (out rest.Answer[importMade], err error) {
	s, err := in.open(faults, h.imports.MaxBytes())
	if err != nil {
		return out, err
	}
	body := importOptions.Options(faults, s.options)
	s.order.Kind, s.order.Options, s.order.DryRun = imports.TableImport, body.Options, body.DryRun
	if !faults.Any() {
		if s.order.TableID, err = importTable(ctx, ws, &s.order.Options); err != nil {
			return out, err
		}
	}
	return h.receiveImport(ctx, ws, faults, in.sendIn, s)
}

// importTable checks that the token may import. A token restricted to one table may
// import only into that table, whose id is returned; otherwise any table is allowed,
// including new ones.
func importTable(ctx context.Context, ws *Workspace, o *ingest.Options) (id ids.Table, err error) {
	if ws.May(registry.SchemaWrite) && ws.May(registry.RecordsWrite) {
		return 0, nil
	}
	if o.Table != "" && o.Mode != "" && o.Mode != "create" && len(o.Tables) == 0 {
		err = use(ctx, ws, func(ws *Opened) error {
			t, err := tableOf(ctx, ws, rest.Ref(o.Table), registry.RecordsWrite)
			if err == nil {
				id = t.ID
			}
			return err
		})
		return id, err
	}
	return 0, errors.Join(ws.Require(registry.SchemaWrite), ws.Require(registry.RecordsWrite))
}

// NewProjectOptions are the options for the project that an import creates.
type NewProjectOptions struct {
	Slug string                       `json:"project_slug" doc:"Only the characters a-z, 0-9, _ and -."`
	Name string                       `json:"project_name,omitzero" doc:"Defaults to the slug."`
	User rest.Optional[blueprintUser] `json:"initial_project_user,omitzero"`
}

// ProjectImportOptions are the options of an import that creates a project.
type ProjectImportOptions struct {
	NewProjectOptions
	ImportOptions
}

type importProjectIn struct{ sendIn }

func (h *handlers) importProject(ctx context.Context, ws *Workspace, in *importProjectIn, faults *problem.Faults) (out rest.Answer[importMade], err error) {
	s, err := in.open(faults, h.imports.MaxBytes())
	if err != nil {
		return out, err
	}
	body := projectImportOptions.Options(faults, s.options)
	if !faults.Has("options") {
		if s.order.NewProject, err = h.newProject(ctx, ws, faults, body.NewProjectOptions); err != nil {
			return out, err
		}
	}
	s.order.Kind, s.order.Options, s.order.DryRun = imports.ProjectImport, body.Options, body.DryRun
	s.order.Metadata = withoutOptions(s.order.Metadata) // they may contain a password
	return h.receiveImport(ctx, ws, faults, in.sendIn, s)
}

// newProject checks the project to be created. Its password is hashed, and its slug
// looked up, only if there are no faults.
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
		return nil, problem.SlugTaken(made.Slug)
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

// receiveImport receives the file as it arrives and waits for the job as long as the
// caller wants. An upload in parts is only begun.
func (h *handlers) receiveImport(ctx context.Context, ws *Workspace, faults *problem.Faults, in sendIn, s *sending) (out rest.Answer[importMade], err error) {
	order := s.order
	order.Project = imports.ProjectRef{ID: ws.Project.ID, Slug: ws.Project.Slug}
	order.Root = ws.Project.Root
	order.TokenID, order.OperationRunID = ws.Token.ID, in.Call.RunID()
	order.Receipt = s.receipt(ws, in.Call.Key)
	m, replayed, err := h.imports.Begin(ctx, faults, order)
	if err != nil {
		return out, otherRequest(err)
	}
	if s.file == nil && order.Size != 0 {
		out = rest.Answer[importMade]{Data: importMade{Import: m}, Head: rest.Head{Location: importPath(&m), Header: uploadHeaders(&m), Replayed: replayed}}
		return out, nil
	}
	m, replayed, err = h.imports.Receive(ctx, ws.Project.ID, m.ID, imports.Part{Body: cmp.Or(s.file, io.Reader(http.NoBody))})
	if err != nil {
		return out, otherRequest(err)
	}
	out, err = h.awaitImport(ctx, ws, m, in.orderIn)
	out.Replayed = replayed
	return out, err
}

func importPath(m *imports.Manifest) string { return "/projects/" + m.Project + "/imports/" + m.ID }

// awaitImport waits for an import as long as the caller wants.
func (h *handlers) awaitImport(ctx context.Context, ws *Workspace, m imports.Manifest, in orderIn) (out rest.Answer[importMade], err error) {
	if m, out.Head, err = h.importJobs().await(ctx, ws, m, in, h.waitLimit); err != nil {
		return out, err
	}
	out.Data, out.Location = importMade{m, m.NewProject}, importPath(&m)
	return out, nil
}

// importJobs handles calls about the imports that the token may see.
func (h *handlers) importJobs() jobsOf[imports.Manifest] {
	return jobsOf[imports.Manifest]{h.imports, mayImport}
}

// mayImport returns nil if the token may see and change the import: its own imports, or
// any with full power.
func mayImport(ws *Workspace, m *imports.Manifest) error {
	if m.CreatedByTokenID != nil && *m.CreatedByTokenID == ws.Token.ID {
		return nil
	}
	return ws.Require(registry.ProjectAdmin)
}

type listImportsIn struct {
	Status string `query:"status" enum:"all,uploading,pending,running,ready,failed,canceled,expired" default:"all"`
	pageIn
}

type importsOut struct {
	Imports []imports.Manifest `json:"imports"`
	JobPage
}

func (h *handlers) listImports(ctx context.Context, ws *Workspace, in *listImportsIn) (out importsOut, err error) {
	out.Imports, out.JobPage, err = h.importJobs().list(ctx, ws, in.Status, in.pageIn)
	return out, err
}

type importIDIn struct {
	ID string `path:"import_id"`
}

type getImportIn struct {
	importIDIn
	waitIn
}

func (h *handlers) getImport(ctx context.Context, ws *Workspace, in *getImportIn) (out importOut, err error) {
	out.Import, err = h.importJobs().look(ctx, ws, in.ID, in.Wait)
	return out, err
}

func (h *handlers) followImport(ctx context.Context, ws *Workspace, in *importIDIn) (*rest.Events[imports.Manifest], error) {
	return h.importJobs().follow(ctx, ws, in.ID)
}

type deleteImportIn struct {
	importIDIn
	Resumable string `header:"Tus-Resumable" doc:"1.0.0 asks for the answer that the protocol defines: 204 without a body."`
}

func (h *handlers) deleteImport(ctx context.Context, ws *Workspace, in *deleteImportIn) (out rest.Answer[jobDeleted], err error) {
	m, err := h.importJobs().get(ctx, ws, in.ID)
	if err != nil {
		return out, err
	}
	if out.Data = (jobDeleted{true, m.ID}); in.Resumable != "" {
		out.Status = http.StatusNoContent
	}
	return out, h.imports.Delete(ctx, ws.Project.ID, m.ID)
}

type runImportIn struct {
	importIDIn
	orderIn
	Body struct {
		ImportOptions
		Sent rest.Sent `json:"-"`
	}
}

// runImport runs an import again. Options in the request replace all earlier options.
func (h *handlers) runImport(ctx context.Context, ws *Workspace, in *runImportIn, faults *problem.Faults) (out rest.Answer[importMade], err error) {
	m, err := h.importJobs().get(ctx, ws, in.ID)
	if err != nil {
		return out, err
	}
	var options *ingest.Options
	if in.Body.Sent.Beside("dry_run") {
		options, m.Options = &in.Body.Options, in.Body.Options
	}
	tableID := ids.Table(0)
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
	if m, err = h.imports.Run(ctx, faults, ws.Project.ID, m.ID, options, in.Body.DryRun, tableID); err != nil {
		return out, err
	}
	return h.awaitImport(ctx, ws, m, in.orderIn)
}

func (h *handlers) importRejects(ctx context.Context, ws *Workspace, in *importIDIn) (*rest.Download, error) {
	m, err := h.importJobs().get(ctx, ws, in.ID)
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
	return &rest.Download{
		Disposition: export.ContentDisposition(name, name), ContentType: "text/csv; charset=utf-8",
		SHA256: sha256.Sum256(text.Bytes()), Content: bytes.NewReader(text.Bytes()),
	}, nil
}

// receipt returns the receipt that identifies this call by its key and content; nil
// without a key.
func (s *sending) receipt(ws *Workspace, key *rest.Keyed) *projectdb.Receipt {
	if key != nil {
		key.Add(string(s.options), s.order.FileName, strconv.FormatInt(s.order.Size, 10), s.order.SHA256)
	}
	return receiptOf(ws, key)
}

// digest reads the SHA-256 from a header of RFC 9530, in hexadecimal; "" if it has
// none.
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
