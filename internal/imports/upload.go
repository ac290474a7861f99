package imports

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/ingest"
	"github.com/zangtable/zangtable/internal/jobs"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/storage"
)

// Request asks for an import of a file that has yet to be sent.
type Request struct {
	Project  ProjectRef
	Root     ids.Project // the project whose turn the import takes; 0: its own
	Kind     Kind
	Options  ingest.Options
	DryRun   bool
	FileName string // as named by the sender; "" means import
	Size     int64  // in bytes; negative if unknown
	// Resumable uploads may arrive in several parts, and are kept while parts are
	// missing. If the size is unknown, the upload is complete once a part has announced
	// the size and all bytes are there.
	Resumable bool
	Metadata  string // of a resumable upload, as sent
	// SHA256 is the hash of the file as the sender gives it, in hexadecimal; "" for
	// none.
	SHA256 string
	// TableID is the only table that the import may write to; 0 means any.
	TableID        ids.Table
	NewProject     *NewProject // of a project import
	TokenID        ids.Token   // of the token that requests it; 0 for none
	OperationRunID *string
	// Receipt identifies a repeated call, which gets the import of the first call
	// instead of a new one. For a file that is not resumable, its SHA-256 is added to
	// it. Nil for none.
	Receipt *projectdb.Receipt
}

// ProjectRef is all that imports know about a project.
type ProjectRef = jobs.ProjectRef

// NewProject is the project that a project import creates.
type NewProject struct {
	Slug         string
	Name         string
	Username     string // of its first user; "" for none
	PasswordHash string // as package registry makes it
}

// Begin checks a request and stores it as an upload without bytes. It reports all
// faults at once, under the names of the options, together with those already in
// faults. A resumable upload that the same call has already begun is returned again,
// with replayed true; the same key with a different request is
// [projectdb.ErrOtherRequest].
func (im *Imports) Begin(ctx context.Context, faults *problem.Faults, req Request) (manifest Manifest, replayed bool, err error) {
	if req.Options.Check(faults); faults.Any() {
		return manifest, false, faults.Err()
	}
	if req.Size > im.config.MaxBytes {
		return manifest, false, tooLarge(im.config.MaxBytes)
	}
	if err := im.needRoom(ctx, req.Project.ID, max(0, req.Size)); err != nil {
		return manifest, false, err
	}
	r, err := im.draft(req)
	if err != nil {
		return manifest, false, err
	}
	expired, err := im.jobs.add(ctx, r, im.now(), im.config.Bounds(), im.config.KeepBytes)
	if err != nil {
		return im.replay(ctx, req.Project.ID, err)
	}
	im.removeFiles(expired)
	return r.manifest, false, nil
}

func tooLarge(limit int64) error {
	return problem.New(problem.CodeBodyTooLarge, "The file is larger than %d bytes, the limit for imports.", limit)
}

func (im *Imports) draft(req Request) (*record, error) {
	now := im.now()
	id, err := im.config.NewID("imp", now)
	if err != nil {
		return nil, err
	}
	r := &record{
		projectID: req.Project.ID, root: cmp.Or(req.Root, req.Project.ID), resumable: req.Resumable, expires: now.Add(im.config.KeepFiles),
		spec: spec{TableID: req.TableID, NewProject: req.NewProject, SHA256: req.SHA256, Keyed: jobs.ReceiptOf(req.Receipt), Metadata: req.Metadata},
		manifest: Manifest{
			ID:   id,
			Kind: req.Kind, Project: req.Project.Slug, FileName: cmp.Or(req.FileName, "import"), Status: Uploading, Options: req.Options, DryRun: req.DryRun,
			ErrorDetails: []problem.Detail{}, CreatedAt: jobs.Timestamp(now), OperationRunID: req.OperationRunID,
		},
	}
	r.manifest.ExpiresAt = new(jobs.Timestamp(r.expires))
	if req.Size >= 0 {
		r.manifest.SizeBytes, r.manifest.Progress.BytesTotal, r.held = &req.Size, req.Size, req.Size
	}
	if req.TokenID > 0 { // people have no token
		r.manifest.CreatedByTokenID = &req.TokenID
	}
	return r, nil
}

// Part is a piece of a file.
type Part struct {
	Offset int64 // in the file; must equal the bytes received so far
	Body   io.Reader
	SHA256 string // of the part, in hexadecimal; checked unless ""
	Size   *int64 // of the whole file, if the sender announces it with this part
}

// Receive appends a part to an upload. When the file is complete, the upload becomes a
// pending job, unless the same call has already created one, which is then returned
// with replayed true. If the upload is resumable, the bytes that arrived before an
// error are kept; otherwise the import is removed.
func (im *Imports) Receive(ctx context.Context, projectID ids.Project, id string, p Part) (manifest Manifest, replayed bool, err error) {
	leave, err := im.enter(id)
	if err != nil {
		return manifest, false, err
	}
	defer leave()
	// Store what has arrived even if the sender disconnects meanwhile.
	ctx = context.WithoutCancel(ctx)
	r, err := im.jobs.Find(ctx, projectID, id)
	if err == nil {
		err = im.accepts(r)
	}
	if err != nil {
		return manifest, false, err
	}
	if err = im.receive(ctx, r, p); err != nil && !im.hasBegun(ctx, r) {
		return im.replay(ctx, projectID, errors.Join(err, im.clear(ctx, r)))
	}
	im.runner.Wake()
	manifest, err = im.Get(ctx, projectID, id)
	return manifest, false, err
}

// hasBegun reports whether an import has become a job although the call that made it
// one failed: after an I/O error the transaction may still have been committed.
func (im *Imports) hasBegun(ctx context.Context, r *record) bool {
	now, err := im.jobs.Find(ctx, r.projectID, r.manifest.ID)
	return err == nil && now.manifest.Status != Uploading && now.manifest.Status != Canceled
}

// clear removes what a failed part left of an upload that cannot be resumed.
func (im *Imports) clear(ctx context.Context, r *record) error {
	if !r.resumable {
		// The file first: the store may need the space.
		return errors.Join(im.dir.remove(r), im.jobs.withdraw(ctx, r.manifest.ID))
	}
	now, err := im.jobs.Find(ctx, r.projectID, r.manifest.ID)
	if problem.Is(err, problem.CodeNotFound) || err == nil && now.manifest.Status != Uploading {
		return im.dir.remove(r) // canceled or removed in the meantime
	}
	return err
}

// enter makes sure that only one part at a time is written to an upload.
func (im *Imports) enter(id string) (leave func(), err error) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.receiving[id] {
		return nil, problem.New(problem.CodeConflict, "Another part of this upload is still being received.").Retry(time.Second)
	}
	im.receiving[id] = true
	return func() {
		im.mu.Lock()
		defer im.mu.Unlock()
		delete(im.receiving, id)
	}, nil
}

// accepts returns why an import accepts no bytes, or nil.
func (im *Imports) accepts(r *record) error {
	switch status := im.withLiveState(r).Status; status {
	case Uploading:
		return nil
	case Expired:
		return problem.New(problem.CodeNotFound, "The upload was not finished in time and is no longer kept.")
	case Canceled:
		return problem.New(problem.CodeNotFound, "The upload was canceled and is no longer kept.")
	default:
		return problem.New(problem.CodeConflict, "The import accepts no more bytes: it is %s.", status)
	}
}

func (im *Imports) receive(ctx context.Context, r *record, p Part) (err error) {
	file, err := im.dir.open(r)
	if err != nil {
		return storage.Explain(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	have, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("find the end of the upload %s: %w", r.manifest.ID, err)
	}
	if have != p.Offset {
		return problem.New(problem.CodeConflict, "The upload has %d bytes, not %d.", have, p.Offset).With("Upload-Offset", "Must be %d.", have)
	}
	if p.Size != nil {
		if r, err = im.announce(ctx, r, have, *p.Size); err != nil {
			return err
		}
	}
	sum := sha256.New()
	have, err = im.receiveBytes(ctx, r, file, sum, p, have)
	if syncErr := file.Sync(); err == nil {
		err = storage.Explain(syncErr)
	}
	im.config.Failpoint("received")
	if err != nil {
		return err
	}
	return im.finish(ctx, r, file, have, sum, p.Offset == 0)
}

// announce stores the size of an upload that was begun without one, and returns the
// updated record. A known size never changes.
func (im *Imports) announce(ctx context.Context, r *record, have, size int64) (*record, error) {
	switch known := r.manifest.SizeBytes; {
	case known != nil && *known == size:
		return r, nil
	case known != nil:
		return nil, problem.New(problem.CodeConflict, "The upload was announced with %d bytes.", *known).With("Upload-Length", "Must be %d.", *known)
	case size > im.config.MaxBytes:
		return nil, tooLarge(im.config.MaxBytes)
	case size < have:
		return nil, problem.Invalid("Upload-Length", "Must not be less than the %d bytes that have arrived.", have)
	}
	if err := im.needRoom(ctx, r.projectID, size-have); err != nil {
		return nil, err
	}
	return im.hold(ctx, r, size, func(r *record) { r.manifest.SizeBytes, r.manifest.Progress.BytesTotal = &size, size })
}

// needRoom fails with storage_full when that many bytes do not fit on the disk or
// into the quota of the project.
func (im *Imports) needRoom(ctx context.Context, projectID ids.Project, bytes int64) error {
	if err := im.config.Disk.Need(bytes); err != nil {
		return err
	}
	return im.config.Projects.Need(ctx, projectID, bytes)
}

// Size returns the total size of a project's uploads, in bytes.
func (im *Imports) Size(projectID ids.Project) (bytes int64) {
	entries, err := os.ReadDir(im.dir.Of(projectID))
	if err != nil {
		return 0 // there are none
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// spaceEvery is how many bytes may be written before the free space is checked again.
const spaceEvery = 64 << 20

// receiveBytes appends a part to the file, and returns the new length of the file.
func (im *Imports) receiveBytes(ctx context.Context, r *record, file *os.File, sum hash.Hash, p Part, have int64) (_ int64, err error) {
	most := im.config.MaxBytes
	if r.manifest.SizeBytes != nil {
		most = *r.manifest.SizeBytes
	}
	buffer := make([]byte, 256<<10)
	for until := have; ; {
		n, readErr := p.Body.Read(buffer)
		if have+int64(n) > most {
			return have, problem.New(problem.CodeBodyTooLarge, "The file has more than the announced %d bytes.", most)
		}
		if have += int64(n); have > until {
			if err := im.needRoom(ctx, r.projectID, 0); err != nil {
				return have, err
			}
			until = have + spaceEvery
		}
		if have > r.held { // the size is unknown
			if r, err = im.grow(ctx, r, have); err != nil {
				return have, err
			}
		}
		if _, err := file.Write(buffer[:n]); err != nil {
			return have, storage.Explain(err)
		}
		sum.Write(buffer[:n])
		if readErr == io.EOF || readErr != nil && r.whole(have) {
			break // a sender that disconnects after the last byte has sent everything
		}
		if readErr != nil {
			return have, readErr
		}
	}
	if p.SHA256 != "" && p.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
		// Keep nothing of a part that differs from what the sender sent.
		return have, errors.Join(problem.Invalid("Content-Digest", "The SHA-256 of the bytes that arrived does not match."), file.Truncate(p.Offset))
	}
	return have, nil
}

// whole reports whether that many bytes are the complete announced file.
func (r *record) whole(have int64) bool {
	return r.manifest.SizeBytes != nil && have == *r.manifest.SizeBytes
}

// finishWhole completes an upload whose bytes had all arrived when the server stopped:
// its sender may believe it is done.
func (im *Imports) finishWhole(ctx context.Context, r *record) (err error) {
	if !r.whole(im.dir.received(r)) {
		return nil
	}
	file, err := im.dir.open(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	err = im.finish(ctx, r, file, *r.manifest.SizeBytes, sha256.New(), false)
	if known := (*problem.Error)(nil); errors.As(err, &known) {
		im.log.Warn("an upload was not taken", "import", r.manifest.ID, "error", err)
		return nil
	}
	return err
}

// finish stores what has arrived: the upload either continues or becomes a pending job.
func (im *Imports) finish(ctx context.Context, r *record, file *os.File, have int64, sum hash.Hash, whole bool) error {
	switch {
	case r.whole(have), r.manifest.SizeBytes == nil && !r.resumable:
	case !r.resumable:
		return problem.New(problem.CodeInvalidJSON, problem.BodyCutShort)
	default:
		_, err := im.jobs.change(ctx, r.projectID, r.manifest.ID, func(_ *sqlite.Conn, r *record) error {
			if err := im.accepts(r); err != nil {
				return err
			}
			r.expires = im.now().Add(im.config.KeepFiles)
			r.manifest.ExpiresAt = new(jobs.Timestamp(r.expires))
			return nil
		})
		return err
	}
	digest, err := digestOf(file, sum, whole)
	if err != nil {
		return err
	}
	if r.spec.SHA256 != "" && r.spec.SHA256 != digest {
		// No further part can correct the file.
		return errors.Join(problem.Invalid("Repr-Digest", "The SHA-256 of the file that arrived does not match."), file.Truncate(0))
	}
	_, err = im.jobs.change(ctx, r.projectID, r.manifest.ID, func(c *sqlite.Conn, r *record) error {
		if err := im.accepts(r); err != nil {
			return err
		}
		if !r.resumable {
			if err := r.keepReceipt(c, digest, im.now()); err != nil {
				return err
			}
		}
		r.manifest.SizeBytes, r.manifest.ReceivedBytes, r.manifest.SHA256, r.held = &have, have, &digest, have
		r.enqueue()
		return nil
	})
	if err == nil {
		im.config.Failpoint("entered")
	}
	return err
}

// digestOf returns the SHA-256 of the file; if whole, sum already covers all of it.
func digestOf(file *os.File, sum hash.Hash, whole bool) (string, error) {
	if !whole {
		sum.Reset()
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		if _, err := io.Copy(sum, file); err != nil {
			return "", fmt.Errorf("hash an upload: %w", err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
