package api

import (
	"context"
	"errors"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// SavedState is a JSON object that only clients understand.
type SavedState jsontext.Value

// UnmarshalJSON keeps the text of an object.
func (s *SavedState) UnmarshalJSON(raw []byte) error {
	if jsontext.Value(raw).Kind() != jsontext.KindBeginObject {
		return errors.New(problem.Expected("an object"))
	}
	kept := append(jsontext.Value(nil), raw...)
	if err := kept.Compact(); err != nil {
		return err
	}
	*s = SavedState(kept)
	return nil
}

// MarshalJSON writes the object.
func (s SavedState) MarshalJSON() ([]byte, error) { return s, nil }

// Schema describes an object with any members.
func (SavedState) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "Whatever the client needs to show it again; at most 64 KiB."}
}

// SavedItem is something that somebody has saved.
type SavedItem struct {
	ID         int64            `json:"id"`
	Name       string           `json:"name"`
	Table      *string          `json:"table" doc:"The present name of the table that it is about; null for none."`
	State      SavedState       `json:"state"`
	Visibility string           `json:"visibility" enum:"private,project"`
	CreatedBy  *registry.Author `json:"created_by"`
	CreatedAt  string           `json:"created_at" format:"date-time"`
	UpdatedAt  string           `json:"updated_at" format:"date-time"`
}

func savedItem(s projectdb.Saved) SavedItem {
	out := SavedItem{s.ID, s.Name, nil, SavedState(s.State), string(s.Visibility), registry.AuthorOf(s.Owner, s.OwnerName), s.CreatedAt, s.UpdatedAt}
	if s.TableID != 0 {
		out.Table = &s.Table
	}
	return out
}

// saver describes who works in a workspace to those who keep what is saved.
func saver(ws *Opened) projectdb.Saver {
	return projectdb.Saver{Owner: ws.Owner(), Name: ws.Author().Name, Admin: ws.May(registry.ProjectAdmin)}
}

// savedIDIn is the input of a call about one saved thing.
type savedIDIn struct {
	ID int64 `path:"saved_id"`
}

type listSavedIn struct {
	Table rest.Ref  `query:"table" doc:"Only those about this table: its name or id."`
	All   rest.Flag `query:"all" doc:"Also what is private to others; needs project:admin."`
}

// SavedChange says what to change in something saved.
type SavedChange struct {
	Name       *string    `json:"name,omitzero"`
	State      SavedState `json:"state,omitzero"`
	Visibility *string    `json:"visibility,omitzero" enum:"private,project"`
}

func (b *SavedChange) patch() projectdb.SavedPatch {
	return projectdb.SavedPatch{Name: b.Name, State: jsontext.Value(b.State), Visibility: (*projectdb.Visibility)(b.Visibility)}
}

type saveIn struct {
	Body struct {
		Table rest.Optional[rest.Ref] `json:"table,omitzero" doc:"The table that it is about: its name or id. A filter needs one."`
		SavedChange
	}
}

type changeSavedIn struct {
	savedIDIn
	Body SavedChange
}

type (
	savedOut struct {
		Saved SavedItem `json:"saved"`
	}
	savedListOut struct {
		Saved []SavedItem `json:"saved"`
	}
)

// savedRoutes returns the routes about one kind of saved things.
func savedRoutes(kind projectdb.SavedKind, one string, scope registry.Scope) []*rest.Endpoint {
	path, access := "/projects/{project}/saved/"+string(kind), rest.Scope(scope)
	item, plural := path+"/{saved_id}", string(kind)
	s := savedCalls{kind}
	reading, writing := rest.Fails(problem.CodeQueryTimeout), rest.Fails(problem.CodeConflict, problem.CodeStorageFull, problem.CodeQueryTimeout)
	return []*rest.Endpoint{
		database("GET", path, "list-saved-"+plural, "List saved "+plural, access, s.list, reading, rest.Fails(problem.CodeNotFound)),
		database("POST", path, "save-"+one, "Save a "+one, access, s.save, rest.Created, writing),
		database("GET", item, "get-saved-"+one, "Show a saved "+one, access, rest.Plain(s.get), reading),
		database("PATCH", item, "change-saved-"+one, "Change a saved "+one, access, s.change, writing),
		database("DELETE", item, "delete-saved-"+one, "Delete a saved "+one, access, rest.Plain(s.remove), writing),
	}
}

// savedCalls are the handlers about one kind of saved things.
type savedCalls struct{ kind projectdb.SavedKind }

func (s savedCalls) list(ctx context.Context, ws *Opened, in *listSavedIn, faults *problem.Faults) (out savedListOut, err error) {
	if err := faults.Err(); err != nil {
		return out, err
	}
	all := in.All.Or(false)
	if all {
		if err := ws.Require(registry.ProjectAdmin); err != nil {
			return out, err
		}
	}
	list, err := ws.DB.Saved(ctx, s.kind, string(in.Table), saver(ws), all)
	out.Saved = []SavedItem{}
	for _, one := range list {
		out.Saved = append(out.Saved, savedItem(one))
	}
	return out, err
}

func (s savedCalls) save(ctx context.Context, ws *Opened, in *saveIn, faults *problem.Faults) (out savedOut, err error) {
	order, table := in.Body.patch(), in.Body.Table.Ptr()
	if order.Name == nil {
		faults.Required("name")
	}
	if order.State == nil {
		faults.Required("state")
	}
	if order.Visibility == nil {
		private := projectdb.PrivateVisibility
		order.Visibility = &private
	}
	ref := ""
	switch {
	case table != nil && *table != "":
		ref = string(*table)
	case s.kind == projectdb.SavedFilters:
		faults.Required("table")
	}
	saved, err := ws.DB.Save(ctx, faults, s.kind, ref, saver(ws), order)
	return savedOut{savedItem(saved)}, err
}

func (s savedCalls) get(ctx context.Context, ws *Opened, in *savedIDIn) (savedOut, error) {
	saved, err := ws.DB.FindSaved(ctx, s.kind, in.ID, saver(ws))
	return savedOut{savedItem(saved)}, err
}

func (s savedCalls) change(ctx context.Context, ws *Opened, in *changeSavedIn, faults *problem.Faults) (savedOut, error) {
	saved, err := ws.DB.ChangeSaved(ctx, faults, s.kind, in.ID, saver(ws), in.Body.patch())
	return savedOut{savedItem(saved)}, err
}

func (s savedCalls) remove(ctx context.Context, ws *Opened, in *savedIDIn) (jobDeleted, error) {
	return jobDeleted{true, strconv.FormatInt(in.ID, 10)}, ws.DB.DeleteSaved(ctx, s.kind, in.ID, saver(ws))
}
