package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zangtable/zangtable/internal/testkit"
	"pgregory.net/rapid"
	zs "zombiezen.com/go/sqlite"
)

// likeBoth evaluates SQLite's own LIKE and ours, each giving "1", "0" or "null".
func likeBoth(t interface{ Fatal(...any) }, c *Conn, value, pattern any) (want, got string) {
	err := c.Query("SELECT ?1 LIKE ?2, "+LikeFunction+"(?1, ?2)", []any{value, pattern}, func(s *Stmt) error {
		show := func(i int) string {
			if s.IsNull(i) {
				return "null"
			}
			return fmt.Sprint(s.Int(i))
		}
		want, got = show(0), show(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return want, got
}

func reader(t testing.TB) *Conn {
	t.Helper()
	c, err := openConn(":memory:", zs.OpenReadWrite|zs.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestLikeAnswersAsSQLitesOwn(t *testing.T) {
	c := reader(t)
	text := func(b string) Value { return Value{Kind: Text, Bytes: []byte(b)} }
	for _, value := range []any{
		nil, 0, -1, 10, int64(9223372036854775807), 1.5, 1e300, 0.1, "", "a", "A", "ab", "AB", "aXb", "10", "ä", "Ä", "äb", "🐎", "a🐎b", "%", "_", "a%", "[", "K", "\u212a",
		[]byte("ab"), []byte{}, []byte{0}, []byte("a\x00b"), []byte("\xff\xfe"),
		text("a\x00b"), text("\x00"), text("\xc3"), text("\xc3("), text("\x80"), text("\u0080"), text("\xe0\x83\xa4"), text("\xc0\x80"), text("\xed\xa0\x80"),
		text("\ufffd"), text("\uffff"), text("\ufffe"), text("\xf8\x88\x80\x80\x80"), text("\xfe\x80"), text("\xff\xbf\xbf\xbf\xbf\xbf\xbf"), text("\xc3\xa4\xa4"),
	} {
		for _, pattern := range []any{
			nil, 1, 10, 1.5, "", "%", "_", "__", "a", "A%", "%b", "%B%", "a_b", "_%", "%_", "%_%_%", "%%", "1%", "%.%", "%e+%", "ä", "%ä", "_b", "\ufffd", "\uffff", "\u0080", "%\u0080%", "k", "K",
			[]byte("a%"), text("a\x00%"), text("\xc3"), text("\xc3%"), text("\x80"), text("%\xff"), text("\xc3\xa4\xa4"),
		} {
			if want, got := likeBoth(t, c, value, pattern); got != want {
				t.Errorf("%q like %q: %s, want %s", value, pattern, got, want)
			}
		}
	}
}

// piece draws a few bytes of the kind that can trip up matching.
var piece = rapid.SampledFrom([]string{"a", "A", "b", "aa", "ab", "B", "_", "%", "ä", "Ä", "é", "🐎", "\xc3", "\x80", "\xbf", "\xe0\x83", "\xa4", "\ufffd", "\uffff", "\u0085", "\x00", "\xff", " ", "["})

func TestLikeAnswersAsSQLitesOwnAtRandom(t *testing.T) {
	c := reader(t)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string, most int) Value {
			return Value{Kind: Text, Bytes: []byte(strings.Join(rapid.SliceOfN(piece, 0, most).Draw(t, label), ""))}
		}
		for range 20 {
			value, pattern := draw("value", 20), draw("pattern", 8)
			if want, got := likeBoth(t, c, value, pattern); got != want {
				t.Fatalf("%q like %q: %s, want %s", value.Bytes, pattern.Bytes, got, want)
			}
		}
	})
}

// The exact functions agree with package bytes for any text.
func TestExactFunctionsCompareBytes(t *testing.T) {
	c := reader(t)
	functions := map[string]func(text, part []byte) bool{ContainsFunction: bytes.Contains, StartsWithFunction: bytes.HasPrefix, EndsWithFunction: bytes.HasSuffix}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string, most int) Value {
			return Value{Kind: Text, Bytes: []byte(strings.Join(rapid.SliceOfN(piece, 0, most).Draw(t, label), ""))}
		}
		for range 20 {
			text, part := draw("text", 20), draw("part", 3)
			for name, same := range functions {
				got, err := c.Int("SELECT "+name+"(?, ?)", text, part)
				if want := same(text.Bytes, part.Bytes); err != nil || (got == 1) != want {
					t.Fatalf("%s(%q, %q): %d, want %v (%v)", name, text.Bytes, part.Bytes, got, want, err)
				}
			}
		}
	})
	for call, want := range map[string]string{"(NULL, 'a')": "", "('a', NULL)": "", "(x'61', 'a')": "0", "('a', x'61')": "0", "(121, '1')": "1", "(1.5, '.')": "", "('', '')": "1"} {
		for name := range functions {
			got, err := c.Int("SELECT coalesce(" + name + call + ", -1)")
			if show := fmt.Sprint(got); err != nil || want != "" && show != want || strings.Contains(call, "NULL") && got != -1 {
				t.Errorf("%s%s: %s (%v)", name, call, show, err)
			}
		}
	}
}

func FuzzLike(f *testing.F) {
	for _, seed := range [][2]string{{"abcabd", "%ABD"}, {"aaaaaaaaaaaaaaaaaab", "%aaaaab"}, {"ä\xc3a", "%_a"}, {"a\x00b", "a"}, {"\x80\xbf", "__"}, {"aXbXc", "a%b_c"}, {"aaaabaaaab", "%aa_b"}} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	c := reader(f)
	f.Fuzz(func(t *testing.T, value, pattern []byte) {
		if len(value) > 10_000 || len(pattern) > 500 {
			return
		}
		want, got := likeBoth(t, c, Value{Kind: Text, Bytes: value}, Value{Kind: Text, Bytes: pattern})
		if got != want {
			t.Errorf("%q like %q: %s, want %s", value, pattern, got, want)
		}
	})
}

// Both ways of comparing must agree where both are applicable.
func TestLikeDecodedAgreesWithBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ascii := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "aab", "_", "%", "A"}), 0, 12)
		text, pattern := []byte(strings.Join(ascii.Draw(t, "text"), "")), []byte(strings.Join(ascii.Draw(t, "pattern"), ""))
		var m matcher
		if got, want := m.like(text, parsePattern(pattern)), m.likeDecoded(text, pattern); got != want {
			t.Fatalf("%q like %q: %v, want %v", text, pattern, got, want)
		}
	})
}

// The linear search must agree with the plain search.
func TestLikeFindsInLinearTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "A", "ab"}), 1, 40)
		text, part := []byte(strings.Join(letters.Draw(t, "text"), "")), []byte(strings.Join(letters.Draw(t, "part"), ""))
		want := bytes.Index(bytes.ToLower(text), bytes.ToLower(part))
		if want >= 0 {
			want += len(part)
		}
		var m matcher
		if got := m.findLinear(text, 0, &parsePattern(part).parts[0]); got != want {
			t.Fatalf("%q in %q: %d, want %d", part, text, got, want)
		}
		if got := m.find(text, 0, &parsePattern(part).parts[0]); got != want {
			t.Fatalf("%q in %q: %d, want %d", part, text, got, want)
		}
	})
	// Comparing at every position, each of these would take hours.
	text := bytes.Repeat([]byte("a"), 30_000_000)
	for _, pattern := range []string{
		"%" + strings.Repeat("a", 24_000) + "b", "%" + strings.Repeat("a", 24_000) + "b%", strings.Repeat("%"+strings.Repeat("a", 50)+"b", 400),
		"%" + strings.Repeat("a", 24_000) + "b%" + strings.Repeat("_", 1000), strings.Repeat("a%", 20_000) + "b", strings.Repeat("_", 20_000) + "%b", "%" + strings.Repeat("aaab", 6000),
	} {
		var m matcher
		if m.like(text, parsePattern([]byte(pattern))) {
			t.Errorf("%.20s matches", pattern)
		}
		if m.spent > 12*len(text) {
			t.Errorf("%.20s: %d comparisons", pattern, m.spent)
		}
	}
}

func TestExactSearchTakesLinearTime(t *testing.T) {
	text := bytes.Repeat([]byte("ab"), 15_000_000)
	for _, part := range []string{strings.Repeat("ab", 24_000) + "a_", strings.Repeat("ab", 24_000) + "b", "_", strings.Repeat("%", 50_000)} {
		for name, parse := range map[string]func([]byte) *pattern{"contains": parseContained, "starts with": parsePrefix, "ends with": parseSuffix} {
			var m matcher
			if m.like(text, parse([]byte(part))) {
				t.Errorf("%s %.20s", name, part)
			}
			if m.spent > 12*len(text) {
				t.Errorf("%s %.20s: %d comparisons", name, part, m.spent)
			}
		}
	}
}

func TestLikeLooksAtTheInterrupt(t *testing.T) {
	c := reader(t)
	large, malformed := bytes.Repeat([]byte("a"), 20_000_000), bytes.Repeat([]byte("a\xff"), 10_000_000)
	for _, test := range []struct {
		name  string
		value []byte
		query string
		args  []any
	}{
		{"a slow pattern", large, "SELECT " + LikeFunction + "(?, ?)", []any{"%" + strings.Repeat("a", 20_000) + "_b%"}},
		{"many exact searches on one row", large, "SELECT max(" + strings.TrimSuffix(strings.Repeat(ContainsFunction+"(?1, 'aab'), ", 1000), ", ") + ")", nil},
		{"malformed text", malformed, "SELECT " + LikeFunction + "(?, ?)", []any{"%" + strings.Repeat("a\ufffd", 4_000) + "ä"}},
		{"many patterns on one row", large, "SELECT max(" + strings.TrimSuffix(strings.Repeat(LikeFunction+"(?1, '%aab%'), ", 1000), ", ") + ")", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			defer c.bound(ctx)()
			began := time.Now()
			_, err := c.Int(test.query, append([]any{Value{Kind: Text, Bytes: test.value}}, test.args...)...)
			if FaultOf(err) != Interrupted || time.Since(began) > testkit.Slack {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
	if want, got := likeBoth(t, c, "a", "A"); want != got {
		t.Errorf("afterwards: %s", got)
	}
}

// A schema must not be able to use the function: other programs do not have it.
func TestLikeFunctionIsNotForSchemas(t *testing.T) {
	c := reader(t)
	if err := c.Exec("CREATE TABLE t (a TEXT, CHECK (" + LikeFunction + "(a, 'x')))"); err == nil {
		if err = c.Exec("INSERT INTO t VALUES ('x')"); err == nil {
			t.Error("a CHECK with the function holds")
		}
	}
	if err := c.Exec("CREATE INDEX i ON t (" + LikeFunction + "(a, 'x'))"); err == nil {
		t.Error("an index with the function was made")
	}
}

// The function must take about as much CPU time as SQLite's own.
func BenchmarkLike(b *testing.B) {
	c := reader(b)
	script := `CREATE TABLE t (a TEXT) STRICT;
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
		INSERT INTO t SELECT printf('User %d, %d Main Street', i, i * 7 % 1000) FROM n;`
	if err := c.Script(script); err != nil {
		b.Fatal(err)
	}
	for _, pattern := range []string{"%Street%", "user 1%", "%9 Main%", "%ääh%", "%_ain%x", "%", "%x%"} {
		for name, expression := range map[string]string{"sqlite": "a LIKE ?", "ours": LikeFunction + "(a, ?)"} {
			b.Run(pattern+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := c.Int("SELECT count(*) FROM t WHERE "+expression, pattern); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
