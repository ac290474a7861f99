package registry

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// accountsMigration lets account users sign in. An account user without a password
// cannot: such is the owner of a new server until it has been set up.
const accountsMigration = `
ALTER TABLE account_users ADD COLUMN password_hash TEXT;
ALTER TABLE account_users ADD COLUMN role TEXT NOT NULL DEFAULT 'owner';
ALTER TABLE account_users ADD COLUMN created_at TEXT;
CREATE TABLE grants (
	account_user_id INTEGER NOT NULL REFERENCES account_users (id) ON DELETE CASCADE,
	project_id      INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
	role            TEXT NOT NULL,
	PRIMARY KEY (account_user_id, project_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_project ON grants (project_id);
CREATE TABLE sessions (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	hash            BLOB NOT NULL UNIQUE, -- SHA-256 of the secret in the cookie
	account_user_id INTEGER REFERENCES account_users (id) ON DELETE CASCADE,
	project_user_id INTEGER REFERENCES project_users (id) ON DELETE CASCADE,
	created_at      TEXT NOT NULL,
	last_seen_at    TEXT NOT NULL,
	expires_at      TEXT NOT NULL,
	browser         TEXT NOT NULL,
	address         TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_account_user ON sessions (account_user_id);
CREATE INDEX sessions_project_user ON sessions (project_user_id);
CREATE TABLE setup_codes (
	hash       BLOB PRIMARY KEY, -- SHA-256 of the code in the link
	expires_at TEXT NOT NULL
) STRICT;
`

// AccountRole says what an account user may do.
type AccountRole string

// The roles of account users.
const (
	Owner        AccountRole = "owner"  // everything, account users included
	AccountAdmin AccountRole = "admin"  // creates and deletes projects, and has full power in all of them
	Member       AccountRole = "member" // only the projects that are granted, each with a role of its own
)

// inEveryProject reports whether the role has full power in every project.
func (role AccountRole) inEveryProject() bool { return role == Owner || role == AccountAdmin }

// AccountUser is a person who may work in several projects.
type AccountUser struct {
	ID        int64       `json:"id"`
	Username  string      `json:"username"`
	Role      AccountRole `json:"role" enum:"owner,admin,member"`
	CanSignIn bool        `json:"can_sign_in" doc:"Whether the user has a password."`
	CreatedAt *string     `json:"created_at" format:"date-time"`
	Grants    []Grant     `json:"grants" doc:"The projects of a member."`
}

// Grant is the role of a member in a project.
type Grant struct {
	Project string `json:"project_slug"`
	Role    Role   `json:"role" enum:"admin,editor,viewer"`
}

// AccountUserChange describes a new account user, or what changes about one. A nil
// field stays as it is.
type AccountUserChange struct {
	Username *string
	Password *string
	Role     *AccountRole
	Grants   *[]Grant
}

// check notes what is wrong with the change.
func (change *AccountUserChange) check(faults *problem.Faults) {
	username := ""
	if change.Username != nil {
		username = *change.Username
		checkLabel(faults, "username", username)
	}
	if change.Password != nil {
		CheckPassword(faults, "password", *change.Password, username)
	}
	if change.Role != nil && *change.Role != Owner && *change.Role != AccountAdmin && *change.Role != Member {
		faults.WrongChoice("role", []string{string(Owner), string(AccountAdmin), string(Member)})
	}
	if change.Grants != nil {
		for i, grant := range *change.Grants {
			checkRole(faults, indexed("grants", i)+".role", grant.Role)
		}
	}
}

// AccountUsers returns every account user, ordered by id.
func (v *Visit) AccountUsers(ctx context.Context) (users []AccountUser, err error) {
	if err := v.requireOwner(); err != nil {
		return nil, err
	}
	err = v.registry.read(ctx, func(c *sqlite.Conn) error {
		users, err = selectAccountUsers(c, "")
		return err
	})
	return users, err
}

func selectAccountUsers(c *sqlite.Conn, where string, args ...any) (users []AccountUser, err error) {
	err = c.Query("SELECT id, username, role, password_hash IS NOT NULL, created_at FROM account_users "+where+" ORDER BY id", args, func(s *sqlite.Stmt) error {
		users = append(users, AccountUser{s.Int(0), s.Text(1), AccountRole(s.Text(2)), s.Int(3) == 1, s.TextOrNil(4), []Grant{}})
		return nil
	})
	for i := range users {
		if err == nil {
			err = c.Query("SELECT p.project_slug, g.role FROM grants g JOIN projects p ON p.id = g.project_id WHERE g.account_user_id = ? ORDER BY 1", []any{users[i].ID}, func(s *sqlite.Stmt) error {
				users[i].Grants = append(users[i].Grants, Grant{s.Text(0), Role(s.Text(1))})
				return nil
			})
		}
	}
	return users, err
}

// AddAccountUser adds a person. Only an owner may; a taken username is a conflict.
func (v *Visit) AddAccountUser(ctx context.Context, faults *problem.Faults, order AccountUserChange) (AccountUser, error) {
	if err := v.requireOwner(); err != nil {
		return AccountUser{}, err
	}
	return v.registry.addAccountUser(ctx, faults, order, v.stillValid)
}

// AddOwner gives the server an owner, on the word of its operator. The owner of a new
// server is named and gets the password; when there is one already, another is added.
func (r *Registry) AddOwner(ctx context.Context, username, password string) (AccountUser, error) {
	role := Owner
	return r.addAccountUser(ctx, new(problem.Faults), AccountUserChange{Username: &username, Password: &password, Role: &role}, func(*sqlite.Conn) error { return nil })
}

func (r *Registry) addAccountUser(ctx context.Context, faults *problem.Faults, order AccountUserChange, allowed func(*sqlite.Conn) error) (user AccountUser, err error) {
	for field, isMissing := range map[string]bool{"username": order.Username == nil, "password": order.Password == nil, "role": order.Role == nil} {
		if isMissing {
			faults.Required(field)
		}
	}
	order.check(faults)
	if err := faults.Err(); err != nil {
		return user, err
	}
	passwordHash, err := hashPassword(r.options.Random, *order.Password)
	if err != nil {
		return user, err
	}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		if err := allowed(c); err != nil {
			return err
		}
		id, err := r.placeForUser(c, *order.Role)
		if err != nil {
			return err
		}
		err = c.Exec(`
			INSERT INTO account_users (id, account_id, username, role, password_hash, created_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET username = excluded.username, password_hash = excluded.password_hash, created_at = excluded.created_at`,
			id, defaultAccount, *order.Username, string(*order.Role), passwordHash, projectdb.Timestamp(r.options.Now()))
		if err != nil {
			return usernameTaken(*order.Username, err)
		}
		if id == nil {
			id = c.LastInsertRowID()
		}
		if order.Grants != nil {
			if err := setGrants(c, id.(int64), *order.Grants); err != nil {
				return err
			}
		}
		return one(c, &user, id.(int64))
	})
	return user, err
}

// placeForUser returns the id of the owner that the server was created with, if it has
// no password yet and the new user is to be an owner; otherwise nil, for a new id.
func (r *Registry) placeForUser(c *sqlite.Conn, role AccountRole) (id any, err error) {
	if role != Owner {
		return nil, nil
	}
	n, err := c.Int("SELECT count(*) FROM account_users WHERE id = ? AND password_hash IS NULL", defaultAccountUser)
	if err != nil || n == 0 {
		return nil, err
	}
	return int64(defaultAccountUser), nil
}

func usernameTaken(username string, err error) error {
	if sqlite.FaultOf(err) == sqlite.Unique {
		return problem.New(problem.CodeConflict, "The username %q is taken.", username).With("username", problem.NameTaken).Because(err)
	}
	return err
}

func one(c *sqlite.Conn, user *AccountUser, id int64) error {
	users, err := selectAccountUsers(c, "WHERE id = ?", id)
	if err == nil && len(users) == 0 {
		err = problem.NotFound("The user", strconv.FormatInt(id, 10))
	}
	if err == nil {
		*user = users[0]
	}
	return err
}

// setGrants replaces the projects of a member.
func setGrants(c *sqlite.Conn, userID int64, grants []Grant) error {
	if err := c.Exec("DELETE FROM grants WHERE account_user_id = ?", userID); err != nil {
		return err
	}
	var faults problem.Faults
	for i, grant := range grants {
		err := c.Exec(`
			INSERT INTO grants (account_user_id, project_id, role) SELECT ?, id, ? FROM projects WHERE project_slug = ?
			ON CONFLICT DO UPDATE SET role = excluded.role`, userID, string(grant.Role), strings.ToLower(grant.Project))
		if err != nil {
			return err
		}
		if c.Changes() == 0 {
			faults.Add(indexed("grants", i)+".project_slug", "There is no such project.")
		}
	}
	return faults.Err()
}

// ChangeAccountUser changes a person: an owner may change everyone, others only their
// own password. The sessions of a person whose password changes end, except the one
// that changes it.
func (v *Visit) ChangeAccountUser(ctx context.Context, faults *problem.Faults, id int64, change AccountUserChange) (user AccountUser, err error) {
	own := v.accountUserID == id && change.Role == nil && change.Grants == nil && change.Username == nil
	if err := v.requireOwner(); err != nil && !own {
		return user, err
	}
	change.check(faults)
	if err := faults.Err(); err != nil {
		return user, err
	}
	r := v.registry
	passwordHash := ""
	if change.Password != nil {
		if passwordHash, err = hashPassword(r.options.Random, *change.Password); err != nil {
			return user, err
		}
	}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		if err := v.stillValid(c); err != nil {
			return err
		}
		if err := one(c, &user, id); err != nil {
			return err
		}
		if err := v.apply(c, user, change, passwordHash); err != nil {
			return err
		}
		return one(c, &user, id)
	})
	return user, err
}

// IsPassword reports whether the password is that of an account user.
func (r *Registry) IsPassword(ctx context.Context, id int64, password string) (bool, error) {
	stored := decoyPassword
	err := r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT password_hash FROM account_users WHERE id = ? AND password_hash IS NOT NULL", []any{id}, func(s *sqlite.Stmt) error {
			stored = s.Text(0)
			return nil
		})
	})
	return err == nil && checkPassword(stored, password), err
}

// apply stores a change of a person.
func (v *Visit) apply(c *sqlite.Conn, user AccountUser, change AccountUserChange, passwordHash string) error {
	if change.Role != nil && user.Role == Owner && *change.Role != Owner {
		if err := otherOwner(c, user.ID); err != nil {
			return err
		}
	}
	err := c.Exec("UPDATE account_users SET username = coalesce(?, username), role = coalesce(?, role), password_hash = coalesce(nullif(?, ''), password_hash) WHERE id = ?",
		nullable(change.Username), nullable((*string)(change.Role)), passwordHash, user.ID)
	if err != nil {
		return usernameTaken(user.Username, err)
	}
	if change.Grants != nil {
		if err := setGrants(c, user.ID, *change.Grants); err != nil {
			return err
		}
	}
	if passwordHash == "" {
		return nil
	}
	return c.Exec("DELETE FROM sessions WHERE account_user_id = ? AND id <> ?", user.ID, v.ID)
}

// otherOwner makes sure that the server keeps an owner who can sign in.
func otherOwner(c *sqlite.Conn, id int64) error {
	n, err := c.Int("SELECT count(*) FROM account_users WHERE role = 'owner' AND password_hash IS NOT NULL AND id <> ?", id)
	if err == nil && n == 0 {
		err = problem.New(problem.CodeConflict, "This is the only owner. Make somebody else an owner first.")
	}
	return err
}

// RemoveAccountUser removes a person. The tokens that the person made are revoked and
// from then on belong to the first owner, who cannot be removed.
func (v *Visit) RemoveAccountUser(ctx context.Context, id int64) error {
	if err := v.requireOwner(); err != nil {
		return err
	}
	r := v.registry
	now := projectdb.Timestamp(r.options.Now())
	err := r.write(ctx, func(c *sqlite.Conn) error {
		if err := v.stillValid(c); err != nil {
			return err
		}
		var user AccountUser
		if err := one(c, &user, id); err != nil {
			return err
		}
		if id == defaultAccountUser {
			return problem.New(problem.CodeConflict, "The first owner cannot be removed. Change the name and the password instead.")
		}
		if user.Role == Owner {
			if err := otherOwner(c, id); err != nil {
				return err
			}
		}
		err := c.Exec("UPDATE tokens SET account_user_id = ?, revoked_at = coalesce(revoked_at, ?) WHERE account_user_id = ?", defaultAccountUser, now, id)
		if err != nil {
			return err
		}
		return c.Exec("DELETE FROM account_users WHERE id = ?", id)
	})
	r.known.forget()
	return err
}

// MinPassword is the minimum length, in characters, of a password that a person sets.
const MinPassword = 12

// commonWords are what the most frequent passwords are made of.
var commonWords = []string{
	"password", "passwort", "passw0rd", "qwerty", "qwertz", "azerty", "letmein", "welcome", "iloveyou", "admin", "administrator", "monkey", "dragon", "master",
	"football", "baseball", "sunshine", "princess", "superman", "batman", "trustno", "shadow", "michael", "abc", "secret", "login", "changeme", "default", "root", "test", "zangtable",
}

// CheckPassword notes what is wrong with a password that a person sets: it must not be
// short or one of those that are tried first.
func CheckPassword(faults *problem.Faults, field, password, username string) {
	switch {
	case password == "":
		faults.Required(field)
	case utf8.RuneCountInString(password) < MinPassword:
		faults.Add(field, "Must be at least %d characters long; a few words are easy to remember.", MinPassword)
	case len(password) > maxPassword:
		faults.Add(field, "Must be at most %d bytes long.", maxPassword)
	case isGuessable(strings.ToLower(password), strings.ToLower(username)):
		faults.Add(field, "Is easy to guess: choose something that is not a common password, your name, a row of keys or a repetition.")
	}
}

// isGuessable reports whether little of a password is left without common words, the
// username, digits, signs, and characters that repeat or continue the one before.
func isGuessable(password, username string) bool {
	rest := password
	if len(username) > 2 {
		rest = strings.ReplaceAll(rest, username, "")
	}
	for _, word := range commonWords {
		rest = strings.ReplaceAll(rest, word, "")
	}
	different := map[rune]bool{}
	unforeseen, before := 0, rune(0)
	for _, char := range rest {
		if step := char - before; step < -1 || step > 1 {
			unforeseen++
		}
		different[char], before = true, char
	}
	return unforeseen < 6 || len(different) < 5
}

// projectGrant returns the role of a member in a project, "" for none.
func projectGrant(c *sqlite.Conn, userID int64, projectID ids.Project) (role Role, err error) {
	err = c.Query("SELECT role FROM grants WHERE account_user_id = ? AND project_id = ?", []any{userID, projectID}, func(s *sqlite.Stmt) error {
		role = Role(s.Text(0))
		return nil
	})
	return role, err
}
