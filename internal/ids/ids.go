// Package ids has the types of the numbers by which things are known, so that the
// compiler tells them apart.
package ids

// Project is the id of a project. One is never given to another project.
type Project int64

// Table is the id of a table within its project.
type Table int64

// Token is the id of a token; 0 stands for the operator, who has none.
type Token int64
