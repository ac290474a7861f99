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

// An answer is rows in any number of pieces and an end, or a failure. Each
// message begins with one of these.
const (
	isReady   = 'r' // the file is open; it comes first and unasked
	isRows    = 'd' // the number of columns, and rows as sqlite.Batch writes them
	isEnd     = 'e' // the number of columns, and 1 if there may be more rows
	isFailure = 'f' // a sqlite.Failure as JSON
)

// Bounds of messages.
const (
	maxPiece   = 1 << 20 // bytes of rows that are sent together, but for a longer row
	maxRow     = 36 << 20
	maxColumns = 32767 // SQLite's own bound
	maxFailure = 8 << 10
)

// errProtocol is the fault of a worker that does not behave as one.
var errProtocol = errors.New("the worker does not keep to the protocol")

// appendHead appends what a message with rows or the end of an answer begins
// with.
func appendHead(dst []byte, kind byte, columns int) []byte {
	return binary.AppendUvarint(append(dst, kind), uint64(columns))
}

// cutHead reads what follows the kind of such a message.
func cutHead(p []byte) (columns int, rest []byte, err error) {
	n, size := binary.Uvarint(p)
	if size <= 0 || n > maxColumns {
		return 0, nil, errProtocol
	}
	return int(n), p[size:], nil
}

// parseFailure reads what follows the kind of a failure.
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
