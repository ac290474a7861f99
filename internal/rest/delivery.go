package rest

import (
	"io"
	"net/http"
	"time"
)

// pieceBytes is how much a client must receive within one AnswerTimeout.
const pieceBytes = 64 << 10

// delivery is an answer on its way to the client. A client that receives too slowly is
// disconnected: each piece has a deadline of its own, so that a large answer may take
// long but cannot stall. Then everything that the answer holds is released: memory,
// files, a snapshot.
type delivery struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	due     time.Time // deadline of the current piece
	status  int       // 0 until it is sent
	sent    int64     // bytes of the body

	beforeHeader func(status int) // called once the status is known; nil for nothing
}

// deliver wraps w with deadlines. Writes that bypass it have none.
func deliver(w http.ResponseWriter, timeout time.Duration) *delivery {
	return &delivery{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

// Unwrap lets http.ResponseController find the connection.
func (d *delivery) Unwrap() http.ResponseWriter { return d.ResponseWriter }

// extend extends the deadline. Small pieces share a deadline, because setting one has a
// cost.
func (d *delivery) extend(pieces int) {
	now := time.Now() // a socket's deadline is in real time
	due := now.Add(d.timeout * time.Duration(pieces))
	if due.Sub(d.due) > d.timeout/8 {
		d.due = due
		_ = d.control.SetWriteDeadline(due) // without a socket nobody is slow
	}
}

// WriteHeader also sets a deadline, for answers without a body.
func (d *delivery) WriteHeader(status int) {
	if d.beforeHeader != nil {
		d.beforeHeader(status)
	}
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
		d.sent += int64(n)
		if p = p[n:]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// filePieces is how many pieces of a file the operating system sends at once. The
// required rate is the same.
const filePieces = 4

// ReadFrom sends the content of r, in pieces that the operating system may copy from a
// file to the socket.
func (d *delivery) ReadFrom(r io.Reader) (written int64, err error) {
	rest := int64(1<<63 - 1)
	if limited, ok := r.(*io.LimitedReader); ok {
		// The system copies a file only if it is directly below a single LimitedReader.
		r, rest = limited.R, limited.N
		defer func() { limited.N -= written }()
	}
	for rest > 0 {
		d.extend(filePieces)
		n, err := io.Copy(d.ResponseWriter, &io.LimitedReader{R: r, N: min(rest, filePieces*pieceBytes)})
		written += n
		d.sent += n
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

// Deliver is for answers outside the API: it makes them give up on clients that send or
// receive too slowly.
func Deliver(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	d := deliver(w, standardTimeout)
	if r.ContentLength != 0 {
		// The server reads an unread body to its end before the next request.
		_ = d.control.SetReadDeadline(time.Now().Add(standardTimeout))
	}
	return d
}
