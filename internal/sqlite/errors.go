package sqlite

import (
	"errors"
	"strings"

	zs "zombiezen.com/go/sqlite"
)

// Fault is the kind of an SQLite failure, derived from its result code.
type Fault int

// The kinds of failure that callers distinguish. Other covers the rest, and every
// error that does not come from SQLite.
const (
	Other Fault = iota
	Unique
	NotNull
	ForeignKey
	Check
	Raised     // by a trigger, with a message of its own
	Constraint // a constraint without a kind of its own here
	DataType   // a value does not fit the type of a STRICT column, or the rowid
	TooBig
	Full        // the disk is full
	Damaged     // the file is not a database, or is corrupt
	Busy        // another connection is in the way: a retry may work
	Interrupted // by context or deadline
	Denied      // by the authorizer; a function it refuses is BadSQL
	BadSQL      // the statement does not compile
	Expression  // an expression of the statement or of the schema fails for the given values
	NoMemory
	IO
)

// InSQL reports whether the text of a statement or of the schema is at fault, either
// when it is compiled or for the values that it is applied to.
func (f Fault) InSQL() bool { return f == BadSQL || f == Expression }

// FaultOf returns the kind of the SQLite failure in err.
func FaultOf(err error) Fault {
	if elsewhere := (*Failure)(nil); errors.As(err, &elsewhere) {
		return elsewhere.Fault
	}
	if !fromSQLite(err) {
		return Other
	}
	switch code := zs.ErrCode(err); code {
	case zs.ResultConstraintUnique, zs.ResultConstraintPrimaryKey, zs.ResultConstraintRowID:
		return Unique
	case zs.ResultConstraintNotNull:
		return NotNull
	case zs.ResultConstraintForeignKey:
		return ForeignKey
	case zs.ResultConstraintTrigger:
		// RESTRICT actions report it, too.
		if said := Message(err); said != zs.ErrCode(err).Message() && !strings.HasPrefix(said, "FOREIGN KEY") {
			return Raised
		}
		return ForeignKey
	case zs.ResultConstraintCheck:
		return Check
	case zs.ResultCode(constraintDataType):
		return DataType
	case zs.ResultIOErrSHMSize:
		return Full // the shared memory of a database being opened
	case zs.ResultError:
		if errors.As(err, new(*stepError)) {
			return Expression
		}
		return BadSQL
	default:
		return primaryFault(code.ToPrimary())
	}
}

// stepError marks an SQLITE_ERROR of a statement that did compile. Only the time of
// the error distinguishes it from one that does not compile.
type stepError struct{ err error }

func (e *stepError) Error() string { return e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// ErrorOf returns the failure with the given result code of SQLite, for tests of error
// handling.
func ErrorOf(code int) error { return zs.ResultCode(code).ToError() }

// stepFailure marks the error of a step.
func stepFailure(err error) error {
	if err != nil && zs.ErrCode(err) == zs.ResultError {
		return &stepError{err}
	}
	return err
}

// fromSQLite reports whether err contains a failure of SQLite. The driver gives every
// other error the code for bad SQL; its own errors are recognized by their code or,
// for that one code, by their As method.
func fromSQLite(err error) bool {
	var own interface{ As(any) bool }
	return err != nil && (zs.ErrCode(err) != zs.ResultError || errors.As(err, &own))
}

// constraintDataType is SQLITE_CONSTRAINT_DATATYPE, which the driver does not define.
const constraintDataType = 19 | 12<<8

func primaryFault(code zs.ResultCode) Fault {
	switch code {
	case zs.ResultConstraint:
		return Constraint
	case zs.ResultMismatch:
		return DataType
	case zs.ResultTooBig:
		return TooBig
	case zs.ResultFull:
		return Full
	case zs.ResultCorrupt, zs.ResultNotADB:
		return Damaged
	case zs.ResultBusy, zs.ResultLocked, zs.ResultAbort, zs.ResultSchema, zs.ResultProtocol:
		return Busy
	case zs.ResultInterrupt:
		return Interrupted
	case zs.ResultAuth:
		return Denied
	case zs.ResultNoMem:
		return NoMemory
	case zs.ResultIOErr, zs.ResultCantOpen, zs.ResultReadOnly, zs.ResultPerm, zs.ResultNoLFS:
		return IO
	case zs.ResultError:
		return BadSQL
	}
	return Other
}

// CannotOpen reports whether err is SQLite's failure to open a file, possibly for lack
// of permissions or of file descriptors.
func CannotOpen(err error) bool {
	return fromSQLite(err) && zs.ErrCode(err).ToPrimary() == zs.ResultCantOpen
}

// Message returns SQLite's own message for the failure in err, without the driver's
// prefixes, such as `no such column: nmae`; for an error that is not SQLite's, it
// returns the error's text.
func Message(err error) string {
	var detailed interface {
		error
		As(any) bool
	}
	elsewhere := (*Failure)(nil)
	switch {
	case errors.As(err, &elsewhere):
		return elsewhere.Message
	case errors.As(err, &detailed):
		return strings.TrimPrefix(detailed.Error(), zs.ErrCode(detailed).Message()+": ")
	case fromSQLite(err):
		return zs.ErrCode(err).Message()
	}
	return err.Error()
}

// ConstraintColumns returns the names of the columns that a Unique, NotNull or
// DataType failure is about. SQLite gives them only in the text of its message; the
// kind of a failure is never derived from that text.
func ConstraintColumns(err error) []string {
	var list string
	switch FaultOf(err) {
	case Unique, NotNull:
		_, list, _ = strings.Cut(Message(err), "failed: ")
	case DataType:
		_, list, _ = strings.Cut(Message(err), " column ")
	}
	var columns []string
	for _, name := range strings.Split(list, ", ") {
		if _, column, ok := strings.Cut(name, "."); ok {
			columns = append(columns, column)
		}
	}
	return columns
}

// Failure is an SQLite failure in another process.
type Failure struct {
	Fault   Fault  `json:"fault"`
	Message string `json:"message"`
}

// FailureOf returns the form of err that is sent to another process.
func FailureOf(err error) Failure { return Failure{FaultOf(err), Message(err)} }

// Error returns SQLite's message.
func (f *Failure) Error() string { return f.Message }
