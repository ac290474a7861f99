package source

import (
	"fmt"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
)

// csvNotes returns notes on how a CSV file was read: each guess that something speaks
// against, and everything that was left out, with the option that changes it.
func csvNotes(csv *format.CSVRows) (said Notes) {
	d := csv.Dialect()
	if d.Encoding != format.UTF8 {
		said.Add("file", "It was read as %s; texts are kept as UTF-8.", d.Encoding)
	}
	if invalid := csv.Invalid(); invalid > 0 {
		kept := "They are kept as they are."
		if d.Encoding != format.UTF8 {
			kept = "Each of them is now U+FFFD."
		}
		said.Add("file", "%s bytes that are not %s. %s", strings.Replace(RowsHave(invalid), "row", "field", 1), strings.ToUpper(string(d.Encoding)), kept)
	}
	if d.Complete {
		return said
	}
	noteTable(&said, d)
	noteQuotes(&said, csv)
	noteRows(&said, csv.Irregularities())
	if marks := csv.Marks(); marks > 0 {
		said.Add("file", "%s with a byte order mark, which was left out.", counted(marks, "line starts", "lines start"))
	}
	return said
}

// noteTable notes where the table was found and what its names are.
func noteTable(said *Notes, d format.Detected) {
	switch {
	case d.HeaderRow > 0 || d.Above == "":
	case d.SkipRows == 1:
		said.Add("file", "Its first line, %q, was left out: it is not part of the table. Set skip_rows to 0 if it is.", d.Above)
	default:
		said.Add("file", "Its first %d lines were left out: they are not part of the table. The first is %q. Set skip_rows to 0 if they are.", d.SkipRows, d.Above)
	}
	switch {
	case d.RowNames:
		said.Add("file", "The header has one name fewer than the rows have fields, so the first column has no name.")
	case d.Doubt == format.NamesOrRow:
		said.Add("file", "The first row was taken for the names of the columns, though not all of its fields look like names. Set header to false if it is a row.")
	case d.Doubt == format.RowNotHeader:
		said.Add("file", "The first row was taken for a row, not for the names of the columns. Set header to true if it names them.")
	}
	if d.Units {
		said.Add("file", "The first row below the names may hold units: columns have texts because of it. Set header_row to %d and skip_rows to 1 to leave it out.", d.SkipRows+1)
	}
	if d.LineEnd == format.MixedLineEnds {
		said.Add("file", "Its lines end sometimes with CR, sometimes with LF: each of them ends a row.")
	}
}

// noteQuotes notes quotes that are not those of RFC 4180.
func noteQuotes(said *Notes, csv *format.CSVRows) {
	d := csv.Dialect()
	if d.Quote == '\'' {
		said.Add("file", "Its fields are in apostrophes, which were taken for quotes. Set quote to \" if they are part of the texts.")
	}
	if d.Quote == format.NoQuote && !d.QuoteTold {
		said.Add("file", "Quotes in it are ordinary text. Set quote to \" if they enclose fields.")
	}
	if d.Escape != 0 {
		said.Add("file", "A backslash before a quote was left out: it marks a quote inside quotes.")
	}
	if fields, line := csv.Irregular(); fields > 0 {
		said.Add("file", "%s, the first in line %d: quotes inside quotes are not doubled, or text follows the closing quote. Their quotes were kept as text.", counted(fields, "field has quotes that break the rules", "fields have quotes that break the rules"), line)
	}
}

// noteRows notes rows that were left out or filled.
func noteRows(said *Notes, n format.Irregularities) {
	note := func(o format.Occurrences, one, many, rest string) {
		if o.Count > 0 {
			said.Add("file", "%s, the first in line %d: %s", counted(o.Count, one, many), o.Line, rest)
		}
	}
	note(n.Short, "row has fewer fields than the table has columns", "rows have fewer fields than the table has columns", "the missing ones are NULL. Set ragged to refuse to reject such rows.")
	note(n.Comments, "line is a comment", "lines are comments", "they were left out. Set comment to none if they are rows.")
	note(n.Repeats, "row repeats the names of the columns", "rows repeat the names of the columns", "they were left out.")
	note(n.KeptRepeats, "row repeats the names of the columns", "rows repeat the names of the columns", "they were kept, since the columns hold texts.")
	note(n.Padding, "line consists of NUL characters", "lines consist of NUL characters", "they were left out.")
	if n.Footer.Count > 0 {
		said.Add("file", "%s below the table, from line %d on, were left out. The first is %q. Set footer to 0 to keep them as rows.", counted(n.Footer.Count, "line", "lines"), n.Footer.Line, n.FooterText)
	}
}

// counted returns a number with the words for one or for many.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
