//go:build !linux

package sqlite

// lockByDescription has no effect here: only Linux has open file description locks.
func lockByDescription() {}
