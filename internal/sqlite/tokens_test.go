package sqlite

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe" // for go:linkname too

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/zangtable/zangtable/internal/sqltext"
)

// getToken is SQLite's own tokenizer.
//
//go:linkname getToken modernc.org/sqlite/lib._sqlite3GetToken
func getToken(tls *libc.TLS, text uintptr, tokenType uintptr) int64

// kindOf returns the Kind of one of SQLite's token types.
func kindOf(tokenType int32) sqltext.Kind {
	switch tokenType {
	case lib.TK_SPACE:
		return sqltext.Space
	case lib.TK_COMMENT:
		return sqltext.Comment
	case lib.TK_ILLEGAL:
		return sqltext.Illegal
	case lib.TK_STRING:
		return sqltext.String
	case lib.TK_BLOB:
		return sqltext.Blob
	case lib.TK_INTEGER, lib.TK_FLOAT, lib.TK_QNUMBER:
		return sqltext.Number
	case lib.TK_VARIABLE:
		return sqltext.Variable
	case lib.TK_LP, lib.TK_RP, lib.TK_SEMI, lib.TK_PLUS, lib.TK_MINUS, lib.TK_STAR, lib.TK_SLASH, lib.TK_REM, lib.TK_EQ, lib.TK_LE, lib.TK_NE,
		lib.TK_LSHIFT, lib.TK_LT, lib.TK_GE, lib.TK_RSHIFT, lib.TK_GT, lib.TK_BITOR, lib.TK_CONCAT, lib.TK_COMMA, lib.TK_BITAND, lib.TK_BITNOT, lib.TK_DOT, lib.TK_PTR:
		return sqltext.Sign
	}
	return sqltext.Word
}

// checkTokens compares package sqltext with SQLite, token by token.
func checkTokens(t *testing.T, tls *libc.TLS, text string) {
	t.Helper()
	text, _, _ = strings.Cut(text, "\x00")
	mem, err := libc.CString(text)
	if err != nil {
		t.Fatal(err)
	}
	defer libc.Xfree(tls, mem)
	kindAt := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(int64(0))))
	defer libc.Xfree(tls, kindAt)
	for i := 0; i < len(text); {
		want := getToken(tls, mem+uintptr(i), kindAt)
		wantKind := kindOf(*view[int32](kindAt))
		kind, size := sqltext.Next(text[i:])
		if kind == sqltext.Quoted {
			kind = sqltext.Word
		}
		if int64(size) != want || kind != wantKind {
			t.Fatalf("%q: at %d SQLite finds %q of kind %d, we %q of kind %d", text, i, text[i:i+int(want)], wantKind, text[i:i+size], kind)
		}
		i += size
	}
}

// pieces are the building blocks of random text.
var pieces = []string{
	" ", "\t", "\n", "\v", "\f", "\r", "\ufeff", "\xef", "\xef\xbb", "\u00a0", "\u2028", "'", "''", `"`, `""`, "`", "[", "]", "--", "-", "/*", "*/", "/", "*",
	"x'", "X'", "0a", "0x", "1", "1_0", ".", ".5", "e", "E+", "e-1", "_", "$", "$a", "@", "#", ":", "::", "?", "?1", "(", ")", ";", "!", "!=", "<", ">", "=", "|", "&", "~", "%", "+", ",",
	"select", "ä", "a", "b", "f", "g", "->", "->>", "\\", "{", "^", "\x01", "\x7f", "\x80", "a.b",
}

func TestTokensAreSQLites(t *testing.T) {
	tls := libc.NewTLS()
	defer tls.Close()
	for range 200_000 {
		var b strings.Builder
		for range 1 + rand.IntN(12) {
			b.WriteString(pieces[rand.IntN(len(pieces))])
		}
		checkTokens(t, tls, b.String())
	}
}

func FuzzTokensAreSQLites(f *testing.F) {
	for _, piece := range pieces {
		f.Add(piece + piece)
	}
	f.Add("SELECT a, 'it''s' FROM \"t\" WHERE x = ?1 -- end\n; /* more */ \v")
	f.Fuzz(func(t *testing.T, text string) {
		tls := libc.NewTLS()
		defer tls.Close()
		checkTokens(t, tls, text)
	})
}

// TestStatementsAreComplete compares where a Splitter cuts with where SQLite considers
// a statement complete. SQLite's parser takes a vertical tab for white space, as the
// Splitter does, but what looks for the end of a statement does not.
func TestStatementsAreComplete(t *testing.T) {
	tls := libc.NewTLS()
	defer tls.Close()
	complete := func(text string) bool {
		mem, err := libc.CString(strings.ReplaceAll(text, "\v", " "))
		if err != nil {
			t.Fatal(err)
		}
		defer libc.Xfree(tls, mem)
		return lib.Xsqlite3_complete(tls, mem) == 1
	}
	heads := []string{"", "CREATE TRIGGER ", "create/**/temp --;\nTrigger ", "EXPLAIN QUERY PLAN CREATE TEMPORARY TRIGGER", "CREATE TABLE "}
	marks := []string{";", "'", `"`, "`", "[", "]", "--", "\n", "/*", "*/", "/", "-", " ", "a", "x'", "\f", "\v", "ä", "$", "(", ")",
		";END;", "; end/**/;", ";--;\nEND ", "END", "End ", `"END"`, "CASE ", "BEGIN ", "CREATE ", "create", "TRIGGER ", "TEMP ", "temporary ", "EXPLAIN ", "/**/", "--\n"}
	texts := 50_000
	if testing.Short() {
		texts = 5_000
	}
	for range texts {
		var b strings.Builder
		b.WriteString(heads[rand.IntN(len(heads))])
		for range 1 + rand.IntN(20) {
			b.WriteString(marks[rand.IntN(len(marks))])
		}
		splitter := sqltext.NewSplitter(strings.NewReader(b.String() + "\n;")) // ends the last statement, too
		for {
			statement, err := splitter.Next()
			if err != nil {
				break
			}
			if !complete(string(statement)) {
				t.Fatalf("%q: SQLite would go on after %q", b.String(), statement)
			}
			for i, c := range statement[:len(statement)-1] {
				if c == ';' && complete(string(statement[:i+1])) {
					t.Fatalf("%q: SQLite would end %q at %d", b.String(), statement, i)
				}
			}
		}
	}
}
