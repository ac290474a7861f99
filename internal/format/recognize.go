package format

import (
	"bytes"
	"errors"
	"io"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/zangtable/zangtable/internal/sqltext"
)

// SQLiteMagic starts every SQLite file.
const SQLiteMagic = "SQLite format 3\x00"

// unread lists kinds of files that are not tables, by their first bytes.
var unread = []struct {
	at            int
	magic         string
	title, advice string
	text          bool // a text may start like this, so it counts only if the file is not text
}{
	{257, "ustar", "a tar archive", ": pack its files as a ZIP file", false},
	{0, "%PDF-", "a PDF document", "", false},
	{0, "\xff\xd8\xff", "a JPEG image", "", false},
	{0, "\x89PNG\r\n", "a PNG image", "", false},
	{0, "GIF8", "a GIF image", "", true},
	{0, "\x7fELF", "a program", "", false},
	{0, "BZh", "compressed with bzip2", "; only gzip and zstd are supported", true},
	{0, "\xfd7zXZ\x00", "compressed with xz", "; only gzip and zstd are supported", false},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive", "; only ZIP files are supported", false},
	{0, "Rar!\x1a", "a RAR archive", "; only ZIP files are supported", false},
}

// Unread returns what a file is, if it is known not to be a table, phrased to follow
// "The file is". It also counts first bytes that a text may start with.
func Unread(head []byte) string {
	for _, known := range unread {
		if len(head) > known.at && bytes.HasPrefix(head[known.at:], []byte(known.magic)) {
			return known.title + known.advice
		}
	}
	return markup(head)
}

// markup returns what a text is that would otherwise pass as a CSV file of one column.
func markup(head []byte) string {
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte(bom)), " \t\r\n"))
	for _, known := range []struct{ begin, title string }{
		{"<!doctype html", "an HTML page"},
		{"<html", "an HTML page"},
		{"<?xml ", "an XML document"},
	} {
		if bytes.HasPrefix(text, []byte(known.begin)) {
			return known.title + ", not a table; a server may have answered with it instead of the file"
		}
	}
	return ""
}

// notText returns what a file is, if it is known not to be text.
func notText(head []byte) string {
	for _, f := range All() {
		if hasMagic(head, f.Magic...) {
			return f.Title
		}
	}
	for _, c := range Compressions {
		if hasMagic(head, c.Magic) {
			return "compressed with " + c.Name
		}
	}
	for _, known := range unread {
		if !known.text && len(head) > known.at && bytes.HasPrefix(head[known.at:], []byte(known.magic)) {
			return known.title
		}
	}
	return ""
}

// looksLikeCSV reports whether a file is text and not known to be anything else.
func looksLikeCSV(head []byte) bool {
	_, err := Sniff(head)
	return err == nil && markup(head) == ""
}

// jsonStart returns the kind of the first JSON value.
func jsonStart(head []byte) jsontext.Kind {
	d := newJSONFile(bytes.NewReader(head), true).decoder
	if kind := d.PeekKind(); (kind == '[' || kind == '{') && beginsWell(d) {
		return kind
	}
	return 0
}

// looksLikeJSON reports whether a file starts like an array or like the JSON of a
// database.
func looksLikeJSON(head []byte) bool {
	switch jsonStart(head) {
	case '[':
		return true
	case '{':
		return IsJSONDatabase(head)
	}
	return false
}

// looksLikeNDJSON reports whether a file starts with an object that is a row.
func looksLikeNDJSON(head []byte) bool { return jsonStart(head) == '{' && !IsJSONDatabase(head) }

// beginsWell reports whether the first tokens, as far as present, are JSON.
func beginsWell(d *jsontext.Decoder) bool {
	const enough = 3
	for range enough {
		if _, err := d.ReadToken(); err != nil {
			return err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
		}
	}
	return true
}

// IsJSONDatabase reports whether a JSON file has the tables of a database, judging by
// its start.
func IsJSONDatabase(head []byte) bool {
	d := newJSONFile(bytes.NewReader(head), true).decoder
	if d.PeekKind() != '{' {
		return false
	}
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

// DecodeSQL returns a dump as UTF-8: Windows shells redirect output as UTF-16.
func DecodeSQL(r io.Reader) io.Reader {
	return transform.NewReader(r, unicode.BOMOverride(encoding.Nop.NewDecoder()))
}

// sqlStart matches the start of a dump, after comments.
var sqlStart = regexp.MustCompile(`(?is)^(` +
	`PRAGMA\s+[a-z_.]+\s*[=(;]|BEGIN(\s+(TRANSACTION|DEFERRED|IMMEDIATE|EXCLUSIVE))*\s*;[ \t]*(--[^\n]*)?(\r?\n|$)|` +
	`CREATE\s+((TEMP|TEMPORARY|UNIQUE|VIRTUAL)\s+)?(TABLE|INDEX|VIEW|TRIGGER|DATABASE|SCHEMA|EXTENSION)\s|` +
	`DROP\s+(TABLE|INDEX|VIEW|TRIGGER|DATABASE|SCHEMA)\s+["'\[a-z_\x60]|(INSERT|REPLACE)\s+(OR\s+[A-Z]+\s+)?INTO\s+\S|` +
	`(SET|USE|LOCK|ATTACH|DETACH|COPY)\s[^,;\n]*[ =][^\n]*;|ANALYZE\b[^,\n]*;|DELETE\s+FROM\s+\S)`)

// looksLikeSQL reports whether a file starts like a dump.
func looksLikeSQL(head []byte) bool {
	text, err := io.ReadAll(DecodeSQL(bytes.NewReader(head)))
	if err != nil {
		return false
	}
	text = sqltext.SkipEmpty(text)
	if len(text) == 0 { // only comments
		return DumpedBy(head) != ""
	}
	return sqlStart.Match(text)
}

// DumpedBy returns the program that wrote a dump, if the dump names it and it is not
// SQLite.
func DumpedBy(head []byte) string {
	for _, known := range []struct{ mark, name string }{
		{"PostgreSQL database", "PostgreSQL"},
		{"-- MySQL dump", "MySQL"},
		{"-- MariaDB dump", "MariaDB"},
		{"-- phpMyAdmin SQL Dump", "MySQL"},
		{"-- Host:", "MySQL"},
		{"/*!40", "MySQL"},
		{"SET ANSI_NULLS", "SQL Server"},
	} {
		if bytes.Contains(head, []byte(known.mark)) {
			return known.name
		}
	}
	return ""
}
