package format

import (
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/testkit"
	"pgregory.net/rapid"
)

func TestAppendLiteral(t *testing.T) {
	for _, c := range []struct {
		value sqlite.Value
		want  string
	}{
		{sqlite.Value{}, "NULL"},
		{sqlite.IntValue(math.MinInt64), "-9223372036854775808"},
		{sqlite.FloatValue(1), "1.0"},
		{sqlite.FloatValue(math.Inf(1)), "9e999"},
		{sqlite.FloatValue(math.Inf(-1)), "-9e999"},
		{sqlite.TextValue(""), "''"},
		{sqlite.TextValue("it's 'so'\n"), "'it''s ''so''\n'"},
		{sqlite.TextValue("a\x00'b"), "CAST(X'61002762' AS TEXT)"},
		{sqlite.TextValue("\xff"), "CAST(X'ff' AS TEXT)"},
		{sqlite.BlobValue(nil), "X''"},
		{sqlite.BlobValue([]byte{0, 255}), "X'00ff'"},
	} {
		if got := literal(c.value); got != c.want {
			t.Errorf("%+v was written as %s, want %s", c.value, got, c.want)
		}
	}
}

func literal(v sqlite.Value) string {
	b := batch(1, []sqlite.Value{v})
	return string(AppendLiteral(nil, b, b.Row(0)[0]))
}

// emptyDatabase returns a connection to an empty database.
func emptyDatabase(t *testing.T) *sqlite.Conn {
	path := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSQLiteReadsLiteralsBack(t *testing.T) {
	c := emptyDatabase(t)
	rapid.Check(t, func(t *rapid.T) {
		want := value().Draw(t, "value")
		var got sqlite.Value
		query := "SELECT " + literal(want)
		err := c.Query(query, nil, func(s *sqlite.Stmt) error {
			got = s.Value(0)
			return nil
		})
		if err != nil {
			t.Fatalf("%v in %q", err, query)
		}
		if got.Kind != want.Kind || got.Int != want.Int || string(got.Bytes) != string(want.Bytes) || math.Float64bits(got.Float) != math.Float64bits(want.Float) {
			t.Fatalf("%q gave %+v, want %+v", query, got, want)
		}
	})
}

func TestQuoteIdent(t *testing.T) {
	c := emptyDatabase(t)
	for _, name := range []string{"plain", "select", `say "hi"`, `"`, "a;b", "a'b", "漢字", " ", ""} {
		query := "SELECT 1 AS " + QuoteIdent(name)
		var got string
		err := c.Query(query, nil, func(s *sqlite.Stmt) error {
			got = s.ColumnNames()[0]
			return nil
		})
		if err != nil || got != name {
			t.Errorf("%s named the column %q (%v), want %q", query, got, err, name)
		}
	}
	if err := c.Exec("SELECT 1 AS " + QuoteIdent("a\x00\"; SELECT 2")); err == nil {
		t.Error("a name with a NUL byte was accepted")
	}
}

func TestShellReadsLiterals(t *testing.T) {
	shell := testkit.Tool(t, "sqlite3")
	values := rapid.SliceOfN(value().Filter(func(v sqlite.Value) bool { return v.Kind != sqlite.Real }), 200, 200).Example(1)
	script := ".mode list\n.separator ' ' \"\\n\"\nCREATE TABLE t(v);\n"
	var want []string
	for _, v := range values {
		script += "INSERT INTO t VALUES(" + literal(v) + ");\n"
		text, _ := asField(v)
		kind := [...]string{"null", "integer", "real", "text", "blob"}[v.Kind]
		if v.Kind == sqlite.Blob {
			text = string(v.Bytes)
		}
		want = append(want, strings.TrimSpace(fmt.Sprintf("%s %s", kind, strings.ToUpper(hex.EncodeToString([]byte(text))))))
	}
	cmd := exec.Command(shell, "-bail", ":memory:")
	cmd.Stdin = strings.NewReader(script + "SELECT typeof(v), hex(CAST(v AS BLOB)) FROM t ORDER BY rowid;\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3: %v: %s", err, out)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if strings.TrimSpace(got[i]) != want[i] {
			t.Errorf("%s gave %s, want %s", literal(values[i]), got[i], want[i])
		}
	}
}
