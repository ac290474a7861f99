package format

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand"
	"os/exec"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
	"github.com/zangtable/zangtable/internal/testkit"
)

func compress(t testing.TB, name string, pieces ...[]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewCompressor(name, &file)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("%d bytes written, %v", n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestToolsReadCompressedFiles(t *testing.T) {
	noise := make([]byte, 3<<20)
	rand.New(rand.NewSource(1)).Read(noise)
	for _, name := range CompressionNames() {
		tool := testkit.Tool(t, name)
		for _, pieces := range [][][]byte{nil, {[]byte("one line\n")}, {noise, bytes.Repeat([]byte("a line again and again\n"), 1<<17), noise[:7]}} {
			cmd := exec.Command(tool, "-dc")
			cmd.Stdin = bytes.NewReader(compress(t, name, pieces...))
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if want := bytes.Join(pieces, nil); !bytes.Equal(out, want) {
				t.Errorf("%s: %d bytes came back, want %d", name, len(out), len(want))
			}
		}
	}
}

func TestCompressionIsDeterministic(t *testing.T) {
	_, rows := sampleBatch()
	piece := encode(NewCSV(make([]Column, rows.Columns), DefaultDialect()), rows, rows, rows)
	for _, name := range CompressionNames() {
		whole := compress(t, name, piece)
		if again := compress(t, name, piece); !bytes.Equal(whole, again) {
			t.Errorf("%s: two files of the same bytes differ", name)
		}
		if len(whole) > len(piece)/2 {
			t.Errorf("%s: %d bytes became %d", name, len(piece), len(whole))
		}
	}
}

func TestGzipHasOneMemberAndNoTime(t *testing.T) {
	r, err := gzip.NewReader(bytes.NewReader(compress(t, "gzip", []byte("x"))))
	if err != nil {
		t.Fatal(err)
	}
	r.Multistream(false)
	if data, err := io.ReadAll(r); string(data) != "x" || err != nil || !r.ModTime.IsZero() || r.Name != "" {
		t.Errorf("read %q (%v), header %+v", data, err, r.Header)
	}
}

func TestCompressorFaults(t *testing.T) {
	var fault *problem.Error
	if _, err := NewCompressor("lzma", io.Discard); !errors.As(err, &fault) || fault.Details[0].Field != "compression" {
		t.Errorf("got %v", err)
	}
	full := errors.New("disk full")
	for _, name := range CompressionNames() {
		w, err := NewCompressor(name, failingWriter{full})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(make([]byte, 8<<20))
		if closed := w.Close(); !errors.Is(err, full) && !errors.Is(closed, full) {
			t.Errorf("%s: %v, then %v; want the error of the underlying writer", name, err, closed)
		}
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }
