// Package server assembles the parts into one running program: it owns the data folder
// and its lock, starts and stops the background work, listens, and runs the operator's
// commands. It knows how the parts fit together, and nothing about what they do.
package server
