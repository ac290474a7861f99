package format

import (
	"bytes"
	"fmt"
	"math"
	"os/exec"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
	"pgregory.net/rapid"
)

func TestPortableReals(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 1: "1.0", -12.34: "-12.34", 0.123456: "0.123456", 1e-7: "1e-07", 123456789.25: "123456789.25",
		1.0 / 3: "6004799503160661.0/18014398509481984", -1.0 / 3: "-6004799503160661.0/18014398509481984",
		1 << 60: "1.0*1152921504606846976", 1e21: "476837158203125.0*2097152", math.Inf(-1): "-9e999",
		5e-324:          "1.0" + strings.Repeat("/4611686018427387904", 17) + "/1048576",
		math.MaxFloat64: "9007199254740991.0" + strings.Repeat("*4611686018427387904", 15) + "*2199023255552",
	} {
		if got := string(appendPortableReal(nil, f)); got != want {
			t.Errorf("%v was written as %s, want %s", f, got, want)
		}
	}
	if got := string(appendPortableReal(nil, math.Copysign(0, -1))); got != "-0.0" {
		t.Errorf("-0.0 was written as %s", got)
	}
}

// real draws reals of every magnitude, and decimals of every length.
func real() *rapid.Generator[float64] {
	return rapid.OneOf(
		rapid.Float64(),
		rapid.Custom(func(t *rapid.T) float64 {
			digits := rapid.Int64Range(-1e15, 1e15).Draw(t, "digits")
			return float64(digits) / math.Pow10(rapid.IntRange(0, 22).Draw(t, "places"))
		}),
		rapid.Custom(func(t *rapid.T) float64 { return math.Float64frombits(rapid.Uint64().Draw(t, "bits")) }),
	).Filter(func(f float64) bool { return !math.IsNaN(f) })
}

func TestSQLiteReadsPortableRealsBack(t *testing.T) {
	c := emptyDatabase(t)
	rapid.Check(t, func(t *rapid.T) {
		want := real().Draw(t, "real")
		query := "SELECT " + string(appendPortableReal(nil, want))
		err := c.Query(query, nil, func(s *sqlite.Stmt) error {
			if got := s.Value(0); got.Kind != sqlite.Real || math.Float64bits(got.Float) != math.Float64bits(want) {
				return fmt.Errorf("gave %+v, want %v", got, want)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	})
}

func TestINSERT(t *testing.T) {
	e := NewINSERT(`odd "name"`, columns("id", "or, der"))
	got := string(encode(e,
		batch(2, []sqlite.Value{sqlite.IntValue(1), sqlite.TextValue("it's")}, []sqlite.Value{{}, sqlite.TextValue("a\r\nb")}),
		batch(2),
		batch(2, []sqlite.Value{sqlite.FloatValue(1), sqlite.BlobValue([]byte{255})})))
	open := `INSERT INTO "odd ""name"""("id","or, der") VALUES` + "\n"
	if want := open + "(1,'it''s'),\n(NULL,CAST(X'610d0a62' AS TEXT));\n" + open + "(1.0,X'ff');\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestINSERTStatementsAreBounded(t *testing.T) {
	var small, large sqlite.Batch
	small.Reset(1)
	for i := range int64(1200) {
		small.Append(sqlite.IntValue(i))
	}
	large.Reset(1)
	for _, size := range []int{100, 70 << 10, 20 << 10, 20 << 10, 20 << 10, 20 << 10} {
		large.Append(sqlite.TextValue(strings.Repeat("x", size)))
	}
	for _, c := range []struct {
		batch *sqlite.Batch
		want  string
	}{{&small, "[500 500 200]"}, {&large, "[1 1 3 1]"}} {
		var rows []int
		for _, statement := range strings.Split(string(encode(NewINSERT("t", columns("a")), c.batch)), ";\n") {
			if statement == "" {
				continue
			}
			rows = append(rows, strings.Count(statement, "\n("))
			if len(statement) > 64<<10 && rows[len(rows)-1] > 1 {
				t.Errorf("a statement of %d rows has %d bytes", rows[len(rows)-1], len(statement))
			}
		}
		if fmt.Sprint(rows) != c.want {
			t.Errorf("statements of %v rows, want %s", rows, c.want)
		}
	}
}

// loadDump loads a dump of one table t with the shell and returns the result of a query.
func loadDump(t *testing.T, create string, rows *sqlite.Batch, query string) []string {
	shell := testkit.Tool(t, "sqlite3")
	names := columns("k", "v", "w")[:rows.Columns]
	dump := DumpHead + create + ";\n" + string(encode(NewINSERT("t", names), rows)) + DumpTail
	cmd := exec.Command(shell, "-bail", ":memory:")
	cmd.Stdin = strings.NewReader(dump + query + ";\n")
	var fault bytes.Buffer
	cmd.Stderr = &fault
	out, err := cmd.Output()
	if err != nil || fault.Len() > 0 {
		t.Fatalf("sqlite3: %v: %s", err, fault.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func TestShellLoadsDump(t *testing.T) {
	var rows sqlite.Batch
	rows.Reset(2)
	values := rapid.SliceOfN(value(), 600, 600).Example(1)
	values = append(values, sqlite.TextValue("a\r\nb\rc\n.quit\n/\ngo\n"), sqlite.TextValue("a\x00b\xff"), sqlite.TextValue(strings.Repeat("x'", 5<<20)))
	var want []string
	for i, v := range values {
		rows.Append(sqlite.IntValue(int64(i)), v)
		kind := [...]string{"null", "integer", "real", "text", "blob"}[v.Kind]
		text, _ := asField(v)
		switch v.Kind {
		case sqlite.Blob:
			text = string(v.Bytes)
		case sqlite.Real:
			text = fmt.Sprintf("%016X", math.Float64bits(v.Float))
			want = append(want, kind+"|"+text)
			continue
		}
		want = append(want, fmt.Sprintf("%s|%X", kind, text))
	}
	got := loadDump(t, "CREATE TABLE t(k INTEGER PRIMARY KEY, v)", &rows,
		"SELECT typeof(v), CASE typeof(v) WHEN 'real' THEN hex(ieee754_to_blob(v)) ELSE hex(CAST(v AS BLOB)) END FROM t ORDER BY k")
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("row %d: %.100s, want %.100s", i, got[i], want[i])
		}
	}
}

// Shell 3.40 misreads one in 4,000 decimals of 15 digits, one in 15,000 of 17, and more
// if the exponent is large.
func TestShellLoadsReals(t *testing.T) {
	var rows sqlite.Batch
	rows.Reset(2)
	values := rapid.SliceOfN(real(), 4000, 4000).Example(2)
	for i, f := range values {
		rows.Append(sqlite.IntValue(int64(i)), sqlite.FloatValue(f))
	}
	got := loadDump(t, "CREATE TABLE t(k INTEGER PRIMARY KEY, v)", &rows, "SELECT hex(ieee754_to_blob(v)) FROM t ORDER BY k")
	for i, f := range values {
		if want := fmt.Sprintf("%016X", math.Float64bits(f)); got[i] != want {
			t.Errorf("%s was loaded as %s, want %s", appendPortableReal(nil, f), got[i], want)
		}
	}
}
