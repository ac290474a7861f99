// Package problem defines the only kind of error that clients see: a code from a
// closed table, a sentence for people, and the fields at fault. Every other error is
// internal: it is logged, and the client only learns that something went wrong.
//
// # Terms
//
//   - An [Error] is one answer. Its [Code] determines the HTTP status; [Codes] is the
//     only place where codes, statuses and meanings are defined.
//   - [Faults] collects everything that is wrong with one input, so that a client
//     learns all of it at once. Decoding and semantic checks share one.
//   - Sentences that several packages need are constants and functions of this
//     package, such as [ValueRequired] and [Unknown].
//
// An Error is created where the fault is found, passed up like any other error, and
// unwrapped by [From] at the edge.
package problem

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Error is a failure that the client sees verbatim.
type Error struct {
	Code       Code
	Message    string
	Details    []Detail
	Subject    Detail        // the export or import that it is about, by the name of its id; see About
	More       bool          // there are more faults than listed
	Record     any           // of a failed precondition: the record as it is, in its JSON form
	ETag       string        // of that record
	RetryAfter time.Duration // zero: no Retry-After header
	cause      error
}

// Detail names a field at fault and says what is wrong with it. Field is a path such
// as "columns[2].column_name", "limit" or "filters.status".
type Detail struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// New returns an error with the given code and message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: sentence(format, args)}
}

// Invalid returns a validation_failed error about one field.
func Invalid(field, format string, args ...any) *Error {
	var f Faults
	f.Add(field, format, args...)
	return f.Err().(*Error)
}

// NotFound returns a not_found error for a thing of the given kind.
func NotFound(kind, name string) *Error {
	return New(CodeNotFound, "%s %q was not found.", kind, name)
}

// Error returns a text for logs and the command line.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	for _, d := range e.Told() {
		s += fmt.Sprintf(" [%s: %s]", d.Field, d.Message)
	}
	if e.cause != nil {
		s += " (" + e.cause.Error() + ")"
	}
	return s
}

// Unwrap returns the cause, which only appears in logs.
func (e *Error) Unwrap() error { return e.cause }

// Because attaches the cause for the log and returns e.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// With adds a detail and returns e.
func (e *Error) With(field, format string, args ...any) *Error {
	e.Details = append(e.Details, newDetail(field, format, args))
	return e
}

// About sets the export or import that the error is about, and returns e. No field is
// at fault, but clients get the id among the details.
func (e *Error) About(idName, id string) *Error {
	e.Subject = Detail{idName, id}
	return e
}

// Told returns the details as sent to clients, with the subject at the end.
func (e *Error) Told() []Detail {
	if e.Subject.Field == "" {
		return e.Details
	}
	return append(slices.Clip(e.Details), e.Subject)
}

// Retry sets how long the client should wait before trying again.
func (e *Error) Retry(after time.Duration) *Error {
	e.RetryAfter = after
	return e
}

// From returns the problem inside err. An error without one becomes internal_error
// with a fixed text and err as its cause.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(CodeInternal, "%s", Internal("this request id")).Because(err)
}

// Is reports whether err contains a problem with the given code.
func Is(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
