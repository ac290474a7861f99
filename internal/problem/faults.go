package problem

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDetails is the maximum number of faults that one problem lists. If there are
// more, it only says so.
const MaxDetails = 100

// A detail repeats what a client has sent, so its parts are truncated to these sizes,
// in bytes.
const (
	maxField    = 200
	maxArgument = 500
	maxSentence = 1000
)

// hintCost bounds the total work for the hints of one Faults, in steps of comparing
// two names: about ten milliseconds.
const hintCost = 20_000_000

// Faults collects everything that is wrong with one input, so that a client learns all
// of it at once. Decoding and semantic checks share one: a field with a fault counts
// as absent, so nothing further is reported about it or its parts. The zero value is
// ready to use.
type Faults struct {
	details []Detail
	told    map[string]bool // the fields of details
	more    bool
	hinted  int // steps spent on hints
}

// Add notes a fault, unless the field, or something that it is part of, already has
// one.
func (f *Faults) Add(field, format string, args ...any) {
	if f.takes(&field) {
		f.keep(newDetail(field, format, args))
	}
}

// takes truncates the field and reports whether a fault of it is to be kept.
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

// Has reports whether the field, or something that it is part of, has a fault.
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

// Any reports whether there are any faults.
func (f *Faults) Any() bool { return len(f.details) > 0 }

// Full reports whether more faults were found than are listed, so that looking for
// more is pointless.
func (f *Faults) Full() bool { return f.more }

// Len returns how many faults are listed.
func (f *Faults) Len() int { return len(f.details) }

// Merge adds the details of err, with a path prefix, if err is a validation_failed
// problem, and reports whether it was. A nil error counts as merged.
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

// Err returns a validation_failed error with every fault, or nil if there are none.
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

// sentence formats a message of bounded size. The arguments are truncated first, so
// that a text of many megabytes is never formatted.
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

// cut truncates a text to at most max bytes, at a character boundary, and marks the
// cut.
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
