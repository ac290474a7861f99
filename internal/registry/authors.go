package registry

import "github.com/zangtable/zangtable/internal/ids"

// Author says who did or made something, under the name of that time.
type Author struct {
	Type string `json:"type" enum:"token,account_user,project_user,operator,nobody" doc:"The operator is whoever can open the data folder; nobody has not signed in."`
	ID   int64  `json:"id" doc:"Of the token or the user; 0 for others."`
	Name string `json:"name" doc:"The name at that time."`
}

// AuthorOf describes whoever the id stands for; see [ids.Token].
func AuthorOf(id ids.Token, name string) *Author {
	switch {
	case id > 0:
		return &Author{"token", int64(id), name}
	case id == 0:
		return &Author{"operator", 0, name}
	case id%2 == 0:
		return &Author{"account_user", -int64(id) / 2, name}
	}
	return &Author{"project_user", -int64(id+1) / 2, name}
}

// Identity returns the id that stands for the author in calls.
func (a *Author) Identity() ids.Token {
	switch a.Type {
	case "account_user":
		return ids.AccountUser(a.ID)
	case "project_user":
		return ids.ProjectUser(a.ID)
	}
	return ids.Token(a.ID)
}

// Author describes who works in the workspace.
func (ws *Workspace) Author() *Author {
	switch {
	case ws.Visit != nil:
		return ws.Visit.Author()
	case ws.Token.ID == 0:
		return Operator()
	}
	return AuthorOf(ws.Token.ID, ws.Token.Name)
}

// Author describes the person of the session.
func (v *Visit) Author() *Author {
	if v.projectUserID != 0 {
		return AuthorOf(ids.ProjectUser(v.projectUserID), v.Username)
	}
	return AuthorOf(ids.AccountUser(v.accountUserID), v.Username)
}

// Operator is whoever can open the data folder.
func Operator() *Author { return AuthorOf(0, "operator") }

// nobody is somebody who has not signed in.
func nobody() *Author { return &Author{Type: "nobody"} }
