package jobs

import (
	"slices"
	"strings"

	"github.com/zangtable/zangtable/internal/problem"
)

// Status is the state of a job in its life cycle; see the package comment.
type Status string

// The statuses that a store knows.
const (
	Uploading Status = "uploading" // its file is still arriving
	Pending   Status = "pending"
	Running   Status = "running"
	Ready     Status = "ready"
	Failed    Status = "failed"
	Canceled  Status = "canceled"
	Expired   Status = "expired" // its file is no longer kept
)

// Finished reports whether nothing more will happen to the job by itself.
func (s Status) Finished() bool { return s != Uploading && s != Pending && s != Running }

// parseStatus returns the status that a listing is restricted to, "" for none.
func parseStatus(s string, known []Status) (Status, error) {
	if s == "" || s == "all" {
		return "", nil
	}
	if slices.Contains(known, Status(s)) {
		return Status(s), nil
	}
	var names strings.Builder
	last := len(known) - 1
	for _, status := range known[:last] {
		names.WriteString(", " + string(status))
	}
	return "", problem.Invalid("status", "The status must be all"+names.String()+" or "+string(known[last])+".")
}
