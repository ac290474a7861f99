package panel

import (
	"fmt"
	"net/http"
	"time"
)

// signInView is the data of the page on which people sign in.
type signInView struct {
	Project  string // of a project user; "" for account users
	Username string
	Next     string
	Fault    string
	NotSetUp bool
}

func showSignIn(q *request) error {
	return q.askForPassword(http.StatusOK, signInView{Next: q.r.URL.Query().Get("next")})
}

func (q *request) askForPassword(status int, view signInView) error {
	isSetUp, err := q.Registry.IsSetUp(q.r.Context())
	if err != nil {
		return err
	}
	view.Project, view.NotSetUp = q.r.PathValue("project"), !isSetUp
	q.show(status, "sign-in", page{Title: "Sign in", Data: view})
	return nil
}

// signIn starts a session. Whether the name or the password is wrong stays open.
func signIn(q *request) error {
	project, username, password := q.r.PathValue("project"), q.field("username"), q.r.PostFormValue("password")
	view := signInView{Username: username, Next: q.field("next")}
	secret := ""
	right, wait, err := q.throttle.try(q.ClientAddress(q.r), project+"/"+username, func() (bool, error) {
		var err error
		secret, err = q.Registry.SignIn(q.r.Context(), project, username, password, q.from())
		return secret != "", err
	})
	switch {
	case err != nil:
		return err
	case wait > 0:
		seconds := int(wait.Round(time.Second)/time.Second) + 1
		q.w.Header().Set("Retry-After", fmt.Sprint(seconds))
		view.Fault = fmt.Sprintf("Too many attempts. Try again in %d seconds.", seconds)
		return q.askForPassword(http.StatusTooManyRequests, view)
	case !right:
		view.Fault = "The name or the password is wrong."
		return q.askForPassword(http.StatusUnprocessableEntity, view)
	}
	q.setSession(secret)
	q.redirect(nextPage(view.Next))
	return nil
}

func signOut(q *request) error {
	if err := q.visit.End(q.r.Context(), q.from()); err != nil {
		return err
	}
	q.setSession("")
	q.redirect(pagePath("sign-in"))
	return nil
}
