package registry

import (
	"slices"
	"strconv"
	"strings"

	"github.com/zangtable/zangtable/internal/ids"
)

// Scope is one thing that a token may do, such as "records:read". Scopes for records
// and exports may be bound to one table by its id, as in "records:read:7"; see On.
type Scope string

// The scopes of the wire contract.
const (
	ProjectAdmin  Scope = "project:admin" // everything
	TokensManage  Scope = "tokens:manage"
	SchemaRead    Scope = "schema:read"
	SchemaWrite   Scope = "schema:write"
	RecordsRead   Scope = "records:read"
	RecordsWrite  Scope = "records:write"
	QueryRead     Scope = "query:read"
	ExportsRead   Scope = "exports:read"
	ExportsCreate Scope = "exports:create"
	JournalRead   Scope = "journal:read"
)

// Scopes lists every scope.
var Scopes = [...]Scope{
	ProjectAdmin, TokensManage, SchemaRead, SchemaWrite, RecordsRead, RecordsWrite, QueryRead, ExportsRead, ExportsCreate, JournalRead,
}

// On returns the scope bound to a table.
func (s Scope) On(tableID ids.Table) Scope {
	return s + ":" + Scope(strconv.FormatInt(int64(tableID), 10))
}

// split separates the table from a scope: ("records:read", "7").
func (s Scope) split() (base Scope, table string) {
	area, rest, _ := strings.Cut(string(s), ":")
	verb, table, _ := strings.Cut(rest, ":")
	return Scope(area + ":" + verb), table
}

// perTable reports whether the scope may be granted for a single table.
func (s Scope) perTable() bool {
	return strings.HasPrefix(string(s), "records:") || strings.HasPrefix(string(s), "exports:")
}

// power is a set of scopes, including what they imply.
type power []Scope

// fullPower is the power of an unrestricted token.
func fullPower() power { return power{ProjectAdmin} }

// may reports whether the power includes the scope, which may be bound to a table.
func (p power) may(s Scope) bool {
	if slices.Contains(p, ProjectAdmin) || slices.Contains(p, s) {
		return true
	}
	base, table := s.split()
	if table != "" && slices.Contains(p, base) {
		return true
	}
	// Whoever may read the records may see the schema of the table.
	return base == SchemaRead && p.may(RecordsRead+s[len(SchemaRead):])
}

// maySome reports whether the power includes the scope for all tables or for at least
// one.
func (p power) maySome(s Scope) bool {
	return p.may(s) || slices.ContainsFunc(p, func(own Scope) bool {
		base, _ := own.split()
		return base == s || s == SchemaRead && base == RecordsRead
	})
}

// covers reports whether p includes everything that other includes.
func (p power) covers(other power) bool {
	return !slices.ContainsFunc(other, func(s Scope) bool { return !p.may(s) })
}

// cappedBy returns the intersection of both powers.
func (p power) cappedBy(limit power) power {
	both := power{}
	for _, s := range p {
		if limit.may(s) {
			both = append(both, s)
		}
	}
	for _, s := range limit {
		if p.may(s) && !slices.Contains(both, s) {
			both = append(both, s)
		}
	}
	return both
}

// text returns the form in which the database stores a power.
func (p power) text() string {
	words := make([]string, len(p))
	for i, s := range p {
		words[i] = string(s)
	}
	return strings.Join(words, " ")
}

func parsePower(text string) power {
	p := power{}
	for word := range strings.FieldsSeq(text) {
		p = append(p, Scope(word))
	}
	return p
}

// recordRights are a power's rights to the records of tables.
type recordRights struct{ power power }

// MayRead reports whether the records of a table may be read.
func (r recordRights) MayRead(tableID ids.Table) bool { return r.power.may(RecordsRead.On(tableID)) }

// MayWrite reports whether the records of a table may be changed.
func (r recordRights) MayWrite(tableID ids.Table) bool { return r.power.may(RecordsWrite.On(tableID)) }

// MayWriteAll reports whether the records of every table may be changed.
func (r recordRights) MayWriteAll() bool { return r.power.may(RecordsWrite) }
