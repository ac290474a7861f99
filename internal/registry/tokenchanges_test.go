package registry

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

func (ws *Workspace) change(t testing.TB, id ids.Token, patch TokenPatch) (Token, error) {
	t.Helper()
	return ws.ChangeToken(t.Context(), new(problem.Faults), id, patch)
}

func TestTokensOnlyEverLosePowerAndTime(t *testing.T) {
	t.Parallel()
	h := open(t)
	operator := h.project(t, "shop")
	goods := table(t, operator, "goods")
	ends := h.clock.Now().Add(time.Hour)
	minted := operator.mustMint(t, TokenRequest{Scopes: []string{"records:read", "query:read"}, ExpiresAt: &ends})
	forever := operator.mustMint(t, TokenRequest{})
	ws := h.enter(t, "shop", minted.Secret)

	never, later, sooner, past, name := time.Time{}, ends.Add(time.Second), ends.Add(-time.Minute), h.clock.Now(), "of the desk"
	for what, patch := range map[string]TokenPatch{
		"another scope": {Scopes: []string{"records:read", "records:write"}}, "full power": {Scopes: []string{"project:admin"}},
		"a longer life": {ExpiresAt: &later}, "an endless life": {ExpiresAt: &never},
	} {
		_, err := operator.change(t, minted.ID, patch)
		wantCode(t, what, err, problem.CodePermissionDenied)
	}
	for what, patch := range map[string]TokenPatch{
		"no scope": {Scopes: []string{}}, "an unknown scope": {Scopes: []string{"all"}}, "the past": {ExpiresAt: &past}, "no name": {Name: new(string)},
	} {
		_, err := operator.change(t, minted.ID, patch)
		wantCode(t, what, err, problem.CodeValidationFailed)
	}

	changed, err := operator.change(t, minted.ID, TokenPatch{Name: &name, Scopes: []string{"records:read:goods"}, ExpiresAt: &sooner})
	if err != nil || changed.Name != name || !slices.Equal(changed.Scopes, []string{"records:read:goods"}) || *changed.ExpiresAt != "2026-06-02T02:22:45Z" {
		t.Errorf("changed to %+v, %v", changed, err)
	}
	now := h.enter(t, "shop", minted.Secret) // the power that was known before is forgotten
	if now.May(RecordsRead) || now.May(QueryRead) || !now.MayTable(RecordsRead, goods.ID) {
		t.Errorf("the token may %v", now.Token.power)
	}
	_, err = operator.change(t, minted.ID, TokenPatch{Scopes: []string{"records:read"}})
	wantCode(t, "the old scope", err, problem.CodePermissionDenied)
	h.clock.Add(time.Hour - time.Minute)
	if h.isValid(t, "shop", minted.Secret) {
		t.Error("the token outlived its new end")
	}
	_, err = operator.change(t, minted.ID, TokenPatch{Name: &name})
	wantCode(t, "an expired token", err, problem.CodeConflict)
	if changed, err = operator.change(t, forever.ID, TokenPatch{ExpiresAt: &never}); err != nil || changed.ExpiresAt != nil {
		t.Errorf("a token without an end: %+v, %v", changed, err)
	}
	_, err = ws.change(t, forever.ID, TokenPatch{Name: &name})
	wantCode(t, "without the scope", err, problem.CodePermissionDenied)
}

func TestTokensAreRotatedWithAnOverlap(t *testing.T) {
	t.Parallel()
	h := open(t)
	operator := h.project(t, "shop")
	other := operator.mustMint(t, TokenRequest{Name: "other"})
	old := operator.mustMint(t, TokenRequest{Name: "desk", Scopes: []string{"records:read"}})
	next, previous, err := operator.Rotate(t.Context(), old.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if next.Name != "desk" || next.ExpiresAt != nil || !slices.Equal(next.Scopes, old.Scopes) || next.Secret == old.Secret {
		t.Errorf("rotated into %+v", next)
	}
	if previous.RevokedAt != nil || *previous.ExpiresAt != "2026-06-02T02:23:45Z" || *previous.ReplacedBy != next.ID {
		t.Errorf("the old one is %+v", previous)
	}
	_, _, err = operator.Rotate(t.Context(), old.ID, time.Hour)
	wantCode(t, "rotate again", err, problem.CodeConflict)
	h.clock.Add(time.Hour - time.Second)
	if !h.isValid(t, "shop", old.Secret) || !h.isValid(t, "shop", next.Secret) {
		t.Error("a token is refused during the overlap")
	}
	h.clock.Add(time.Second)
	if h.isValid(t, "shop", old.Secret) || !h.isValid(t, "shop", next.Secret) || !h.isValid(t, "shop", other.Secret) {
		t.Error("the wrong token ended")
	}

	// Without an overlap the old one ends at once; a life is never made longer.
	soon := h.clock.Now().Add(time.Minute)
	short := operator.mustMint(t, TokenRequest{ExpiresAt: &soon})
	last, previous, err := operator.Rotate(t.Context(), short.ID, time.Hour)
	if err != nil || *last.ExpiresAt != *short.ExpiresAt || *previous.ExpiresAt != *short.ExpiresAt {
		t.Errorf("%+v, %+v, %v", last, previous, err)
	}
	if _, previous, err = operator.Rotate(t.Context(), last.ID, 0); err != nil || previous.RevokedAt == nil || h.isValid(t, "shop", last.Secret) {
		t.Errorf("without an overlap: %+v, %v", previous, err)
	}
	_, _, err = operator.Rotate(t.Context(), last.ID, 0)
	wantCode(t, "rotate a revoked token", err, problem.CodeConflict)
	_, _, err = operator.Rotate(t.Context(), 999, 0)
	wantCode(t, "rotate nothing", err, problem.CodeNotFound)
}

// TestRotationGivesNothingAway rotates tokens of others, which must not lead to more
// power, a longer life or another person than the caller has.
func TestRotationGivesNothingAway(t *testing.T) {
	t.Parallel()
	h := open(t)
	operator := h.project(t, "shop")
	for _, user := range []NewProjectUser{{Username: "vera", Password: "pw", Role: Viewer}, {Username: "ed", Password: "pw", Role: Admin}} {
		if _, err := operator.AddProjectUser(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	full := operator.mustMint(t, TokenRequest{Name: "full"})
	reader := operator.mustMint(t, TokenRequest{Scopes: []string{"records:read"}})
	vera := operator.mustMint(t, TokenRequest{ProjectUsername: "vera"})
	ed := operator.mustMint(t, TokenRequest{ProjectUsername: "ed"})
	soon := h.clock.Now().Add(time.Hour)
	manager := h.enter(t, "shop", operator.mustMint(t, TokenRequest{Scopes: []string{"tokens:manage", "schema:read", "records:read", "query:read", "exports:read"}}).Secret)
	passing := h.enter(t, "shop", operator.mustMint(t, TokenRequest{ExpiresAt: &soon}).Secret)
	asEd := h.enter(t, "shop", ed.Secret)

	_, _, err := manager.Rotate(t.Context(), full.ID, 0)
	wantCode(t, "one that may do more", err, problem.CodePermissionDenied)
	_, err = manager.change(t, full.ID, TokenPatch{Name: &full.Name})
	wantCode(t, "change one that may do more", err, problem.CodePermissionDenied)
	_, _, err = passing.Rotate(t.Context(), full.ID, 0)
	wantCode(t, "one that lives longer", err, problem.CodePermissionDenied)
	_, _, err = asEd.Rotate(t.Context(), vera.ID, 0)
	wantCode(t, "one of another user", err, problem.CodePermissionDenied)

	// What a user could do with a greater role stays with the user's own token.
	next, _, err := manager.Rotate(t.Context(), vera.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.SetRole(t.Context(), "vera", Admin); err != nil {
		t.Fatal(err)
	}
	if ws := h.enter(t, "shop", next.Secret); ws.May(RecordsWrite) {
		t.Errorf("the rotated token grew to %v", ws.Token.power)
	}
	// What a user rotates ends with the user.
	mine, _, err := asEd.Rotate(t.Context(), reader.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := operator.RemoveProjectUser(t.Context(), "ed"); err != nil {
		t.Fatal(err)
	}
	if h.isValid(t, "shop", mine.Secret) {
		t.Error("a token outlived the user who rotated it")
	}
	_, _, err = asEd.Rotate(t.Context(), full.ID, 0)
	wantCode(t, "by a revoked token", err, problem.CodeInvalidToken)
}

func TestATokenIsRotatedOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	operator := h.project(t, "shop")
	old := operator.mustMint(t, TokenRequest{})
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, _, errs[i] = operator.Rotate(t.Context(), old.ID, time.Hour) })
	}
	wg.Wait()
	if failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil }); len(failed) != 7 {
		t.Errorf("%d of 8 rotations failed: %v", len(failed), errors.Join(failed...))
	}
}

func TestProjectUsersAreChanged(t *testing.T) {
	t.Parallel()
	h := open(t)
	operator := h.project(t, "shop")
	ws := h.enter(t, "shop", operator.mustMint(t, TokenRequest{}).Secret)
	add := func(username string, role Role) ProjectUser {
		t.Helper()
		user, err := ws.InviteProjectUser(t.Context(), new(problem.Faults), NewProjectUser{Username: username, Password: "nine calm owls", Role: role})
		if err != nil {
			t.Fatal(err)
		}
		return user
	}
	ada, vera := add("ada", Admin), add("vera", Viewer)
	patch := func(id int64, patch ProjectUserPatch) (ProjectUser, error) {
		return ws.ChangeProjectUser(t.Context(), new(problem.Faults), id, patch)
	}
	editor, password, taken, weak := Editor, "a bicycle under the bridge", "ADA", "aaaaaaaaaaaaaa"
	_, err := patch(ada.ID, ProjectUserPatch{Role: &editor})
	wantCode(t, "the last admin gets another role", err, problem.CodeConflict)
	wantCode(t, "the last admin goes", ws.RemoveProjectUserWithID(t.Context(), ada.ID), problem.CodeConflict)
	_, err = patch(vera.ID, ProjectUserPatch{Username: &taken})
	wantCode(t, "a taken name", err, problem.CodeConflict)
	_, err = patch(vera.ID, ProjectUserPatch{Password: &weak})
	wantCode(t, "a weak password", err, problem.CodeValidationFailed)
	_, err = patch(999, ProjectUserPatch{Role: &editor})
	wantCode(t, "nobody", err, problem.CodeNotFound)
	_, err = h.project(t, "other").ChangeProjectUser(t.Context(), new(problem.Faults), vera.ID, ProjectUserPatch{Role: &editor})
	wantCode(t, "a user of another project", err, problem.CodeNotFound)

	session, err := h.SignIn(t.Context(), "shop", "vera", "nine calm owls", From{})
	if err != nil || session == "" {
		t.Fatalf("vera cannot sign in: %v", err)
	}
	changed, err := patch(vera.ID, ProjectUserPatch{Password: &password, Role: &editor})
	if err != nil || changed.Role != Editor || changed.Username != "vera" {
		t.Errorf("changed to %+v, %v", changed, err)
	}
	if _, err := h.Visit(t.Context(), session); !problem.Is(err, problem.CodeInvalidToken) {
		t.Errorf("the session goes on after the password has changed: %v", err)
	}
	if session, err = h.SignIn(t.Context(), "shop", "vera", password, From{}); err != nil || session == "" {
		t.Fatalf("vera cannot sign in with the new password: %v", err)
	}
	if err := ws.RemoveProjectUserWithID(t.Context(), vera.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Visit(t.Context(), session); !problem.Is(err, problem.CodeInvalidToken) {
		t.Errorf("the session of a removed user goes on: %v", err)
	}
}

func TestAProjectHasSoManyUsers(t *testing.T) {
	t.Parallel()
	h := open(t)
	ws := h.project(t, "shop")
	err := h.write(t.Context(), func(c *sqlite.Conn) error {
		for i := range maxProjectUsers {
			if _, err := insertProjectUser(c, ws.Project.ID, ProjectUser{Username: fmt.Sprint("user ", i), Role: Viewer}, "x"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ws.AddProjectUser(t.Context(), NewProjectUser{Username: "one more", Password: "pw"})
	wantCode(t, "one more", err, problem.CodeConflict)
}
