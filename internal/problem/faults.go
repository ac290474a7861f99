package problem

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDetails is how many faults one problem lists. Beyond that it only says that
// there are more.
const MaxDetails = 100

// A detail repeats what a client has sent, so its parts are cut to these sizes, in
// bytes.
const (
	maxField    = 200
	maxArgument = 500
	maxSentence = 1000
)

// hintCost bounds the work that all the hints of one Faults may take, in steps
// of comparing two names: some ten milliseconds.
const hintCost = 20_000_000

// Faults collects everything that is wrong with one input, so that a client
// learns all of it at once. Decoding and the checks of meaning share one: a
// field that has a fault counts as absent, so nothing further is said of it or
// of its parts. The zero value is ready to use.
type Faults struct {
	details []Detail
	told    map[string]bool // the fields of details
	more    bool
	hinted  int // steps spent on hints
}

// Add notes one fault, unless the field, or what it is a part of, has one.
func (f *Faults) Add(field, format string, args ...any) {
	if f.takes(&field) {
		f.keep(newDetail(field, format, args))
	}
}

// takes cuts the field and reports whether a fault of it is to be kept.
func (f *Faults) takes(field *string) bool {
	if f.more {
		return false
	}
	if *field = cut(*field, maxField); f.Has(*field) {
		return false
	}
	f.more = len(f.details) == MaxDetails
	return !f.more
}

func (f *Faults) keep(d Detail) {
	if f.told == nil {
		f.told = map[string]bool{}
	}
	f.told[d.Field] = true
	f.details = append(f.details, d)
}

// Has reports whether the field, or what it is a part of, has a fault.
func (f *Faults) Has(field string) bool {
	if len(f.told) == 0 {
		return false
	}
	for i := range len(field) {
		if (field[i] == '.' || field[i] == '[') && f.told[field[:i]] {
			return true
		}
	}
	return f.told[field]
}

// Any reports whether there is a fault.
func (f *Faults) Any() bool { return len(f.details) > 0 }

// Full reports whether more faults were found than are listed, so that there is
// no point in looking for others.
func (f *Faults) Full() bool { return f.more }

// Len returns how many faults are listed.
func (f *Faults) Len() int { return len(f.details) }

// Merge adds the details of err, below a path prefix, if err is a
// validation_failed problem, and reports whether it was. A nil error counts as
// merged.
func (f *Faults) Merge(prefix string, err error) bool {
	if err == nil {
		return true
	}
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeValidationFailed {
		return false
	}
	if len(e.Details) == 0 {
		f.Add(prefix, "%s", e.Message)
	}
	for _, d := range e.Details {
		f.Add(join(prefix, d.Field), "%s", d.Message)
	}
	f.more = f.more || e.More
	return true
}

// Err returns a validation_failed error with every fault, or nil without one.
func (f *Faults) Err() error {
	if !f.Any() {
		return nil
	}
	e := &Error{Code: CodeValidationFailed, Details: f.details[:len(f.details):len(f.details)], More: f.more}
	switch {
	case f.more:
		e.Message = fmt.Sprintf("More than %d fields are not valid. These are the first.", MaxDetails)
	case len(f.details) == 1:
		e.Message = fmt.Sprintf("%s: %s", f.details[0].Field, f.details[0].Message)
	default:
		e.Message = fmt.Sprintf("%d fields are not valid.", len(f.details))
	}
	return e
}

func newDetail(field, format string, args []any) Detail {
	return Detail{cut(field, maxField), sentence(format, args)}
}

// sentence formats a message of bounded size. The arguments are cut first, so
// that a text of many megabytes is not formatted.
func sentence(format string, args []any) string {
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = cut(arg, maxArgument)
		case []byte:
			args[i] = cut(string(arg[:min(len(arg), maxArgument+1)]), maxArgument)
		}
	}
	return cut(fmt.Sprintf(format, args...), maxSentence)
}

// cut shortens a text to at most max bytes, between two characters, and marks
// where it was cut.
func cut(text string, max int) string {
	const mark = "…"
	if len(text) <= max {
		return text
	}
	end := max - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

func join(prefix, field string) string {
	switch {
	case prefix == "":
		return field
	case field == "", strings.HasPrefix(field, "["):
		return prefix + field
	}
	return prefix + "." + field
}
