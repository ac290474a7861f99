package imports

// Job returns the id and status that package jobs needs.
func (m Manifest) Job() (id string, status Status) { return m.ID, m.Status }

// WithPlace returns the manifest with its place in the queue.
func (m Manifest) WithPlace(place int64) Manifest {
	m.Progress.QueuePosition = place
	return m
}

// Differs reports whether next shows progress since m.
func (m Manifest) Differs(next Manifest) bool {
	return m.Status != next.Status || m.ReceivedBytes != next.ReceivedBytes || m.Progress != next.Progress
}
