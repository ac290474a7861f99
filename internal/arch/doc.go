// Package arch holds the tests of the rules that docs/architecture.md gives for
// the packages of this module. It has no code of its own.
package arch
