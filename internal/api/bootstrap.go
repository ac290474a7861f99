package api

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/registry"
	"github.com/zangtable/zangtable/internal/rest"
)

// BlueprintBody describes a project to create, without its first user.
type BlueprintBody struct {
	Slug    string           `json:"project_slug" doc:"Only the characters a-z, 0-9, _ and -."`
	Name    string           `json:"project_name"`
	Tables  []blueprintTable `json:"tables,omitzero"`
	Indexes []blueprintIndex `json:"indexes,omitzero"`
	Tokens  []blueprintToken `json:"project_api_tokens,omitzero"`
}

type blueprintTable struct {
	NewTable
	Seed    []jsontext.Value `json:"seed,omitzero" maxItems:"10000" doc:"The first rows, objects of column names and values."`
	Indexes []NewIndex       `json:"indexes,omitzero"`
}

type blueprintIndex struct {
	Table string `json:"table_name"`
	NewIndex
}

type blueprintToken struct {
	AccountUserID int64  `json:"account_user_id"`
	Name          string `json:"token_name,omitzero"`
	Username      string `json:"project_username,omitzero" doc:"The project user whose role limits the token."`
}

type blueprintUser struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type bootstrapIn struct {
	Body struct {
		BlueprintBody
		User blueprintUser `json:"initial_project_user"`
	}
}

// blueprintFile is the content of a blueprint file: the same, with an optional user.
type blueprintFile struct {
	BlueprintBody
	User rest.Optional[blueprintUser] `json:"initial_project_user,omitzero"`
}

var blueprintText = rest.NewText[blueprintFile]()

func (b BlueprintBody) order(user *blueprintUser) registry.NewProject {
	order := registry.NewProject{Slug: b.Slug, Name: b.Name, Blueprint: b.blueprint()}
	if user != nil {
		order.User = &registry.NewProjectUser{Username: user.Username, Password: user.Password}
	}
	for _, token := range b.Tokens {
		order.Tokens = append(order.Tokens, registry.NewToken{AccountUserID: token.AccountUserID, Name: token.Name, ProjectUsername: token.Username})
	}
	return order
}

func (b BlueprintBody) blueprint() projectdb.Blueprint {
	var blueprint projectdb.Blueprint
	for _, t := range b.Tables {
		table := projectdb.BlueprintTable{NewTable: t.order(), Seed: t.Seed}
		for _, x := range t.Indexes {
			table.Indexes = append(table.Indexes, x.order())
		}
		blueprint.Tables = append(blueprint.Tables, table)
	}
	for _, x := range b.Indexes {
		blueprint.Indexes = append(blueprint.Indexes, projectdb.BlueprintIndex{Table: x.Table, NewIndex: x.order()})
	}
	return blueprint
}

type bootstrapUserOut struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
}

type bootstrapTableOut struct {
	TableWithColumns
	SeededRows int64 `json:"seeded_rows"`
}

type bootstrapOut struct {
	Project registry.Project        `json:"project"`
	User    bootstrapUserOut        `json:"project_user"`
	Tables  []bootstrapTableOut     `json:"tables"`
	Indexes []projectdb.IndexObject `json:"indexes"`
	Tokens  []registry.MintedToken  `json:"project_api_tokens"`
}

func (h *handlers) bootstrap(ctx context.Context, ws *Workspace, in *bootstrapIn, faults *problem.Faults) (out bootstrapOut, err error) {
	created, err := ws.CreateProject(ctx, faults, in.Body.order(&in.Body.User), nil)
	if err != nil {
		return out, err
	}
	out.Project, out.Tokens = created.Project, created.Tokens
	out.User = bootstrapUserOut{created.User.ID, created.User.Username}
	for _, t := range created.Built.Tables {
		out.Tables = append(out.Tables, bootstrapTableOut{TableWithColumns{t.Object(), t.ColumnObjects()}, t.SeededRows})
	}
	for _, x := range created.Built.Indexes {
		out.Indexes = append(out.Indexes, x.Object())
	}
	return out, nil
}

// DecodeBootstrap reads the body of a bootstrap request from a file, in which the first
// user may be omitted. It reports the same faults as the API.
func DecodeBootstrap(faults *problem.Faults, file []byte) (order registry.NewProject, err error) {
	read, err := blueprintText.Read(faults, file, "")
	if err != nil && !problem.Is(err, problem.CodeValidationFailed) {
		text := strings.TrimPrefix(err.Error(), "jsontext: ")
		return order, problem.New(problem.CodeInvalidJSON, "The file is not valid JSON: %s.", text)
	}
	return read.order(read.User.Ptr()), nil
}
