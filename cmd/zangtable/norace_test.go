//go:build !race

package main

// raceDetector reports whether the program is built with the race detector.
const raceDetector = false
