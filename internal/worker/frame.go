package worker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// frameKind is the purpose of a frame.
type frameKind byte

const (
	frameHello  frameKind = 'h' // from the child: it is ready; a hello
	frameBind   frameKind = 'b' // to the child: what it may open from now on; a binding
	frameCall   frameKind = 'c' // to the child: a call
	frameCancel frameKind = 'x' // to the child: end the call in the header
	frameData   frameKind = 'd' // in either direction, during a call
	frameEnd    frameKind = 'e' // from the child: the call, or the binding, has ended; an end
)

// maxFrame bounds one frame, in bytes.
const maxFrame = 40 << 20

// headerSize is the size of the kind, the call number and the length.
const headerSize = 1 + 4 + 4

// frame is one message. call is the number of the call that it belongs to.
type frame struct {
	kind frameKind
	call uint32
	body []byte
}

func (f frame) appendHeader(dst []byte) []byte {
	dst = append(dst, byte(f.kind))
	dst = binary.LittleEndian.AppendUint32(dst, f.call)
	return binary.LittleEndian.AppendUint32(dst, uint32(len(f.body)))
}

// readFrame reads one frame. The body belongs to the caller.
func readFrame(r *bufio.Reader) (f frame, err error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return f, err
	}
	f.kind = frameKind(header[0])
	f.call = binary.LittleEndian.Uint32(header[1:])
	size := binary.LittleEndian.Uint32(header[5:])
	if size > maxFrame {
		return f, fmt.Errorf("a frame of %d bytes is too large", size)
	}
	f.body = make([]byte, size)
	_, err = io.ReadFull(r, f.body)
	return f, err
}

// frameWriter writes frames; it is safe for concurrent use.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer
	b  []byte
}

// maxTogether is the size up to which a frame is copied, so that it is written
// together with its header.
const maxTogether = 64 << 10

func (w *frameWriter) write(f frame) error {
	if len(f.body) > maxFrame {
		return fmt.Errorf("a frame of %d bytes is too large", len(f.body))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = f.appendHeader(w.b[:0])
	if len(f.body) <= maxTogether {
		w.b = append(w.b, f.body...)
		_, err := w.w.Write(w.b)
		return err
	}
	if _, err := w.w.Write(w.b); err != nil {
		return err
	}
	_, err := w.w.Write(f.body)
	return err
}
