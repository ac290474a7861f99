package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/server"
)

// withAdmin runs fn with a connection to the process that has the data folder; if there
// is none, this process opens it.
func withAdmin(p *program, folder string, fn func(*server.Admin) error) error {
	admin, err := server.Dial(p.ctx, folder, p.logger(slog.LevelError))
	if err != nil {
		return err
	}
	return errors.Join(fn(admin), admin.Close())
}

// call runs one operator command and shows its output.
func call[In, Out any](p *program, folder string, command server.Command[In, Out], in In, show func(Out) error) error {
	return withAdmin(p, folder, func(admin *server.Admin) error {
		out, err := command.Call(p.ctx, admin, in)
		if err != nil {
			return err
		}
		return show(out)
	})
}

// line returns a show function that prints one line.
func line[Out any](p *program, text func(Out) string) func(Out) error {
	return func(out Out) error {
		_, err := fmt.Fprintln(p.stdout, text(out))
		return err
	}
}

// jsonFlag selects JSON instead of a table.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// list returns a show function that prints a table with one line per element, or JSON.
func list[T any](p *program, f jsonFlag, header string, row func(T) []any) func([]T) error {
	return func(elements []T) error {
		if f.JSON {
			return printJSON(p.stdout, append([]T{}, elements...))
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, strings.ReplaceAll(header, " ", "\t"))
		for _, e := range elements {
			cells := row(e)
			fmt.Fprintf(w, strings.Repeat("%v\t", len(cells)-1)+"%v\n", cells...)
		}
		return w.Flush()
	}
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// projects is the group of commands about projects.
type projects struct {
	Create createProject `cmd:"" help:"Create an empty project."`
	List   listProjects  `cmd:"" help:"List the projects."`
	Show   showProject   `cmd:"" help:"Show one project with its size."`
	Rename renameProject `cmd:"" help:"Change the display name."`
	Limit  limitProject  `cmd:"" help:"Set how many bytes a project may take up."`
	Delete deleteProject `cmd:"" help:"Delete a project with everything in it."`
}

// slugArg names the project that a command is about.
type slugArg struct {
	dataFlag
	Slug string `arg:"" help:"The slug of the project."`
}

// projectFlag names the project that a command works in.
type projectFlag struct {
	dataFlag
	Project string `required:"" placeholder:"SLUG" help:"The project."`
}

type createProject struct {
	slugArg
	Name string `required:"" help:"The name that people see."`
}

// Run creates a project and prints its slug.
func (cmd *createProject) Run(p *program) error {
	return call(p, cmd.Data, server.CreateProject, server.NewProject{Slug: cmd.Slug, Name: cmd.Name},
		line(p, func(project registry.Project) string { return project.Slug }))
}

type listProjects struct {
	dataFlag
	jsonFlag
}

// Run lists the projects.
func (cmd *listProjects) Run(p *program) error {
	return call(p, cmd.Data, server.ListProjects, server.None{}, list(p, cmd.jsonFlag, "ID SLUG NAME CREATED", func(project registry.Project) []any {
		return []any{project.ID, project.Slug, project.Name, project.CreatedAt}
	}))
}

type showProject struct{ slugArg }

// Run shows a project as JSON.
func (cmd *showProject) Run(p *program) error {
	return call(p, cmd.Data, server.ShowProject, server.Slug{Project: cmd.Slug}, func(details server.ProjectDetails) error {
		return printJSON(p.stdout, details)
	})
}

type limitProject struct {
	slugArg
	MaxBytes *int64 `placeholder:"BYTES" help:"The quota; 0 for no limit. Without it, the server's own applies again."`
}

// Run sets the quota of a project.
func (cmd *limitProject) Run(p *program) error {
	return call(p, cmd.Data, server.LimitProject, server.Limit{Project: cmd.Slug, MaxBytes: cmd.MaxBytes}, line(p, func(project registry.Project) string {
		switch {
		case cmd.MaxBytes == nil:
			return project.Slug + " has the quota of the server"
		case *cmd.MaxBytes == 0:
			return project.Slug + " has no quota"
		}
		return fmt.Sprintf("%s may take up %d bytes", project.Slug, *cmd.MaxBytes)
	}))
}

type renameProject struct {
	slugArg
	Name string `arg:"" help:"The new name."`
}

// Run renames a project.
func (cmd *renameProject) Run(p *program) error {
	return call(p, cmd.Data, server.RenameProject, server.NewName{Project: cmd.Slug, Name: cmd.Name},
		line(p, func(project registry.Project) string { return project.Slug + " is now called " + project.Name }))
}

type deleteProject struct {
	slugArg
	Yes bool `help:"Do not ask."`
}

// Run deletes a project, after its slug has been typed again as confirmation.
func (cmd *deleteProject) Run(p *program) error {
	if !cmd.Yes {
		fmt.Fprintf(p.stderr, "This deletes the project %s with its tables, exports and tokens. Type its slug to go on: ", cmd.Slug)
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		if strings.TrimSpace(answer) != cmd.Slug {
			return errors.New("nothing was deleted")
		}
	}
	return call(p, cmd.Data, server.DeleteProject, server.Slug{Project: cmd.Slug},
		line(p, func(server.None) string { return "deleted " + cmd.Slug }))
}

// bootstrap is the command that creates a project from a blueprint.
type bootstrap struct {
	dataFlag
	File string `arg:"" type:"existingfile" help:"A blueprint: the JSON body of a bootstrap request."`
}

// Run creates the project and prints its slug, followed by the secrets of the tokens
// that the blueprint asks for, one per line.
func (cmd *bootstrap) Run(p *program) error {
	body, err := os.ReadFile(cmd.File)
	if err != nil {
		return err
	}
	return call(p, cmd.Data, server.Bootstrap, server.Blueprint{Body: body}, func(created registry.CreatedProject) error {
		fmt.Fprintln(p.stdout, created.Project.Slug)
		for _, token := range created.Tokens {
			fmt.Fprintln(p.stdout, token.Secret)
		}
		return nil
	})
}

// tokens is the group of commands about tokens.
type tokens struct {
	Create createToken `cmd:"" help:"Mint a token and print its secret, and nothing else."`
	List   listTokens  `cmd:"" help:"List the tokens of a project."`
	Revoke revokeToken `cmd:"" help:"Revoke a token."`
}

type createToken struct {
	projectFlag
	Name  string   `help:"What the token is for."`
	Scope []string `placeholder:"SCOPE" help:"What the token may do, such as records:read; everything if absent."`
	User  string   `placeholder:"NAME" help:"A user of the project whose role limits the token."`
}

// Run mints a token. Only the secret goes to standard output, so that it can be
// assigned to a variable.
func (cmd *createToken) Run(p *program) error {
	in := server.NewToken{Project: cmd.Project, Name: cmd.Name, Scopes: cmd.Scope, User: cmd.User}
	return call(p, cmd.Data, server.CreateToken, in, line(p, func(token registry.MintedToken) string { return token.Secret }))
}

type listTokens struct {
	projectFlag
	jsonFlag
}

// Run lists the tokens of a project, without their secrets.
func (cmd *listTokens) Run(p *program) error {
	return call(p, cmd.Data, server.ListTokens, server.Slug{Project: cmd.Project}, list(p, cmd.jsonFlag, "ID NAME STATE LAST-USED SCOPES", func(token registry.Token) []any {
		return []any{token.ID, token.Name, tokenState(token), orNever(token.LastUsedAt), strings.Join(token.Scopes, ",")}
	}))
}

func tokenState(token registry.Token) string {
	switch {
	case token.RevokedAt != nil:
		return "revoked " + *token.RevokedAt
	case token.ExpiresAt != nil:
		return "until " + *token.ExpiresAt
	}
	return "valid"
}

func orNever(when *string) string {
	if when == nil {
		return "never"
	}
	return *when
}

type revokeToken struct {
	projectFlag
	ID ids.Token `arg:"" help:"The id of the token."`
}

// Run revokes a token.
func (cmd *revokeToken) Run(p *program) error {
	return call(p, cmd.Data, server.RevokeToken, server.TokenID{Project: cmd.Project, ID: cmd.ID},
		line(p, func(server.None) string { return fmt.Sprint("revoked ", cmd.ID) }))
}

// users is the group of commands about the users of a project, and of the server.
type users struct {
	Create createUser `cmd:"" help:"Create a user; the password is read from standard input."`
	List   listUsers  `cmd:"" help:"List the users of a project."`
	Delete deleteUser `cmd:"" help:"Delete a user and revoke the tokens minted for it."`
}

type createUser struct {
	dataFlag
	Project  string `xor:"kind" required:"" placeholder:"SLUG" help:"The project of the user."`
	Owner    bool   `xor:"kind" required:"" help:"Create an owner of the server, who can sign in to the panel, instead of a user of a project."`
	Username string `arg:"" help:"The name of the user."`
	Role     string `enum:"admin,editor,viewer" default:"viewer" help:"What the user may do: ${enum}."`
}

// Run creates a user. The password is read from standard input, because arguments are
// visible to everybody on the machine.
func (cmd *createUser) Run(p *program) error {
	fmt.Fprintf(p.stderr, "Password for %s: ", cmd.Username)
	password, err := p.readPassword(os.Stdin)
	if err != nil {
		return fmt.Errorf("read the password: %w", err)
	}
	if cmd.Owner {
		return call(p, cmd.Data, server.CreateOwner, server.NewOwner{Username: cmd.Username, Password: password}, line(p, func(user registry.AccountUser) string { return user.Username }))
	}
	in := server.NewUser{Project: cmd.Project, Username: cmd.Username, Password: password, Role: registry.Role(cmd.Role)}
	return call(p, cmd.Data, server.CreateUser, in, line(p, func(user registry.ProjectUser) string { return user.Username }))
}

// readPassword reads a line without echo on a terminal.
func (p *program) readPassword(in *os.File) (string, error) {
	terminal := int(in.Fd())
	before, err := term.GetState(terminal)
	if err != nil { // not a terminal
		password, err := bufio.NewReader(in).ReadString('\n')
		if err == io.EOF {
			err = nil
		}
		return strings.TrimRight(password, "\r\n"), err
	}
	var password []byte
	done := make(chan error, 1)
	go func() {
		var err error
		password, err = term.ReadPassword(terminal)
		done <- err
	}()
	select {
	case err = <-done:
	case <-p.ctx.Done(): // nothing interrupts the read, but the echo of the terminal has to be restored
		return "", errors.Join(p.ctx.Err(), term.Restore(terminal, before))
	}
	fmt.Fprintln(p.stderr)
	return string(password), err
}

type listUsers struct {
	projectFlag
	jsonFlag
}

// Run lists the users of a project.
func (cmd *listUsers) Run(p *program) error {
	return call(p, cmd.Data, server.ListUsers, server.Slug{Project: cmd.Project}, list(p, cmd.jsonFlag, "ID USERNAME ROLE CREATED", func(user registry.ProjectUser) []any {
		return []any{user.ID, user.Username, user.Role, user.CreatedAt}
	}))
}

type deleteUser struct {
	projectFlag
	Username string `arg:"" help:"The name of the user."`
}

// Run deletes a user.
func (cmd *deleteUser) Run(p *program) error {
	return call(p, cmd.Data, server.DeleteUser, server.UserName{Project: cmd.Project, Username: cmd.Username},
		line(p, func(server.None) string { return "deleted " + cmd.Username }))
}
