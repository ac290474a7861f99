package registry

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Project is one project. Its JSON form is part of the wire contract.
type Project struct {
	ID        ids.Project `json:"id"`
	Slug      string      `json:"project_slug"`
	Name      string      `json:"project_name"`
	CreatedAt string      `json:"created_at"`
	UpdatedAt string      `json:"updated_at"`

	Settings  Settings `json:"-"`
	AccountID int64    `json:"-"`
	Source    *string  `json:"-"` // SHA-256 of the file it was imported from, in hex

	// Root is the first in the chain of projects whose tokens created this one, and
	// may no longer exist; it is the project's own id if the operator created it.
	// Whatever is shared among projects is shared among roots.
	Root ids.Project `json:"-"`
}

// projectColumns are the columns that scanProject reads, of projects as p.
const projectColumns = "p.id, p.project_slug, p.project_name, p.created_at, p.updated_at, p.account_id, p.source, coalesce(p.made_by_project, p.id), " + settingsColumns

func scanProject(s *sqlite.Stmt, at int) Project {
	return Project{
		ID:        ids.Project(s.Int(at)),
		Slug:      s.Text(at + 1),
		Name:      s.Text(at + 2),
		CreatedAt: s.Text(at + 3),
		UpdatedAt: s.Text(at + 4),
		AccountID: s.Int(at + 5),
		Source:    s.TextOrNil(at + 6),
		Root:      ids.Project(s.Int(at + 7)),
		Settings:  scanSettings(s, at+8),
	}
}

// Projects returns every project, ordered by slug.
func (r *Registry) Projects(ctx context.Context) ([]Project, error) {
	return r.selectProjects(ctx, "ORDER BY p.project_slug")
}

// Project returns the project with the given slug, or not_found.
func (r *Registry) Project(ctx context.Context, slug string) (Project, error) {
	projects, err := r.selectProjects(ctx, "WHERE p.project_slug = ?", strings.ToLower(slug))
	if err != nil {
		return Project{}, err
	}
	if len(projects) == 0 {
		return Project{}, problem.NotFound("The project", slug)
	}
	return projects[0], nil
}

// ProjectsFrom returns the projects that were imported from the file with the given
// SHA-256, newest first.
func (r *Registry) ProjectsFrom(ctx context.Context, source string) ([]Project, error) {
	return r.selectProjects(ctx, "WHERE p.source = ? ORDER BY p.id DESC", source)
}

func (r *Registry) selectProjects(ctx context.Context, rest string, args ...any) (projects []Project, err error) {
	err = r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT "+projectColumns+" FROM projects p "+rest, args, func(s *sqlite.Stmt) error {
			projects = append(projects, scanProject(s, 0))
			return nil
		})
	})
	return projects, err
}

// NewProject describes a project to be created. User, Tokens and Blueprint are
// optional.
type NewProject struct {
	Slug      string // lowercased before it is checked
	Name      string
	Source    *string // SHA-256 of the file that it is imported from, in hex
	User      *NewProjectUser
	Tokens    []NewToken
	Blueprint projectdb.Blueprint
}

// NewToken describes one of a project's first tokens.
type NewToken struct {
	AccountUserID   int64 // 0 means the account's owner
	Name            string
	ProjectUsername string // whose role limits the token; "" for full power
}

func (order *NewToken) accountUser() int64 {
	if order.AccountUserID == 0 {
		return defaultAccountUser
	}
	return order.AccountUserID
}

// CreatedProject is a new project together with what was created with it.
type CreatedProject struct {
	Project Project       `json:"project"`
	User    *ProjectUser  `json:"project_user"`
	Tokens  []MintedToken `json:"project_api_tokens"`

	Built projectdb.Built `json:"-"` // of the blueprint
}

// CreateProject creates a project with everything that belongs to it, or nothing at
// all. build fills its database before anybody else sees it; if nil, the blueprint is
// built. A taken slug is a conflict.
func (r *Registry) CreateProject(ctx context.Context, order NewProject, build func(*projectdb.DB) error) (CreatedProject, error) {
	return r.createProject(ctx, new(problem.Faults), origin{account: defaultAccount}, order, build)
}

// BuildProject is CreateProject for an order in which faults may already have been
// found: if there are any, nothing is created, and the error lists them all.
func (r *Registry) BuildProject(ctx context.Context, faults *problem.Faults, order NewProject) (CreatedProject, error) {
	return r.createProject(ctx, faults, origin{account: defaultAccount}, order, nil)
}

// CreateProject is [Registry.CreateProject] for a project in the account of the
// workspace's. If faults have already been found, nothing is created. It needs
// project:admin.
func (ws *Workspace) CreateProject(ctx context.Context, faults *problem.Faults, order NewProject, build func(*projectdb.DB) error) (CreatedProject, error) {
	if err := ws.Require(ProjectAdmin); err != nil {
		return CreatedProject{}, err
	}
	return ws.registry.createProject(ctx, faults, origin{ws.Project.AccountID, ws.Project.Root}, order, build)
}

// origin says where a new project comes from.
type origin struct {
	account int64
	root    ids.Project // see Project.Root; 0 if the operator creates it
}

func (r *Registry) createProject(ctx context.Context, faults *problem.Faults, from origin, order NewProject, build func(*projectdb.DB) error) (created CreatedProject, err error) {
	order.Slug = strings.ToLower(order.Slug)
	birth, err := r.prepareBirth(ctx, faults, from, order)
	if err != nil {
		return created, err
	}
	id, err := r.reserveID(ctx)
	if err != nil {
		return created, err
	}
	var built projectdb.Built
	if build == nil && len(order.Blueprint.Tables) > 0 {
		build = func(db *projectdb.DB) (err error) {
			built, err = db.Build(ctx, order.Blueprint)
			return err
		}
	}
	if err = r.projects.Create(ctx, id, build); err == nil {
		// The row is the commit point: once it is written, the project exists.
		err = r.write(ctx, func(c *sqlite.Conn) (err error) {
			created, err = birth.register(c, id)
			return err
		})
	}
	if err == nil {
		created.Built = built
		return created, nil
	}
	if cleanupErr := r.finishRemoval(id); cleanupErr != nil {
		r.options.Log.Error("clear away a project that was not completed", "project_id", id, "error", cleanupErr)
	}
	return CreatedProject{}, err
}

func (r *Registry) reserveID(ctx context.Context) (id ids.Project, err error) {
	err = r.write(ctx, func(c *sqlite.Conn) (err error) {
		next, err := c.Int("INSERT INTO unfinished DEFAULT VALUES RETURNING project_id")
		id = ids.Project(next)
		return err
	})
	return id, err
}

// birth is the registration of a new project; everything slow or likely to fail has
// been prepared.
type birth struct {
	order NewProject
	origin
	now          string
	passwordHash string
	secrets      []string // one for each token
}

func (r *Registry) prepareBirth(ctx context.Context, faults *problem.Faults, from origin, order NewProject) (*birth, error) {
	if err := r.checkOrder(ctx, faults, from.account, order); err != nil {
		return nil, err
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	switch _, err := r.Project(ctx, order.Slug); {
	case err == nil:
		return nil, slugTaken(order.Slug)
	case !problem.Is(err, problem.CodeNotFound):
		return nil, err
	}
	b := &birth{order: order, origin: from, now: projectdb.Timestamp(r.options.Now())}
	for range order.Tokens {
		secret, err := newSecret(r.options.Random)
		if err != nil {
			return nil, err
		}
		b.secrets = append(b.secrets, secret)
	}
	if order.User == nil {
		return b, nil
	}
	var err error
	b.passwordHash, err = order.User.hash(r.options.Random)
	return b, err
}

// slugForm is the form of a slug, after conversion to lower case.
var slugForm = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)

// CheckProject notes everything wrong with a new project, except that its slug may be
// taken.
func (ws *Workspace) CheckProject(ctx context.Context, faults *problem.Faults, order NewProject) error {
	order.Slug = strings.ToLower(order.Slug)
	return ws.registry.checkOrder(ctx, faults, ws.Project.AccountID, order)
}

func (r *Registry) checkOrder(ctx context.Context, faults *problem.Faults, account int64, order NewProject) error {
	if !slugForm.MatchString(order.Slug) {
		faults.Add("project_slug", "Must be 1 to 63 characters long and use only a-z, 0-9, _ and -.")
	}
	checkLabel(faults, "project_name", order.Name)
	userKnown := !faults.Has("initial_project_user.username")
	if order.User != nil {
		order.User.check(faults, "initial_project_user.")
	}
	users, err := list[int64](ctx, r, "SELECT id FROM account_users WHERE account_id = ?", account)
	if err != nil {
		return err
	}
	if most := r.options.MaxTokens; most > 0 && len(order.Tokens) > most {
		faults.Add("project_api_tokens", "At most %d tokens are allowed.", most)
	}
	for i, token := range order.Tokens {
		field := indexed("project_api_tokens", i)
		checkLabel(faults, field+".token_name", defaultName(token.Name))
		if !slices.Contains(users, token.accountUser()) {
			faults.Add(field+".account_user_id", "The account has no such user.")
		}
		if token.ProjectUsername != "" && userKnown && (order.User == nil || token.ProjectUsername != order.User.Username) {
			faults.Add(field+".project_username", problem.NoSuchUser)
		}
	}
	order.Blueprint.Check(faults)
	return nil
}

// maxLabel is the maximum length, in bytes, of the names that people give to projects,
// tokens and users.
const maxLabel = 200

// checkLabel checks a name that is only shown to people.
func checkLabel(faults *problem.Faults, field, label string) {
	switch {
	case strings.TrimSpace(label) == "":
		faults.Required(field)
	case len(label) > maxLabel:
		faults.Add(field, "Must be at most %d bytes long.", maxLabel)
	case !utf8.ValidString(label) || strings.ContainsFunc(label, isControl):
		faults.Add(field, "Must not contain control characters.")
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// register writes the rows of a new project.
func (b *birth) register(c *sqlite.Conn, id ids.Project) (created CreatedProject, err error) {
	created.Project = Project{
		ID: id, Slug: b.order.Slug, Name: b.order.Name, CreatedAt: b.now, UpdatedAt: b.now,
		AccountID: b.account, Source: b.order.Source, Root: cmp.Or(b.root, id),
	}
	err = c.Exec(`
		INSERT INTO projects (id, account_id, project_slug, project_name, source, created_at, updated_at, made_by_project)
		VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0))`,
		id, b.account, b.order.Slug, b.order.Name, nullable(b.order.Source), b.now, b.now, b.root)
	if sqlite.FaultOf(err) == sqlite.Unique {
		return created, slugTaken(b.order.Slug).Because(err)
	}
	if err != nil {
		return created, err
	}
	if err := c.Exec("DELETE FROM unfinished WHERE project_id = ?", id); err != nil {
		return created, err
	}
	if b.order.User != nil {
		user := ProjectUser{Username: b.order.User.Username, Role: b.order.User.role(), CreatedAt: b.now}
		if user.ID, err = insertProjectUser(c, id, user, b.passwordHash); err != nil {
			return created, err
		}
		created.User = &user
	}
	created.Tokens, err = b.registerTokens(c, created)
	return created, err
}

func (b *birth) registerTokens(c *sqlite.Conn, created CreatedProject) (minted []MintedToken, err error) {
	for i, order := range b.order.Tokens {
		token := Token{
			Name: defaultName(order.Name), CreatedAt: b.now, AccountUserID: order.accountUser(),
			projectID: created.Project.ID, granted: fullPower(),
		}
		if order.ProjectUsername != "" {
			token.projectUserID = &created.User.ID
		}
		m, err := insertToken(c, token, b.secrets[i], []string{string(ProjectAdmin)})
		if err != nil {
			return nil, err
		}
		minted = append(minted, m)
	}
	return minted, nil
}

func slugTaken(slug string) *problem.Error {
	return problem.SlugTaken(slug)
}

// Rename changes the name of the project, but not its slug. It needs project:admin.
func (ws *Workspace) Rename(ctx context.Context, faults *problem.Faults, name string) (Project, error) {
	if err := ws.Require(ProjectAdmin); err != nil {
		return Project{}, err
	}
	checkLabel(faults, "project_name", name)
	if err := faults.Err(); err != nil {
		return Project{}, err
	}
	r := ws.registry
	err := r.write(ctx, func(c *sqlite.Conn) error {
		if err := ws.stillValid(c); err != nil {
			return err
		}
		return c.Exec("UPDATE projects SET project_name = ?, updated_at = ? WHERE id = ?", name, projectdb.Timestamp(r.options.Now()), ws.Project.ID)
	})
	if err != nil {
		return Project{}, err
	}
	r.known.forget()
	return r.Project(ctx, ws.Project.Slug)
}

// LimitProject sets a project's own quota in bytes, 0 for no limit; nil restores the
// server's quota.
func (r *Registry) LimitProject(ctx context.Context, slug string, limit *int64) (Project, error) {
	if limit != nil && *limit < 0 {
		return Project{}, problem.Invalid("max_bytes", "Must be 0, which means no limit, or more.")
	}
	project, err := r.Project(ctx, slug)
	if err != nil {
		return project, err
	}
	var stored any
	if limit != nil {
		stored = *limit
	}
	err = r.write(ctx, func(c *sqlite.Conn) error {
		return c.Exec("UPDATE projects SET max_bytes = ? WHERE id = ?", stored, project.ID)
	})
	if err == nil {
		r.options.Quotas.Set(project.ID, limit)
	}
	return project, err
}

// Adopt registers a project whose database exists but whose row is lost, under the
// given slug or, if that is invalid or taken, under one derived from its id.
func (r *Registry) Adopt(ctx context.Context, id ids.Project, slug string) (Project, error) {
	if _, err := r.Project(ctx, slug); err == nil || !slugForm.MatchString(slug) {
		slug = fmt.Sprintf("recovered-%d", id)
	}
	if err := r.retireID(ctx, id); err != nil {
		return Project{}, err
	}
	now := projectdb.Timestamp(r.options.Now())
	err := r.write(ctx, func(c *sqlite.Conn) error {
		return c.Exec("INSERT INTO projects (id, account_id, project_slug, project_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
			id, defaultAccount, slug, slug, now, now)
	})
	if err != nil {
		return Project{}, err
	}
	return r.Project(ctx, slug)
}

// tellLimits passes the projects' own limits to the quotas.
func (r *Registry) tellLimits(ctx context.Context) error {
	return r.read(ctx, func(c *sqlite.Conn) error {
		return c.Query("SELECT id, max_bytes FROM projects WHERE max_bytes IS NOT NULL", nil, func(s *sqlite.Stmt) error {
			limit := s.Int(1)
			r.options.Quotas.Set(ids.Project(s.Int(0)), &limit)
			return nil
		})
	})
}

// Delete deletes the project. It needs project:admin.
func (ws *Workspace) Delete(ctx context.Context) error {
	if err := ws.Require(ProjectAdmin); err != nil {
		return err
	}
	return ws.registry.DeleteProject(ctx, ws.Project)
}

// DeleteProject deletes a project with its users, tokens and files. Once its row is
// gone nobody gets in; the files are removed when the last user inside has left. That
// is waited for until ctx ends, and happens in any case.
func (r *Registry) DeleteProject(ctx context.Context, project Project) error {
	err := r.write(ctx, func(c *sqlite.Conn) error {
		if err := c.Exec("DELETE FROM projects WHERE id = ?", project.ID); err != nil {
			return err
		}
		if c.Changes() == 0 {
			return problem.NotFound("The project", project.Slug)
		}
		return c.Exec("INSERT INTO unfinished (project_id) VALUES (?)", project.ID)
	})
	if err != nil {
		return err
	}
	r.options.Quotas.Set(project.ID, nil)
	r.known.forget()
	if err := r.readOrigins(context.WithoutCancel(ctx)); err != nil {
		r.options.Log.Error("read which origins may call", "error", err)
	}
	removed := make(chan error, 1)
	r.background.Go(func() {
		err := r.finishRemoval(project.ID)
		if err != nil {
			r.options.Log.Error("delete the files of a project", "project_id", project.ID, "error", err)
		}
		removed <- err
	})
	select {
	case err := <-removed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func nullable(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}
