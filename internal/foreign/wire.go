package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// request is what the worker is asked to do. Texts go as bytes, since names in a
// file need not be UTF-8.
type request struct {
	Op    string     `json:"op"`
	ID    int        `json:"id"` // of the statement
	SQL   []byte     `json:"sql,omitzero"`
	Args  []argument `json:"args,omitzero"`
	Rows  int        `json:"rows,omitzero"`
	Bytes int        `json:"bytes,omitzero"`
}

// argument is the value of a parameter.
type argument struct {
	Int  int64  `json:"int,omitzero"`
	Text []byte `json:"text,omitzero"` // nil for an integer
}

func argumentsOf(values []any) (list []argument, err error) {
	for _, v := range values {
		switch v := v.(type) {
		case int:
			list = append(list, argument{Int: int64(v)})
		case int64:
			list = append(list, argument{Int: v})
		case string:
			list = append(list, argument{Text: append([]byte{}, v...)})
		default:
			return nil, fmt.Errorf("a %T is no argument of a statement that a worker runs", v)
		}
	}
	return list, nil
}

func valuesOf(arguments []argument) (values []any) {
	for _, a := range arguments {
		if a.Text == nil {
			values = append(values, a.Int)
			continue
		}
		values = append(values, string(a.Text))
	}
	return values
}

// The operations. All but the last are answered.
const (
	opPrepare = "prepare"
	opFetch   = "fetch"
	opClose   = "close"
)

// An answer is a head, and after that of a batch the bytes of its arena in
// pieces. A head begins with one of these.
const (
	headReady  = 'r' // the file is open; it comes first and unasked
	headFailed = 'f' // a sqlite.Failure as JSON
	headBatch  = 'b' // see batchHead
)

// Bounds of what is believed of an answer.
const (
	maxPiece    = 4 << 20   // bytes of an arena that are sent together
	maxArena    = 128 << 20 // bytes of the texts and blobs of a batch
	maxColumns  = 32767     // SQLite's own bound
	maxFailure  = 8 << 10
	errProtocol = protocolError("the worker does not keep to the protocol")
)

type protocolError string

// Error says what is wrong.
func (e protocolError) Error() string { return string(e) }

// batchHead is what is told of a batch before its bytes come. The answer to
// opPrepare is a batch without rows.
type batchHead struct {
	more    bool
	rows    int
	columns int
	arena   int
	cells   []byte
}

// appendTo appends the head for a batch.
func (h batchHead) appendTo(dst []byte, b *sqlite.Batch) []byte {
	more := byte(0)
	if h.more {
		more = 1
	}
	dst = append(dst, headBatch, more)
	for _, n := range []int{b.Rows, b.Columns, b.Size()} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return b.AppendCells(dst)
}

// parseHead reads a head. The failure that it may tell of is not an error.
func parseHead(p []byte) (h batchHead, failure *sqlite.Failure, err error) {
	switch {
	case len(p) == 0:
		return h, nil, errProtocol
	case p[0] == headFailed:
		if len(p) > maxFailure {
			return h, nil, errProtocol
		}
		failure = &sqlite.Failure{}
		if err := json.Unmarshal(p[1:], failure); err != nil {
			return h, nil, errors.Join(errProtocol, err)
		}
		return h, failure, nil
	case p[0] != headBatch || len(p) < 2:
		return h, nil, errProtocol
	}
	h.more, p = p[1] == 1, p[2:]
	for _, field := range []struct {
		value *int
		max   uint64
	}{{&h.rows, maxArena}, {&h.columns, maxColumns}, {&h.arena, maxArena}} {
		n, size := binary.Uvarint(p)
		if size <= 0 || n > field.max {
			return h, nil, errProtocol
		}
		*field.value, p = int(n), p[size:]
	}
	h.cells = p
	return h, nil, nil
}
