package sqltext

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zangtable/zangtable/internal/testkit"
)

func split(t testing.TB, text string, readers ...func(io.Reader) io.Reader) (statements []string, lines []int64, err error) {
	t.Helper()
	var r io.Reader = strings.NewReader(text)
	for _, wrap := range readers {
		r = wrap(r)
	}
	s := NewSplitter(r)
	for {
		statement, err := s.Next()
		if err == io.EOF {
			return statements, lines, nil
		}
		if err != nil {
			return statements, lines, err
		}
		statements, lines = append(statements, string(statement)), append(lines, s.Begin)
	}
}

// TestSplittingTakesLinearTime splits a trigger of many statements after a long
// comment, which would take minutes if each statement rescanned the beginning.
func TestSplittingTakesLinearTime(t *testing.T) {
	trigger := "/*" + strings.Repeat("x", 2<<20) + "*/CREATE TRIGGER a AFTER INSERT ON t BEGIN " + strings.Repeat("SELECT 1;", 400_000) + "END;"
	began := time.Now()
	statements, _, err := split(t, trigger+"SELECT 2;")
	if err != nil || len(statements) != 2 {
		t.Fatalf("%d statements, %v; want 2", len(statements), err)
	}
	if took := time.Since(began); took > testkit.Slack {
		t.Errorf("it took %v", took)
	}
}

func TestStatementsAreSplitAsTheShellDoes(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string
		lines      []int64
	}{
		{"nothing", " \n-- only a comment", nil, nil},
		{"two", "SELECT 1; SELECT 2;", []string{"SELECT 1;", "SELECT 2;"}, []int64{1, 1}},
		{"without the last semicolon", "SELECT 1;\n\nSELECT 2\n", []string{"SELECT 1;", "SELECT 2\n"}, []int64{1, 3}},
		{"empty ones", ";;\n;SELECT 1;;", []string{"SELECT 1;"}, []int64{2}},
		{"quotes", "SELECT 'a;''b;', \"c;\"\"d\", `e;`, [f;g];SELECT 2;", []string{"SELECT 'a;''b;', \"c;\"\"d\", `e;`, [f;g];", "SELECT 2;"}, []int64{1, 1}},
		{"comments", "/* a; */ SELECT 1 -- b;\n + /* c; 'd */ 2;\n--'\nSELECT /*/ ; */ 3;", []string{"SELECT 1 -- b;\n + /* c; 'd */ 2;", "SELECT /*/ ; */ 3;"}, []int64{1, 4}},
		{"signs", "SELECT 1 - 2 / 3 - -4;", []string{"SELECT 1 - 2 / 3 - -4;"}, []int64{1}},
		{"a comment at the end", "SELECT 1; -- end", []string{"SELECT 1;"}, []int64{1}},
		{"a trigger", "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT ';END;'; END;SELECT 1;",
			[]string{"CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT ';END;'; END;", "SELECT 1;"}, []int64{1, 1}},
		{"comments in a trigger", "CREATE/**/TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; -- done\nEND/**/; SELECT 2;", []string{"CREATE/**/TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; -- done\nEND/**/;", "SELECT 2;"}, []int64{1, 2}},
		{"a byte order mark", "\ufeffCREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END;", []string{"CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END;"}, []int64{1}},
		{"a temporary trigger", "create /**/ temp\ntrigger t AFTER INSERT ON x begin select 1;\nend\n;", []string{"create /**/ temp\ntrigger t AFTER INSERT ON x begin select 1;\nend\n;"}, []int64{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, lines, err := split(t, test.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.lines, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The size of the reads must not matter.
func TestStatementsLongerThanTheBuffer(t *testing.T) {
	trigger := "CREATE TEMPORARY TRIGGER t AFTER INSERT ON x BEGIN SELECT 1;\nEND;"
	for shift := range len(trigger) {
		got, _, err := split(t, "/*"+strings.Repeat(" ", 256<<10-4-shift)+"*/"+trigger+"SELECT 2;")
		if err != nil || len(got) != 2 || got[0] != trigger {
			t.Errorf("%d: %q, %v", shift, got, err)
		}
	}
	for _, around := range []string{"'", "\"", "--\n", "/**/"} {
		for shift := range 5 {
			long := "SELECT " + strings.Repeat(" ", 256<<10-10+shift) + "/* ; */ - -- ;\n '" + strings.Repeat("x;", 200<<10) + "'" + around
			if around == "'" || around == "\"" {
				long += ";" + around
			}
			got, _, err := split(t, long+";SELECT 2;")
			if err != nil || len(got) != 2 || got[0] != long+";" {
				t.Errorf("%q, %d: %d statements, %v", around, shift, len(got), err)
			}
		}
	}
}

func TestStatementsThatDoNotEnd(t *testing.T) {
	for _, text := range []string{"SELECT 'a;", "SELECT \"a", "/* a;", "SELECT [a;", "CREATE TRIGGER t BEGIN SELECT 1;", "CREATE TRIGGER t BEGIN SELECT 1; -- x", "CREATE TRIGGER"} {
		if _, _, err := split(t, "SELECT 1;"+text); !errors.Is(err, ErrUnended) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add("SELECT 1; -- ;\nSELECT ';';")
	f.Add("CREATE TRIGGER t BEGIN SELECT 1; END; /* */;")
	f.Fuzz(func(t *testing.T, text string) {
		statements, lines, err := split(t, text)
		size := 0
		for i, statement := range statements {
			if statement == "" || lines[i] < 1 || lines[i] > int64(strings.Count(text, "\n")+1) {
				t.Errorf("statement %q in line %d", statement, lines[i])
			}
			FirstWords(statement, 4)
			size += len(statement)
		}
		if size > len(text) || err != nil && !errors.Is(err, ErrUnended) {
			t.Errorf("%d bytes of %d, %v", size, len(text), err)
		}
	})
}
