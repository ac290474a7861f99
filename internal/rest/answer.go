package rest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/zangtable/zangtable/internal/problem"
)

const (
	// smallBytes is the size up to which a body or an answer needs no room from the
	// budget: a full budget stops only large ones.
	smallBytes = 64 << 10

	// streamBytes is how many bytes of rows make an answer large enough to be encoded
	// while it is sent. Encoded, the rows can take six times as much.
	streamBytes = 256 << 10

	// bodyCost is how many times the bytes of a body are held in memory while it is
	// processed: as received, as decoded, and as the stored rows of the answer.
	bodyCost = 3
)

// HasRows is the data of an answer that may hold many rows: RowsMemory returns how many
// bytes of memory they take.
type HasRows interface{ RowsMemory() int64 }

// Streamed is a part of an answer that can be encoded while it is sent.
type Streamed interface{ StreamTo(w io.Writer) error }

// rowsCost returns how much memory stored rows take while they are sent: half as much
// again is garbage that has not been collected yet.
func rowsCost(bytes int64) int64 { return bytes + bytes/2 }

// ensureRoom reserves memory for the given number of bytes of stored rows, in addition
// to that of the body.
func (c *call) ensureRoom(rows int64) error {
	if rows <= smallBytes {
		return nil
	}
	return c.part.Ensure((bodyCost-1)*c.bodyBytes + rowsCost(rows))
}

// roomForRows makes sure that there is room for rows that were read. For rows that were
// written, room was reserved before the commit.
func (c *call) roomForRows(out output) error {
	if a, ok := out.(answered); ok && c.ep.reads {
		if data, ok := a.data().(HasRows); ok {
			return c.ensureRoom(data.RowsMemory())
		}
	}
	return nil
}

// giveBackBody releases the room of the body: from here on only the rows of the answer
// are held.
func (c *call) giveBackBody(data any) {
	if rows, ok := data.(HasRows); ok {
		c.part.Shrink(rowsCost(rows.RowsMemory()))
	}
}

// write sends an answer. It is encoded before its first byte is sent, so that a failure
// to encode it becomes an error and never half an answer; only large parts, whose
// encoding cannot fail, are encoded while they are sent.
func (c *call) write(status int, env envelope, head Head) {
	env.RequestID = c.id
	env.Operation = c.operation
	env.Meta.GeneratedAt = c.Now().UTC().Format(time.RFC3339)
	text := c.newText()
	defer c.release(text)
	large, err := text.encode(&env)
	if err != nil {
		large = nil
		status = c.encodeFailure(text, env, err)
	} else {
		c.setHead(head)
	}
	header := c.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	size := text.Len()
	if len(large) > 0 {
		size = streamBytes // at least
	}
	coding := c.answerCoding(size)
	if coding != "" {
		header.Set("Content-Encoding", coding)
	} else if len(large) == 0 {
		header.Set("Content-Length", strconv.Itoa(text.Len()))
	}
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		c.streaming = true
		_ = c.sendPacked(coding, func(w io.Writer) error { return text.send(w, large) }) // the client has disconnected: there is nobody left to tell
	}
}

// encodeFailure replaces what was encoded with a problem, and returns its status.
func (c *call) encodeFailure(text *answerText, env envelope, err error) int {
	if text.full != nil {
		err = text.full
	}
	p := problem.From(err)
	c.problem = p
	if p.Code == problem.CodeInternal {
		c.Log.Error("encode answer", "request_id", c.id, "error", err)
	}
	c.setRetryAfter(p)
	text.Reset()
	text.full = nil
	env.OK, env.Data, env.Error = false, nil, faultOf(p)
	// Strings and booleans of our own can always be encoded.
	_ = json.MarshalWrite(&text.Buffer, &env)
	return p.Code.Status()
}

// answerText is an encoded answer without its large parts. Beyond smallBytes it
// reserves room as it grows.
type answerText struct {
	bytes.Buffer
	call   *call
	needed bool // for what has already happened: it is kept even without room
	cost   int  // how many times it is held in memory
	room   int  // bytes that may be written before reserving more
	full   error
}

func (c *call) newText() *answerText {
	text, ok := c.texts.Get().(*answerText)
	if !ok {
		text = new(answerText)
	}
	text.call, text.needed, text.cost, text.room, text.full = c, c.ep != nil && !c.ep.reads, 1, smallBytes, nil
	return text
}

// release keeps the text for reuse, unless a large answer made it too big to keep.
func (e *Edge) release(text *answerText) {
	if text.Cap() > 1<<20 {
		return
	}
	text.Reset()
	text.call = nil
	e.texts.Put(text)
}

// Write fails if there is no room.
func (t *answerText) Write(p []byte) (int, error) {
	if more := t.Len() + len(p) - t.room; more > 0 {
		step := max(more, t.room) // the buffer grows as fast
		switch part := &t.call.part; {
		case t.needed:
			part.Overdraw(int64(t.cost * step))
		default:
			if t.full = part.Take(int64(t.cost * step)); t.full != nil {
				return 0, t.full
			}
		}
		t.room += step
	}
	return t.Buffer.Write(p)
}

// keptCost is how many times an answer kept with its change is held in memory: as
// stored, as read again and as sent.
const keptCost = 3

// marshalKept returns the JSON of an answer that is kept with its change. It is encoded
// before the commit: if there is no room for the answer, the change is not made.
func (c *call) marshalKept(answer any) ([]byte, error) {
	text := &answerText{call: c, cost: keptCost, room: smallBytes}
	err := json.MarshalWrite(text, answer, answerOptions)
	if text.full != nil {
		err = text.full
	}
	return text.Bytes(), err
}

// largePart is a part of an answer that is written while the answer is sent.
type largePart struct {
	at, end int64 // where its placeholder is in the text
	write   func(io.Writer) error
}

// encode writes the answer and returns its large parts.
func (t *answerText) encode(env *envelope) (large []largePart, err error) {
	options := answerOptions
	if isLarge(env.Data) {
		options = json.JoinOptions(answerOptions, json.WithMarshalers(json.JoinMarshalers(
			json.MarshalToFunc(func(e *jsontext.Encoder, rows Streamed) error { return standIn(e, &large, rows.StreamTo) }),
			json.MarshalToFunc(func(e *jsontext.Encoder, kept jsontext.Value) error {
				return standIn(e, &large, func(w io.Writer) error {
					_, err := w.Write(kept)
					return err
				})
			}),
		)))
	}
	return large, json.MarshalWrite(t, env, options)
}

// isLarge reports whether parts of an answer are to be encoded while it is sent.
func isLarge(data any) bool {
	switch data := data.(type) {
	case HasRows:
		return data.RowsMemory() > streamBytes
	case jsontext.Value: // a kept answer
		return len(data) > streamBytes
	}
	return false
}

// standIn writes null in place of a large part and records its position.
func standIn(e *jsontext.Encoder, large *[]largePart, write func(io.Writer) error) error {
	if err := e.WriteToken(jsontext.Null); err != nil {
		return err
	}
	end := e.OutputOffset()
	*large = append(*large, largePart{end - int64(len("null")), end, write})
	return nil
}

// send writes the text with the large parts in place of their placeholders.
func (t *answerText) send(w io.Writer, large []largePart) error {
	text, at := t.Bytes(), int64(0)
	for _, part := range large {
		if _, err := w.Write(text[at:part.at]); err != nil {
			return err
		}
		if err := part.write(w); err != nil {
			return err
		}
		at = part.end
	}
	_, err := w.Write(text[at:])
	return err
}
