package api

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/rest"
)

// What inputs tell the audit log besides their paths.

// notes joins notes of the form name=value; those with an empty value are left out.
func notes(pairs ...string) string {
	var list []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, pairs[i]+"="+pairs[i+1])
		}
	}
	return strings.Join(list, " ")
}

// AuditNote returns the slug of the new project.
func (in *bootstrapIn) AuditNote() string { return notes("project", in.Body.Slug) }

// AuditNote returns the slug of the new project.
func (in *createProjectIn) AuditNote() string { return notes("project", in.Body.Slug) }

// AuditNote returns the new name.
func (in *renameProjectIn) AuditNote() string { return notes("name", in.Body.Name) }

// AuditNote returns the settings that are changed.
func (in *changeSettingsIn) AuditNote() string {
	origins, tracks, stage := "", "", in.Body.Stage.Value
	if in.Body.CORS.Sent {
		origins = cmp.Or(strings.Join(in.Body.CORS.Value.AllowOrigins, ","), "none")
	}
	if on := in.Body.TrackChanges.Ptr(); on != nil {
		tracks = fmt.Sprint(*on)
	}
	if in.Body.Stage.Sent {
		stage = cmp.Or(stage, "none")
	}
	return notes("allow_origins", origins, "track_changes", tracks, "stage", stage)
}

// AuditNote returns the rights of the new token.
func (in *mintTokenIn) AuditNote() string {
	return notes("name", in.Body.Name, "scopes", strings.Join(in.Body.Scopes, ","), "user", in.Body.Username, "expires", expiry(in.Body.ExpiresAt))
}

// Effect returns the token that was minted.
func (out mintedTokenOut) Effect() rest.Effect {
	return rest.Effect{Kind: "token", Created: fmt.Sprint(out.Token.ID)}
}

// AuditNote returns the name of the new table.
func (in *newTableIn) AuditNote() string { return notes("table", in.Body.Name) }

// AuditNote returns the name of the new column.
func (in *newColumnIn) AuditNote() string { return notes("column", in.Body.Name) }

// AuditNote returns the name of the new index.
func (in *newIndexIn) AuditNote() string { return notes("index", in.Body.Name.Value) }

// AuditNote returns the new name of the table, if it gets one.
func (in *updateTableIn) AuditNote() string { return notes("new_name", in.Body.NewName.Value) }

// AuditNote returns what changes about the rights of the account user.
func (in *changeAccountUserIn) AuditNote() string { return in.Body.note() }

// AuditNote returns the rights of the new account user.
func (in *addAccountUserIn) AuditNote() string { return in.Body.note() }

func (b *accountUserBody) note() string {
	grants := []string{}
	for _, g := range b.Grants {
		grants = append(grants, g.Project+":"+g.Role)
	}
	return personNote(b.Username, b.Role, b.Password, "grants", strings.Join(grants, ","))
}

// AuditNote returns the role of the new user.
func (in *addUserIn) AuditNote() string {
	return personNote(&in.Body.Username, &in.Body.Role, &in.Body.Password)
}

// AuditNote returns what changes about the user.
func (in *changeUserIn) AuditNote() string {
	return personNote(in.Body.Username, in.Body.Role, in.Body.Password)
}

func personNote(username, role, password *string, more ...string) string {
	set := ""
	if password != nil {
		set = "set"
	}
	return notes(append([]string{"username", value(username), "role", value(role), "password", set}, more...)...)
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// AuditNote returns what changes about the token.
func (in *changeTokenIn) AuditNote() string {
	return notes("name", value(in.Body.Name), "scopes", strings.Join(in.Body.Scopes, ","), "expires", expiry(in.Body.ExpiresAt.Value))
}

// AuditNote returns which token is replaced, and for how long it stays valid.
func (in *rotateTokenIn) AuditNote() string {
	return notes("replaces", fmt.Sprint(in.ID), "overlap_seconds", fmt.Sprint(in.Body.Overlap))
}

// Effect returns the token that was minted in place of the old one.
func (out rotatedTokenOut) Effect() rest.Effect {
	return rest.Effect{Kind: "token", Created: fmt.Sprint(out.Token.ID)}
}

// expiry writes a time, or nothing if there is none.
func expiry(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}
