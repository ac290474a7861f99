package source

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/sqlite"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// inserts handles the statements of a dump that insert plain values, which are nearly
// all of them, so that SQLite need not compile each one: it collects their rows and
// inserts many at a time.
type inserts struct {
	sandbox *sqlite.Sandbox
	into    string       // the start of the statements, up to and including VALUES
	one     *sqlite.Stmt // inserts one row; nil before the first row
	many    *sqlite.Stmt // inserts rowsAtOnce rows; nil until needed
	rows    sqlite.Batch // waiting to be inserted
	lines   []int64      // for each row, the line on which its statement starts

	row     []sqlite.Value
	scratch []byte // values in row that differ from their form in the statement
}

const (
	waitingRows = 512
	rowsAtOnce  = 32
	mostPlaced  = 2000 // limit for the parameters of many
)

// take handles a statement, and reports false if it does not insert plain values. With
// an error, it returns the line of the fault.
func (in *inserts) take(text []byte, line int64) (taken bool, at int64, err error) {
	into, values := insertInto(text)
	if values == nil || bytes.IndexByte(text, 0) >= 0 {
		return false, 0, nil
	}
	if string(into) != in.into || in.rows.Rows >= waitingRows || in.rows.Size() >= BatchBytes {
		if at, err := in.flush(); err != nil {
			return false, at, err
		}
	}
	if string(into) != in.into {
		in.close()
		in.into = string(into)
	}
	if !in.tuples(values) {
		return false, 0, nil
	}
	for len(in.lines) < in.rows.Rows {
		in.lines = append(in.lines, line)
	}
	return true, 0, nil
}

// tuples adds the rows of a statement to those waiting, all or none.
func (in *inserts) tuples(values []byte) bool {
	rows, size := in.rows.Rows, in.rows.Size()
	for {
		if values = in.tuple(values); values == nil || !in.prepared() || len(in.row) != in.rows.Columns {
			in.rows.Cut(rows, size)
			return false
		}
		if in.rows.Append(in.row...); len(values) == 0 {
			return true
		}
	}
}

// prepared reports whether rows like the last one can be inserted. If not, SQLite
// reports the reason when it compiles the statement itself.
func (in *inserts) prepared() bool {
	if in.one != nil {
		return true
	}
	in.rows.Reset(len(in.row))
	var err error
	in.one, err = in.sandbox.Prepare(in.into + marksOf(len(in.row), 1))
	return err == nil
}

func marksOf(columns, rows int) string {
	row := "(" + strings.Repeat("?,", columns)[:2*columns-1] + ")"
	return strings.Repeat(row+",", rows)[:(len(row)+1)*rows-1]
}

// flush inserts the waiting rows. With an error, it returns the line of the fault.
func (in *inserts) flush() (line int64, err error) {
	whole := 0 // rows that are inserted by many
	if in.rows.Columns*rowsAtOnce <= mostPlaced {
		whole = in.rows.Rows - in.rows.Rows%rowsAtOnce
	}
	for i := 0; i < in.rows.Rows; {
		stmt, n := in.one, 1
		if i < whole {
			if stmt, n = in.many, rowsAtOnce; stmt == nil {
				if stmt, err = in.sandbox.Prepare(in.into + marksOf(in.rows.Columns, n)); err != nil {
					return in.lines[i], err
				}
				in.many = stmt
			}
		}
		err := stmt.Run(&in.rows, i, n)
		switch {
		case err == nil:
			i += n
		case n > 1 && IsRefusal(err):
			whole = i // one by one, to find which it was
		default:
			return in.lines[i], err
		}
	}
	in.rows.Reset(in.rows.Columns)
	in.lines = in.lines[:0]
	return 0, nil
}

// close closes the prepared statements.
func (in *inserts) close() {
	for _, stmt := range []*sqlite.Stmt{in.one, in.many} {
		if stmt != nil {
			stmt.Close()
		}
	}
	in.one, in.many = nil, nil
}

// insertInto splits an INSERT statement after VALUES; it returns nil for other
// statements.
func insertInto(text []byte) (into, values []byte) {
	rest, ok := bytes.CutPrefix(text, []byte("INSERT INTO "))
	if !ok {
		return nil, nil
	}
	if rest = sqltext.SkipBlank(afterName(rest)); len(rest) > 0 && rest[0] == '(' {
		for comma := true; comma; {
			rest = sqltext.SkipBlank(afterName(sqltext.SkipBlank(rest[1:])))
			if len(rest) == 0 || rest[0] != ',' && rest[0] != ')' {
				return nil, nil
			}
			comma = rest[0] == ','
		}
		rest = sqltext.SkipBlank(rest[1:])
	}
	values, ok = bytes.CutPrefix(rest, []byte("VALUES"))
	if !ok {
		return nil, nil
	}
	return text[:len(text)-len(values)], values
}

// afterName returns what follows the name at the start of text, nil if there is no name.
func afterName(text []byte) []byte {
	if kind, size := sqltext.Next(text); kind == sqltext.Word || kind == sqltext.Quoted {
		return text[size:]
	}
	return nil
}

// tuple reads the parenthesized values of a row and returns the text from the next row
// on. That is empty after the last row, and nil if the values are not all plain.
func (in *inserts) tuple(text []byte) []byte {
	in.row, in.scratch = in.row[:0], in.scratch[:0]
	if text = sqltext.SkipBlank(text); len(text) == 0 || text[0] != '(' {
		return nil
	}
	for text[0] != ')' {
		v, rest, ok := in.value(sqltext.SkipBlank(text[1:]))
		if text = sqltext.SkipBlank(rest); !ok || len(text) == 0 || text[0] != ',' && text[0] != ')' {
			return nil
		}
		in.row = append(in.row, v)
	}
	switch text = sqltext.SkipBlank(text[1:]); {
	case len(text) == 0, string(text) == ";":
		return []byte{}
	case text[0] == ',':
		return text[1:]
	}
	return nil
}

// value reads a plain value: a text (possibly with control characters), a blob, a number
// or NULL.
func (in *inserts) value(text []byte) (v sqlite.Value, rest []byte, ok bool) {
	switch {
	case len(text) == 0:
	case text[0] == '\'':
		return in.quoted(text)
	case bytes.HasPrefix(text, []byte("X'")), bytes.HasPrefix(text, []byte("x'")):
		digits, rest, ok := bytes.Cut(text[2:], []byte{'\''})
		start := len(in.scratch)
		var err error
		in.scratch, err = hex.AppendDecode(in.scratch, digits)
		return sqlite.BlobValue(in.scratch[start:]), rest, ok && err == nil
	case bytes.HasPrefix(text, []byte("NULL")):
		return v, text[4:], true
	case text[0] == '-', '0' <= text[0] && text[0] <= '9':
		return number(text)
	case bytes.HasPrefix(text, []byte("replace('")), bytes.HasPrefix(text, []byte("replace(replace('")):
		return in.replaced(text[len("replace("):])
	case bytes.HasPrefix(text, []byte("unistr('")):
		return in.escaped(text[len("unistr("):])
	}
	return v, nil, false
}

// escaped reads a text with control characters as the shell dumps it, such as
// unistr('two\u000alines').
func (in *inserts) escaped(text []byte) (v sqlite.Value, rest []byte, ok bool) {
	v, rest, ok = in.quoted(text)
	if !ok || len(rest) == 0 || rest[0] != ')' {
		return v, nil, false
	}
	start := len(in.scratch)
	for text := v.Bytes; ; {
		before, after, found := bytes.Cut(text, []byte{'\\'})
		if in.scratch = append(in.scratch, before...); !found {
			v.Bytes = in.scratch[start:]
			return v, rest[1:], true
		}
		switch {
		case len(after) >= 5 && after[0] == 'u':
			code, err := strconv.ParseUint(string(after[1:5]), 16, 16)
			if err != nil || code == 0 || utf16.IsSurrogate(rune(code)) {
				return v, nil, false
			}
			in.scratch, text = utf8.AppendRune(in.scratch, rune(code)), after[5:]
		case len(after) > 0 && after[0] == '\\':
			in.scratch, text = append(in.scratch, '\\'), after[1:]
		default:
			return v, nil, false
		}
	}
}

// replaced reads a text with line ends as older shells dump it, with a mark for each,
// such as replace('two\nlines','\n',char(10)).
func (in *inserts) replaced(text []byte) (v sqlite.Value, rest []byte, ok bool) {
	v, rest, ok = in.value(text)
	if !ok || !bytes.HasPrefix(rest, []byte(",'")) {
		return v, nil, false
	}
	mark, rest, ok := in.quoted(rest[1:])
	if !ok || len(mark.Bytes) == 0 {
		return v, nil, false
	}
	for end, by := range map[string]string{",char(10))": "\n", ",char(13))": "\r"} {
		if after, found := bytes.CutPrefix(rest, []byte(end)); found {
			v.Bytes = bytes.ReplaceAll(v.Bytes, mark.Bytes, []byte(by))
			return v, after, true
		}
	}
	return v, nil, false
}

// quoted reads a text in single quotes, in which quotes are doubled.
func (in *inserts) quoted(text []byte) (v sqlite.Value, rest []byte, ok bool) {
	v.Kind = sqlite.Text
	start := -1 // start of the text in scratch, if it contains quotes
	for rest = text[1:]; ; {
		end := bytes.IndexByte(rest, '\'')
		if end < 0 {
			return v, nil, false
		}
		last := end+1 == len(rest) || rest[end+1] != '\''
		if last && start < 0 {
			v.Bytes = rest[:end]
			return v, rest[end+1:], true
		}
		if start < 0 {
			start = len(in.scratch)
		}
		if last {
			in.scratch = append(in.scratch, rest[:end]...)
			v.Bytes = in.scratch[start:]
			return v, rest[end+1:], true
		}
		in.scratch, rest = append(in.scratch, rest[:end+1]...), rest[end+2:]
	}
}

// number reads a decimal number. With a point or exponent it is a REAL, as is an integer
// that does not fit in 64 bits.
func number(text []byte) (v sqlite.Value, rest []byte, ok bool) {
	digits := func(i int) int {
		for i < len(text) && '0' <= text[i] && text[i] <= '9' {
			i++
		}
		return i
	}
	begin := 0
	if text[0] == '-' {
		begin = 1
	}
	end := digits(begin)
	if end == begin {
		return v, nil, false
	}
	whole := end
	if end < len(text) && text[end] == '.' {
		end = digits(end + 1)
	}
	if end < len(text) && text[end]|0x20 == 'e' {
		exponent := end + 1
		if exponent < len(text) && (text[exponent] == '-' || text[exponent] == '+') {
			exponent++
		}
		if end = digits(exponent); end == exponent {
			return v, nil, false
		}
	}
	if end == whole {
		if n, err := strconv.ParseInt(string(text[:end]), 10, 64); err == nil {
			return sqlite.IntValue(n), text[end:], true
		}
	}
	// Numbers that are too large become infinities, as in SQLite.
	f, err := strconv.ParseFloat(string(text[:end]), 64)
	return sqlite.FloatValue(f), text[end:], err == nil || errors.Is(err, strconv.ErrRange)
}
