package rest

import (
	"io"
	"net/http"
	"time"
)

// pieceBytes is what a client must take within one AnswerTimeout.
const pieceBytes = 64 << 10

// delivery is an answer on its way to the client. A client that takes it too
// slowly is left: each piece has a deadline of its own, so that a large answer may
// take long but none can stall. What an answer holds, memory, files or a
// snapshot, is given back then.
type delivery struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	due     time.Time // of the piece under way
	status  int       // 0 until it is sent
}

// deliver returns w with deadlines. Answers that are written past it have none.
func deliver(w http.ResponseWriter, timeout time.Duration) *delivery {
	return &delivery{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

// Unwrap lets http.ResponseController find the connection.
func (d *delivery) Unwrap() http.ResponseWriter { return d.ResponseWriter }

// extend moves the deadline on. Small pieces share one, because to set it costs
// something too.
func (d *delivery) extend(pieces int) {
	now := time.Now() // a socket's deadline is in real time
	due := now.Add(d.timeout * time.Duration(pieces))
	if due.Sub(d.due) > d.timeout/8 {
		d.due = due
		_ = d.control.SetWriteDeadline(due) // without a socket nobody is slow
	}
}

// WriteHeader also gives answers without a body their deadline.
func (d *delivery) WriteHeader(status int) {
	d.extend(1)
	d.status = status
	d.ResponseWriter.WriteHeader(status)
}

// Write sends p in pieces.
func (d *delivery) Write(p []byte) (written int, err error) {
	for {
		piece := p[:min(len(p), pieceBytes)]
		d.extend(1)
		n, err := d.ResponseWriter.Write(piece)
		written += n
		if p = p[n:]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// filePieces is how many pieces of a file are sent at once, by the operating
// system. The rate that is asked for is the same.
const filePieces = 4

// ReadFrom sends what r has, in pieces that the operating system may copy from a
// file to the socket.
func (d *delivery) ReadFrom(r io.Reader) (written int64, err error) {
	rest := int64(1<<63 - 1)
	if limited, ok := r.(*io.LimitedReader); ok {
		// Only a file directly below one limit is copied by the system.
		r, rest = limited.R, limited.N
		defer func() { limited.N -= written }()
	}
	for rest > 0 {
		d.extend(filePieces)
		n, err := io.Copy(d.ResponseWriter, &io.LimitedReader{R: r, N: min(rest, filePieces*pieceBytes)})
		written += n
		rest -= n
		if err != nil || n < filePieces*pieceBytes {
			return written, err
		}
	}
	return written, nil
}

// FlushError sends buffered data.
func (d *delivery) FlushError() error {
	d.extend(1)
	return d.control.Flush()
}

// Deliver is for answers beside the API: it makes them give up on clients that
// send or take too slowly.
func Deliver(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	d := deliver(w, standardTimeout)
	if r.ContentLength != 0 {
		// The server reads a body that nobody asked for before the next request.
		_ = d.control.SetReadDeadline(time.Now().Add(standardTimeout))
	}
	return d
}
