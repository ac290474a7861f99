package sqltext

import (
	"bufio"
	"bytes"
	"errors"
	"io"
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
// the last, which need not end with a semicolon. The text is valid until the next call.
func (s *Splitter) Next() ([]byte, error) {
	for {
		err := s.cut()
		text := SkipBlank(s.text)
		s.Begin += int64(bytes.Count(s.text[:len(s.text)-len(text)], []byte{'\n'}))
		switch {
		case err == io.EOF && len(text) > 0:
			return text, nil
		case err != nil:
			return nil, err
		case text[0] != ';':
			return text, nil
		}
	}
}

// cut reads up to the next semicolon that ends a statement. It returns io.EOF at the
// end of the text.
func (s *Splitter) cut() error {
	s.text, s.Begin = s.text[:0], s.line
	var lexer lexer
	for {
		piece, err := s.r.ReadSlice(';')
		s.line += int64(bytes.Count(piece, []byte{'\n'}))
		s.text = append(s.text, piece...)
		if len(s.text) > MaxStatement {
			return ErrTooLong
		}
		lexer.scan(s.text, err == io.EOF)
		switch {
		case err == nil && lexer.state == 0 && lexer.place == atStart:
			return nil
		case err == io.EOF && (lexer.state != 0 && lexer.state != inLineComment || lexer.place >= inTrigger):
			return ErrUnended
		case err != nil && err != bufio.ErrBufferFull:
			return err
		}
	}
}

// lexer tracks whether the end of a text is inside something in which a semicolon does
// not end the statement. Unlike [Next], it resumes where it stopped when text is added,
// so that a long statement is scanned only once.
type lexer struct {
	state byte  // 0, the byte that ends a quoted text or name, or one of the constants below
	place place // in the statement
	at    int   // bytes scanned so far
}

const (
	inLineComment  = '\n'
	inBlockComment = '*'
)

// scan scans the text that has been added. What may be the first half of a token is left
// for the next call, unless the text is complete.
func (l *lexer) scan(text []byte, complete bool) {
	for l.at < len(text) {
		rest := text[l.at:]
		switch l.state {
		case 0:
			size := l.token(rest, complete)
			if size == 0 {
				return
			}
			l.at += size
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

// matters are the bytes that may start something in which a semicolon has no meaning,
// and the semicolon itself.
var matters = [256]bool{'\'': true, '"': true, '`': true, '[': true, '-': true, '/': true, ';': true}

// token scans the first token of the text, or only the start of a comment or of
// something in quotes. It returns the bytes scanned, or 0 if it needs more text.
func (l *lexer) token(text []byte, complete bool) int {
	const longest = len("\ufefftemporary")
	size := 1
	switch c := text[0]; {
	case matters[c]:
		return l.mark(text, complete)
	case l.place == inOther:
		for size < len(text) && !matters[text[size]] {
			size++
		}
	case isSpace(c):
	case isIDChar(c):
		if size = skip(text, 1, isIDChar); size == len(text) && size <= longest && !complete {
			return 0
		}
		if word := bytes.TrimPrefix(text[:size], []byte("\ufeff")); len(word) > 0 {
			l.place = l.place.after(string(word[:min(len(word), longest)]))
		}
	default:
		l.place = l.place.after("")
	}
	return size
}

// mark scans a token that starts with a byte that matters.
func (l *lexer) mark(text []byte, complete bool) int {
	c := text[0]
	switch {
	case (c == '-' || c == '/') && len(text) == 1 && !complete:
		return 0
	case c == '-' && at(text, 1) == '-':
		l.state = inLineComment
		return 2
	case c == '/' && at(text, 1) == '*':
		l.state = inBlockComment
		return 2
	case c == '[':
		l.state = ']'
	case c == '\'', c == '"', c == '`':
		l.state = c
	}
	l.place = l.place.after(string(c))
	return 1
}

// place is how far the definition of a trigger, which ends with "; END;", has been
// scanned.
type place byte

const (
	atStart place = iota
	inOther       // a statement that the next semicolon ends
	afterExplain
	afterCreate
	inTrigger
	afterSemicolon // in a trigger
	afterEnd       // after a semicolon in a trigger
)

// after returns the place after a token that is neither white space nor a comment. The
// rules are those of sqlite3_complete.
func (p place) after(token string) place {
	semicolon, word := token == ";", Token{Text: token}
	switch {
	case semicolon && (p < inTrigger || p == afterEnd):
		return atStart
	case semicolon:
		return afterSemicolon
	case p == inOther:
		return inOther
	case p == afterSemicolon && word.Is("END"):
		return afterEnd
	case p >= inTrigger:
		return inTrigger
	case p == atStart && word.Is("EXPLAIN"):
		return afterExplain
	case p <= afterExplain && word.Is("CREATE"):
		return afterCreate
	case p == afterExplain && !word.Is("EXPLAIN", "TEMP", "TEMPORARY", "TRIGGER", "END"):
		return afterExplain
	case p == afterCreate && word.Is("TEMP", "TEMPORARY"):
		return afterCreate
	case p == afterCreate && word.Is("TRIGGER"):
		return inTrigger
	}
	return inOther
}
