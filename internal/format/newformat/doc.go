// Package newformat proves that one entry in the table of package format is all
// that a further format takes: its tests add one, in a program of their own, and
// export, restore and import with it.
package newformat
