package format

import (
	"io"

	"github.com/zangtable/zangtable/internal/sqlite"
)

// TableWriter writes the rows of one table as one file, or as the part of a
// file that an Encoder's bytes are. One that is given up need not be closed and
// leaves nothing behind.
type TableWriter interface {
	// Rows writes the rows of b.
	Rows(b *sqlite.Batch) error
	// Close writes what stands after the last row. It does not close the
	// underlying writer.
	Close() error
}

// NewTableWriter returns a TableWriter that writes to w what e appends.
func NewTableWriter(w io.Writer, e Encoder) TableWriter {
	return &encoderWriter{w: w, encoder: e}
}

type encoderWriter struct {
	w       io.Writer
	encoder Encoder
	begun   bool // the head is written or in the buffer
	some    bool // a row was written
	buffer  []byte
}

func (t *encoderWriter) Rows(b *sqlite.Batch) error {
	t.begin()
	t.buffer = t.encoder.Rows(t.buffer, b, !t.some)
	t.some = t.some || b.Rows > 0
	return t.flush()
}

func (t *encoderWriter) Close() error {
	t.begin()
	t.buffer = t.encoder.Tail(t.buffer, t.some)
	return t.flush()
}

func (t *encoderWriter) begin() {
	if !t.begun {
		t.buffer = t.encoder.Head(t.buffer)
		t.begun = true
	}
}

func (t *encoderWriter) flush() error {
	_, err := t.w.Write(t.buffer)
	t.buffer = t.buffer[:0]
	return err
}
