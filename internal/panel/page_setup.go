package panel

import (
	"net/http"

	"github.com/zangtable/zangtable/internal/problem"
)

// setupView is the data of the first page of a new server.
type setupView struct {
	Code     string
	Username string
	Faults   map[string]string // by field
	State    string            // "ready", "void" or "done"
}

func showSetup(q *request) error {
	q.w.Header().Set("Referrer-Policy", "no-referrer") // the address holds the code
	return q.askForOwner(http.StatusOK, setupView{Code: q.r.URL.Query().Get("code")})
}

func (q *request) askForOwner(status int, view setupView) error {
	isSetUp, err := q.Registry.IsSetUp(q.r.Context())
	if err != nil {
		return err
	}
	isValid, err := q.Registry.SetupCodeIsValid(q.r.Context(), view.Code)
	if err != nil {
		return err
	}
	switch view.State = "void"; {
	case isSetUp:
		view.State = "done"
	case isValid:
		view.State = "ready"
	}
	q.show(status, "setup", page{Title: "Set up this server", Data: view})
	return nil
}

// setUp makes the holder of the link the owner of the server.
func setUp(q *request) error {
	q.w.Header().Set("Referrer-Policy", "no-referrer")
	view := setupView{Code: q.field("code"), Username: q.field("username")}
	secret := ""
	right, wait, err := q.throttle.try(q.ClientAddress(q.r), "set-up", func() (bool, error) {
		var err error
		secret, err = q.Registry.SetUp(q.r.Context(), view.Code, view.Username, q.r.PostFormValue("password"), q.from())
		if problem.Is(err, problem.CodePermissionDenied) {
			return false, nil
		}
		return err == nil, err
	})
	switch view.Faults = faultsOf(err); {
	case wait > 0:
		return problem.New(problem.CodeRateLimited, "Too many attempts. Wait a minute.")
	case len(view.Faults) > 0:
		return q.askForOwner(http.StatusUnprocessableEntity, view)
	case err != nil:
		return err
	case !right:
		return q.askForOwner(http.StatusForbidden, view)
	}
	q.setSession(secret)
	q.redirect(Prefix)
	return nil
}
