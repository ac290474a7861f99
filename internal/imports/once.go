package imports

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// keepReceipt stores the receipt of the call that creates the import, if it has one, in
// the same transaction. A file sent in one piece is part of the request, but known only
// once it has arrived: digest is its SHA-256 then, else "".
func (r *record) keepReceipt(c *sqlite.Conn, digest string, now time.Time) error {
	if r.spec.Keyed == nil {
		return nil
	}
	receipt := *r.spec.Keyed
	request := sha256.Sum256(append(receipt.Request[:len(receipt.Request):len(receipt.Request)], digest...))
	receipt.Request = request[:]
	return receipt.Keep(c, r.projectID, r.manifest.ID, now)
}

// replay returns the import that the same call created before, if err says that there
// is one.
func (im *Imports) replay(ctx context.Context, projectID ids.Project, err error) (manifest Manifest, replayed bool, _ error) {
	var known *jobs.ReplayedError
	if !errors.As(err, &known) {
		return manifest, false, err
	}
	manifest, err = im.Get(ctx, projectID, known.ID)
	return manifest, err == nil, err
}
