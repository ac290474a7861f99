package imports

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/zangtable/zangtable/internal/problem"
)

// TestUploadInAnyParts sends a file in parts of any size that break off anywhere,
// arrive twice or at the wrong offset, with server restarts in between; any part may
// announce the total size. The stored bytes are always a prefix of the file.
func TestUploadInAnyParts(t *testing.T) {
	f := newFixture(t, t.TempDir())
	text := people(20)
	rapid.Check(t, func(rt *rapid.T) {
		size := int64(len(text))
		told := rapid.Bool().Draw(rt, "told")
		m, _, err := f.Begin(t.Context(), new(problem.Faults), request(func(o *Request) {
			if o.Resumable, o.Size = true, -1; told {
				o.Size = size
			}
		}))
		if err != nil {
			rt.Fatal(err)
		}
		have := 0
		for have < len(text) {
			at := have + rapid.SampledFrom([]int{0, 0, 0, 0, 1, -1}).Draw(rt, "shift")
			end := have + rapid.IntRange(0, len(text)-have).Draw(rt, "length")
			body := io.Reader(strings.NewReader(text[have:end]))
			breaks := rapid.Bool().Draw(rt, "breaks")
			if breaks {
				body = io.MultiReader(iotest.OneByteReader(body), iotest.ErrReader(errors.New("connection reset")))
			}
			right := at == have
			part := Part{Offset: int64(at), Body: body}
			if rapid.Bool().Draw(rt, "tells") {
				part.Size = &size
				told = told || right
			}
			_, _, err := f.Receive(t.Context(), shop.ID, m.ID, part)
			whole := right && end == len(text) && told // then it does not matter how the sender disconnects
			if (err == nil) != (right && !breaks || whole) {
				rt.Fatalf("a part at %d of %d, which breaks: %t, gives %v", at, have, breaks, err)
			}
			if right {
				have = end
			}
			if rapid.IntRange(0, 19).Draw(rt, "restart") == 0 {
				f.reopen()
			}
			got, err := f.Get(t.Context(), shop.ID, m.ID)
			if err != nil || got.ReceivedBytes != int64(have) {
				rt.Fatalf("%d bytes of %d, %v", got.ReceivedBytes, have, err)
			}
		}
		if !told {
			if got, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Offset: size, Body: strings.NewReader("")}); err != nil || got.Status != Uploading {
				rt.Fatalf("%s before the size is known, %v", got.Status, err)
			}
			if _, _, err := f.Receive(t.Context(), shop.ID, m.ID, Part{Offset: size, Body: strings.NewReader(""), Size: &size}); err != nil {
				rt.Fatal(err)
			}
		}
		r, err := f.jobs.Find(t.Context(), shop.ID, m.ID)
		if err != nil || r.manifest.Status != Pending {
			rt.Fatalf("%s, %v", r.manifest.Status, err)
		}
		if kept, err := os.ReadFile(f.dir.upload(r)); err != nil || string(kept) != text {
			rt.Fatalf("%d bytes of another file, %v", len(kept), err)
		}
		if err := f.Delete(t.Context(), shop.ID, m.ID); err != nil {
			rt.Fatal(err)
		}
	})
}
