package ingest

import (
	"bytes"
	"errors"
	"io"
	"path"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// sqliteMagic begins every SQLite file.
const sqliteMagic = "SQLite format 3\x00"

// recognize tells the kind of a file by how it begins. Its name counts for text
// that could be anything: what is called a dump is not taken for rows.
func recognize(head []byte, name string) (Kind, error) {
	switch {
	case bytes.HasPrefix(head, []byte(sqliteMagic)):
		return KindSQLite, nil
	case bytes.HasPrefix(head, []byte("PAR1")):
		return KindParquet, nil
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return KindZIP, nil // a workbook and an archive, too: the list of its members tells
	case looksLikeSQL(head):
		return KindSQL, nil
	}
	if kind := jsonKind(head); kind != "" {
		return kind, nil
	}
	if isTar(head) {
		return "", invalid("The file is a tar archive: pack its files as a ZIP file.")
	}
	if known := markup(head); known != "" {
		return "", invalid("The file is %s, not a table; a server may have answered with it instead of the file.", known)
	}
	if _, err := format.Sniff(head); err != nil {
		reason := sqlite.Message(err)
		if known := otherFormat(head); known != "" {
			reason = "The file is " + known + "."
		}
		return "", invalid("%s Send a SQLite database that is not encrypted, an SQL dump of one, an archive of a project, a CSV, JSON, NDJSON, Excel (.xlsx) or Parquet file, or a ZIP file of these.", reason).Because(err)
	}
	if strings.EqualFold(path.Ext(name), ".sql") {
		return KindSQL, nil
	}
	return KindCSV, nil
}

// kindNamed returns the kind of file that the ending of a name is usual for, of
// those that can be without a byte, or "".
func kindNamed(name string) Kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv", ".tsv":
		return KindCSV
	case ".json":
		return KindJSON
	case ".ndjson", ".jsonl":
		return KindNDJSON
	}
	return ""
}

// markup returns what a text is that would else be a CSV file of one column.
func markup(head []byte) string {
	head = bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"))
	for _, known := range []struct{ begin, name string }{
		{"<!doctype html", "an HTML page"},
		{"<html", "an HTML page"},
		{"<?xml ", "an XML document"},
	} {
		if bytes.HasPrefix(head, []byte(known.begin)) {
			return known.name
		}
	}
	return ""
}

// isTar reports whether a file is a tar archive.
func isTar(head []byte) bool {
	const magicAt = 257
	return len(head) > magicAt && bytes.HasPrefix(head[magicAt:], []byte("ustar"))
}

// jsonKind tells an array, or the JSON of a database, from objects one after
// another. It is "" for what does not begin as JSON does.
func jsonKind(head []byte) Kind {
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	d := jsontext.NewDecoder(bytes.NewReader(head))
	switch d.PeekKind() {
	case '[':
		if beginsWell(d) {
			return KindJSON
		}
	case '{':
		if !beginsWell(d) {
			return ""
		}
		if hasTables(head) {
			return KindJSON
		}
		return KindNDJSON
	}
	return ""
}

// beginsWell reports whether the first tokens are JSON, as far as they are there.
func beginsWell(d *jsontext.Decoder) bool {
	const enough = 3
	for range enough {
		if _, err := d.ReadToken(); err != nil {
			return err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
		}
	}
	return true
}

// hasTables reports whether an object has the tables of a database, as far as
// it is there.
func hasTables(head []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(head))
	if _, err := d.ReadToken(); err != nil {
		return false
	}
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return false
		}
		if key.String() == "tables" {
			return d.PeekKind() == '{'
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
	return false
}

// otherFormat returns what a file is that is not read here, if that is known.
func otherFormat(head []byte) string {
	for _, known := range []struct{ magic, name string }{
		{"\xff\xd8\xff", "a JPEG image"},
		{"\x89PNG\r\n", "a PNG image"},
		{"GIF8", "a GIF image"},
		{"\x7fELF", "a program"},
		{"BZh", "compressed with bzip2; only gzip and zstd are supported"},
		{"\xfd7zXZ\x00", "compressed with xz; only gzip and zstd are supported"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive; only ZIP files are supported"},
		{"Rar!\x1a", "a RAR archive; only ZIP files are supported"},
	} {
		if bytes.HasPrefix(head, []byte(known.magic)) {
			return known.name
		}
	}
	return ""
}
