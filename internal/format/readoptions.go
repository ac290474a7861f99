package format

import (
	"cmp"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
)

// ReadOptions is how a client says how to read a CSV file: in the form of a profile,
// changed by the other options. What is left out is detected.
type ReadOptions struct {
	Profile      string   `json:"profile,omitzero" doc:"A named CSV dialect, as exports write it; the other options override it."`
	Delimiter    string   `json:"delimiter,omitzero" doc:"For CSV: a character, or tab. Detected when absent, like header, encoding and quote."`
	Header       *bool    `json:"header,omitzero" doc:"Whether the first row of a CSV or sheet names the columns."`
	Encoding     Encoding `json:"encoding,omitzero" enum:"utf-8,utf-16le,utf-16be,windows-1252"`
	Quote        string   `json:"quote,omitzero" doc:"For CSV: a character, or none."`
	NullText     *string  `json:"null_text,omitzero" doc:"For CSV: the unquoted text that stands for NULL; when absent, an empty field does."`
	FormulaGuard *bool    `json:"formula_guard,omitzero" doc:"For CSV: whether to remove the apostrophes that the formula guard of an export has added."`

	LineEnd LineEnd `json:"-"` // clients cannot set it
}

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
	switch o.Delimiter {
	case "tab", `\t`:
		d.Delimiter = '\t'
	default:
		d.Delimiter = oneByte(faults, prefix+"delimiter", o.Delimiter, d.Delimiter)
	}
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
	return d
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
