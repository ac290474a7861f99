package projectdb

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// SearchIndex is the full-text index of a table: an FTS5 table over the table's rows,
// which triggers keep up to date. Its definition is in _search_indexes; everything else
// is made from that, and made anew when the schema no longer matches.
type SearchIndex struct {
	Columns   []string
	Tokenizer string
	CreatedAt string
}

// SearchIndexObject is a search index as clients see it.
type SearchIndexObject struct {
	Table     string   `json:"table"`
	Columns   []string `json:"columns"`
	Tokenizer string   `json:"tokenizer" enum:"unicode61,trigram"`
	CreatedAt string   `json:"created_at" format:"date-time"`
}

// tokenizers maps the names of the tokenizers to what FTS5 is told.
var tokenizers = map[string]string{
	"unicode61": "unicode61 remove_diacritics 2",
	"trigram":   "trigram remove_diacritics 1",
}

// DefaultTokenizer finds words without regard to case and accents.
const DefaultTokenizer = "unicode61"

// searchPrefix begins the names of everything that belongs to a search index.
const searchPrefix = "_search_"

// searchName returns the name of the FTS5 table of a table's search index.
func searchName(id ids.Table) string { return searchPrefix + itoa(int(id)) }

// NewSearchIndex is a search index to be created.
type NewSearchIndex struct {
	Columns   []string
	Tokenizer string // "": DefaultTokenizer
}

// CreateSearchIndex makes the search index of a table from its rows, in place of the
// one that it has.
func (tx *Tx) CreateSearchIndex(faults *problem.Faults, ref string, n NewSearchIndex) (out SearchIndexObject, err error) {
	err = tx.changeTable(SchemaTransaction, ref, func(tx *Tx, t *Table) error {
		columnIDs := n.check(faults, t)
		if err := faults.Err(); err != nil {
			return err
		}
		if err := t.usable(); err != nil {
			return err
		}
		if err := dropSearch(tx.c, t.ID); err != nil {
			return err
		}
		wanted := *t
		wanted.Search = &SearchIndex{Columns: n.Columns}
		if err := wanted.refuseLargeRows(tx.c); err != nil {
			return err
		}
		list, err := json.Marshal(columnIDs)
		if err != nil {
			return err
		}
		const insert = "INSERT OR REPLACE INTO _search_indexes (table_id, columns, tokenizer, created_at) VALUES (?, ?, ?, ?)"
		if err := tx.c.Exec(insert, t.ID, string(list), n.tokenizer(), tx.now()); err != nil {
			return err
		}
		return tx.changed(t.ID)
	})
	if err != nil {
		return out, err
	}
	t, err := tx.table(ref)
	if err != nil {
		return out, err
	}
	return t.SearchObject()
}

func (n NewSearchIndex) tokenizer() string {
	if n.Tokenizer == "" {
		return DefaultTokenizer
	}
	return n.Tokenizer
}

// check notes every fault and returns the ids of the columns.
func (n NewSearchIndex) check(faults *problem.Faults, t *Table) (columnIDs []int64) {
	if len(n.Columns) == 0 {
		faults.Required("columns")
	}
	if tokenizers[n.tokenizer()] == "" {
		faults.WrongChoice("tokenizer", []string{"unicode61", "trigram"})
	}
	if t.rowidName() == "" {
		faults.Add("table", "A table without a rowid cannot have a search index.")
	}
	for i, name := range n.Columns {
		field := "columns[" + itoa(i) + "]"
		column := t.Column(name)
		switch {
		case faults.Full():
			return nil
		case column == nil:
			t.unknownColumn(faults, field, name)
		case column.Type == "BLOB":
			faults.Add(field, "The column %q holds no text.", name)
		case sqlite.ContainsName([]string{"rank", "rowid"}, column.Name):
			faults.Add(field, "SQLite reserves the name %s in search indexes: rename the column.", column.Name)
		case slices.Contains(columnIDs, column.ID):
			faults.Add(field, "The column %q is listed twice.", name)
		default:
			columnIDs = append(columnIDs, column.ID)
		}
	}
	return columnIDs
}

// SearchObject returns the search index of the table as clients see it, or not_found.
func (t *Table) SearchObject() (out SearchIndexObject, err error) {
	if t.Search == nil {
		return out, problem.NotFound("The search index of the table", t.Name)
	}
	return SearchIndexObject{t.Name, t.Search.Columns, t.Search.Tokenizer, t.Search.CreatedAt}, nil
}

// DropSearchIndex removes the search index of a table.
func (db *DB) DropSearchIndex(ctx context.Context, ref string) (table string, err error) {
	err = db.changeTable(ctx, new(problem.Faults), freeing+SchemaTransaction, ref, func(tx *Tx, t *Table) error {
		if _, err := t.SearchObject(); err != nil {
			return err
		}
		table = t.Name
		if err := dropSearch(tx.c, t.ID); err != nil {
			return err
		}
		if err := tx.c.Exec("DELETE FROM _search_indexes WHERE table_id = ?", t.ID); err != nil {
			return err
		}
		return tx.changed(t.ID)
	})
	return table, err
}

// followSearch makes the search index of a table match its definition and the schema
// after a change: the table may have been renamed, rebuilt or dropped.
func (tx *Tx) followSearch(id ids.Table) error {
	t, err := reloadOne(tx.c, id)
	if err != nil {
		return err
	}
	if t == nil || t.Search == nil || len(t.Search.Columns) == 0 {
		if err := dropSearch(tx.c, id); err != nil {
			return err
		}
		return tx.c.Exec("DELETE FROM _search_indexes WHERE table_id = ?", id)
	}
	whole, err := t.hasSearch(tx.c)
	if err != nil || whole {
		return err
	}
	if err := dropSearch(tx.c, id); err != nil {
		return err
	}
	for _, statement := range t.searchSQL() {
		if err := tx.c.Exec(statement); err != nil {
			return err
		}
	}
	name := quote(searchName(t.ID))
	return tx.c.Exec("INSERT INTO " + name + " (" + name + ") VALUES ('rebuild')")
}

// hasSearch reports whether the search index of the table is there and matches it.
// SQLite adapts triggers itself when something is renamed, but not the FTS5 table.
func (t *Table) hasSearch(c *sqlite.Conn) (bool, error) {
	n, err := c.Int("SELECT count(*) FROM sqlite_schema WHERE sql = ? OR type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name GLOB ?", t.searchSQL()[0], t.Name, searchName(t.ID)+"_*")
	return n == int64(len(t.searchSQL())), err
}

// searchSQL returns the statements that make the search index: the FTS5 table, then
// the triggers.
func (t *Table) searchSQL() []string {
	name, rowid := searchName(t.ID), t.rowidName()
	values := func(row string) string {
		list := []string{row + "." + rowid}
		for _, column := range t.Search.Columns {
			list = append(list, row+"."+quote(column))
		}
		return strings.Join(list, ", ")
	}
	columns := identList(t.Search.Columns)
	refuse := "SELECT RAISE(ABORT, " + format.QuoteText(tooMuchSearched) + ") WHERE " + t.searchedSize("new.") + " > " + itoa(maxSearched)
	insert := "INSERT INTO " + quote(name) + " (rowid, " + columns + ") VALUES (" + values("new") + ")"
	remove := "INSERT INTO " + quote(name) + " (" + quote(name) + ", rowid, " + columns + ") VALUES ('delete', " + values("old") + ")"
	trigger := func(kind, event, statements string) string {
		return "CREATE TRIGGER " + quote(name+"_"+kind) + " AFTER " + event + " BEGIN " + statements + "; END"
	}
	on := " ON " + quote(t.Name)
	options := []string{columns, "content=" + format.QuoteText(t.Name), "content_rowid=" + format.QuoteText(rowid), "tokenize=" + format.QuoteText(tokenizers[t.Search.Tokenizer])}
	return []string{
		"CREATE VIRTUAL TABLE " + quote(name) + " USING fts5(" + strings.Join(options, ", ") + ")",
		trigger("insert", "INSERT"+on, refuse+"; "+insert),
		trigger("delete", "DELETE"+on, remove),
		trigger("update", "UPDATE"+on+" WHEN "+t.searchedChanges(), refuse+"; "+remove+"; "+insert),
	}
}

// maxSearched is how many bytes the columns of a search index may have in one row. FTS5
// cannot be interrupted within a row, and keeps all matches in it in memory.
const maxSearched = 256 << 10

const tooMuchSearched = "The texts of a record in the columns of the search index have more than 256 KiB: shorten them, or drop the search index of the table."

// searchedSize returns the number of bytes that the index holds of a row, as SQL.
func (t *Table) searchedSize(row string) string {
	sizes := make([]string, len(t.Search.Columns))
	for i, name := range t.Search.Columns {
		sizes[i] = "coalesce(octet_length(" + row + quote(name) + "), 0)"
	}
	return strings.Join(sizes, " + ")
}

// refuseLargeRows returns a conflict if rows have more text than an index may hold.
func (t *Table) refuseLargeRows(c *sqlite.Conn) error {
	n, err := c.Int("SELECT count(*) FROM " + quote(t.Name) + " WHERE " + t.searchedSize("") + " > " + itoa(maxSearched))
	if err == nil && n > 0 {
		err = problem.New(problem.CodeConflict, "%d records have more than 256 KiB of text in these columns, too much for a search index.", n).With("columns", "Choose columns with shorter texts.")
	}
	return err
}

// searchedChanges returns the condition that an update changes what the index holds.
func (t *Table) searchedChanges() string {
	rowid := t.rowidName()
	changes := []string{"old." + rowid + " <> new." + rowid}
	for _, name := range t.Search.Columns {
		before, after := "old."+quote(name), "new."+quote(name)
		changes = append(changes, before+" COLLATE BINARY IS NOT "+after)
		if t.Column(name).Type == "ANY" {
			changes = append(changes, "typeof("+before+") <> typeof("+after+")")
		}
	}
	return strings.Join(changes, " OR ")
}

// dropSearch removes the FTS5 table and the triggers of a table's search index, as far
// as they are there.
func dropSearch(c *sqlite.Conn, id ids.Table) error {
	return dropSearches(c, searchName(id))
}

// dropSearches removes search indexes whose FTS5 tables match a pattern.
func dropSearches(c *sqlite.Conn, pattern string) error {
	var statements []string
	const objects = `SELECT type, name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB ?1 || '_*' OR type = 'table' AND name GLOB ?1 AND sql LIKE 'CREATE VIRTUAL TABLE%' ORDER BY type DESC`
	err := c.Query(objects, []any{pattern}, func(s *sqlite.Stmt) error {
		statements = append(statements, "DROP "+s.Text(0)+" "+quote(s.Text(1)))
		return nil
	})
	for _, statement := range statements {
		if err == nil {
			err = c.Exec(statement)
		}
	}
	return err
}

// readSearch reads the definition of the table's search index. Columns that are gone
// are left out.
func readSearch(c *sqlite.Conn, t *Table) error {
	return c.Query("SELECT columns, tokenizer, created_at FROM _search_indexes WHERE table_id = ?", []any{t.ID}, func(s *sqlite.Stmt) error {
		var columnIDs []int64
		if err := json.Unmarshal([]byte(s.Text(0)), &columnIDs); err != nil {
			return err
		}
		t.Search = &SearchIndex{Tokenizer: s.Text(1), CreatedAt: s.Text(2)}
		for _, id := range columnIDs {
			if column := t.columnWithID(id); column != nil {
				t.Search.Columns = append(t.Search.Columns, column.Name)
			}
		}
		return nil
	})
}
