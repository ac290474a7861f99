package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// errComputes is the end of a dump that takes much longer than what it holds. Ten
// lines can ask for more than a computer does in a year.
var errComputes = errors.New("the dump computes")

// dump is a text of SQL statements on its way into a database.
type dump struct {
	sandbox *sqlite.Sandbox
	inserts inserts
	text    *sqltext.Splitter
	line    int64  // of the statement that is worked on
	from    string // program whose dumps begin like this one, if it is another than SQLite
	begun   int64  // line of a BEGIN without COMMIT so far
	notes   Notes
}

// runDump runs the statements of a dump in a sandbox. Nothing of them reaches beyond
// that.
func (b building) runDump(ctx context.Context, f *os.File, sandbox *sqlite.Sandbox) (Notes, error) {
	head := make([]byte, 8<<10)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, Unreadable(err)
	}
	d := &dump{sandbox: sandbox, inserts: inserts{sandbox: sandbox}, text: sqltext.NewSplitter(format.DecodeSQL(&ctxReader{ctx, f})), from: format.DumpedBy(head[:n])}
	defer d.inserts.close()
	err = d.run(ctx)
	return d.notes, err
}

func (d *dump) run(ctx context.Context) error {
	began := time.Now()
	for {
		statement, _, err := d.text.Next()
		d.line = d.text.Begin
		if err != nil {
			// What came before has its faults first.
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

// stopped says why a dump that began at a time is not done.
func (d *dump) stopped(ctx context.Context, err error, began time.Time) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, errComputes) {
		return d.fail("The dump could not be run within %s: it computes more than it stores.", time.Since(began).Round(time.Second))
	}
	return err
}

// flush inserts the rows that wait.
func (d *dump) flush() error {
	line, err := d.inserts.flush()
	if err != nil {
		d.line = line
	}
	return d.explain(nil, err)
}

// statement runs one statement, unless it is one of those that a dump has and
// that mean nothing here.
func (d *dump) statement(text []byte) error {
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
	first := sqltext.FirstWords(text, 4)
	switch first[0] {
	case "PRAGMA":
		return d.pragma(first)
	case "BEGIN":
		d.begun = d.line
		return nil
	case "COMMIT", "END":
		d.begun = 0
		return nil
	case "ROLLBACK":
		return d.fail("ROLLBACK takes everything back; sqlite3 ends a dump like this when it met an error, and then rows are missing.")
	case "CREATE", "DROP":
		if d.passOver(text) {
			return nil
		}
	case ".":
		return d.fail("Commands of the sqlite3 shell, which begin with a dot, are not run.")
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return d.fail("There is a NUL character in the statement.")
	}
	return d.explain(text, d.sandbox.Run(string(text)))
}

// pragma passes over the two that every dump has.
func (d *dump) pragma(first []string) error {
	name := first[1]
	if first[2] == "." {
		name = first[3]
	}
	switch name {
	case "FOREIGN_KEYS", "DEFER_FOREIGN_KEYS":
		return nil
	case "WRITABLE_SCHEMA":
		return d.fail("PRAGMA writable_schema is not allowed. sqlite3 writes it for virtual tables, which cannot be imported: leave them out of the dump.")
	}
	return d.fail("PRAGMA %s is not allowed; a dump may set only foreign_keys and defer_foreign_keys.", strings.ToLower(name))
}

// unwanted is what begins the definitions that were not imported.
var unwanted = regexp.MustCompile(`(?is)^(CREATE|DROP)\s+(?:TEMP\s+|TEMPORARY\s+)?(VIEW|TRIGGER|VIRTUAL\s+TABLE)\s+(?:IF\s+NOT\s+EXISTS\s+)?(.*)`)

// passOver reports whether a definition is left out, and notes it.
func (d *dump) passOver(text []byte) bool {
	const enough = 400
	found := unwanted.FindSubmatch(text[:min(len(text), enough)])
	if found == nil {
		return false
	}
	if strings.EqualFold(string(found[1]), "CREATE") {
		kind := strings.ToLower(strings.Join(strings.Fields(string(found[2])), " "))
		name := sqltext.First(string(found[3])).Name()
		d.notes.Add(kind+" "+name, "%ss are not imported.", strings.ToUpper(kind[:1])+kind[1:])
	}
	return true
}

// fail is a problem of the statement that is worked on.
func (d *dump) fail(format string, args ...any) error {
	return Invalid("Line %d: %s", d.line, d.foreign()+fmt.Sprintf(format, args...))
}

func (d *dump) foreign() string {
	if d.from == "" {
		return ""
	}
	return "This is a dump of " + d.from + ", and only dumps of SQLite can be imported; import its tables as CSV. "
}

// explain says why a statement did not run.
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
		if what[0] != "CREATE" && what[0] != "DROP" {
			what = what[:1]
		}
		return d.fail("%s is not allowed here: a dump may only create tables and indexes and fill them.", OneLine(strings.Join(what, " ")))
	}
	if d.from == "" && alien.Match(text) {
		d.from = "another database"
	}
	return d.fail("SQLite says: %s.", OneLine(sqlite.Message(err)))
}

// alien is what statements of other databases have and those of SQLite have not.
var alien = regexp.MustCompile(`(?i)^(SET|LOCK|USE|COPY|GO|DELIMITER|GRANT)\s|\bENGINE\s*=|\bAUTO_INCREMENT\b|::\w+|\bnextval\(`)
