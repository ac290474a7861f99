// Package newformat proves that a further format takes only one entry in the table of
// package format: its tests add one, in a program of their own, and export, restore and
// import with it.
package newformat
