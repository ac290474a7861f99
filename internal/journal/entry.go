package journal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/sqltext"
)

// Entry is what the journal is told about a call that is over. It holds nothing of the
// body or the answer except the SQL of a query, whose literals are removed before it is
// stored.
type Entry struct {
	ProjectID ids.Project
	TokenID   ids.Token // 0 for none
	TokenName string
	User      string // who made the call with a session; "" for none
	Source    string // such as "api"

	RequestID string
	Began     time.Time
	Method    string
	Route     string // the id of the route
	Stream    bool   // the answer lasts as long as the client likes
	Table     string
	TableID   ids.Table // that Table stood for, of a call about its records; 0 if unknown
	Kind      string    // what Object is the id of
	Object    string
	Created   bool // the call created Object

	Status int
	Code   string   // of the error
	Fields []string // at fault

	Operation *Operation // nil if the call was not grouped

	Took, Waited, Worked, Sending time.Duration
	BytesIn, BytesOut             int64
	RowsRead, RowsChanged         int64

	Address     netip.Addr
	UserAgent   string
	TraceParent string
	Statement   string
	Parameters  string

	retryOf string
}

// How much of what a client sends is kept of each text, in bytes.
const (
	maxText      = 256
	maxStatement = 8 << 10
	maxFields    = 20
)

// Privacy says how much is kept of ids of records and of addresses of clients.
type Privacy struct {
	IDs       string // "full", "hash" or "none"; "" means "full"
	Addresses string // "full", "truncated" or "none"; "" means "full"
}

// clip bounds the texts of an entry that waits to be stored.
func (e *Entry) clip() {
	for _, text := range []*string{&e.TokenName, &e.User, &e.Table, &e.Object, &e.UserAgent, &e.Parameters, &e.RequestID} {
		*text = clipped(*text, maxText)
	}
	e.Statement = clipped(e.Statement, maxStatement)
	e.Fields = e.Fields[:min(len(e.Fields), maxFields)]
}

// clipped returns at most max bytes of a text, and does not keep the rest alive.
func clipped(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return strings.Clone(text[:max])
}

// sanitize brings an entry into the form in which it is stored.
func (j *Journal) sanitize(e *Entry) {
	for _, text := range []*string{&e.Table, &e.Object, &e.UserAgent, &e.Parameters, &e.TokenName, &e.User} {
		*text = printable(*text)
	}
	e.Statement = withoutLiterals(e.Statement, e.Code == "")
	if !isTraceParent(e.TraceParent) {
		e.TraceParent = ""
	}
	if e.Kind == "record" {
		e.Object = j.recordID(e)
	}
}

// recordID returns as much of the id of a record as may be kept.
func (j *Journal) recordID(e *Entry) string {
	switch j.options.Privacy.IDs {
	case "none":
		return ""
	case "hash":
		mac := hmac.New(sha256.New, j.secret)
		mac.Write([]byte(e.Table + "\x00" + e.Object))
		return "#" + hex.EncodeToString(mac.Sum(nil)[:8])
	}
	return e.Object
}

// address returns as much of the address of a client as may be kept.
func (j *Journal) address(a netip.Addr) string {
	a = a.Unmap()
	switch {
	case !a.IsValid() || j.options.Privacy.Addresses == "none":
		return ""
	case j.options.Privacy.Addresses == "truncated":
		bits := 24
		if a.Is6() {
			bits = 48
		}
		network, err := a.WithZone("").Prefix(bits)
		if err != nil {
			return ""
		}
		return network.String()
	}
	return a.String()
}

// secretPrefixes begin the secrets that this server issues. Whatever looks like one is
// masked, wherever a client has put it.
var secretPrefixes = []string{"pat_"}

// printable replaces what cannot be shown, and masks secrets.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, strings.ToValidUTF8(text, "�"))
	for _, prefix := range secretPrefixes {
		text = masked(text, prefix)
	}
	return text
}

// masked removes what follows each occurrence of a prefix of secrets.
func masked(text, prefix string) string {
	before, after, found := strings.Cut(text, prefix)
	if !found {
		return text
	}
	end := strings.IndexFunc(after, func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if end < 0 {
		return before + prefix + "…"
	}
	return before + prefix + "…" + masked(after[end:], prefix)
}

// withoutLiterals replaces the literals of SQL with question marks and removes its
// comments. Names in quotes are only known to be names if the statement has run: many
// clients write texts like that.
func withoutLiterals(sql string, ran bool) string {
	var b strings.Builder
	for len(sql) > 0 {
		kind, size := sqltext.Next(sql)
		switch kind {
		case sqltext.String, sqltext.Blob, sqltext.Number, sqltext.Illegal:
			b.WriteByte('?')
		case sqltext.Quoted:
			if ran {
				b.WriteString(sql[:size])
			} else {
				b.WriteByte('?')
			}
		case sqltext.Space, sqltext.Comment:
			b.WriteByte(' ')
		default:
			b.WriteString(sql[:size])
		}
		sql = sql[size:]
	}
	return printable(strings.TrimSpace(b.String()))
}

// isTraceParent reports whether a text is a traceparent of W3C Trace Context, version
// 00.
func isTraceParent(text string) bool {
	if len(text) != 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return false
	}
	for i := range len(text) {
		if i == 2 || i == 35 || i == 52 {
			continue
		}
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
