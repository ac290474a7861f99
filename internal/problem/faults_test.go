package problem

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/testkit"
	"pgregory.net/rapid"
)

// told returns the faults as text, one per line.
func told(f *Faults) string {
	var lines []string
	for _, d := range f.details {
		lines = append(lines, d.Field+": "+d.Message)
	}
	return strings.Join(lines, "\n")
}

func TestFaultyFieldsCountAsAbsent(t *testing.T) {
	var f Faults
	if f.Any() || f.Has("a") || f.Err() != nil {
		t.Error("nothing is wrong yet")
	}
	f.Add("a.b[2].c", "First.")
	f.Add("list[1]", "First.")
	for _, field := range []string{"a.b[2].c", "a.b[2].c.d", "a.b[2].c[0]", "list[1]", "list[1].x", "list[1][0]"} {
		if !f.Has(field) {
			t.Errorf("%s has no fault", field)
		}
		f.Add(field, "Again.")
		f.Required(field)
		f.Unknown(field, "column", "x", "", []string{"y"})
	}
	for _, field := range []string{"", "a", "a.b", "a.b[2]", "a.b[2].cc", "list", "list[11]", "li"} {
		if f.Has(field) {
			t.Errorf("%s has a fault", field)
		}
	}
	f.Add("list", "The whole, after a part of it.")
	if got := told(&f); got != "a.b[2].c: First.\nlist[1]: First.\nlist: The whole, after a part of it." || f.Len() != 3 {
		t.Error(got)
	}
}

func TestFaultsStopAtTheMost(t *testing.T) {
	var f Faults
	for i := range MaxDetails {
		f.Add(fmt.Sprintf("f%d", i), "Wrong.")
	}
	if e := From(f.Err()); f.Full() || e.More || e.Message != "100 fields are not valid." {
		t.Errorf("with as many as are told: %v, more %v", e.Message, e.More)
	}
	f.Add("f7", "Wrong again.")
	if f.Full() {
		t.Error("a field that has a fault counts as a further one")
	}
	for i := range 1000 {
		f.Add(fmt.Sprintf("g%d", i), "Wrong.")
	}
	e := From(f.Err())
	if !f.Full() || !e.More || len(e.Details) != MaxDetails || f.Has("g0") || !strings.HasPrefix(e.Message, "More than 100 fields") {
		t.Errorf("beyond: %d details, more %v, %s", len(e.Details), e.More, e.Message)
	}
	var whole Faults
	if !whole.Merge("part", f.Err()) || whole.Len() != MaxDetails || !whole.Full() || whole.details[0].Field != "part.f0" {
		t.Error("merged faults forget that there are more")
	}
}

// Client input is returned truncated, and is never formatted as a whole.
func TestDetailsAreBounded(t *testing.T) {
	long := strings.Repeat("Ünicode", 1<<20)
	var f Faults
	f.Add(long, "The value %q is not one of %s, %s and %v.", long, []byte(long), errors.New(long), 1)
	f.Unknown("x", "column", long, "in the table "+long, []string{"unicode"})
	f.Add("y", "%s", long)
	f.Merge(long+"2", Invalid("z", "Wrong."))
	f.Merge("w", New(CodeValidationFailed, "%s", long))
	with := New(CodeConflict, "%s", long).With(long, "%s", long)
	for _, d := range append(f.details, with.Details[0], Detail{"", with.Message}) {
		if len(d.Field) > maxField || len(d.Message) > maxSentence || !utf8.ValidString(d.Field+d.Message) || !strings.Contains(d.Field+d.Message, "…") {
			t.Errorf("%d and %d bytes: %s: %s", len(d.Field), len(d.Message), d.Field, d.Message)
		}
	}
	if f.Len() != 4 { // names that differ only after the cut are one
		t.Errorf("%d faults", f.Len())
	}
	for text, want := range map[string]string{"": "", "abc": "abc", "abcdefgh": "abcdefgh", "abcdefghi": "abcde…", "abcdéfghi": "abcd…", "\xa9\xa9\xa9\xa9\xa9\xa9\xa9\xa9\xa9": "…"} {
		if got := cut(text, 8); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}

func TestSentences(t *testing.T) {
	var f Faults
	f.Required("a")
	f.WrongType("b", "an integer")
	f.WrongChoice("c", []string{"asc", "desc"})
	f.WrongChoice("d", []string{"only"})
	f.Unknown("e", "column", "emial", "in the table people", []string{"name", "email"})
	f.Unknown("f", "field", "x", "", []string{"name"})
	want := "a: A value is required.\nb: Expected an integer.\nc: Must be one of asc, desc.\nd: Must be only.\n" +
		"e: There is no column \"emial\" in the table people. Did you mean \"email\"?\nf: There is no field \"x\"."
	if got := told(&f); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, test := range []struct{ got, want string }{
		{Missing("a").Error(), "validation_failed: a: A value is required. [a: A value is required.]"},
		{InvalidChoice("c", []string{"x", "y"}).Error(), "validation_failed: c: Must be one of x, y. [c: Must be one of x, y.]"},
		{Expected("a row"), "Expected a row."},
		{Unknown("table", "T", "", []string{"t"}), `There is no table "T". Did you mean "t"?`},
	} {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}

// Hints are only offered as long as they are cheap: comparing many names with many
// others is not.
func TestHintsAreBounded(t *testing.T) {
	candidates := make([]string, 20_000)
	for i := range candidates {
		candidates[i] = fmt.Sprintf("%060d", i)
	}
	var f Faults
	began := time.Now()
	for i := range MaxDetails {
		f.Unknown(fmt.Sprint("f", i), "table", fmt.Sprintf("%061d", i), "", candidates)
	}
	if f.hinted > hintCost || time.Since(began) > testkit.Slack {
		t.Errorf("hints took %d steps and %v", f.hinted, time.Since(began))
	}
	f = Faults{}
	for i := range 3 {
		f.Unknown(fmt.Sprint("f", i), "table", "ordres", "", []string{"orders"})
	}
	if got := strings.Count(told(&f), "Did you mean"); got != 3 {
		t.Errorf("%d hints of 3 that are cheap", got)
	}
}

func TestMerge(t *testing.T) {
	var f Faults
	if !f.Merge("a", nil) || f.Any() {
		t.Error("nil is not merged as nothing")
	}
	for _, err := range []error{io.EOF, New(CodeConflict, "Taken."), fmt.Errorf("read: %w", io.EOF)} {
		if f.Merge("a", err) || f.Any() {
			t.Errorf("%v is merged", err)
		}
	}
	two := Invalid("x", "Wrong %d.", 1).With("[3]", "Wrong.").With("", "Wrong as a whole.")
	if !f.Merge("a", fmt.Errorf("wrapped: %w", two)) || !f.Merge("", Invalid("b", "Wrong.")) {
		t.Error("faults are not merged")
	}
	if got := told(&f); got != "a.x: Wrong 1.\na[3]: Wrong.\na: Wrong as a whole.\nb: Wrong." {
		t.Error(got)
	}
	// A problem without a field would be lost, and what it forbids would be done.
	if !f.Merge("c", New(CodeValidationFailed, "The row is not allowed.")) || !f.Has("c") {
		t.Error("a problem without details is lost")
	}
	// An error does not change when further faults are found.
	e := From(f.Err())
	n := len(e.Details)
	f.Add("d", "Wrong.")
	if len(e.Details) != n {
		t.Error("an error has changed")
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("disk on fire")
	e := New(CodeBusy, "Busy with %s.", "you").With("a", "At %d.", 1).Retry(3 * time.Second).Because(cause)
	if got := e.Error(); got != "busy: Busy with you. [a: At 1.] (disk on fire)" || !errors.Is(e, cause) || e.RetryAfter != 3*time.Second {
		t.Errorf("%s, retry after %v", got, e.RetryAfter)
	}
	if From(fmt.Errorf("outside: %w", e)) != e || !Is(fmt.Errorf("outside: %w", e), CodeBusy) || Is(e, CodeConflict) || Is(cause, CodeBusy) || Is(nil, CodeBusy) {
		t.Error("the problem inside an error is not found")
	}
	inside := From(cause)
	if inside.Code != CodeInternal || !errors.Is(inside, cause) || strings.Contains(inside.Message, "fire") {
		t.Errorf("an error that is nobody's business: %v, message %s", inside, inside.Message)
	}
	if got := NotFound("The table", "x").Error(); got != `not_found: The table "x" was not found.` {
		t.Error(got)
	}
	one := Invalid("limit", "Must be at least %d.", 1)
	if one.Message != "limit: Must be at least 1." || !slices.Equal(one.Details, []Detail{{"limit", "Must be at least 1."}}) {
		t.Errorf("%+v", one)
	}
}

func TestCodes(t *testing.T) {
	seen := map[Code]bool{}
	for _, m := range Codes {
		if seen[m.Code] || m.Status < 400 || m.Status > 599 || m.Code.Status() != m.Status || !strings.HasSuffix(m.When, ".") {
			t.Errorf("%+v", m)
		}
		seen[m.Code] = true
	}
	if Code("nonsense").Status() != 500 {
		t.Error("an unknown code is not a fault of the server")
	}
}

// TestFaultsAsAModel adds random faults and compares with a list that checks every
// existing fault.
func TestFaultsAsAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.Custom(func(t *rapid.T) string {
			text := rapid.SampledFrom([]string{"a", "b", "ab"}).Draw(t, "root")
			for range rapid.IntRange(0, 3).Draw(t, "depth") {
				text = join(text, rapid.SampledFrom([]string{"a", "b", "[0]", "[1]"}).Draw(t, "part"))
			}
			return text
		})
		var f Faults
		var model []string
		for _, field := range rapid.SliceOfN(path, 0, 150).Draw(t, "fields") {
			covered := slices.ContainsFunc(model, func(whole string) bool {
				rest, within := strings.CutPrefix(field, whole)
				return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
			})
			if f.Has(field) != covered && !f.Full() {
				t.Fatalf("%s is at fault: %v, with %q", field, f.Has(field), model)
			}
			f.Add(field, "Wrong.")
			if !covered {
				model = append(model, field)
			}
		}
		var fields []string
		for _, d := range f.details {
			fields = append(fields, d.Field)
		}
		if !slices.Equal(fields, model[:min(len(model), MaxDetails)]) || f.Full() != (len(model) > MaxDetails) || f.Any() != (len(model) > 0) {
			t.Fatalf("told %q of %q, full %v", fields, model, f.Full())
		}
	})
}

// FuzzDetails passes arbitrary texts through the parts of a detail.
func FuzzDetails(f *testing.F) {
	f.Add("field", "name", "candidate")
	f.Add("a[0].b", strings.Repeat("é", 300), "\xff")
	f.Fuzz(func(t *testing.T, field, name, candidate string) {
		var faults Faults
		faults.Unknown(field, "column", name, "in "+candidate, []string{candidate, name, field})
		faults.WrongChoice(field+"x", []string{name, candidate})
		if faults.Len() == 0 || !faults.Any() || faults.Err() == nil {
			t.Fatal("nothing is told")
		}
		for _, d := range faults.details {
			if len(d.Field) > maxField || len(d.Message) > maxSentence {
				t.Fatalf("a detail of %d and %d bytes", len(d.Field), len(d.Message))
			}
		}
		for _, max := range []int{3, 7, 100} {
			if got := cut(name, max); len(got) > max || utf8.ValidString(name) && !utf8.ValidString(got) {
				t.Fatalf("%q is cut to %q", name, got)
			}
		}
	})
}
