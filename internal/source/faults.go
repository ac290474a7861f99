package source

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zangtable/zangtable/internal/format"
	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/sqlite"
)

// ExplainFault turns a reader's error into a problem of the file.
func ExplainFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *problem.Error
	var fault *format.FileError
	switch {
	case errors.As(err, &known):
		return err
	case !errors.As(err, &fault):
		return Unreadable(err)
	case fault.Cell != "":
		return Invalid("Cell %s: %s.", fault.Cell, strings.TrimSuffix(fault.Reason, ".")).Because(err)
	case fault.Line > 0:
		return Invalid("Line %d, column %d: %s.", fault.Line, fault.Column, strings.TrimSuffix(fault.Reason, ".")).Because(err)
	}
	return Invalid("%s.", strings.TrimSuffix(fault.Reason, ".")).Because(err)
}

// IsRefusal reports whether SQLite refused a definition or row, as opposed to failing to
// process it.
func IsRefusal(err error) bool {
	switch sqlite.FaultOf(err) {
	case sqlite.BadSQL, sqlite.Expression, sqlite.Denied, sqlite.Damaged, sqlite.Unique, sqlite.NotNull, sqlite.Check, sqlite.DataType:
		return true
	}
	return false
}

// RowsHave returns the start of a sentence about a number of rows.
func RowsHave(rows int64) string {
	if rows == 1 {
		return "1 row has"
	}
	return fmt.Sprintf("%d rows have", rows)
}
