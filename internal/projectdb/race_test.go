//go:build race

package projectdb

// raceDetector reports whether the tests run under the race detector, which makes
// SQLite about ten times as slow.
const raceDetector = true
