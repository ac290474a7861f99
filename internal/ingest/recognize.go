package ingest

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// sqliteMagic begins every SQLite file.
const sqliteMagic = "SQLite format 3\x00"

// recognize tells the kind of a file by how it begins.
func recognize(head []byte) (Kind, error) {
	switch {
	case bytes.HasPrefix(head, []byte(sqliteMagic)):
		return KindSQLite, nil
	case bytes.HasPrefix(head, []byte("PAR1")):
		return KindParquet, nil
	case bytes.HasPrefix(head, []byte("PK\x03\x04")) && looksLikeWorkbook(head):
		return KindXLSX, nil
	}
	if kind := jsonKind(head); kind != "" {
		return kind, nil
	}
	if _, err := format.Sniff(head); err != nil {
		return "", notImportable(head, err)
	}
	return KindCSV, nil
}

// looksLikeWorkbook reports whether a ZIP archive begins with a part of an Excel
// workbook.
func looksLikeWorkbook(head []byte) bool {
	for _, part := range []string{"[Content_Types].xml", "_rels/.rels", "xl/", "docProps/"} {
		const nameAt = 30
		if len(head) > nameAt && bytes.HasPrefix(head[nameAt:], []byte(part)) {
			return true
		}
	}
	return false
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

// notImportable is the problem of a file of an unknown kind.
func notImportable(head []byte, err error) error {
	reason := sqlite.Message(err)
	for _, known := range []struct{ magic, name string }{
		{"\xff\xd8\xff", "a JPEG image"},
		{"\x89PNG\r\n", "a PNG image"},
		{"GIF8", "a GIF image"},
		{"\x7fELF", "a program"},
	} {
		if bytes.HasPrefix(head, []byte(known.magic)) {
			reason = "The file is " + known.name + "."
		}
	}
	return invalid("%s A SQLite database that is not encrypted, or a CSV, JSON, NDJSON, Excel (.xlsx) or Parquet file is needed.", reason).Because(err)
}
