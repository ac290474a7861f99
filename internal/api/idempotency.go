package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/projectdb"
)

const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotent-Replayed"
	maxKey         = 255      // characters of a key
	smallBody      = 64 << 10 // bytes of a body that may share a transaction with others
)

// keyUse is what a route makes of the header Idempotency-Key.
type keyUse int

const (
	keyIgnored keyUse = iota // the call changes nothing, or is no POST
	keyRefused               // the answer has secrets
	keyRows                  // kept in the project's database, with rows
	keySchema                // with a change of the schema
	keyColumns               // with a change that may rebuild a table
	keyExport                // kept in exports.db
	keyImport                // kept in imports.db
)

func (u keyUse) taken() bool { return u > keyRefused }

// once says what a route makes of the header Idempotency-Key.
func once(use keyUse) option {
	return func(ep *endpoint) { ep.keyUse = use }
}

// rightsBefore sets a check of the rights that access cannot tell, such as those
// over one table. It runs before the key of a call is looked at: who may not make
// the call gets no answer of an earlier one, and learns nothing of its key.
func rightsBefore[In any](check func(context.Context, *Workspace, *In) error) option {
	return func(ep *endpoint) {
		ep.mayCall = func(ctx context.Context, ws *Workspace, in any) error { return check(ctx, ws, in.(*In)) }
	}
}

// narrowing sets what leaves out of an answer that is given again what the token
// may not see any more.
func narrowing[In any](narrow func(context.Context, *Workspace, *In, jsontext.Value) (jsontext.Value, error)) option {
	return func(ep *endpoint) {
		ep.narrowed = func(ctx context.Context, ws *Workspace, in any, data jsontext.Value) (jsontext.Value, error) {
			return narrow(ctx, ws, in.(*In), data)
		}
	}
}

// keyed is what tells one call with a key from others.
type keyed struct {
	key     string
	request hash.Hash // of method, target and body
}

// readKey takes the key of a call on a route that heeds it.
func (c *call) readKey(faults *problem.Faults) {
	keys := c.r.Header.Values(keyHeader)
	switch {
	case len(keys) == 0, c.ep.keyUse == keyIgnored:
	case c.ep.keyUse == keyRefused:
		faults.Add(keyHeader, "Not taken here: an answer that may hold secrets is never stored.")
	case len(keys) > 1:
		faults.Add(keyHeader, "Sent %d times.", len(keys))
	case !isKey(keys[0]):
		faults.WrongType(keyHeader, fmt.Sprintf("1 to %d printable ASCII characters", maxKey))
	default:
		c.keyed = &keyed{keys[0], sha256.New()}
		fmt.Fprintf(c.keyed.request, "%s %s\n", c.r.Method, c.r.URL.RequestURI())
	}
}

func isKey(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return 0 < len(text) && len(text) <= maxKey
}

// receipt is complete when the body has been read.
func (c *call) receipt(ws *Workspace) projectdb.Receipt {
	r := projectdb.Receipt{TokenID: ws.Token.ID, Key: c.keyed.key, Kind: projectdb.SchemaTransaction}
	c.keyed.request.Sum(r.Request[:0])
	switch {
	case c.ep.keyUse == keyColumns:
		r.Kind = projectdb.RebuildTransaction
	case c.ep.keyUse == keyRows && 0 <= c.r.ContentLength && c.r.ContentLength <= smallBody:
		r.Kind = projectdb.SharedTransaction
	case c.ep.keyUse == keyRows:
		r.Kind = projectdb.OwnTransaction
	}
	return r
}

// once makes the call, unless it has a key and was made before: then the answer
// is that of the first time.
func (c *call) once(ws *Workspace, in any, do func(context.Context) (any, error)) (any, error) {
	ctx := projectdb.WithRoom(c.r.Context(), c.ensureRoom)
	if c.keyed == nil {
		return do(ctx)
	}
	if c.ep.mayCall != nil {
		if err := c.ep.mayCall(ctx, ws, in); err != nil {
			return nil, err
		}
	}
	leave, ok := c.underway.enter(callKey{ws.Project.ID, ws.Token.ID, c.keyed.key})
	if !ok {
		return nil, problem.New(problem.CodeConflict, "A call with this %s is still running.", keyHeader).
			With(keyHeader, "In use by a call that is still running.").Retry(time.Second)
	}
	defer leave()
	receipt := c.receipt(ws)
	var out any
	var err error
	switch c.ep.keyUse {
	case keyImport:
		out, err = do(context.WithValue(ctx, keyedKey{}, c.keyed))
	case keyExport:
		out, err = do(context.WithValue(ctx, receiptKey{}, &receipt))
	default:
		out, err = c.onceInProject(ctx, ws, receipt, in, do)
	}
	if errors.Is(err, projectdb.ErrOtherRequest) {
		err = problem.Invalid(keyHeader, "Used before for another request.")
	}
	return out, err
}

// keptAnswer is an answer as a receipt holds it.
type keptAnswer[Data any] struct {
	Status int  `json:"status"`
	Data   Data `json:"data"`
}

// onceInProject keeps the answer in the project's database.
func (c *call) onceInProject(ctx context.Context, ws *Workspace, receipt projectdb.Receipt, in any, do func(context.Context) (any, error)) (any, error) {
	text, replayed, err := ws.DB.Once(ctx, receipt, func(ctx context.Context) ([]byte, error) {
		out, err := do(ctx)
		if err != nil {
			return nil, err
		}
		a := c.ep.answerOf(out)
		return c.marshalKept(keptAnswer[any]{a.Status, a.Data})
	})
	if err != nil {
		return nil, err
	}
	var kept keptAnswer[jsontext.Value]
	if err := json.Unmarshal(text, &kept, answerOptions); err != nil {
		return nil, fmt.Errorf("decode a kept answer: %w", err)
	}
	if replayed && c.ep.narrowed != nil {
		if kept.Data, err = c.ep.narrowed(ctx, ws, in, kept.Data); err != nil {
			return nil, err
		}
	}
	return Answer[jsontext.Value]{Data: kept.Data, Status: kept.Status, Replayed: replayed}, nil
}

// keyedKey is where a context holds the key of a call that sends a file, of
// which the receipt is not known before.
type keyedKey struct{}

// receiptKey is where a context holds the receipt of the order of an export.
type receiptKey struct{}

// receiptOf returns the receipt of a call that orders an export, or nil.
func receiptOf(ctx context.Context) *projectdb.Receipt {
	receipt, _ := ctx.Value(receiptKey{}).(*projectdb.Receipt)
	return receipt
}

// ordering is an input of a route that orders an export.
type ordering interface{ prefers() string }

// orderOnce recalls the export that was ordered by the same call before, and
// waits for it as that call did, or makes the order.
func orderOnce[In ordering](h *handlers, order handler[In, Answer[exportMade]]) handler[In, Answer[exportMade]] {
	return func(ctx context.Context, ws *Workspace, in *In, faults *problem.Faults) (Answer[exportMade], error) {
		receipt := receiptOf(ctx)
		if receipt == nil {
			return order(ctx, ws, in, faults)
		}
		m, ordered, err := h.exports.Recall(ctx, ws.Project.ID, *receipt)
		if err != nil {
			return Answer[exportMade]{}, err
		}
		if !ordered {
			return order(ctx, ws, in, faults)
		}
		out, err := h.await(ctx, ws, m, (*in).prefers())
		out.Replayed = true
		return out, err
	}
}

// callKey tells calls with keys apart: a token has its own in each project.
type callKey struct {
	projectID, tokenID int64
	key                string
}

// underway is the calls with keys that are running.
type underway struct {
	mu    sync.Mutex
	calls map[callKey]bool
}

// enter begins a call, unless the same is running already.
func (u *underway) enter(k callKey) (leave func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.calls[k] {
		return nil, false
	}
	if u.calls == nil {
		u.calls = map[callKey]bool{}
	}
	u.calls[k] = true
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.calls, k)
	}, true
}

// keyParameter describes the header of the request.
func keyParameter() *huma.Param {
	least, most := 1, maxKey
	return &huma.Param{
		Name: keyHeader, In: "header",
		Description: "Makes the call safe to repeat: for 24 hours a call of the same token with the same key and body changes nothing and gets the first answer again. A call that fails keeps no key.",
		Schema:      &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: "^[ -~]+$"},
	}
}

// replayedParameter describes the header of the answer.
func replayedParameter() *huma.Param {
	return &huma.Param{Description: "Sent when the answer is that of an earlier call with the same " + keyHeader + ".", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"true"}}}
}
