// Package storage defines, in one place, what a failure of the disk or of SQLite means
// to a client. Every package that stores something passes its errors through Explain
// instead of interpreting result codes itself.
package storage

import (
	"errors"
	"syscall"
	"time"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// Explain turns a storage failure into the problem that a client may see, and keeps
// the failure as its cause for the log. An error that already holds a problem, and one
// that is not a storage failure, is returned unchanged: constraint violations and
// damaged files mean something different in each database, so their owners explain
// those.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	if known := (*problem.Error)(nil); errors.As(err, &known) {
		return err
	}
	if p := explain(err); p != nil {
		return p.Because(err)
	}
	return err
}

func explain(err error) *problem.Error {
	switch {
	case errors.Is(err, sqlite.ErrClosed):
		return problem.Stopping()
	case errors.Is(err, sqlite.ErrWaited):
		return problem.New(problem.CodeBusy, "Other calls keep the database busy, so this one gave up waiting before it began.").Retry(2 * time.Second)
	case IsFull(err):
		return Full()
	case OutOfFiles(err):
		return problem.New(problem.CodeBusy, "The server cannot open another file right now.").Retry(time.Second)
	case isAny(err, syscall.EROFS, syscall.EACCES, syscall.EPERM):
		return problem.New(problem.CodeBusy, "The server cannot use its own files right now. Its log has the reason.").Retry(30 * time.Second)
	case isAny(err, syscall.EIO):
		return unreadable()
	}
	switch sqlite.FaultOf(err) {
	case sqlite.Busy:
		return problem.New(problem.CodeBusy, "The database is locked by another program.").Retry(time.Second)
	case sqlite.NoMemory:
		return problem.New(problem.CodeBusy, "The server has no memory left for this right now.").Retry(5 * time.Second)
	case sqlite.IO:
		return unreadable()
	}
	return nil
}

// Full returns the error of whatever needs space on a full disk.
func Full() *problem.Error {
	return problem.New(problem.CodeStorageFull, problem.DiskFull)
}

// unreadable makes no promise about what was written: after a failed sync nobody knows
// what the disk holds.
func unreadable() *problem.Error {
	return problem.New(problem.CodeBusy, "The disk could not be read or written. A change in progress may or may not have been saved.").Retry(5 * time.Second)
}

// IsFull reports whether err means that there is no space left, either on the disk or
// in the disk quota of the server's user.
func IsFull(err error) bool {
	return sqlite.FaultOf(err) == sqlite.Full || isAny(err, syscall.ENOSPC, syscall.EDQUOT)
}

// OutOfFiles reports whether err means that the process or the system has no file
// descriptors left. SQLite only says that it cannot open a file.
func OutOfFiles(err error) bool {
	return isAny(err, syscall.EMFILE, syscall.ENFILE) || sqlite.CannotOpen(err)
}

func isAny(err error, numbers ...syscall.Errno) bool {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return false
	}
	for _, n := range numbers {
		if n == number {
			return true
		}
	}
	return false
}
