package export

import (
	"io"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
)

// CSVOptions choose a CSV dialect: that of the profile, "" for lossless, overridden by
// the fields that are not nil.
type CSVOptions struct {
	Profile      string          `json:"profile,omitzero"`
	Delimiter    *string         `json:"delimiter,omitzero"`
	Header       *bool           `json:"header,omitzero"`
	BOM          *bool           `json:"bom,omitzero"`
	NullText     *string         `json:"null_text,omitzero"`
	LineEnding   *format.LineEnd `json:"line_ending,omitzero"`
	Quote        *format.Quoting `json:"quote,omitzero"`
	FormulaGuard *bool           `json:"formula_guard,omitzero"`
}

// given returns the names of the fields that are set.
func (o CSVOptions) given() (fields []string) {
	for _, field := range []struct {
		name  string
		given bool
	}{
		{"profile", o.Profile != ""},
		{"delimiter", o.Delimiter != nil},
		{"header", o.Header != nil},
		{"bom", o.BOM != nil},
		{"null_text", o.NullText != nil},
		{"line_ending", o.LineEnding != nil},
		{"quote", o.Quote != nil},
		{"formula_guard", o.FormulaGuard != nil},
	} {
		if field.given {
			fields = append(fields, field.name)
		}
	}
	return fields
}

// dialect returns the chosen dialect, based on d when no profile is named, and notes
// invalid fields under prefix.
func (o CSVOptions) dialect(faults *problem.Faults, prefix string, d format.Dialect) *format.Dialect {
	if o.Profile != "" {
		profile, err := format.Profile(o.Profile)
		faults.Merge(strings.TrimSuffix(prefix, "."), err)
		if err == nil {
			d = profile
		}
	}
	override(&d.Delimiter, o.Delimiter)
	override(&d.Header, o.Header)
	override(&d.BOM, o.BOM)
	override(&d.NullText, o.NullText)
	override(&d.LineEnding, o.LineEnding)
	override(&d.Quote, o.Quote)
	override(&d.FormulaGuard, o.FormulaGuard)
	faults.Merge(strings.TrimSuffix(prefix, "."), d.Validate())
	return &d
}

func override[T any](value *T, by *T) {
	if by != nil {
		*value = *by
	}
}

// applyOptions notes how the files are to be written.
func (r *record) applyOptions(faults *problem.Faults, req Request, f fileFormat) {
	options := &r.manifest.Options
	if r.spec.Dialect = chooseDialect(faults, req.CSV, f, "", format.DefaultDialect()); r.spec.Dialect != nil {
		options.Profile, options.Dialect = req.CSV.Profile, r.spec.Dialect
	}
	r.applyCompression(faults, req.Compression, f)
	if req.Canonical && f.name != "" && f.isDatabaseFile() {
		faults.Add("canonical", "The format %s cannot be canonical: SQLite decides how a database file is laid out.", f.name)
	}
	if req.Split && f.name != "" && !f.file.Sheets {
		faults.Add("split", "Only the format xlsx has sheets to split.")
	}
	r.spec.Canonical, r.spec.Split = req.Canonical, req.Split
	options.Canonical, options.Split = req.Canonical, req.Split
}

// chooseDialect returns the dialect that the CSV options choose, or nil if they choose
// nothing.
func chooseDialect(faults *problem.Faults, o CSVOptions, f fileFormat, prefix string, otherwise format.Dialect) *format.Dialect {
	fields := o.given()
	if len(fields) == 0 {
		return nil
	}
	if f.takesDialect() {
		return o.dialect(faults, prefix, otherwise)
	}
	for _, field := range fields {
		if f.name != "" {
			faults.Add(prefix+field, "The format %s has no CSV files that this could apply to.", f.name)
		}
	}
	return nil
}

func (r *record) applyCompression(faults *problem.Faults, name string, f fileFormat) {
	switch {
	case name == "" || name == "none":
		return
	case format.FindCompression(name) == nil:
		faults.WrongChoice("compression", CompressionNames())
		return
	case f.name != "" && f.file.Compressed:
		faults.Add("compression", "The format %s already compresses its output.", f.name)
		return
	}
	r.spec.Compress, r.manifest.Options.Compression = name, name
}

// compressor returns a writer that compresses to w; the caller closes it.
func compressor(name string, w io.Writer) (io.WriteCloser, error) {
	if name == "" {
		return unclosed{w}, nil
	}
	return format.NewCompressor(name, w)
}

// unclosed is a writer whose Close does nothing.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }
