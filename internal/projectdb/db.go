package projectdb

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
	"github.com/zangtable/zangtable/internal/worker"
)

// ApplicationID is the SQLite application id of project databases.
const ApplicationID = 0x5a547031 // "ZTp1"

// schema defines the server's own tables in a project's database. _project has one
// row: commits counts committed write transactions, catalog counts changes to tables
// and columns.
var schema = sqlite.Schema{
	ApplicationID: ApplicationID,
	Migrations: []string{`
CREATE TABLE _project (
	commits   INTEGER NOT NULL,
	catalogue INTEGER NOT NULL
) STRICT;
INSERT INTO _project VALUES (0, 0);
CREATE TABLE _tables (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	table_name   TEXT NOT NULL COLLATE NOCASE UNIQUE,
	display_name TEXT,
	created_at   TEXT NOT NULL,
	updated_at   TEXT NOT NULL
) STRICT;
CREATE TABLE _columns (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	table_id    INTEGER NOT NULL REFERENCES _tables (id) ON DELETE CASCADE,
	column_name TEXT NOT NULL COLLATE NOCASE,
	created_at  TEXT NOT NULL,
	updated_at  TEXT NOT NULL,
	UNIQUE (table_id, column_name)
) STRICT;
`, `
CREATE TABLE _receipts (
	token_id   INTEGER NOT NULL,
	key        TEXT NOT NULL,
	request    BLOB NOT NULL,
	answer     TEXT NOT NULL,
	created_at TEXT NOT NULL,
	PRIMARY KEY (token_id, key)
) STRICT;
CREATE INDEX _receipts_by_age ON _receipts (created_at);
`, `
ALTER TABLE _project RENAME COLUMN catalogue TO catalog;
`, `
ALTER TABLE _tables ADD COLUMN label_column_id INTEGER;
`, `
CREATE TABLE _search_indexes (
	table_id   INTEGER PRIMARY KEY,
	columns    TEXT NOT NULL,
	tokenizer  TEXT NOT NULL,
	created_at TEXT NOT NULL
) STRICT;
`, `
CREATE TABLE _saved (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	kind       TEXT NOT NULL,
	name       TEXT NOT NULL,
	table_id   INTEGER, -- of _tables
	state      TEXT NOT NULL,
	visibility TEXT NOT NULL,
	owner      INTEGER NOT NULL, -- as in ids.Token
	owner_name TEXT NOT NULL,
	created_at TEXT NOT NULL,
	updated_at TEXT NOT NULL
) STRICT;
`, changesMigration},
}

// DB is the database of one project. Its methods are safe for concurrent use.
type DB struct {
	sql       *sqlite.DB
	now       func() time.Time
	bounds    Bounds
	id        ids.Project     // of the project
	room      *storage.Room   // nil if no disk is watched
	quotas    *storage.Quotas // nil for none
	trimmed   *atomic.Int64   // when the log was emptied on a full disk, in Unix seconds
	maxTables int             // 0 means no limit
	known     *catalogs
	workers   *worker.Pool // for the SQL of clients
	positions *positions   // the milestones of lists
	rights    Rights       // of the holder; nil for every right
	feed      *feed        // its newest commits; nil if nobody can follow them
	leaveFeed func()       // nil with the feed
	plan      *SchemaPlan  // of changes that are only tried; nil to make them
	tracked   bool         // changes are recorded: see Tracked
	changes   *changesKept
}

// openDB opens a project's database. A nil feed is for one that nobody can follow.
func openDB(path string, id ids.Project, options DirOptions, feed *feed) (*DB, error) {
	changes := &changesKept{}
	sql, err := sqlite.Open(path, sqlite.Options{
		Schema:  schema,
		Relaxed: options.Relaxed,
		Files:   options.files,

		Committed: options.Committed,
		Trouble:   func(err error) { options.Log.Error("a project's database", "error", err) },
		BeforeCommit: func(c *sqlite.Conn) error {
			if err := sweepReceipts(c, options.Now()); err != nil {
				return err
			}
			if err := changes.sweep(c, options.Now()); err != nil {
				return err
			}
			return feed.count(c)
		},
		AfterCommit: feed.publish,
	})
	if err != nil {
		return nil, err
	}
	if err := feed.begin(sql); err != nil {
		return nil, errors.Join(err, sql.Close())
	}
	return &DB{
		feed: feed,
		sql:  sql, now: options.Now, bounds: options.Bounds, id: id, room: options.Room, quotas: options.Quotas, trimmed: new(atomic.Int64),
		maxTables: options.MaxTables, workers: options.Workers, positions: newPositions(), changes: changes, known: &catalogs{changes: map[int64][]ids.Table{}},
	}, nil
}

// close ends the project's workers and the reading of milestones first: our connection must be the last to close, so
// that it removes the log.
func (db *DB) close() error {
	db.workers.Evict(db.sql.Path())
	db.positions.close()
	if db.leaveFeed != nil {
		defer db.leaveFeed()
	}
	return db.sql.Close()
}

// TimeLayout is the layout of all times: UTC, whole seconds.
const TimeLayout = "2006-01-02T15:04:05Z"

// Timestamp formats a time in [TimeLayout].
func Timestamp(t time.Time) string { return t.UTC().Format(TimeLayout) }

func (db *DB) readBounded(ctx context.Context, fn func(*sqlite.Conn) error) error {
	bounds := db.bounds.reads()
	return explain(readTooLong(bounds, db.sql.ReadWithin(ctx, bounds, fn)))
}

// explain turns SQLite's errors into problems that a client may see. Errors that no
// client has caused stay as they are.
func explain(err error) error {
	var known *problem.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	switch sqlite.FaultOf(err) {
	case sqlite.Unique:
		return taken(sqlite.ConstraintColumns(err)).Because(err)
	case sqlite.NotNull:
		return requiredColumns(sqlite.ConstraintColumns(err))
	case sqlite.DataType:
		return wrongTypes(sqlite.ConstraintColumns(err), err)
	case sqlite.ForeignKey:
		return problem.New(problem.CodeConflict, "A foreign key forbids this: the row refers to one that does not exist, or another row refers to it.").Because(err)
	case sqlite.Check:
		return problem.New(problem.CodeValidationFailed, "The row does not satisfy the CHECK %s of the table.", strings.TrimPrefix(sqlite.Message(err), "CHECK constraint failed: ")).Because(err)
	case sqlite.Raised:
		return problem.New(problem.CodeValidationFailed, "%s", sqlite.Message(err)).Because(err)
	case sqlite.Constraint:
		return problem.New(problem.CodeConflict, "A constraint of the table forbids this. SQLite says: %s.", sqlite.Message(err)).Because(err)
	case sqlite.Expression:
		return problem.New(problem.CodeValidationFailed, "An expression of the table (in a generated column, a default, a check or an index) fails for these values. SQLite says: %s.", withoutValues(sqlite.Message(err))).Because(err)
	case sqlite.BadSQL:
		return problem.New(problem.CodeValidationFailed, "SQLite cannot do this with the table as it is. It says: %s.", sqlite.Message(err)).Because(err)
	case sqlite.TooBig:
		return problem.New(problem.CodeValidationFailed, problem.ValueTooLarge).Because(err)
	case sqlite.Damaged:
		return damaged(err)
	}
	return storage.Explain(err)
}

// withoutValues cuts a message where a quotation begins: it may be a stored value that
// the caller is not allowed to read.
func withoutValues(message string) string {
	if i := strings.IndexAny(message, ":'\""); i >= 0 {
		message = message[:i]
	}
	return strings.TrimSpace(message)
}

func damaged(err error) error {
	return problem.New(problem.CodeProjectDamaged, "The project's database cannot be read. Restore it from a backup or an export; other projects are not affected.").Because(err)
}

func taken(columns []string) *problem.Error {
	e := problem.New(problem.CodeConflict, "The value is taken: another row already has it.")
	for _, name := range columns {
		e.With(name, problem.ValueTaken)
	}
	return e
}

func requiredColumns(columns []string) error {
	var faults problem.Faults
	for _, name := range columns {
		faults.Required(name)
	}
	return faults.Err()
}

func wrongTypes(columns []string, err error) error {
	var faults problem.Faults
	for _, name := range columns {
		faults.Add(name, problem.ValueMisfit)
	}
	if len(columns) == 0 {
		return problem.New(problem.CodeValidationFailed, "A value does not fit the type of its column, or a key would have no value.").Because(err)
	}
	return faults.Err()
}

// Size returns the size of the database in bytes, without its log.
func (db *DB) Size(ctx context.Context) (bytes int64, err error) {
	err = db.readBounded(ctx, func(c *sqlite.Conn) error {
		bytes, err = c.Int("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
		return err
	})
	return bytes, err
}

// find returns the element that ref names: its id in decimal digits, or its
// name in any letter case.
func find[T any](elements []T, ref string, key func(*T) (id int64, name string)) *T {
	id, notNumber := strconv.ParseInt(ref, 10, 64)
	for i := range elements {
		elementID, name := key(&elements[i])
		if (notNumber == nil && elementID == id) || sqlite.SameName(name, ref) {
			return &elements[i]
		}
	}
	return nil
}
