package source

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// contents is what a file turns out to hold once everything around it is unpacked: a
// database, one file that is imported as it is, or several such files.
type contents struct {
	format *format.Format // of the file itself, inside any compression
	db     *Database      // nil if it is not a database
	files  []part
	notes  Notes // on what is left out
}

// part is a file that is imported as it is.
type part struct {
	format   *format.Format
	path     string
	name     string // as given by the sender
	member   string // its name in a ZIP file; "" outside of one
	document bool   // the JSON of a database
	blank    bool   // it is empty

	dialect format.ReadDialect // of an export of ours, which describes its members; zero if unknown
	held    bool               // its name alone says what its format is
}

// unpackContents detects what a file holds. wanted is the format that the sender gave,
// or "".
func (s *scratch) unpackContents(ctx context.Context, file, name string, wanted string) (*contents, error) {
	file, name, err := s.unwrap(ctx, file, name)
	if err != nil {
		return nil, err
	}
	p := part{format: format.All().Get(wanted), path: file, name: name}
	if err := p.recognize(); err != nil {
		return nil, err
	}
	c := &contents{format: p.format}
	if p.isPacked() {
		err = s.openPacked(ctx, c, p)
	} else {
		err = s.openPart(ctx, c, p)
	}
	return c, err
}

// openPacked opens a file that is a ZIP file on the outside.
func (s *scratch) openPacked(ctx context.Context, c *contents, p part) (err error) {
	z, err := s.openZIP(p.path)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, z.Close()); err == nil && c.format.Bundle { // the members have been unpacked
			err = s.discard(p.path)
		}
	}()
	wanted := c.format
	switch c.format = z.format(); {
	case c.format.Name == "archive":
		database, described, err := z.readArchive(ctx)
		if err != nil {
			return err
		}
		if c.db, err = openSQLite(ctx, []string{database}, s, false); err == nil {
			c.db.Described = described
		}
		return err
	case wanted.Name == "archive":
		return Invalid("The file is not an archive of a project: it lacks data.sqlite, schema.json or SHA256SUMS.")
	case c.format != zipFormat():
		p.format = c.format
		return s.openPart(ctx, c, p)
	}
	return s.openMembers(ctx, c, z)
}

// openMembers unpacks the members of a ZIP file: either a single file of any other kind,
// or files of one table each.
func (s *scratch) openMembers(ctx context.Context, c *contents, z *zipFile) error {
	members, err := z.data(&c.notes)
	if err != nil {
		return err
	}
	for _, member := range members {
		p, err := s.unpackMember(ctx, z, member)
		if errors.Is(err, errBlank) && len(members) > 1 {
			c.notes.Add("member "+member.Name, "It is empty and was not imported.")
			continue
		}
		if err != nil {
			return err
		}
		if len(members) == 1 {
			return inMember(member.Name, s.openPart(ctx, c, p))
		}
		if p.isDatabase() {
			return Invalid("The member %q is a whole database; such a file must be the only one in a ZIP file.", member.Name)
		}
		c.files = append(c.files, p)
	}
	if len(c.files) == 0 {
		return Invalid("Every member of the ZIP file is empty.")
	}
	return nil
}

func (s *scratch) unpackMember(ctx context.Context, z *zipFile, member *zip.File) (p part, err error) {
	packed, err := z.unpack(ctx, member)
	if err != nil {
		return p, err
	}
	p = part{name: path.Base(member.Name), member: member.Name}
	if d, ok := format.CommentDialect(member.Comment); ok {
		p.format, p.dialect = format.All().Get("csv"), d.Reading()
	}
	if p.path, p.name, err = s.unwrap(ctx, packed, p.name); err != nil {
		return p, inMember(member.Name, err)
	}
	if err := p.recognize(); err != nil {
		return p, inMember(member.Name, err)
	}
	if p.format == zipFormat() {
		if p.format, err = s.packedFormat(p.path); err != nil {
			return p, inMember(member.Name, err)
		}
	}
	if p.isPacked() {
		return p, Invalid("The member %q is a ZIP file itself: unpack the outer one first.", member.Name)
	}
	return p, nil
}

// packedFormat distinguishes workbooks from other ZIP files.
func (s *scratch) packedFormat(file string) (*format.Format, error) {
	z, err := s.openZIP(file)
	if err != nil {
		return nil, err
	}
	return z.format(), z.Close()
}

// tableName returns the name of the file's table, if the file does not name it.
func (p part) tableName() string { return strings.TrimSuffix(p.name, path.Ext(p.name)) }

// explain turns a reader's error into a problem of the file.
func (p part) explain(ctx context.Context, err error) error {
	err = ExplainFault(ctx, err)
	if known := (*problem.Error)(nil); p.held && errors.As(err, &known) && known.Code == problem.CodeValidationFailed {
		err = Invalid("%s It is read as %s because of its name; if it is something else, set format.", known.Details[0].Message, p.format.Title).Because(err)
	}
	if p.member == "" {
		return err
	}
	return inMember(p.member, err)
}

// source wraps a table so that its faults name the member of the ZIP file.
func (p part) source(t Table) Table {
	if p.member == "" {
		return t
	}
	open := t.Open
	t.Open = func(ctx context.Context) (Rows, error) {
		rows, err := open(ctx)
		if err != nil {
			return nil, p.explain(ctx, err)
		}
		return memberRows{rows, func(err error) error { return p.explain(ctx, err) }}, nil
	}
	return t
}

// memberRows reads rows of a member of a ZIP file.
type memberRows struct {
	Rows
	explain func(error) error
}

// Next returns the next row.
func (m memberRows) Next() ([]sqlite.Value, error) {
	row, err := m.Rows.Next()
	if err != nil && err != io.EOF {
		err = m.explain(err)
	}
	return row, err
}

// size returns the number of bytes to read.
func (c *contents) size() (total int64) {
	for _, p := range c.files {
		if info, err := os.Stat(p.path); err == nil {
			total += info.Size()
		}
	}
	return total
}

// isDatabase reports whether the file is a database with tables of its own.
func (p part) isDatabase() bool {
	return p.format.Bundle && !p.isPacked() || p.document
}

// isPacked reports whether the file is a ZIP file that contains others.
func (p part) isPacked() bool { return p.format.Bundle && p.format.Ext == zipFormat().Ext }

// openPart opens a file that is imported by itself.
func (s *scratch) openPart(ctx context.Context, c *contents, p part) (err error) {
	var found Notes
	database := []string{p.path}
	switch {
	case p.document, p.format.Name == "sql":
		if database[0], found, err = s.build(ctx, p.format, p.path); err == nil {
			err = s.discard(p.path)
		}
	case p.format.Tables != nil:
		c.files = []part{p}
		return nil
	case p.format.SQLite:
		if p.member == "" {
			database = withLog(p.path)
		}
	default:
		return notRead(p.format)
	}
	if err != nil {
		return err
	}
	if mode, err := usesWAL(database[0]); err == nil && mode && len(database) == 1 {
		found.Add("file", "It is in write-ahead mode and came without its log (the file ending in -wal). Rows that were only in the log are missing.")
	}
	c.notes = append(c.notes, found...)
	c.db, err = openSQLite(ctx, database, s, !p.format.SQLite)
	return err
}

// withLog returns the path of a SQLite file and, if there is one, of its write-ahead
// log, which holds its newest rows.
func withLog(database string) []string {
	if info, err := os.Stat(database + "-wal"); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		return []string{database, database + "-wal"}
	}
	return []string{database}
}

// inMember adds the name of the ZIP file's member to a problem.
func inMember(name string, err error) error {
	if err == nil {
		return nil
	}
	var known *problem.Error
	if !errors.As(err, &known) || known.Code != problem.CodeValidationFailed {
		return err
	}
	return Invalid("In the member %q: %s", name, known.Details[0].Message).Because(err)
}

//lint:ignore ST1005 a client reads it as it is
var errBlank = errors.New("The file is empty.")

// Blank returns the problem of an empty file.
func Blank() error { return Invalid("%s", errBlank).Because(errBlank) }

// recognize detects the format of the file by its content, unless it is known. The name
// counts only for empty files and for text that could be anything.
func (p *part) recognize() error {
	if p.format != nil && !p.format.Blank {
		return nil
	}
	f, err := os.Open(p.path)
	if err != nil {
		return Unreadable(err)
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, headSize))
	if err != nil {
		return Unreadable(err)
	}
	named := func(f *format.Format) bool { return f.HasExt(p.name) }
	if p.blank = len(bytes.TrimPrefix(head, []byte("\ufeff"))) == 0; p.blank {
		at := slices.IndexFunc(format.All(), func(f *format.Format) bool { return f.Blank && named(f) })
		if p.format == nil && at >= 0 {
			p.format = format.All()[at]
		}
		if p.format == nil {
			return Blank()
		}
		return nil
	}
	if p.format == nil {
		if p.format, p.held, err = recognize(head, named); err != nil {
			return err
		}
	}
	p.document = p.format.Exports&format.Database != 0 && p.format.Tables != nil && format.IsJSONDatabase(head)
	return nil
}

// recognize returns the format of a file by its content. The name decides for text that
// could be anything: a file named as a dump or as JSON is not read as CSV, and for one
// named as CSV the options may say how to read it. held says that only the name decided.
func recognize(head []byte, named func(*format.Format) bool) (_ *format.Format, held bool, err error) {
	csv, sql := format.All().Get("csv"), format.All().Get("sql")
	f := format.All().Recognize(head)
	unread := format.Unread(head)
	if f == nil && unread == "" || f == csv || f == sql {
		at := slices.IndexFunc(format.All(), func(f *format.Format) bool { return f.ByName && named(f) })
		if at >= 0 {
			return nameHolds(format.All()[at])
		}
	}
	switch {
	case f == nil && named(csv) && unread == "":
		return csv, false, nil
	case f == nil:
		return nil, false, unrecognized(head, unread)
	case !f.IsRead():
		return nil, false, notRead(f)
	case f == csv && named(sql):
		return sql, false, nil
	}
	return f, false, nil
}

// nameHolds returns the format that a file is named after, although its content does not
// look like it. Its reader says where a text is at fault.
func nameHolds(f *format.Format) (_ *format.Format, held bool, err error) {
	if f.Blank {
		return f, true, nil
	}
	return nil, false, Invalid("The file is named like %s but does not begin like one. If it is something else, set format.", f.Title)
}

// unrecognized returns the problem of a file in no known format.
func unrecognized(head []byte, known string) error {
	_, err := format.Sniff(head)
	reason := "The file is " + known + "."
	if known == "" {
		reason = sqlite.Message(err)
	}
	return Invalid("%s Send %s. A database must not be encrypted.", reason, format.All().ImportTitles()).Because(err)
}

// notRead returns the problem of a file whose format is known but cannot be imported.
func notRead(f *format.Format) error {
	return Invalid("The file is %s, which cannot be imported. %s", f.Title, f.Advice)
}
