package problem

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSubjectComesLast checks that the subject of an error comes last in its details
// and is not a field at fault.
func TestSubjectComesLast(t *testing.T) {
	e := New(CodeConflict, "The import failed.").With("rows", "Row %d is wrong.", 3).About("import_id", "imp_1")
	want := []Detail{{"rows", "Row 3 is wrong."}, {"import_id", "imp_1"}}
	for range 2 { // repeated calls do not add it again
		if got := e.Told(); !slices.Equal(got, want) {
			t.Errorf("clients get %v", got)
		}
	}
	if !slices.Equal(e.Details, want[:1]) {
		t.Errorf("the details are %v", e.Details)
	}
	if text := e.Error(); !strings.HasSuffix(text, "[rows: Row 3 is wrong.] [import_id: imp_1]") {
		t.Errorf("the log gets %s", text)
	}
}

// TestOnlyLogsSeeTheCause wraps a problem with a cause, and an error that is not a
// problem.
func TestOnlyLogsSeeTheCause(t *testing.T) {
	cause := errors.New("secret path")
	e := New(CodeBusy, "Try again.").Retry(3 * time.Second).Because(cause)
	wrapped := fmt.Errorf("read a table: %w", e)
	if got := From(wrapped); got.Code != CodeBusy || got.RetryAfter != 3*time.Second || strings.Contains(got.Message, "secret") {
		t.Errorf("got %+v", got)
	}
	if !errors.Is(wrapped, cause) || !strings.Contains(wrapped.Error(), "secret path") {
		t.Errorf("the log gets %v", wrapped)
	}
	if !Is(wrapped, CodeBusy) || Is(wrapped, CodeConflict) || Is(cause, CodeBusy) {
		t.Error("the code is not recognized")
	}
	unknown := From(cause)
	if unknown.Code != CodeInternal || strings.Contains(unknown.Message, "secret") || !errors.Is(unknown, cause) {
		t.Errorf("an error that is no problem becomes %+v", unknown)
	}
}
