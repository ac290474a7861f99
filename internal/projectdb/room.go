package projectdb

import "context"

// roomKey is the context key of the function that is asked for room.
type roomKey struct{}

// WithRoom returns a context whose writes ask for memory for the rows that they
// return, in bytes, before they commit. A write without room for its rows is not made,
// so that its client can safely retry it. ask may be called more than once for the
// same rows.
func WithRoom(ctx context.Context, ask func(bytes int64) error) context.Context {
	return context.WithValue(ctx, roomKey{}, ask)
}

// roomOf returns the function to ask for room, or nil.
func roomOf(ctx context.Context) func(bytes int64) error {
	ask, _ := ctx.Value(roomKey{}).(func(int64) error)
	return ask
}

// Memory returns how much memory the rows use.
func (r Rows) Memory() int64 {
	var bytes int64
	for part := &r; part != nil; part = part.Next {
		if part.Batch != nil {
			bytes += part.Batch.Memory()
		}
		bytes += part.expandedBytes
	}
	return bytes
}
