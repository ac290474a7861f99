package sqltext

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Splitter splits SQL text into statements as the sqlite3 shell does: at semicolons
// that are not in quotes, in a comment or in the body of a trigger.
type Splitter struct {
	Begin int64 // line on which the last statement begins, counted from 1

	r    *bufio.Reader
	line int64 // of the next byte
	text []byte
}

// MaxStatement is the maximum length of a statement, in bytes.
const MaxStatement = 128 << 20

var (
	// ErrTooLong is returned by [Splitter.Next] for a statement longer than
	// MaxStatement bytes.
	ErrTooLong = errors.New("the statement is too long")
	// ErrUnended is returned by [Splitter.Next] if the text ends inside a quoted text,
	// a comment or a trigger.
	ErrUnended = errors.New("the text ends in the middle of a quoted text, a comment or a trigger")
)

// NewSplitter returns a Splitter for the text read from r.
func NewSplitter(r io.Reader) *Splitter {
	return &Splitter{r: bufio.NewReaderSize(r, 256<<10), line: 1}
}

// Next returns the next statement, without the comments before it, and io.EOF after
// the last. ended reports whether a semicolon follows. The text is valid until the
// next call.
func (s *Splitter) Next() (text []byte, ended bool, err error) {
	for {
		ended, err = s.cut()
		blank := len(s.text) - len(SkipBlank(s.text))
		s.Begin += int64(bytes.Count(s.text[:blank], []byte{'\n'}))
		if err != nil {
			return nil, false, err
		}
		if text = s.text[blank:]; len(text) > 0 && text[0] != ';' {
			return text, ended, nil
		}
		if !ended {
			return nil, false, io.EOF
		}
	}
}

// cut reads up to the next semicolon that ends a statement.
func (s *Splitter) cut() (ended bool, err error) {
	s.text, s.Begin = s.text[:0], s.line
	var lexer lexer
	var body triggerBody
	for {
		piece, err := s.r.ReadSlice(';')
		s.line += int64(bytes.Count(piece, []byte{'\n'}))
		s.text = append(s.text, piece...)
		if len(s.text) > MaxStatement {
			return false, ErrTooLong
		}
		lexer.scan(s.text)
		switch {
		case err == nil && lexer.plain() && !body.open(s.text):
			return true, nil
		case err == io.EOF && lexer.state == inLineComment, err == io.EOF && lexer.plain() && !body.open(s.text):
			return false, nil
		case err == io.EOF:
			return false, ErrUnended
		case err != nil && err != bufio.ErrBufferFull:
			return false, err
		}
	}
}

// lexer tracks whether the end of a text is inside something in which a semicolon has
// no meaning. Unlike [Next], it resumes where it stopped when text is added, so that a
// long statement is scanned only once.
type lexer struct {
	state byte // 0, the byte that ends a quoted text or name, or one of the constants below
	at    int  // bytes scanned so far
}

const (
	inLineComment  = '\n'
	inBlockComment = '*'
)

func (l *lexer) plain() bool { return l.state == 0 }

// scan scans the text that has been added. A last byte that may be the first half of a
// token is left for the next call.
func (l *lexer) scan(text []byte) {
	for l.at < len(text) {
		rest := text[l.at:]
		switch l.state {
		case 0:
			step := 0
			for step < len(rest) && !opens[rest[step]] {
				step++
			}
			if step == len(rest) {
				l.at = len(text)
				return
			}
			l.at += step
			if rest = rest[step:]; len(rest) == 1 && (rest[0] == '-' || rest[0] == '/') {
				return
			}
			l.open(rest)
		case inBlockComment:
			end := bytes.Index(rest, []byte("*/"))
			if end < 0 {
				l.at = len(text) - 1
				return
			}
			l.at, l.state = l.at+end+2, 0
		default:
			end := bytes.IndexByte(rest, l.state)
			if end < 0 {
				l.at = len(text)
				return
			}
			l.at, l.state = l.at+end+1, 0
		}
	}
}

// opens are the bytes that may start something in which a semicolon has no meaning.
var opens = [256]bool{'\'': true, '"': true, '`': true, '[': true, '-': true, '/': true}

// open enters whatever starts at the beginning of the text, if anything does.
func (l *lexer) open(text []byte) {
	l.at++
	switch c := text[0]; {
	case c == '[':
		l.state = ']'
	case c != '-' && c != '/':
		l.state = c
	case c == '-' && text[1] == '-':
		l.state = inLineComment
	case c == '/' && text[1] == '*':
		l.state = inBlockComment
		l.at++
	}
}

// triggerBody tracks whether the current statement defines a trigger, whose body has
// semicolons of its own. This is decided once, at the first semicolon: looking at the
// start of a long text for each semicolon would take quadratic time.
type triggerBody struct{ decided, trigger bool }

// open reports whether the text, which grows from call to call, is an unfinished
// trigger definition.
func (b *triggerBody) open(text []byte) bool {
	if !b.decided {
		b.decided, b.trigger = true, definesTrigger(text)
	}
	return b.trigger && !endsTrigger(text)
}

func definesTrigger(text []byte) bool {
	if text = SkipBlank(text); len(text) == 0 || text[0]|0x20 != 'c' {
		return false // splitting words is slow, and most statements are inserts
	}
	first := FirstWords(text, 3)
	return first[0] == "CREATE" && (first[1] == "TRIGGER" || strings.HasPrefix(first[1], "TEMP") && first[2] == "TRIGGER")
}

// endsTrigger reports whether the text ends with "; END;", with any blanks in between.
func endsTrigger(text []byte) bool {
	rest, ok := bytes.CutSuffix(text, []byte(";"))
	if !ok {
		return false
	}
	rest = trimBlanksRight(rest)
	if len(rest) < len("END") || !Same(string(rest[len(rest)-len("END"):]), "END") {
		return false
	}
	return bytes.HasSuffix(trimBlanksRight(rest[:len(rest)-len("END")]), []byte(";"))
}

func trimBlanksRight(text []byte) []byte { return bytes.TrimRight(text, " \t\n\f\r") }
