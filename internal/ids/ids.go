// Package ids has the types of the numbers by which things are known, so that the
// compiler tells them apart.
package ids

// Project is the id of a project. One is never given to another project.
type Project int64

// Table is the id of a table within its project.
type Table int64

// Token is the id of a token; 0 stands for the operator, who has none. People who use
// the panel have no token either: a negative number identifies the person, so that
// limits, keys and operations count people as they count tokens.
type Token int64

// AccountUser returns what stands for the token in calls of an account user.
func AccountUser(id int64) Token { return Token(-2 * id) }

// ProjectUser returns what stands for the token in calls of a project user.
func ProjectUser(id int64) Token { return Token(-2*id - 1) }

// IsPerson reports whether the id stands for a person.
func (t Token) IsPerson() bool { return t < 0 }
