package ingest

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// contents is what is in a file, after everything around it has been undone. It
// is a database, or one file that is imported as it is, or several such files.
type contents struct {
	kind  Kind        // of the file itself, but for compression
	db    *sqliteFile // or nil
	files []part
	notes notes // about what is left out
}

// part is a file that is imported as it is.
type part struct {
	kind     Kind
	path     string
	name     string // as its sender calls it
	member   string // its name in a ZIP file, or ""
	document bool   // the JSON of a database
	blank    bool   // nothing is in it
}

// unpackContents finds out what is in a file. wanted is the kind that its
// sender says it is, or "".
func (s *scratch) unpackContents(ctx context.Context, file, name string, wanted Kind) (*contents, error) {
	file, name, err := s.unwrap(ctx, file, name)
	if err != nil {
		return nil, err
	}
	p := part{kind: wanted, path: file, name: name}
	if err := p.recognize(); err != nil {
		return nil, err
	}
	c := &contents{kind: p.kind}
	if p.kind == KindZIP || p.kind == KindArchive {
		err = s.openPacked(ctx, c, p)
	} else {
		err = s.openPart(ctx, c, p)
	}
	return c, err
}

// openPacked opens what is a ZIP file on the outside.
func (s *scratch) openPacked(ctx context.Context, c *contents, p part) (err error) {
	z, err := s.openZIP(p.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	wanted := c.kind
	switch c.kind = z.kind(); {
	case c.kind == KindArchive:
		database, described, err := z.readArchive(ctx)
		if err != nil {
			return err
		}
		if c.db, err = openSQLite(ctx, []string{database}, s, false); err == nil {
			c.db.described = described
		}
		return err
	case wanted == KindArchive:
		return invalid("The file is not an archive of a project: it lacks data.sqlite, schema.json or SHA256SUMS.")
	case c.kind == KindXLSX:
		p.kind = KindXLSX
		c.files = []part{p}
		return nil
	}
	return s.openMembers(ctx, c, z)
}

// openMembers unpacks the members of a ZIP file. They are one file of any kind
// but that, or files of one table each.
func (s *scratch) openMembers(ctx context.Context, c *contents, z *zipFile) error {
	members, err := z.data(&c.notes)
	if err != nil {
		return err
	}
	for _, member := range members {
		p, err := s.unpackMember(ctx, z, member)
		if errors.Is(err, errBlank) && len(members) > 1 {
			c.notes.add("member "+member.Name, "It is empty and was not imported.")
			continue
		}
		if err != nil {
			return err
		}
		if len(members) == 1 {
			return inMember(member.Name, s.openPart(ctx, c, p))
		}
		if p.isDatabase() {
			return invalid("The member %q is a whole database; such a file must be the only one in a ZIP file.", member.Name)
		}
		c.files = append(c.files, p)
	}
	if len(c.files) == 0 {
		return invalid("Every member of the ZIP file is empty.")
	}
	return nil
}

func (s *scratch) unpackMember(ctx context.Context, z *zipFile, member *zip.File) (p part, err error) {
	packed, err := z.unpack(ctx, member)
	if err != nil {
		return p, err
	}
	p = part{name: path.Base(member.Name), member: member.Name}
	if p.path, p.name, err = s.unwrap(ctx, packed, p.name); err != nil {
		return p, inMember(member.Name, err)
	}
	if p.path != packed {
		if err := os.Remove(packed); err != nil {
			return p, err
		}
	}
	if err := p.recognize(); err != nil {
		return p, inMember(member.Name, err)
	}
	if p.kind == KindZIP {
		if p.kind, err = s.packedKind(p.path); err != nil {
			return p, inMember(member.Name, err)
		}
	}
	if p.kind == KindZIP || p.kind == KindArchive {
		return p, invalid("The member %q is a ZIP file itself: unpack the outer one first.", member.Name)
	}
	return p, nil
}

// packedKind tells a workbook from other ZIP files.
func (s *scratch) packedKind(file string) (kind Kind, err error) {
	z, err := s.openZIP(file)
	if err != nil {
		return "", err
	}
	return z.kind(), z.Close()
}

// tableName returns the name of the table in the file, if it gives none itself.
func (p part) tableName() string { return strings.TrimSuffix(p.name, path.Ext(p.name)) }

// explain makes a problem of what a reader finds in the file.
func (p part) explain(ctx context.Context, err error) error {
	err = explainFault(ctx, err)
	if p.member == "" {
		return err
	}
	return inMember(p.member, err)
}

// source makes faults of a table tell in which member of a ZIP file they are.
func (p part) source(t tableSource) tableSource {
	if p.member == "" {
		return t
	}
	open := t.open
	t.open = func(ctx context.Context) (tableRows, error) {
		rows, err := open(ctx)
		if err != nil {
			return nil, p.explain(ctx, err)
		}
		return memberRows{rows, func(err error) error { return p.explain(ctx, err) }}, nil
	}
	return t
}

// memberRows are rows of a member of a ZIP file.
type memberRows struct {
	tableRows
	explain func(error) error
}

func (m memberRows) next() ([]sqlite.Value, error) {
	row, err := m.tableRows.next()
	if err != nil && err != io.EOF {
		err = m.explain(err)
	}
	return row, err
}

// size returns how many bytes there are to read.
func (c *contents) size() (total int64) {
	for _, p := range c.files {
		if info, err := os.Stat(p.path); err == nil {
			total += info.Size()
		}
	}
	return total
}

// isDatabase reports whether the file is a database, with tables of its own.
func (p part) isDatabase() bool {
	return p.kind == KindSQLite || p.kind == KindSQL || p.document
}

// openPart opens a file that is alone.
func (s *scratch) openPart(ctx context.Context, c *contents, p part) (err error) {
	var found notes
	database := []string{p.path}
	switch {
	case p.kind == KindSQLite && p.member == "":
		database = withLog(p.path)
	case p.kind == KindSQLite:
	case p.kind == KindSQL, p.document:
		database[0], found, err = s.build(ctx, p.kind, p.path)
	default:
		c.files = []part{p}
		return nil
	}
	if err != nil {
		return err
	}
	if mode, err := usesWAL(database[0]); err == nil && mode && len(database) == 1 {
		found.add("file", "It is in write-ahead mode and came without its log (the file ending in -wal). Rows that were only in the log are missing.")
	}
	c.notes = append(c.notes, found...)
	c.db, err = openSQLite(ctx, database, s, p.kind != KindSQLite)
	return err
}

// withLog returns a SQLite file and, if there is one, its write-ahead log, which
// holds its newest rows.
func withLog(database string) []string {
	if info, err := os.Stat(database + "-wal"); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		return []string{database, database + "-wal"}
	}
	return []string{database}
}

// inMember adds to a problem in which member of a ZIP file it is.
func inMember(name string, err error) error {
	if err == nil {
		return nil
	}
	var known *problem.Error
	if !errors.As(err, &known) || known.Code != problem.CodeValidationFailed {
		return err
	}
	return invalid("In the member %q: %s", name, known.Details[0].Message).Because(err)
}

//lint:ignore ST1005 a client reads it as it is
var errBlank = errors.New("The file is empty.")

// recognize finds out the kind of the file by its content, unless it is known.
// The name counts only where there is no content.
func (p *part) recognize() error {
	if p.kind != "" && !slices.Contains([]Kind{KindCSV, KindJSON, KindNDJSON}, p.kind) {
		return nil
	}
	f, err := os.Open(p.path)
	if err != nil {
		return unreadable(err)
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, headSize))
	if err != nil {
		return unreadable(err)
	}
	if p.blank = len(bytes.TrimPrefix(head, []byte("\ufeff"))) == 0; p.blank {
		p.kind = cmp.Or(p.kind, kindNamed(p.name))
		if p.kind == "" {
			return invalid("%s", errBlank).Because(errBlank)
		}
		return nil
	}
	if p.kind == "" {
		p.kind, err = recognize(head, p.name)
	}
	if err != nil && kindNamed(p.name) == KindCSV && otherFormat(head) == "" {
		// What is not found out about it may be said: how CSV is to be read.
		p.kind, err = KindCSV, nil
	}
	p.document = p.kind == KindJSON && hasTables(head)
	return err
}
