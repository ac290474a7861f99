package format

import (
	"bytes"
	"io"
)

// quoted finds the end of the field whose opening quote is at i. It returns the field
// and the position of the delimiter, line end or end of file after it.
func (r *CSVReader) quoted(i int) (span, int, error) {
	s := span{begin: i + 1, quoted: true}
	j, found := r.closing(&s, i)
	if !found {
		if r.lenient && r.err == io.EOF && r.isLiteral(i) {
			s, next := r.literal(i)
			return s, next, nil
		}
		return s, 0, r.unclosed(i)
	}
	s.end = j
	next, ok := r.closed(s.end + 1)
	if ok {
		r.proper = true
		return s, next, nil
	}
	if r.lenient {
		s, next = r.bend(s, i)
		return s, next, nil
	}
	return s, 0, r.fail(s.end+1, "text follows the closing quote of a field; a quote inside quotes must be doubled")
}

// closing returns the position of the first quote after the opening one at i that is
// neither doubled nor escaped.
func (r *CSVReader) closing(s *span, i int) (j int, found bool) {
	b := r.buf[r.start:r.end]
	for j = s.begin; ; j += 2 {
		for {
			if j < len(b) {
				if k := r.special(b[j:]); k >= 0 {
					j += k
					break
				}
				j = len(b)
			}
			if !r.more(i) {
				return 0, false
			}
			b = r.buf[r.start:r.end]
		}
		if j+1 == len(b) && r.more(i) {
			b = r.buf[r.start:r.end]
		}
		if b[j] == r.quote && (j+1 == len(b) || b[j+1] != r.quote) {
			return j, true
		}
		s.doubled = true
		if j+1 >= len(b) { // an escape at the end of the file
			return 0, false
		}
	}
}

// special returns the index of the first quote or escape, or -1.
func (r *CSVReader) special(b []byte) int {
	if r.escape == 0 {
		return bytes.IndexByte(b, r.quote)
	}
	return bytes.IndexAny(b, string([]byte{r.quote, r.escape}))
}

// closed checks what follows a closing quote, at i, and skips the CR of a CRLF. Blanks
// are skipped if the quotes may break the rules.
func (r *CSVReader) closed(i int) (next int, ok bool) {
	b := r.buf[r.start:r.end]
	if r.lenient && i < len(b) && b[i] == ' ' {
		i = r.pastBlanks(i)
		b = r.buf[r.start:r.end]
	}
	if i == len(b) || b[i] == r.lineByte || b[i] == r.delimiter && (r.rest == "" || r.delimits(i)) {
		return i, true
	}
	if b[i] != '\r' || r.lineByte != '\n' {
		return 0, false
	}
	if r.mixed {
		return i, true
	}
	for {
		if i++; i == len(b) && r.more(i) {
			b = r.buf[r.start:r.end]
		}
		if i == len(b) || b[i] == '\n' {
			return i, true
		}
		if !r.lenient || b[i] != '\r' {
			return i, false
		}
	}
}

// delimits reports whether the whole delimiter is at offset i, where its first byte is.
func (r *CSVReader) delimits(i int) bool {
	for r.end-r.start < i+1+len(r.rest) && r.more(i) {
	}
	return bytes.HasPrefix(r.buf[r.start+i+1:r.end], []byte(r.rest))
}

// pastBlanks returns the offset of the first byte from i on that is no blank.
func (r *CSVReader) pastBlanks(i int) int {
	for {
		for r.start+i < r.end && r.buf[r.start+i] == ' ' {
			i++
		}
		if r.start+i < r.end || !r.more(i) {
			return i
		}
	}
}

// bend reads a field whose quotes break the rules: s starts at the quote at i and ends
// at one that text follows. If another quote on the same line closes the field, those in
// between belong to it; otherwise the opening quote does, too, and the field is plain.
func (r *CSVReader) bend(s span, i int) (span, int) {
	if bytes.IndexByte(r.buf[r.start+s.begin:r.start+s.end], r.lineByte) < 0 && (r.barren == 0 || s.end < r.barren) {
		if end, next, found := r.closingOnLine(s.end + 1); found {
			r.countIrregular()
			s.end, s.doubled = end, false
			return s, next
		}
		r.barren = s.end
	}
	return r.literal(i)
}

// closingOnLine looks for a quote from i to the end of the line that closes a field.
func (r *CSVReader) closingOnLine(i int) (end, next int, found bool) {
	for {
		b := r.buf[r.start:r.end]
		for ; i < len(b); i++ {
			if b[i] == r.lineByte || r.mixed && b[i] == '\r' {
				return 0, 0, false
			}
			if b[i] != r.quote {
				continue
			}
			if next, ok := r.closed(i + 1); ok {
				return i, next, true
			}
			b = r.buf[r.start:r.end]
		}
		if !r.more(i) {
			return 0, 0, false
		}
	}
}

// literal reads the field at i, which starts with a quote, as plain text.
func (r *CSVReader) literal(i int) (span, int) {
	r.countIrregular()
	end := r.plainEnd(i, i)
	return span{begin: i, end: end}, end
}

// plainEnd returns the end of the plain field that starts at begin, looking from i on.
func (r *CSVReader) plainEnd(i, begin int) int {
	for {
		b := r.buf[r.start:r.end]
		for i < len(b) && !r.stop[b[i]] {
			i++
		}
		switch {
		case i == len(b):
			if !r.more(begin) {
				return i
			}
		case r.rest == "" || b[i] != r.delimiter || r.delimits(i):
			return i
		default: // the start of a delimiter of several bytes, alone
			i++
		}
	}
}

func (r *CSVReader) countIrregular() {
	if r.irregular == 0 {
		r.irregularLine = r.line
	}
	r.irregular++
}

// isLiteral reports whether a quote at i that is never closed is text rather than the
// sign of a file that was cut off: no other field has been in quotes, and either quotes
// are rare in such files or rows follow.
func (r *CSVReader) isLiteral(i int) bool {
	const rows = 3
	return !r.sample && !r.proper && (r.delimiter == '\t' || bytes.Count(r.buf[r.start+i:r.end], []byte{r.lineByte}) >= rows)
}

// unescape removes the escapes before quotes and themselves, and undoubles quotes, in
// place. Other escapes stay.
func unescape(b []byte, quote, escape byte) []byte {
	w := 0
	for i := 0; i < len(b); i++ {
		if i+1 < len(b) && (b[i] == escape && (b[i+1] == quote || b[i+1] == escape) || b[i] == quote && b[i+1] == quote) {
			i++
		}
		b[w] = b[i]
		w++
	}
	return b[:w]
}

// undoubleAny is undouble for a field that may have no doubled quote.
func undoubleAny(b []byte, quote byte) []byte {
	if bytes.IndexByte(b, quote) < 0 {
		return b
	}
	return undouble(b, quote)
}
