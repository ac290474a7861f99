package source

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// harmlessPragmas change nothing about the tables and rows of a dump.
var harmlessPragmas = []string{
	"foreign_keys", "defer_foreign_keys", "synchronous", "journal_mode", "journal_size_limit", "user_version", "application_id", "encoding",
	"page_size", "auto_vacuum", "cache_size", "locking_mode", "temp_store", "legacy_file_format", "case_sensitive_like", "count_changes",
	"writable_schema", "busy_timeout", "wal_autocheckpoint", "recursive_triggers", "trusted_schema", "ignore_check_constraints",
}

// virtualTable matches the definition of a virtual table: its name, its module and its
// arguments.
var virtualTable = regexp.MustCompile(`(?is)^\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?("(?:[^"]|"")*"|\[[^\]]*\]|` + "`[^`]*`" + `|'(?:[^']|'')*'|[\w$]+)\s+USING\s+(\w+)\s*(?:\((.*)\))?[\s;]*$`)

// shadows are the endings of the names of tables in which virtual tables keep what they
// compute. The rows of full-text tables are in one that is not among them, _content.
var shadows = []string{"_data", "_idx", "_docsize", "_config", "_segments", "_segdir", "_stat", "_node", "_parent", "_rowid"}

// virtual handles a statement about a virtual table, and reports false for all others.
// A full-text table with rows of its own becomes a plain table; other virtual tables,
// and the tables that belong to one, are left out.
func (d *dump) virtual(text []byte) (done bool, err error) {
	first := sqltext.FirstWords(text, 6)
	switch strings.ToUpper(first[0]) {
	case "CREATE":
		if found := virtualTable.FindSubmatch(text); found != nil {
			return true, d.defineVirtual(string(found[1]), string(found[2]), string(found[3]))
		}
		if strings.EqualFold(first[1], "TABLE") && len(d.virtuals) > 0 {
			name := strings.Join(first[2:], " ")
			if len(name) > 14 && strings.EqualFold(name[:14], "IF NOT EXISTS ") {
				name = name[14:]
			}
			name = sqltext.First(name).Name()
			if !d.isShadow(name) {
				return false, nil
			}
			d.notes.Add("table "+name, "It belongs to a virtual table and was not imported.")
			return true, nil
		}
	case "INSERT", "REPLACE":
		return d.insertVirtual(text, first)
	}
	return false, nil
}

// insertVirtual handles an INSERT into the schema, or into a table that was left out.
func (d *dump) insertVirtual(text []byte, first []string) (done bool, err error) {
	into := slices.IndexFunc(first, func(word string) bool { return strings.EqualFold(word, "INTO") })
	if into < 0 || into+1 == len(first) {
		return false, nil
	}
	name := sqltext.First(first[into+1]).Name()
	switch sqlite.Fold(name) {
	case "sqlite_schema", "sqlite_master":
		at := bytes.Index(text, []byte("'CREATE VIRTUAL TABLE"))
		if at < 0 {
			return false, nil
		}
		definition := sqltext.First(string(text[at:])).Name()
		found := virtualTable.FindStringSubmatch(definition)
		if found == nil {
			return false, nil
		}
		own := sqltext.First(found[1]).Name()
		d.virtuals[sqlite.Fold(own)] = false
		d.notes.Add("virtual table "+own, "Virtual tables are not imported. If it had rows of its own, they are in the table %s_content.", own)
		return true, nil
	}
	plain, known := d.virtuals[sqlite.Fold(name)]
	if known && plain { // a command, such as INSERT INTO t(t) VALUES ('rebuild')
		return into+4 < len(first) && first[into+2] == "(" && sqltext.Same(sqltext.First(first[into+3]).Name(), name) && first[into+4] == ")", nil
	}
	if known {
		d.left++
	}
	return known || len(d.virtuals) > 0 && d.isShadow(name), nil
}

// defineVirtual handles the definition of a virtual table.
func (d *dump) defineVirtual(quoted, module, arguments string) error {
	name := sqltext.First(quoted).Name()
	columns, external := ftsColumns(arguments)
	if !strings.HasPrefix(strings.ToLower(module), "fts") || external || len(columns) == 0 {
		d.virtuals[sqlite.Fold(name)] = false
		d.notes.Add("virtual table "+name, "Virtual tables are not imported.")
		return nil
	}
	d.virtuals[sqlite.Fold(name)] = true
	d.notes.Add("virtual table "+name, "It is a full-text table with rows of its own and became a plain table.")
	for i, column := range columns {
		columns[i] = format.QuoteIdent(column)
	}
	text := "CREATE TABLE " + format.QuoteIdent(name) + " (" + strings.Join(columns, ", ") + ")"
	return d.explain([]byte(text), d.sandbox.Run(text))
}

// ftsColumns returns the columns of a full-text table, and whether its rows are elsewhere.
func ftsColumns(arguments string) (columns []string, external bool) {
	argument := []sqltext.Token{}
	end := func() {
		option := slices.ContainsFunc(argument, func(t sqltext.Token) bool { return t.Is("=") })
		switch {
		case len(argument) == 0:
		case option:
			external = external || argument[0].Is("content")
		default:
			columns = append(columns, argument[0].Name())
		}
		argument = argument[:0]
	}
	for _, token := range sqltext.Tokens(arguments) {
		if token.Is(",") {
			end()
		} else {
			argument = append(argument, token)
		}
	}
	end()
	return columns, external
}

// isShadow reports whether a table belongs to a virtual table.
func (d *dump) isShadow(name string) bool {
	return slices.ContainsFunc(shadows, func(end string) bool {
		of, ok := strings.CutSuffix(sqlite.Fold(name), end)
		plain, known := d.virtuals[of]
		return ok && known && !plain
	})
}

// makeSequence makes SQLite create the table of its counters, which a dump may define
// but SQLite does not let it.
func (d *dump) makeSequence() error {
	for _, text := range []string{`CREATE TABLE "zangtable sequence" (id INTEGER PRIMARY KEY AUTOINCREMENT)`, `DROP TABLE "zangtable sequence"`} {
		if err := d.sandbox.Run(text); err != nil {
			return d.explain([]byte(text), err)
		}
	}
	return nil
}
