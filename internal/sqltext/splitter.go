package sqltext

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Splitter cuts SQL text into statements as the sqlite3 shell does: at semicolons
// that stand in nothing quoted, in no comment and not in the body of a trigger.
type Splitter struct {
	Begin int64 // line in which the last statement begins, counted from 1

	r    *bufio.Reader
	line int64 // of the next byte
	text []byte
}

// MaxStatement bounds a statement, in bytes.
const MaxStatement = 128 << 20

var (
	// ErrTooLong is returned by [Splitter.Next] for a statement of more than
	// MaxStatement bytes.
	ErrTooLong = errors.New("the statement is too long")
	// ErrUnended is returned by [Splitter.Next] when the text ends in the middle of
	// something.
	ErrUnended = errors.New("the text ends in the middle of a quoted text, a comment or a trigger")
)

// NewSplitter returns a Splitter of the text that r reads.
func NewSplitter(r io.Reader) *Splitter {
	return &Splitter{r: bufio.NewReaderSize(r, 256<<10), line: 1}
}

// Next returns the next statement, without the comments before it, and io.EOF
// after the last. ended says that a semicolon follows. The text is valid until
// the next call.
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

// cut reads everything up to the next semicolon that ends a statement.
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

// lexer knows whether the end of a text is inside something in which a semicolon
// means nothing. Unlike [Next] it goes on where it has stopped when text is added,
// so that a long statement is looked at only once.
type lexer struct {
	state byte // 0, the byte that ends a quoted text or name, or one of the following
	at    int  // bytes that have been looked at
}

const (
	inLineComment  = '\n'
	inBlockComment = '*'
)

func (l *lexer) plain() bool { return l.state == 0 }

// scan looks at what has been added to the text. A last byte that may be the
// first half of a mark is left for the next time.
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

// opens has the bytes with which something may begin in which a semicolon means
// nothing.
var opens = [256]bool{'\'': true, '"': true, '`': true, '[': true, '-': true, '/': true}

// open enters what begins with the text, if anything does.
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

// triggerBody knows whether the statement that is being cut defines a trigger,
// whose body has semicolons of its own. The first semicolon decides it once: to
// look at the beginning of a long text for each of them takes quadratic time.
type triggerBody struct{ decided, trigger bool }

// open reports whether the text, which grows from call to call, is a trigger's
// definition without its end.
func (b *triggerBody) open(text []byte) bool {
	if !b.decided {
		b.decided, b.trigger = true, definesTrigger(text)
	}
	return b.trigger && !endsTrigger(text)
}

func definesTrigger(text []byte) bool {
	if text = SkipBlank(text); len(text) == 0 || text[0]|0x20 != 'c' {
		return false // words are slow, and most statements insert
	}
	first := FirstWords(text, 3)
	return first[0] == "CREATE" && (first[1] == "TRIGGER" || strings.HasPrefix(first[1], "TEMP") && first[2] == "TRIGGER")
}

// endsTrigger reports whether the text ends with "; END;", with any blanks
// between.
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
