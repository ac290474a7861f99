package registry

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Role determines what a project user may do; it limits the tokens minted for that
// user.
type Role string

// The roles, each including the previous one.
const (
	Viewer Role = "viewer" // reads schema, records, queries and exports
	Editor Role = "editor" // also writes records, makes exports and reads the journal
	Admin  Role = "admin"  // everything
)

// power returns the scopes of the role, or none if the role does not exist.
func (role Role) power() power {
	viewer := power{SchemaRead, RecordsRead, QueryRead, ExportsRead}
	switch role {
	case Viewer:
		return viewer
	case Editor:
		return append(viewer, RecordsWrite, ExportsCreate, JournalRead)
	case Admin:
		return fullPower()
	}
	return power{}
}

// ProjectUser is a person in one project.
type ProjectUser struct {
	ID        int64  `json:"id"`
	Username  string `json:"username"`
	Role      Role   `json:"role" enum:"admin,editor,viewer"`
	CreatedAt string `json:"created_at" format:"date-time"`
}

// NewProjectUser describes a project user to be added.
type NewProjectUser struct {
	Username string
	Password string
	Role     Role // "" means Admin
	// PasswordHash is the result of HashPassword, for orders that are stored until
	// they are carried out; Password is then empty.
	PasswordHash string
}

// HashPassword returns the stored form of a password.
func (r *Registry) HashPassword(password string) (string, error) {
	return hashPassword(r.options.Random, password)
}

func (order *NewProjectUser) hash(random io.Reader) (string, error) {
	if order.PasswordHash != "" {
		return order.PasswordHash, nil
	}
	return hashPassword(random, order.Password)
}

func (order *NewProjectUser) role() Role {
	if order.Role == "" {
		return Admin
	}
	return order.Role
}

// check notes what is wrong with the description, with prefix on the field names.
func (order *NewProjectUser) check(faults *problem.Faults, prefix string) {
	checkLabel(faults, prefix+"username", order.Username)
	switch {
	case order.PasswordHash != "":
	case order.Password == "":
		faults.Required(prefix + "password")
	case len(order.Password) > maxPassword:
		faults.Add(prefix+"password", "Must be at most %d bytes long.", maxPassword)
	}
	checkRole(faults, prefix+"role", order.role())
}

func checkRole(faults *problem.Faults, field string, role Role) {
	if len(role.power()) == 0 {
		faults.WrongChoice(field, []string{string(Viewer), string(Editor), string(Admin)})
	}
}

// AddProjectUser adds a person to the project. It needs project:admin; a taken
// username is a conflict.
func (ws *Workspace) AddProjectUser(ctx context.Context, order NewProjectUser) (ProjectUser, error) {
	if err := ws.Require(ProjectAdmin); err != nil {
		return ProjectUser{}, err
	}
	var faults problem.Faults
	order.check(&faults, "")
	if err := faults.Err(); err != nil {
		return ProjectUser{}, err
	}
	r := ws.registry
	passwordHash, err := order.hash(r.options.Random)
	if err != nil {
		return ProjectUser{}, err
	}
	user := ProjectUser{Username: order.Username, Role: order.role(), CreatedAt: projectdb.Timestamp(r.options.Now())}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		if err := ws.stillValid(c); err != nil {
			return err
		}
		if err := ws.roomForUser(c); err != nil {
			return err
		}
		user.ID, err = insertProjectUser(c, ws.Project.ID, user, passwordHash)
		return err
	})
	return user, err
}

func insertProjectUser(c *sqlite.Conn, projectID ids.Project, user ProjectUser, passwordHash string) (id int64, err error) {
	err = c.Exec(`
		INSERT INTO project_users (project_id, username, password_hash, role, created_at)
		VALUES (?, ?, ?, ?, ?)`,
		projectID, user.Username, passwordHash, string(user.Role), user.CreatedAt)
	if sqlite.FaultOf(err) == sqlite.Unique {
		return 0, problem.New(problem.CodeConflict, "The username %q is taken.", user.Username).With("username", problem.NameTaken).Because(err)
	}
	return c.LastInsertRowID(), err
}

// ProjectUsers returns the people of the project, ordered by id.
func (ws *Workspace) ProjectUsers(ctx context.Context) (users []ProjectUser, err error) {
	if err := ws.Require(ProjectAdmin); err != nil {
		return nil, err
	}
	err = ws.registry.read(ctx, func(c *sqlite.Conn) error {
		users, err = selectProjectUsers(c, "WHERE project_id = ? ORDER BY id", ws.Project.ID)
		return err
	})
	return users, err
}

func selectProjectUsers(c *sqlite.Conn, rest string, args ...any) (users []ProjectUser, err error) {
	err = c.Query("SELECT id, username, role, created_at FROM project_users "+rest, args, func(s *sqlite.Stmt) error {
		users = append(users, ProjectUser{s.Int(0), s.Text(1), Role(s.Text(2)), s.Text(3)})
		return nil
	})
	return users, err
}

// SetRole changes the role of the person with the given name; see
// [Workspace.ChangeProjectUser].
func (ws *Workspace) SetRole(ctx context.Context, username string, role Role) error {
	id, err := ws.projectUserNamed(ctx, username)
	if err == nil || problem.Is(err, problem.CodeNotFound) && len(role.power()) == 0 { // all faults at once
		_, err = ws.ChangeProjectUser(ctx, new(problem.Faults), id, ProjectUserPatch{Role: &role})
	}
	return err
}

// RemoveProjectUser removes the person with the given name; see
// [Workspace.RemoveProjectUserWithID].
func (ws *Workspace) RemoveProjectUser(ctx context.Context, username string) error {
	id, err := ws.projectUserNamed(ctx, username)
	if err != nil {
		return err
	}
	return ws.RemoveProjectUserWithID(ctx, id)
}

func (ws *Workspace) projectUserNamed(ctx context.Context, username string) (id int64, err error) {
	if err := ws.Require(ProjectAdmin); err != nil {
		return 0, err
	}
	err = ws.registry.read(ctx, func(c *sqlite.Conn) error {
		id, err = c.Int("SELECT id FROM project_users WHERE project_id = ? AND username = ?", ws.Project.ID, username)
		return err
	})
	if err == nil && id == 0 {
		err = problem.NotFound("The user", username)
	}
	return id, err
}

// Login returns the person of the project with the given name and password, or false.
// An unknown name takes as long as a wrong password.
func (r *Registry) Login(ctx context.Context, slug, username, password string) (user ProjectUser, ok bool, err error) {
	stored := decoyPassword
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query(`
			SELECT u.id, u.username, u.role, u.created_at, u.password_hash
			FROM project_users u
			JOIN projects p ON p.id = u.project_id
			WHERE p.project_slug = ? AND u.username = ?`, []any{strings.ToLower(slug), username}, func(s *sqlite.Stmt) error {
			user = ProjectUser{s.Int(0), s.Text(1), Role(s.Text(2)), s.Text(3)}
			stored = s.Text(4)
			return nil
		})
	})
	if err != nil || !checkPassword(stored, password) || user.ID == 0 {
		return ProjectUser{}, false, err
	}
	return user, true, nil
}

// The cost of argon2id: the second recommendation of OWASP's password storage cheat
// sheet. Stored hashes include their own parameters, so these may be raised.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	saltSize    = 16
	keySize     = 32
	maxPassword = 1000 // bytes
)

// decoyPassword is a hash with the current cost that no password matches.
const decoyPassword = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// hashing bounds how many passwords are hashed at once, whoever asks: each takes 19 MiB
// and a processor.
var hashing = make(chan struct{}, 2)

// deriveKey is argon2.IDKey within that bound.
func deriveKey(password string, salt []byte, time, memory uint32, lanes uint8, size uint32) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, time, memory, lanes, size)
}

// hashPassword returns the argon2id hash of a password in the standard text form.
func hashPassword(random io.Reader, password string) (string, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	key := deriveKey(password, salt, argonTime, argonMemory, argonLanes, keySize)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, encode(salt), encode(key)), nil
}

// checkPassword reports whether the password matches the stored hash.
func checkPassword(stored, password string) bool {
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > maxPassword {
		return false
	}
	var version int
	var memory, time uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &time, &lanes); err != nil || time == 0 || lanes == 0 {
		return false
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || keyErr != nil || len(key) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare(deriveKey(password, salt, time, memory, lanes, uint32(len(key))), key) == 1
}
