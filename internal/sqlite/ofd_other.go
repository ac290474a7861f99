//go:build !linux

package sqlite

// lockByDescription has no effect here: only Linux has such locks.
func lockByDescription() {}
