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

// keepReceipt stores the receipt of the call that makes the import, if it has one,
// within the transaction of what it makes. The file of an upload in one piece
// belongs to what was asked for, and is only known when it has come: digest is its
// SHA-256, else "".
func (r *record) keepReceipt(c *sqlite.Conn, digest string, now time.Time) error {
	if r.spec.Keyed == nil {
		return nil
	}
	receipt := *r.spec.Keyed
	request := sha256.Sum256(append(receipt.Request[:len(receipt.Request):len(receipt.Request)], digest...))
	receipt.Request = request[:]
	return receipt.Keep(c, r.projectID, r.manifest.ID, now)
}

// replay returns the import that an equal call has made, when that is what err
// says.
func (im *Imports) replay(ctx context.Context, projectID ids.Project, err error) (manifest Manifest, replayed bool, _ error) {
	var known *jobs.ReplayedError
	if !errors.As(err, &known) {
		return manifest, false, err
	}
	manifest, err = im.Get(ctx, projectID, known.ID)
	return manifest, err == nil, err
}
