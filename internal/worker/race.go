//go:build race

package worker

// raceDetector reports whether the program is built with the race detector,
// whose memory no limit can be set for.
const raceDetector = true
