//go:build !race

package worker

// raceDetector reports whether the program is built with the race detector, whose
// memory cannot be limited.
const raceDetector = false
