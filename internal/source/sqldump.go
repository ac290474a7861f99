package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// errComputes ends a dump that takes far longer than its size warrants. Ten lines can
// ask for more than a computer does in a year.
var errComputes = errors.New("the dump computes")

// dump runs a text of SQL statements in a sandbox.
type dump struct {
	sandbox *sqlite.Sandbox
	inserts inserts
	text    *sqltext.Splitter
	line    int64  // of the current statement
	from    string // the program that wrote the dump, if it says so and is not SQLite
	begun   int64  // line of a BEGIN not yet followed by COMMIT, or 0
	notes   Notes

	virtuals map[string]bool // folded names of virtual tables, and whether each is now a plain table
	left     int64           // statements that insert into those left out
}

// runDump runs the statements of a dump in a sandbox, and they cannot reach beyond it.
func (b building) runDump(ctx context.Context, f *os.File, sandbox *sqlite.Sandbox) (Notes, error) {
	head := make([]byte, 8<<10)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, Unreadable(err)
	}
	d := &dump{sandbox: sandbox, inserts: inserts{sandbox: sandbox}, virtuals: map[string]bool{}, text: sqltext.NewSplitter(format.DecodeSQL(UntilDone(ctx, f))), from: format.DumpedBy(head[:n])}
	defer d.inserts.close()
	err = d.run(ctx)
	if d.left > 0 {
		d.notes.Add("file", "Statements that insert into virtual tables were left out: %d.", d.left)
	}
	return d.notes, err
}

func (d *dump) run(ctx context.Context) error {
	began := time.Now()
	for {
		statement, err := d.text.Next()
		d.line = d.text.Begin
		if err != nil {
			// Faults of earlier statements come first.
			if fault := d.flush(); fault != nil {
				return d.stopped(ctx, fault, began)
			}
		}
		switch {
		case err == io.EOF && d.begun > 0:
			return Invalid("The dump was cut short: the transaction that begins on line %d has no COMMIT.", d.begun)
		case err == io.EOF:
			return nil
		case errors.Is(err, sqltext.ErrTooLong):
			return Invalid("Line %d: A statement is longer than %d bytes.", d.text.Begin, sqltext.MaxStatement)
		case errors.Is(err, sqltext.ErrUnended):
			return Invalid("The dump was cut short: it ends in the middle of the statement that begins on line %d.", d.text.Begin)
		case err != nil:
			return Unreadable(err)
		}
		if err := d.statement(statement); err != nil {
			return d.stopped(ctx, err, began)
		}
	}
}

// stopped returns the error for a dump that began at the given time and did not finish.
func (d *dump) stopped(ctx context.Context, err error, began time.Time) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, errComputes) {
		return d.fail("The dump could not be run within %s: it computes more than it stores.", time.Since(began).Round(time.Second))
	}
	return err
}

// flush inserts the waiting rows.
func (d *dump) flush() error {
	line, err := d.inserts.flush()
	if err != nil {
		d.line = line
	}
	return d.explain(nil, err)
}

// statement runs one statement, unless it is one that dumps contain but that means
// nothing here.
func (d *dump) statement(text []byte) error {
	if len(d.virtuals) > 0 {
		if done, err := d.insertVirtual(text, sqltext.FirstWords(text, 8)); done || err != nil {
			return err
		}
	}
	taken, line, err := d.inserts.take(text, d.line)
	switch {
	case err != nil:
		d.line = line
		return d.explain(nil, err)
	case taken:
		return nil
	}
	if err := d.flush(); err != nil {
		return err
	}
	if done, err := d.virtual(text); done || err != nil {
		return err
	}
	first := sqltext.FirstWords(text, 8)
	switch strings.ToUpper(first[0]) {
	case "PRAGMA":
		return d.pragma(first)
	case "BEGIN":
		d.begun = d.line
		return nil
	case "COMMIT", "END":
		d.begun = 0
		return nil
	case "SAVEPOINT", "RELEASE":
		return nil // all statements run in one transaction anyway
	case "VACUUM", "REINDEX":
		return nil
	case "ROLLBACK":
		return d.fail("ROLLBACK takes everything back; sqlite3 ends a dump like this when it met an error, and then rows are missing.")
	case "CREATE", "DROP":
		if d.passOver(first) {
			return nil
		}
		if sqlSequence.MatchString(strings.Join(first, " ")) {
			return d.makeSequence()
		}
	case ".":
		return d.fail("Commands of the sqlite3 shell, which begin with a dot, are not run.")
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return d.fail("There is a NUL character in the statement.")
	}
	return d.explain(text, d.sandbox.Run(string(text)))
}

// sqlSequence matches the definition of the table of counters, which belongs to SQLite.
var sqlSequence = regexp.MustCompile(`(?i)^CREATE TABLE (IF NOT EXISTS )?["'\[\x60]?sqlite_sequence\b`)

// pragma passes over pragmas that change nothing about the tables, and refuses others.
func (d *dump) pragma(first []string) error {
	name := first[1]
	if first[2] == "." {
		name = first[3]
	}
	name = strings.ToLower(sqltext.First(name).Name())
	if slices.Contains(harmlessPragmas, name) {
		return nil
	}
	return d.fail("PRAGMA %s is not allowed; only pragmas that change nothing about the tables are passed over, such as foreign_keys. Leave it out.", name)
}

// unwanted matches the first words of definitions that are not imported.
var unwanted = regexp.MustCompile(`(?is)^(CREATE|DROP) (?:TEMP |TEMPORARY )?(VIEW|TRIGGER|VIRTUAL TABLE) (?:IF NOT EXISTS )?(.*)`)

// passOver reports whether a definition that begins with the given words is left out,
// and notes it.
func (d *dump) passOver(first []string) bool {
	found := unwanted.FindStringSubmatch(strings.Join(first, " "))
	if found == nil {
		return false
	}
	if strings.EqualFold(found[1], "CREATE") {
		kind := strings.ToLower(found[2])
		name := sqltext.First(found[3]).Name()
		d.notes.Add(kind+" "+name, "%ss are not imported.", strings.ToUpper(kind[:1])+kind[1:])
	}
	return true
}

// fail returns a problem of the current statement.
func (d *dump) fail(format string, args ...any) error {
	return Invalid("Line %d: %s", d.line, d.foreign()+fmt.Sprintf(format, args...))
}

func (d *dump) foreign() string {
	if d.from == "" {
		return ""
	}
	return "This is a dump of " + d.from + ", and only dumps of SQLite can be imported; import its tables as CSV. "
}

// explain returns the problem of a statement that did not run.
func (d *dump) explain(text []byte, err error) error {
	switch fault := sqlite.FaultOf(err); {
	case err == nil:
		return nil
	case errors.Is(err, sqlite.ErrTooLong):
		return errComputes
	case fault == sqlite.Full, fault == sqlite.Interrupted, fault == sqlite.IO:
		return fmt.Errorf("run a dump: %w", err)
	case fault == sqlite.Denied:
		what := sqltext.FirstWords(text, 2)
		if sqltext.First(what[0]).Is("CREATE", "DROP") {
			what[0] += " " + what[1]
		}
		return d.fail("%s is not allowed here: a dump may only create tables and indexes and fill them.", OneLine(strings.ToUpper(what[0])))
	}
	if d.from == "" && alien.Match(text) {
		d.from = "another database"
	}
	return d.fail("SQLite says: %s.", OneLine(sqlite.Message(err)))
}

// alien matches what statements of other databases have and those of SQLite lack.
var alien = regexp.MustCompile(`(?i)^(SET|LOCK|USE|COPY|GO|DELIMITER|GRANT)\s|\bENGINE\s*=|\bAUTO_INCREMENT\b|::\w+|\bnextval\(`)
