package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// request is a request to the worker. Texts are sent as bytes, since names in a file
// need not be UTF-8.
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

// The operations. All but the last get an answer.
const (
	opPrepare = "prepare"
	opFetch   = "fetch"
	opClose   = "close"
)

// An answer consists of any number of pieces with rows and an end, or of a failure. Each
// message starts with one of these bytes.
const (
	isReady   = 'r' // the file is open; sent first, without a request
	isRows    = 'd' // the number of columns, then rows in the encoding of sqlite.Batch
	isEnd     = 'e' // the number of columns, and 1 if there may be more rows
	isFailure = 'f' // a sqlite.Failure as JSON
)

// Limits on messages.
const (
	maxPiece   = 1 << 20 // bytes of rows sent in one message, unless a single row is longer
	maxRow     = 36 << 20
	maxColumns = 32767 // SQLite's own limit
	maxFailure = 8 << 10
)

// errProtocol reports a worker that violates the protocol.
var errProtocol = errors.New("the worker does not keep to the protocol")

// appendHead appends the start of a message with rows or the end of an answer.
func appendHead(dst []byte, kind byte, columns int) []byte {
	return binary.AppendUvarint(append(dst, kind), uint64(columns))
}

// cutHead parses what follows the first byte of such a message.
func cutHead(p []byte) (columns int, rest []byte, err error) {
	n, size := binary.Uvarint(p)
	if size <= 0 || n > maxColumns {
		return 0, nil, errProtocol
	}
	return int(n), p[size:], nil
}

// parseFailure parses what follows the first byte of a failure.
func parseFailure(p []byte) (*sqlite.Failure, error) {
	failure := &sqlite.Failure{}
	if len(p) > maxFailure {
		return nil, errProtocol
	}
	if err := json.Unmarshal(p, failure); err != nil {
		return nil, errors.Join(errProtocol, err)
	}
	return failure, nil
}
