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

// Recall returns the current manifest of the export that the same call requested within
// [projectdb.ReceiptLife], and false if there is none. The same key with a different
// request is projectdb.ErrOtherRequest; an export that has since been removed is
// not_found.
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

// notTwice turns the error for a call that was made a moment ago into a conflict.
func notTwice(err error) error {
	if known := (*jobs.ReplayedError)(nil); errors.As(err, &known) {
		return problem.New(problem.CodeConflict, "An export is being requested under this key.").Retry(time.Second)
	}
	return err
}
