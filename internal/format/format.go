// Package format defines the kinds of files that tables are exported to and imported
// from. Everything that the rest of the program knows about a kind of file is its
// [Format] in the table that [All] returns: to add one, add an entry, with its
// writer and reader in a source file of their own. [Compressions] lists the
// compressions that can be applied to files.
//
// Writers of text are an [Encoder]: they append the rows of a sqlite.Batch to a
// byte slice and keep no state between rows, so that several of them can encode
// ranges of one table at the same time and their output can be concatenated in
// order. All others, and encoders wrapped by [NewTableWriter], are a [TableWriter].
// Readers return [Rows], most of them through a [TableReader]. The package knows
// nothing about projects, exports or HTTP.
//
// # The CSV form
//
// UTF-8 without BOM, a header row, commas, RFC 4180 quoting only where it is
// needed, LF line ends. Each value on the left is written as on the right:
//
//	NULL                      (nothing)
//	''                        ""
//	'plain'                   plain
//	'a,b'                     "a,b"
//	'say "hi"'                "say ""hi"""
//	'two' LF 'lines'          "two
//	                          lines"
//	' padded '                " padded "
//	42                        42
//	9223372036854775807       9223372036854775807
//	1.0                       1.0
//	0.1                       0.1
//	1e21                      1e+21
//	-0.0                      -0.0
//	±infinity                 Infinity, -Infinity
//	x'00ff'                   AP8=
//	x''                       ""
//
// So quotes distinguish NULL from the empty text, and in a table of one column an
// empty line is a row whose value is NULL. A real is always recognizable as one,
// and reads back as the same 64 bits. Text is written byte for byte, even if it is
// not valid UTF-8. Quotes also protect what some readers would misinterpret: spaces
// at either end, a BOM at the start of a row, and the end mark \. alone on a line.
// A [Dialect] may choose other delimiters, line ends and quotes, another text for
// NULL, and a guard against formulas.
//
// # The JSON form
//
// An array of one object per row, one row per line, keys in the order of the
// columns:
//
//	[
//	{"id":1,"name":"Ada","score":1.0,"photo":"AP8=","note":null},
//	{"id":2,"name":"Zoë","score":0.5,"photo":null,"note":""}
//	]
//
// Integers keep all 64 bits. What JSON cannot hold is replaced and counted: bytes
// that are not UTF-8 become U+FFFD, infinities become null. Blobs in columns of any
// type are counted as well, since their base64 is text like any other. NDJSON has
// the same objects, one per line, without the array.
package format

import "github.com/zangtable/zangtable/internal/sqlite"

// Column is what an encoder knows about a column.
type Column struct {
	Name string
	Type string // INTEGER, REAL, TEXT, BLOB or ANY; empty in the result of a query
}

// holdsAny reports whether the column may hold values of every type, so that a reader
// cannot tell a blob from a text that equals its base64.
func (c Column) holdsAny() bool {
	return c.Type != "INTEGER" && c.Type != "REAL" && c.Type != "TEXT" && c.Type != "BLOB"
}

// Encoder turns batches of rows into the bytes of one file: Head, then Rows once per
// batch, then Tail. Each method appends to dst and returns it. Several goroutines may
// call Rows at once, as long as their output is concatenated in order and first is set
// only for the piece with the first row.
type Encoder interface {
	// Head appends what comes before the first row.
	Head(dst []byte) []byte
	// Rows appends the rows of b; first says that no row was written before.
	Rows(dst []byte, b *sqlite.Batch, first bool) []byte
	// Tail appends what comes after the last row; some says that at least one row was
	// written.
	Tail(dst []byte, some bool) []byte
}
