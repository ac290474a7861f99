package rest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/ids"
	"github.com/zangtable/zangtable/internal/problem"
)

const (
	// KeyHeader is the header that makes a call safe to repeat.
	KeyHeader = "Idempotency-Key"

	// ReplayedHeader marks an answer that is replayed.
	ReplayedHeader = "Idempotent-Replayed"

	maxKey       = 255      // characters of a key
	maxSmallBody = 64 << 10 // bytes; see [Keyed.SmallBody]
)

// keyUse is how a route treats the header Idempotency-Key.
type keyUse int

const (
	keyIgnored   keyUse = iota // the call changes nothing, or its method is not POST
	keyRefused                 // the answer contains secrets
	keyByRoute                 // the answer is kept by the function named by the route
	keyByHandler               // the handler keeps what it needs
)

func (u keyUse) taken() bool { return u > keyRefused }

// RefuseKey is for routes whose answers contain secrets and are never kept.
func RefuseKey(ep *Endpoint) { ep.keyUse = keyRefused }

// KeyForHandler passes the key to the handler, in the [Call] of its input: the handler
// itself finds out whether the call was made before.
func KeyForHandler(ep *Endpoint) { ep.keyUse = keyByHandler }

// Once makes a route keep its answers with keep. keep runs do, for a caller whose
// changes are part of one transaction, and stores what do returns in the same
// transaction; or, if the call was made before, it returns what was stored then. A key
// used for another request is [ErrOtherRequest].
func Once[C Caller](keep func(ctx context.Context, who C, key *Keyed, do func(C) ([]byte, error)) (answer []byte, replayed bool, err error)) Option {
	return func(ep *Endpoint) {
		ep.keyUse = keyByRoute
		ep.keep = func(ctx context.Context, who Caller, key *Keyed, do func(Caller) ([]byte, error)) ([]byte, bool, error) {
			return keep(ctx, who.(C), key, func(inside C) ([]byte, error) { return do(inside) })
		}
	}
}

// RightsBefore sets a check of rights that access cannot express, such as those for one
// table. It runs before the key of a call is looked up: a caller without the rights
// gets no answer of an earlier call, and learns nothing about its key.
func RightsBefore[C Caller, In any](check func(context.Context, C, *In) error) Option {
	return func(ep *Endpoint) {
		ep.mayCall = func(ctx context.Context, who Caller, in any) error { return check(ctx, who.(C), in.(*In)) }
	}
}

// Narrowing sets a function that removes from a replayed answer what the caller may no
// longer see.
func Narrowing[C Caller, In any](narrow func(context.Context, C, *In, jsontext.Value) (jsontext.Value, error)) Option {
	return func(ep *Endpoint) {
		ep.narrowed = func(ctx context.Context, who Caller, in any, data jsontext.Value) (jsontext.Value, error) {
			return narrow(ctx, who.(C), in.(*In), data)
		}
	}
}

// ErrOtherRequest is returned for a key that was used for another request.
var ErrOtherRequest = problem.Invalid(KeyHeader, "Already used for a different request.")

// Keyed identifies a call with an Idempotency-Key.
type Keyed struct {
	Key       string
	SmallBody bool // the call is cheap enough to share a transaction with others

	request hash.Hash // of method, target and body
}

// Add makes texts part of the request that are not in its target or body.
func (k *Keyed) Add(texts ...string) {
	for _, text := range texts {
		k.request.Write([]byte(strconv.Quote(text)))
	}
}

// Request returns the SHA-256 of the whole request. It is complete once the body has
// been read.
func (k *Keyed) Request() (sum [sha256.Size]byte) {
	k.request.Sum(sum[:0])
	return sum
}

// Call is what a handler may know about its call besides the input. The machinery fills
// a field of this type.
type Call struct {
	RequestID string
	Operation *Operation // nil if the call was not grouped
	Target    string     // the path and the query, as sent
	Key       *Keyed     // nil without an Idempotency-Key, or if the route is not [KeyForHandler]
}

// RunID returns the run id of the operation that the call belongs to, or nil.
func (c Call) RunID() *string {
	if c.Operation == nil {
		return nil
	}
	return &c.Operation.RunID
}

// readKey reads the key of a call on a route that supports it.
func (c *call) readKey(faults *problem.Faults) {
	keys := c.r.Header.Values(KeyHeader)
	switch {
	case len(keys) == 0, c.ep.keyUse == keyIgnored:
	case c.ep.keyUse == keyRefused:
		faults.Add(KeyHeader, "Not supported here: an answer that may contain secrets is never stored.")
	case len(keys) > 1:
		faults.Add(KeyHeader, "Sent %d times: send it once.", len(keys))
	case !isKey(keys[0]):
		faults.WrongType(KeyHeader, fmt.Sprintf("1 to %d printable ASCII characters", maxKey))
	default:
		small := c.bodyCoding() == "" && 0 <= c.r.ContentLength && c.r.ContentLength <= maxSmallBody
		c.keyed = &Keyed{keys[0], small, sha256.New()}
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

// once makes the call. A repeated call with a key gets its first answer again.
func (c *call) once(who Caller, in any, do func(context.Context, Caller) (output, error)) (output, error) {
	ctx := c.WithOrigin(c.WithRoom(c.r.Context(), c.ensureRoom), who, c.id, c.operation)
	if c.keyed == nil {
		return do(ctx, who)
	}
	if c.ep.mayCall != nil {
		if err := c.ep.mayCall(ctx, who, in); err != nil {
			return nil, err
		}
	}
	projectID, tokenID := who.Identity()
	leave, ok := c.underway.enter(callKey{projectID, tokenID, c.keyed.Key})
	if !ok {
		return nil, problem.New(problem.CodeConflict, "A call with this %s is still running.", KeyHeader).
			With(KeyHeader, "Used by a call that is still running.").Retry(time.Second)
	}
	defer leave()
	if c.ep.keyUse == keyByHandler {
		return do(ctx, who)
	}
	return c.kept(ctx, who, in, do)
}

// keptAnswer is the stored form of an answer.
type keptAnswer[Data any] struct {
	Status int  `json:"status"`
	Data   Data `json:"data"`
}

// kept makes the call and keeps its answer, or returns the kept one.
func (c *call) kept(ctx context.Context, who Caller, in any, do func(context.Context, Caller) (output, error)) (output, error) {
	var header map[string]string // of a first answer; it is not kept
	text, replayed, err := c.ep.keep(ctx, who, c.keyed, func(who Caller) ([]byte, error) {
		out, err := do(ctx, who)
		if err != nil {
			return nil, err
		}
		header = out.(answered).head().Header
		return c.marshalKept(c.ep.keptAnswer(out))
	})
	if err != nil {
		return nil, err
	}
	var kept keptAnswer[jsontext.Value]
	if err := json.Unmarshal(text, &kept, answerOptions); err != nil {
		return nil, fmt.Errorf("decode a kept answer: %w", err)
	}
	if replayed && c.ep.narrowed != nil {
		if kept.Data, err = c.ep.narrowed(ctx, who, in, kept.Data); err != nil {
			return nil, err
		}
	}
	if replayed {
		header = nil
	}
	return Answer[jsontext.Value]{kept.Data, Head{Status: kept.Status, Replayed: replayed, Header: header}}, nil
}

// callKey identifies a call with a key: each token has its own keys in each project.
type callKey struct {
	projectID ids.Project
	tokenID   ids.Token
	key       string
}

// underway holds the calls with keys that are running.
type underway struct {
	mu    sync.Mutex
	calls map[callKey]bool
}

// enter begins a call, unless the same call is already running.
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
		Name: KeyHeader, In: "header",
		Description: "Makes the call safe to repeat: for 24 hours, a call by the same token with the same key and body changes nothing and gets the first answer again. A call that fails does not use up its key.",
		Schema:      &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: "^[ -~]+$"},
	}
}

// replayedParameter describes the header of the answer.
func replayedParameter() *huma.Param {
	return &huma.Param{Description: "Sent when the answer is the one to an earlier call with the same " + KeyHeader + ".", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"true"}}}
}
