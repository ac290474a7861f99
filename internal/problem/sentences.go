package problem

import (
	"fmt"
	"strings"
)

// What is most often wrong with a field is said here, so that it is said in the
// same words wherever it is found.

const required = "A value is required."

func wrongChoice(choices []string) string {
	if len(choices) == 1 {
		return "Must be " + choices[0] + "."
	}
	return "Must be one of " + strings.Join(choices, ", ") + "."
}

// Required notes that a field must be there.
func (f *Faults) Required(field string) { f.Add(field, required) }

// Missing returns a problem with a field that must be there.
func Missing(field string) error { return Invalid(field, required) }

// WrongType notes that the field holds something else than what it takes, such
// as "an integer" or "an array of rows".
func (f *Faults) WrongType(field, expected string) { f.Add(field, "%s", Expected(expected)) }

// WrongChoice notes that the field holds none of the words that it takes.
func (f *Faults) WrongChoice(field string, choices []string) {
	f.Add(field, "%s", wrongChoice(choices))
}

// InvalidChoice returns a problem with a field that holds none of the words that
// it takes.
func InvalidChoice(field string, choices []string) error {
	return Invalid(field, "%s", wrongChoice(choices))
}

// Unknown notes that there is no such thing as the field names. The kind is a
// word such as "column", and place says where it was looked for, such as "in the
// file", or is empty. The candidates are the names that there are: one that is
// near is offered.
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

// Expected is what is said of a value of another type.
func Expected(what string) string { return sentence("Expected %s.", []any{what}) }

// Unknown is what is said of a name that nothing has: see Faults.Unknown.
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
