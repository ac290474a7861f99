package panel

import (
	"net/http"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/registry"
)

// meView is the data of the page about the person who has signed in.
type meView struct {
	Sessions       []registry.Session
	ChangesOwnWord bool // whether the person can change the password here
	Faults         map[string]string
}

func showMe(q *request) error { return q.showPerson(http.StatusOK, meView{}) }

func (q *request) showPerson(status int, view meView) error {
	var listed struct{ Sessions []registry.Session }
	if err := q.get(&listed, "/sessions"); err != nil {
		return err
	}
	view.Sessions, view.ChangesOwnWord = listed.Sessions, q.visit.AccountUserID() != 0
	q.show(status, "me", page{Title: "You", Section: "me", Data: view})
	return nil
}

// changePassword asks for the old password first: an open browser is not enough.
func changePassword(q *request) error {
	username := q.visit.Username
	right, wait, err := q.throttle.try(q.ClientAddress(q.r), "/"+username, func() (bool, error) {
		return q.Registry.IsPassword(q.r.Context(), q.visit.AccountUserID(), q.r.PostFormValue("old"))
	})
	switch {
	case err != nil:
		return err
	case wait > 0:
		return problem.New(problem.CodeRateLimited, "Too many attempts. Wait a minute.")
	case !right:
		return q.showPerson(http.StatusUnprocessableEntity, meView{Faults: map[string]string{"old": "Is not your password."}})
	}
	err = q.visit.ChangePassword(q.r.Context(), q.r.PostFormValue("password"), q.from())
	if faults := faultsOf(err); len(faults) > 0 {
		return q.showPerson(http.StatusUnprocessableEntity, meView{Faults: faults})
	}
	if err != nil {
		return err
	}
	q.redirect(pagePath("me") + "?done=password")
	return nil
}

func changeTheme(q *request) error {
	theme := q.field("theme")
	cookie := http.Cookie{Name: themeCookie, Value: theme, Path: Prefix, HttpOnly: true, Secure: q.Secure, SameSite: http.SameSiteStrictMode, MaxAge: 365 * 24 * 60 * 60}
	if theme != "light" && theme != "dark" {
		cookie.Value, cookie.MaxAge = "", -1
	}
	http.SetCookie(q.w, &cookie)
	q.redirect(pagePath("me"))
	return nil
}

func endSession(q *request) error {
	if err := q.call(http.MethodDelete, apiPath("/sessions/%s", q.r.PathValue("id")), nil, nil); err != nil {
		return err
	}
	q.redirect(pagePath("me") + "?done=session")
	return nil
}
