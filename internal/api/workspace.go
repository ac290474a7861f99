package api

// Workspace is an opened project together with what the caller may do in it.
// Holding one proves that the token was checked.
type Workspace struct {
	Project string
	Scopes  []Scope
}

// Allows reports whether the token has the scope, for one table at least where
// the scope is about tables.
func (w *Workspace) Allows(scope Scope) bool {
	for _, has := range w.Scopes {
		if has == scope || has == projectAdmin {
			return true
		}
	}
	return false
}

// Scope is one power of a token.
type Scope string

// The scopes that routes ask for.
const (
	projectAdmin  Scope = "project:admin"
	tokensManage  Scope = "tokens:manage"
	schemaRead    Scope = "schema:read"
	schemaWrite   Scope = "schema:write"
	recordsRead   Scope = "records:read"
	recordsWrite  Scope = "records:write"
	queryRead     Scope = "query:read"
	exportsRead   Scope = "exports:read"
	exportsCreate Scope = "exports:create"
)
