package projectdb

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// SavedKind is a kind of things that people save.
type SavedKind string

// The kinds of things that people save.
const (
	SavedFilters SavedKind = "filters"
	SavedQueries SavedKind = "queries"
)

// Visibility says who sees what somebody has saved.
type Visibility string

// Who sees what somebody has saved.
const (
	PrivateVisibility Visibility = "private" // whoever has saved it
	ProjectVisibility Visibility = "project" // everybody who may read what it is about
)

// Saved is a filter or query that somebody has saved.
type Saved struct {
	ID         int64
	Name       string
	TableID    ids.Table      // 0 for none
	Table      string         // the present name
	State      jsontext.Value // an object that only clients understand
	Visibility Visibility
	Owner      ids.Token
	OwnerName  string
	CreatedAt  string
	UpdatedAt  string
}

// Saver is who saves and what that holder of the [DB] may do besides.
type Saver struct {
	Owner ids.Token
	Name  string
	Admin bool // may change and delete what others have saved, and see it if asked for
}

// SavedPatch describes what changes about something saved, or what a new one is. A nil
// field stays as it is.
type SavedPatch struct {
	Name       *string
	State      jsontext.Value
	Visibility *Visibility
}

const (
	maxSaved      = 500      // per project
	maxSavedState = 64 << 10 // bytes
	maxSavedName  = 200      // bytes
)

func (patch *SavedPatch) check(faults *problem.Faults) {
	if name := patch.Name; name != nil {
		switch {
		case strings.TrimSpace(*name) == "":
			faults.Required("name")
		case len(*name) > maxSavedName:
			faults.Add("name", "Must be at most %d bytes long.", maxSavedName)
		case !utf8.ValidString(*name) || strings.ContainsFunc(*name, func(r rune) bool { return r < ' ' || r == 0x7f }):
			faults.Add("name", "Must not contain control characters.")
		}
	}
	if len(patch.State) > maxSavedState {
		faults.Add("state", "Must be at most %d bytes long.", maxSavedState)
	}
}

// Saved returns what has been saved and the saver may see, ordered by name: of a table,
// if ref is not empty. With all, it includes what is private to others.
func (db *DB) Saved(ctx context.Context, kind SavedKind, ref string, who Saver, all bool) (list []Saved, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		condition, args := "kind = ?", []any{string(kind)}
		if ref != "" {
			t, err := tx.readable(ref)
			if err != nil {
				return err
			}
			condition, args = condition+" AND table_id = ?", append(args, t.ID)
		}
		if list, err = tx.saved(condition+" ORDER BY name COLLATE NOCASE, id", args...); err != nil {
			return err
		}
		seen := list[:0]
		for _, s := range list {
			if tx.seesSaved(&s, who, all) {
				seen = append(seen, s)
			}
		}
		list = seen
		return nil
	})
	return list, err
}

// saved returns the saved things that satisfy a condition. What belongs to a table that
// is gone has gone with it.
func (tx *Tx) saved(condition string, args ...any) (list []Saved, err error) {
	cat, err := tx.catalog()
	if err != nil {
		return nil, err
	}
	const query = "SELECT id, name, table_id, state, visibility, owner, owner_name, created_at, updated_at FROM _saved WHERE "
	err = tx.c.Query(query+condition, args, func(s *sqlite.Stmt) error {
		one := Saved{
			ID: s.Int(0), Name: s.Text(1), TableID: ids.Table(s.Int(2)), State: jsontext.Value(s.Text(3)), Visibility: Visibility(s.Text(4)),
			Owner: ids.Token(s.Int(5)), OwnerName: s.Text(6), CreatedAt: s.Text(7), UpdatedAt: s.Text(8),
		}
		if one.TableID != 0 {
			t, err := cat.withID(one.TableID)
			if err != nil {
				return err
			}
			one.Table = t.Name
		}
		list = append(list, one)
		return nil
	})
	return list, err
}

// seesSaved reports whether the saver may see something.
func (tx *Tx) seesSaved(s *Saved, who Saver, all bool) bool {
	if s.TableID != 0 && !tx.mayRead(&Table{ID: s.TableID}) {
		return false
	}
	return s.Visibility == ProjectVisibility || s.Owner == who.Owner || all && who.Admin
}

// FindSaved returns one thing that the saver may see, or not_found.
func (db *DB) FindSaved(ctx context.Context, kind SavedKind, id int64, who Saver) (found Saved, err error) {
	err = db.View(ctx, func(tx *Tx) error {
		found, err = tx.findSaved(kind, id, who)
		return err
	})
	return found, err
}

func (tx *Tx) findSaved(kind SavedKind, id int64, who Saver) (Saved, error) {
	list, err := tx.saved("kind = ? AND id = ?", string(kind), id)
	if err != nil {
		return Saved{}, err
	}
	if len(list) == 0 || !tx.seesSaved(&list[0], who, true) {
		return Saved{}, problem.NotFound("What was saved", itoa(int(id)))
	}
	return list[0], nil
}

// changeableSaved is findSaved for those who may change it.
func (tx *Tx) changeableSaved(kind SavedKind, id int64, who Saver) (Saved, error) {
	s, err := tx.findSaved(kind, id, who)
	if err == nil && s.Owner != who.Owner && !who.Admin {
		err = problem.New(problem.CodePermissionDenied, "Only %s, who saved it, or an admin of the project may change this.", s.OwnerName)
	}
	return s, err
}

// Save saves something, of a table if ref is not empty. It needs the right to read the
// table.
func (db *DB) Save(ctx context.Context, faults *problem.Faults, kind SavedKind, ref string, who Saver, order SavedPatch) (saved Saved, err error) {
	order.check(faults)
	err = db.Change(ctx, faults, SharedTransaction, func(tx *Tx) error {
		var tableID any
		if ref != "" {
			t, err := tx.readable(ref)
			if problem.Is(err, problem.CodeNotFound) {
				faults.Unknown("table", "table", ref, "", nil)
			} else if err != nil {
				return err
			}
			if t != nil {
				tableID = t.ID
			}
		}
		if err := faults.Err(); err != nil {
			return err
		}
		n, err := tx.c.Int("SELECT count(*) FROM _saved")
		if err != nil {
			return err
		}
		if n >= maxSaved {
			return problem.New(problem.CodeConflict, "The project already has %d saved filters and queries, which is the maximum. Delete some that are not needed.", n)
		}
		const insert = "INSERT INTO _saved (kind, name, table_id, state, visibility, owner, owner_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
		now := tx.now()
		if err := tx.c.Exec(insert, string(kind), *order.Name, tableID, string(order.State), string(*order.Visibility), who.Owner, who.Name, now, now); err != nil {
			return err
		}
		saved, err = tx.findSaved(kind, tx.c.LastInsertRowID(), who)
		return err
	})
	return saved, err
}

// ChangeSaved changes something saved: the saver must have saved it, or be an admin.
func (db *DB) ChangeSaved(ctx context.Context, faults *problem.Faults, kind SavedKind, id int64, who Saver, patch SavedPatch) (saved Saved, err error) {
	patch.check(faults)
	err = db.Change(ctx, faults, SharedTransaction, func(tx *Tx) error {
		if err := faults.Err(); err != nil {
			return err
		}
		if saved, err = tx.changeableSaved(kind, id, who); err != nil {
			return err
		}
		if patch.Name != nil {
			saved.Name = *patch.Name
		}
		if patch.State != nil {
			saved.State = patch.State
		}
		if patch.Visibility != nil {
			saved.Visibility = *patch.Visibility
		}
		saved.UpdatedAt = tx.now()
		return tx.c.Exec("UPDATE _saved SET name = ?, state = ?, visibility = ?, updated_at = ? WHERE id = ?",
			saved.Name, string(saved.State), string(saved.Visibility), saved.UpdatedAt, id)
	})
	return saved, err
}

// DeleteSaved deletes something saved: the saver must have saved it, or be an admin.
func (db *DB) DeleteSaved(ctx context.Context, kind SavedKind, id int64, who Saver) error {
	return db.Change(ctx, new(problem.Faults), freeing+SharedTransaction, func(tx *Tx) error {
		if _, err := tx.changeableSaved(kind, id, who); err != nil {
			return err
		}
		return tx.c.Exec("DELETE FROM _saved WHERE id = ?", id)
	})
}
