package export

import (
	"context"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Recall returns the manifest of the export that was ordered with an equal
// receipt within projectdb.ReceiptLife, as it now stands, and false when there
// was none. The same key with another request is projectdb.ErrOtherRequest; an
// export that has been removed since is not_found.
func (e *Exports) Recall(ctx context.Context, projectID ids.Project, r projectdb.Receipt) (m Manifest, ordered bool, err error) {
	id := ""
	err = e.jobs.Read(ctx, "look for a receipt", func(c *sqlite.Conn) (err error) {
		id, err = jobs.ReceiptOf(&r).Recall(c, projectID, e.now())
		return err
	})
	if err != nil || id == "" {
		return Manifest{}, false, err
	}
	m, err = e.Get(ctx, projectID, id)
	return m, err == nil, err
}

// notTwice makes a conflict of the order of an export that an equal call has
// ordered a moment ago.
func notTwice(err error) error {
	if known := (*jobs.ReplayedError)(nil); errors.As(err, &known) {
		return problem.New(problem.CodeConflict, "An export is being requested under this key.").Retry(time.Second)
	}
	return err
}
