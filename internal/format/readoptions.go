package format

import (
	"cmp"
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
)

// ReadOptions is how a client says how to read a CSV file: in the form of a profile,
// changed by the other options. What is left out is detected.
type ReadOptions struct {
	Profile      string   `json:"profile,omitzero" doc:"A named CSV dialect, as exports write it; the other options override it."`
	Delimiter    string   `json:"delimiter,omitzero" doc:"For CSV: one to four characters that are neither letters nor digits, or tab. Detected when absent, like header, encoding and quote."`
	Header       *bool    `json:"header,omitzero" doc:"Whether the first row of a CSV or sheet names the columns."`
	Encoding     Encoding `json:"encoding,omitzero" enum:"utf-8,utf-16le,utf-16be,windows-1252"`
	Quote        string   `json:"quote,omitzero" doc:"For CSV: a character, or none."`
	NullText     *string  `json:"null_text,omitzero" doc:"For CSV: the unquoted text that stands for NULL; when absent, an empty field does."`
	FormulaGuard *bool    `json:"formula_guard,omitzero" doc:"For CSV: whether to remove the apostrophes that the formula guard of an export has added."`

	HeaderRow *int   `json:"header_row,omitzero" minimum:"1" doc:"The line of a CSV or the row of a sheet that names the columns, from 1; what stands above it is left out. Detected when absent."`
	SkipRows  *int   `json:"skip_rows,omitzero" minimum:"0" doc:"How many lines or rows are left out: below header_row if that is set, otherwise at the start, where they are detected when absent."`
	Comment   string `json:"comment,omitzero" doc:"For CSV: the character with which lines start that are left out, or none. Detected when absent."`
	Footer    *int   `json:"footer,omitzero" minimum:"0" maximum:"1000" doc:"For CSV: how many rows at the end are left out. When absent, lines that are no rows are."`
	Ragged    Ragged `json:"ragged,omitzero" enum:"fill,refuse,pad_names" doc:"For CSV: what becomes of rows with too few or too many fields: fill, the default, makes missing fields NULL and rejects rows with too many; refuse rejects both; pad_names makes the table as wide as its longest row."`
	Range     string `json:"range,omitzero" doc:"The cells of a sheet to read, such as B3:F20, B:F or B3, which ends with the sheet. Its first row names the columns, unless header is false."`

	LineEnd LineEnd `json:"-"` // clients cannot set it
}

// maxSkipped is how many lines can be left out above the table, and maxFooter below it.
const (
	maxSkipped = 1_000_000
	maxFooter  = 1000
)

// ReadOptions returns the options that read what d writes, with nothing left to detect.
// d must be valid.
func (d Dialect) ReadOptions() ReadOptions {
	return ReadOptions{
		Delimiter: d.Delimiter, Header: &d.Header, Encoding: UTF8, Quote: `"`, NullText: &d.NullText, FormulaGuard: &d.FormulaGuard,
		LineEnd: cmp.Or(d.LineEnding, LF),
	}
}

// Or returns the options, with those of all filling in what is left out. A profile
// leaves nothing out.
func (o ReadOptions) Or(all ReadOptions) ReadOptions {
	if o.Profile != "" {
		return o
	}
	return ReadOptions{
		Profile: all.Profile, Delimiter: cmp.Or(o.Delimiter, all.Delimiter), Header: cmp.Or(o.Header, all.Header),
		Encoding: cmp.Or(o.Encoding, all.Encoding), Quote: cmp.Or(o.Quote, all.Quote), NullText: cmp.Or(o.NullText, all.NullText),
		FormulaGuard: cmp.Or(o.FormulaGuard, all.FormulaGuard), LineEnd: cmp.Or(o.LineEnd, all.LineEnd),
		HeaderRow: cmp.Or(o.HeaderRow, all.HeaderRow), SkipRows: cmp.Or(o.SkipRows, all.SkipRows), Comment: cmp.Or(o.Comment, all.Comment),
		Footer: cmp.Or(o.Footer, all.Footer), Ragged: cmp.Or(o.Ragged, all.Ragged), Range: cmp.Or(o.Range, all.Range),
	}
}

// Dialect returns the dialect that the options describe, and reports faults under
// prefix. An invalid option counts as left out.
func (o ReadOptions) Dialect(faults *problem.Faults, prefix string) (d ReadDialect) {
	if o.Profile != "" {
		profile, err := Profile(o.Profile)
		if err == nil {
			d = profile.Reading()
		}
		faults.Merge(strings.TrimSuffix(prefix, "."), err)
	}
	o.delimiter(faults, prefix, &d)
	switch o.Quote {
	case "none":
		d.Quote = NoQuote
	default:
		d.Quote = oneByte(faults, prefix+"quote", o.Quote, d.Quote)
	}
	switch o.Encoding {
	case "":
	case UTF8, UTF16LE, UTF16BE, Windows1252:
		d.Encoding = o.Encoding
	default:
		faults.WrongChoice(prefix+"encoding", []string{string(UTF8), string(UTF16LE), string(UTF16BE), string(Windows1252)})
	}
	if o.Header != nil {
		d.Header = WithoutHeader
		if *o.Header {
			d.Header = WithHeader
		}
	}
	if o.NullText != nil {
		d.NullText = *o.NullText
	}
	if o.FormulaGuard != nil {
		d.FormulaGuard = *o.FormulaGuard
	}
	d.LineEnd = cmp.Or(o.LineEnd, d.LineEnd)
	o.table(faults, prefix, &d)
	return d
}

// delimiter reads the delimiter.
func (o ReadOptions) delimiter(faults *problem.Faults, prefix string, d *ReadDialect) {
	const longest = 4
	switch text := o.Delimiter; {
	case text == "tab", text == `\t`:
		d.Delimiter, d.Rest = '\t', ""
	case len(text) < 2:
		d.Delimiter = oneByte(faults, prefix+"delimiter", text, d.Delimiter)
	case len(text) > longest || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || isWordByte(byte(r)) }):
		faults.Add(prefix+"delimiter", "Must be one to four ASCII characters that are neither letters, digits nor quotes, or tab.")
	default:
		d.Delimiter, d.Rest = text[0], text[1:]
	}
}

// table reads the options that say where the table is in the file.
func (o ReadOptions) table(faults *problem.Faults, prefix string, d *ReadDialect) {
	number := func(field string, n *int, least, most int) int {
		if n != nil && (*n < least || *n > most) {
			faults.Add(prefix+field, "Must be between %d and %d.", least, most)
			n = nil
		}
		if n == nil {
			return 0
		}
		return cmp.Or(*n, -1)
	}
	d.HeaderRow = number("header_row", o.HeaderRow, 1, maxSkipped)
	d.Footer = number("footer", o.Footer, 0, maxFooter)
	if skip := number("skip_rows", o.SkipRows, 0, maxSkipped); d.HeaderRow > 0 {
		d.SkipBelow = max(0, skip)
	} else {
		d.SkipRows = skip
	}
	switch o.Comment {
	case "none":
		d.Comment = NoComment
	default:
		d.Comment = oneByte(faults, prefix+"comment", o.Comment, 0)
	}
	switch ways := []string{string(FillRagged), string(RefuseRagged), string(PadNamesRagged)}; {
	case o.Ragged == "" || slices.Contains(ways, string(o.Ragged)):
		d.Ragged = o.Ragged
	default:
		faults.WrongChoice(prefix+"ragged", ways)
	}
	if d.HeaderRow > 0 && o.Header != nil && !*o.Header {
		faults.Add(prefix+"header_row", "Cannot be set together with a header that is false.")
	}
	o.cells(faults, prefix, d)
}

// cells reads the range of a sheet.
func (o ReadOptions) cells(faults *problem.Faults, prefix string, d *ReadDialect) {
	if o.Range == "" {
		return
	}
	area, ok := parseArea(o.Range)
	if d.Range = o.Range; !ok {
		d.Range = ""
		faults.Add(prefix+"range", "Must be a range of cells such as B3:F20, B:F or B3.")
	} else if d.HeaderRow > 0 && (d.HeaderRow < area.top || d.HeaderRow > area.bottom) {
		faults.Add(prefix+"header_row", "Must be a row of the range.")
	}
}

// oneByte returns the single byte of text, or otherwise if text is empty or invalid.
func oneByte(faults *problem.Faults, field, text string, otherwise byte) byte {
	switch {
	case text == "":
		return otherwise
	case len(text) > 1 || text[0] < ' ' && text[0] != '\t' || text[0] > '~' || isWordByte(text[0]):
		faults.Add(field, "Must be one ASCII character that is neither a letter nor a digit.")
		return otherwise
	}
	return text[0]
}

func isWordByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}
