package problem

import (
	"fmt"
	"strings"
	"time"
)

// Sentences used in more than one place are defined in this file, so that clients read
// the same words whichever part of the server found the fault.
const (
	ValueRequired = "A value is required."
	ValueTaken    = "Another row already has this value."
	ValueMisfit   = "The value does not fit the type of the column."
	ValueTooLarge = "A value is larger than SQLite can hold."
	NameTaken     = "The name is taken."
	NoSuchUser    = "The project has no such user."
	DiskFull      = "The disk is full. Nothing was written."
	BodyTooSlow   = "The body arrived too slowly."
	BodyCutShort  = "The body ended early."
)

// Stopping returns the busy error of a server that is shutting down.
func Stopping() *Error {
	return New(CodeBusy, "The server is stopping.").Retry(5 * time.Second)
}

// MissingScope returns the error of a call that needs a scope its token does not have.
func MissingScope(scope string) *Error {
	return New(CodePermissionDenied, "This token may not do this: it needs the scope %s.", scope)
}

// SlugTaken returns the conflict of a new project whose slug is taken.
func SlugTaken(slug string) *Error {
	return New(CodeConflict, "The project slug %q is taken.", slug).With("project_slug", "The slug is taken.")
}

// Internal returns the sentence for a failure about which clients learn nothing more.
// id says what its log entry can be found by, such as "the id of the export".
func Internal(id string) string {
	return "Something went wrong on the server. Its log has the cause under " + id + "."
}

func wrongChoice(choices []string) string {
	if len(choices) == 1 {
		return "Must be " + choices[0] + "."
	}
	return "Must be one of " + strings.Join(choices, ", ") + "."
}

// Required notes that a required field is missing.
func (f *Faults) Required(field string) { f.Add(field, ValueRequired) }

// Missing returns the error of a missing field.
func Missing(field string) error { return Invalid(field, ValueRequired) }

// WrongType notes that the field does not hold what is expected, such as "an integer"
// or "an array of rows".
func (f *Faults) WrongType(field, expected string) { f.Add(field, "%s", Expected(expected)) }

// WrongChoice notes that the value of the field is not one of the choices.
func (f *Faults) WrongChoice(field string, choices []string) {
	f.Add(field, "%s", wrongChoice(choices))
}

// InvalidChoice returns the error of a field whose value is not one of the choices.
func InvalidChoice(field string, choices []string) error {
	return Invalid(field, "%s", wrongChoice(choices))
}

// Unknown notes that the field names something that does not exist. The kind is
// a word such as "column"; place says where it was looked for, such as "in the
// file", or is empty. If one of the candidates, the names that do exist, is
// similar, the message suggests it.
func (f *Faults) Unknown(field, kind, name, place string, candidates []string) {
	if !f.takes(&field) {
		return
	}
	if cost := len(name) * size(candidates); len(name) > maxNear || f.hinted+cost > hintCost {
		candidates = nil
	} else {
		f.hinted += cost
	}
	f.keep(Detail{field, Unknown(kind, name, place, candidates)})
}

// Expected returns the sentence for a value of the wrong type.
func Expected(what string) string { return sentence("Expected %s.", []any{what}) }

// Unknown returns the sentence for a name that does not exist: see
// [Faults.Unknown].
func Unknown(kind, name, place string, candidates []string) string {
	if place != "" {
		place = " " + place
	}
	text := sentence("There is no %s %q%s.", []any{kind, cut(name, maxNear), place})
	if nearest := Nearest(name, candidates); nearest != "" {
		text += fmt.Sprintf(" Did you mean %q?", nearest)
	}
	return text
}

func size(words []string) (bytes int) {
	for _, word := range words {
		bytes += len(word)
	}
	return bytes
}
