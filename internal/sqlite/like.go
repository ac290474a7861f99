package sqlite

import (
	"bytes"
	"fmt"
	"math/bits"
	"unicode/utf8"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
	zs "zombiezen.com/go/sqlite"
)

// LikeFunction is the name of a function that every connection has: text_like(text,
// pattern) returns exactly what text LIKE pattern does. SQLite's own LIKE takes time
// proportional to the product of both lengths and never checks for an interrupt; this
// one is linear, except for patterns with _ between other characters, and stops when
// the connection is interrupted.
const LikeFunction = "text_like"

// The names of functions that every connection has and that compare exactly:
// text_contains(text, part) and so on take any text as the part, including % and _.
// Like LikeFunction they treat numbers as text, match no BLOB, return NULL for NULL,
// take linear time and can be interrupted.
const (
	ContainsFunction   = "text_contains"
	StartsWithFunction = "text_starts_with"
	EndsWithFunction   = "text_ends_with"
)

// GoesOnFunction is the name of a function without arguments that every connection
// has: goes_on() returns 1, and stops the statement if the connection is interrupted.
// SQLite itself checks for interrupts between rows, but not between the conditions on
// one row, although each may load a value of many megabytes.
const GoesOnFunction = "goes_on"

// functionMethod is a scalar function with the library's calling convention.
type functionMethod = func(thread *libc.TLS, context uintptr, n int32, args uintptr)

// addFunctions defines the functions on a connection. The driver's CreateFunction
// would copy each value.
func (c *Conn) addFunctions() error {
	thread, db, err := handles(c.c)
	if err != nil {
		return err
	}
	for name, parse := range map[string]func([]byte) *pattern{
		LikeFunction: parsePattern, ContainsFunction: parseContained, StartsWithFunction: parsePrefix, EndsWithFunction: parseSuffix,
		FoldedEqualsFunction: parseFolded(parseEqual), FoldedContainsFunction: parseFolded(parseContained),
		FoldedStartsWithFunction: parseFolded(parsePrefix), FoldedEndsWithFunction: parseFolded(parseSuffix),
	} {
		// The library refers to a matcher only by its address; c keeps it alive.
		m := &matcher{thread: thread, db: db, patterns: patterns{parse: parse}}
		c.matchers = append(c.matchers, m)
		if err := m.define(name, 2, lib.SQLITE_DETERMINISTIC, textMatches); err != nil {
			return err
		}
	}
	return c.matchers[0].define(GoesOnFunction, 0, 0, goesOn)
}

func (m *matcher) define(name string, arguments, flags int32, f functionMethod) error {
	text, err := libc.CString(name)
	if err != nil {
		return err
	}
	defer libc.Xfree(m.thread, text)
	flags |= lib.SQLITE_UTF8 | lib.SQLITE_DIRECTONLY
	code := lib.Xsqlite3_create_function_v2(m.thread, m.db, text, arguments, flags, uintptr(unsafe.Pointer(m)), functionAddress(f), 0, 0, 0)
	if code != lib.SQLITE_OK {
		return fmt.Errorf("define %s: %w", name, zs.ResultCode(code).ToError())
	}
	return nil
}

// goesOn implements GoesOnFunction.
func goesOn(thread *libc.TLS, context uintptr, _ int32, _ uintptr) {
	m := view[matcher](lib.Xsqlite3_user_data(thread, context))
	if lib.Xsqlite3_is_interrupted(thread, m.db) != 0 {
		lib.Xsqlite3_result_error_code(thread, context, lib.SQLITE_INTERRUPT)
		return
	}
	lib.Xsqlite3_result_int(thread, context, 1)
}

// textMatches implements LikeFunction and the exact functions: the matcher knows how
// to parse the pattern. As with LIKE, a BLOB matches nothing and is matched by
// nothing, and NULL gives NULL.
func textMatches(thread *libc.TLS, context uintptr, _ int32, args uintptr) {
	values := unsafe.Slice(view[uintptr](args), 2)
	text, kind := textOf(thread, values[0])
	source, sourceKind := textOf(thread, values[1])
	switch {
	case kind == lib.SQLITE_BLOB || sourceKind == lib.SQLITE_BLOB:
		lib.Xsqlite3_result_int(thread, context, 0)
		return
	case kind == lib.SQLITE_NULL || sourceKind == lib.SQLITE_NULL:
		return
	}
	m := view[matcher](lib.Xsqlite3_user_data(thread, context))
	matched := m.like(text, m.patterns.of(source))
	switch {
	case m.stopped:
		lib.Xsqlite3_result_error_code(thread, context, lib.SQLITE_INTERRUPT)
	case matched:
		lib.Xsqlite3_result_int(thread, context, 1)
	default:
		lib.Xsqlite3_result_int(thread, context, 0)
	}
}

// textOf returns a value as text, without copying if it already is text, and its type.
func textOf(thread *libc.TLS, value uintptr) (text []byte, kind int32) {
	kind = lib.Xsqlite3_value_type(thread, value)
	var address uintptr
	switch kind {
	case lib.SQLITE_NULL, lib.SQLITE_BLOB:
		return nil, kind
	case lib.SQLITE_TEXT: // asking for it as text would copy it to append a NUL
		address = lib.Xsqlite3_value_blob(thread, value)
	default:
		address = lib.Xsqlite3_value_text(thread, value)
	}
	if address == 0 {
		return nil, kind
	}
	return unsafe.Slice(view[byte](address), lib.Xsqlite3_value_bytes(thread, value)), kind
}

// pattern is a parsed LIKE pattern, or a text to be compared exactly.
type pattern struct {
	source []byte
	exact  bool // no character of source is special
	folds  bool // texts are folded before they are compared: see AppendFolded
	ascii  bool
	valid  bool          // valid UTF-8
	every  bool          // every text matches, as with a pattern of % only
	parts  []patternPart // the pieces between one % and the next
}

// patternPart is a piece of a pattern without %.
type patternPart struct {
	skip    int    // number of leading _
	literal []byte // the rest, as converted by fold
	hasAny  bool   // there are more _ in it
	fold    *[256]byte
}

func parsePattern(source []byte) *pattern {
	p := &pattern{source: bytes.Clone(beforeNUL(source)), ascii: true}
	for _, c := range p.source {
		p.ascii = p.ascii && c < utf8.RuneSelf
	}
	p.valid = utf8.Valid(p.source)
	p.every = len(p.source) > 0 && len(bytes.Trim(p.source, "%")) == 0
	for _, text := range bytes.Split(p.source, []byte("%")) {
		literal := bytes.TrimLeft(text, "_")
		part := patternPart{skip: len(text) - len(literal), literal: bytes.Clone(literal), hasAny: bytes.IndexByte(literal, '_') >= 0, fold: &folded}
		for i, c := range part.literal {
			part.literal[i] = folded[c]
		}
		p.parts = append(p.parts, part)
	}
	return p
}

// parseContained, parsePrefix and parseSuffix return the pattern of a text to be found
// anywhere, at the start or at the end, as %text%, text% and %text would if % and _
// were ordinary characters.
func parseContained(source []byte) *pattern { return parseExact(source, 1, 3) }
func parsePrefix(source []byte) *pattern    { return parseExact(source, 0, 2) }
func parseSuffix(source []byte) *pattern    { return parseExact(source, 1, 2) }

// parseExact returns a pattern of n parts, with the text as the part at the given
// index.
func parseExact(source []byte, at, n int) *pattern {
	p := &pattern{source: bytes.Clone(source), exact: true, every: len(source) == 0, parts: make([]patternPart, n)}
	for i := range p.parts {
		p.parts[i].fold = &unchanged
	}
	p.parts[at].literal = p.source
	return p
}

// patterns caches the patterns that a connection has recently used.
type patterns struct {
	parse      func(source []byte) *pattern
	last       *pattern
	lastSource []byte
	known      map[string]*pattern
	size       int // bytes of the cached patterns
}

// maxPatternsSize bounds the size of the patterns that a connection caches.
const maxPatternsSize = 1 << 20

func (k *patterns) of(source []byte) *pattern {
	if k.last != nil && bytes.Equal(k.lastSource, source) {
		return k.last
	}
	p := k.known[string(source)]
	if p == nil {
		p = k.parse(source)
		const overhead = 200
		if k.size += len(source) + overhead; k.known == nil || k.size > maxPatternsSize {
			k.known, k.size = map[string]*pattern{}, len(source)+overhead
		}
		k.known[string(source)] = p
	}
	k.last, k.lastSource = p, append(k.lastSource[:0], source...)
	return p
}

// matcher matches texts with patterns on behalf of one connection. Without a
// connection, nothing interrupts it.
type matcher struct {
	thread   *libc.TLS
	db       uintptr
	patterns patterns
	spent    int    // comparisons so far, one or two nanoseconds each
	look     int    // the number of comparisons at which to check for an interrupt again
	stopped  bool   // by an interrupt: the result is meaningless
	window   []byte // of folded text; see likeFolded
}

// stepsBetweenLooks is how many comparisons are made between two checks for an
// interrupt.
const stepsBetweenLooks = 1 << 16

// spend counts comparisons and reports whether to continue.
func (m *matcher) spend(steps int) bool {
	if m.spent += steps; m.spent >= m.look {
		m.look = m.spent + stepsBetweenLooks
		m.stopped = m.db != 0 && lib.Xsqlite3_is_interrupted(m.thread, m.db) != 0
	}
	return !m.stopped
}

// like reports whether text matches the pattern. As in SQLite's LIKE, both end at a
// NUL character, ASCII letters match in either case, _ is one character and % any
// number of them, unless the pattern is exact.
func (m *matcher) like(text []byte, p *pattern) bool {
	m.stopped = false
	if p.every {
		return true
	}
	if p.folds {
		return m.likeFolded(text, p)
	}
	if !p.exact {
		text = beforeNUL(text)
	}
	// SQLite itself may compare a row with thousands of patterns without checking for
	// an interrupt.
	if !m.spend(1 + len(text)/16) {
		return false
	}
	// Comparing bytes gives the same result as comparing the characters that SQLite
	// decodes, unless malformed sequences stand for characters of the pattern.
	if !p.exact && !p.ascii && !(p.valid && utf8.Valid(text)) {
		return m.likeDecoded(text, p.source)
	}
	last := len(p.parts) - 1
	at := m.matchAt(text, 0, &p.parts[0])
	if at < 0 || last == 0 {
		return at == len(text)
	}
	// Each part but the last is best matched as early as possible.
	for i := 1; i < last; i++ {
		if at = m.find(text, at, &p.parts[i]); at < 0 {
			return false
		}
	}
	return m.matchEnd(text[at:], &p.parts[last])
}

func beforeNUL(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// folded maps ASCII capitals to lower case and every other byte to itself.
var folded = func() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			table[i] += 'a' - 'A'
		}
	}
	return table
}()

// unchanged maps every byte to itself.
var unchanged = func() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
	}
	return table
}()

// nextCharacter returns the end of the character at i. As SQLite sees it, a leading
// byte includes all continuation bytes after it, and a lone continuation byte is a
// character.
func nextCharacter(text []byte, i int) int {
	lead := text[i] >= 0xc0
	for i++; lead && i < len(text) && text[i]&0xc0 == 0x80; i++ {
	}
	return i
}

// skipCharacters returns the end of n characters starting at i, or -1 if there are
// fewer.
func (m *matcher) skipCharacters(text []byte, i, n int) int {
	for ; n > 0; n-- {
		if i >= len(text) {
			return -1
		}
		i = nextCharacter(text, i)
	}
	return i
}

// matchAt matches a part with the text at i. It returns the end of the match, or -1.
func (m *matcher) matchAt(text []byte, i int, part *patternPart) int {
	if i = m.skipCharacters(text, i, part.skip); i < 0 {
		return -1
	}
	return m.matchLiteral(text, i, part)
}

func (m *matcher) matchLiteral(text []byte, i int, part *patternPart) int {
	fold := part.fold
	for n, c := range part.literal {
		switch {
		case i < len(text) && fold[text[i]] == c:
			i++
		case i < len(text) && c == '_' && part.hasAny:
			i = nextCharacter(text, i)
		default:
			m.spend(n + 1)
			return -1
		}
	}
	m.spend(len(part.literal))
	return i
}

// matchEnd reports whether the text ends with the part that follows the last %.
func (m *matcher) matchEnd(text []byte, part *patternPart) bool {
	if part.skip == 0 && !part.hasAny {
		at := len(text) - len(part.literal)
		return at >= 0 && m.matchLiteral(text, at, part) == len(text)
	}
	surplus := characters(text) - characters(part.literal) - part.skip
	if surplus < 0 || !m.spend(len(text)) {
		return false
	}
	return m.matchAt(text, m.skipCharacters(text, 0, surplus), part) == len(text)
}

func characters(text []byte) (n int) {
	for i := 0; i < len(text); n++ {
		i = nextCharacter(text, i)
	}
	return n
}

// find returns the end of the first match of a part at or after i, or -1.
func (m *matcher) find(text []byte, i int, part *patternPart) int {
	if i = m.skipCharacters(text, i, part.skip); i < 0 || len(part.literal) == 0 {
		return i
	}
	begin, spent := i, m.spent
	for {
		skipped := part.indexFirst(text[i:])
		if skipped < 0 || !m.spend(1) {
			return -1
		}
		i += skipped
		if end := m.matchLiteral(text, i, part); end >= 0 {
			return end
		}
		i++
		// Comparing at each position takes the product of both lengths in the worst
		// case.
		if m.spent-spent > 8*(i-begin+len(part.literal)) && !part.hasAny {
			return m.findLinear(text, i, part)
		}
	}
}

// indexFirst returns the first position of the byte that the literal starts with.
func (part *patternPart) indexFirst(text []byte) int {
	c := part.literal[0]
	if part.fold == &unchanged || c < 'a' || 'z' < c {
		return bytes.IndexByte(text, c)
	}
	for i, t := range text {
		if t|('a'-'A') == c {
			return i
		}
	}
	return -1
}

// findLinear is find for a literal without _, using the Knuth-Morris-Pratt algorithm:
// it never goes back in the text.
func (m *matcher) findLinear(text []byte, i int, part *patternPart) int {
	literal := part.literal
	// borders[n] is the length of the longest suffix of literal[:n+1] that is also a
	// proper prefix of the literal.
	borders := make([]int32, len(literal))
	grow := func(matched int32, c byte) int32 {
		for matched > 0 && literal[matched] != c {
			matched = borders[matched-1]
		}
		if literal[matched] == c {
			matched++
		}
		return matched
	}
	for n := 1; n < len(literal); n++ {
		borders[n] = grow(borders[n-1], literal[n])
	}
	for matched := int32(0); i < len(text); i++ {
		if i&0xfff == 0 && !m.spend(0x1000) {
			return -1
		}
		if matched = grow(matched, part.fold[text[i]]); int(matched) == len(literal) {
			return i + 1
		}
	}
	return -1
}

// likeDecoded is like on the characters that SQLite decodes, for malformed sequences.
// It may take the product of both lengths.
func (m *matcher) likeDecoded(text, source []byte) bool {
	i, p := 0, 0
	retry, retryPattern := 0, -1 // where to continue if the current attempt fails
	for i < len(text) {
		if !m.spend(1) {
			return false
		}
		c, next := decode(text, i)
		want, nextWant := uint32(0), p
		if p < len(source) {
			want, nextWant = decode(source, p)
		}
		switch {
		case want == '%':
			p = nextWant
			retry, retryPattern = i, p
		case want == '_' || want == c || want < utf8.RuneSelf && c < utf8.RuneSelf && want != 0 && folded[want] == folded[c]:
			i, p = next, nextWant
		case retryPattern >= 0:
			_, retry = decode(text, retry)
			i, p = retry, retryPattern
		default:
			return false
		}
	}
	return len(bytes.Trim(source[p:], "%")) == 0
}

// decode returns the character at i as SQLite reads it, and its end.
func decode(b []byte, i int) (c uint32, end int) {
	end = nextCharacter(b, i)
	lead := b[i]
	if lead < 0xc0 {
		return uint32(lead), end
	}
	// The bits that follow the leading ones and the zero of a leading byte.
	ones := bits.LeadingZeros8(^lead)
	c = uint32(lead) & (1<<max(7-ones, 0) - 1)
	for _, more := range b[i+1 : end] {
		c = c<<6 + uint32(more&0x3f)
	}
	if c < utf8.RuneSelf || c&0xfffff800 == 0xd800 {
		c = utf8.RuneError
	}
	return c, end
}
