package format

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zangtable/zangtable/internal/testkit"
	"pgregory.net/rapid"
)

// bytesOf returns n bytes that compress about as well as tables do. They depend only on
// the seed.
func bytesOf(n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	words := []string{"Ada,", "Lovelace,", "2026-06-02,", "London\n", "\"a,b\",", "0.1,", "\x00\xff"}
	b := make([]byte, 0, n+16)
	for len(b) < n {
		if random.IntN(4) == 0 {
			b = append(b, byte(random.Uint32()))
		}
		b = append(b, words[random.IntN(len(words))]...)
	}
	return b[:n]
}

func inflate(t testing.TB, b []byte) []byte {
	source := bytes.NewReader(b)
	out, err := io.ReadAll(flate.NewReader(source))
	if err != nil {
		t.Fatalf("compress/flate: %v", err)
	}
	if source.Len() > 0 {
		t.Fatalf("%d bytes follow the end of the stream", source.Len())
	}
	return out
}

func deflate(t testing.TB, d *deflater, data []byte, step int) []byte {
	var out bytes.Buffer
	d.reset(&out)
	for rest := data; len(rest) > 0; {
		n := min(step, len(rest))
		if written, err := d.Write(rest[:n]); err != nil || written != n {
			t.Fatalf("wrote %d of %d: %v", written, n, err)
		}
		rest = rest[n:]
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDeflaterIsReadByCompressFlate(t *testing.T) {
	one, many := newDeflater(1), newDeflater(4)
	all := bytesOf(4<<20, 1)
	for _, size := range []int{0, 1, 100, deflateWindow, deflateBlock - 1, deflateBlock, deflateBlock + 1, 2 * deflateBlock, 3*deflateBlock + deflateWindow, 5} {
		data := all[len(all)-size:]
		a := deflate(t, one, data, 10_000)
		if !bytes.Equal(inflate(t, a), data) {
			t.Errorf("%d bytes: the stream inflates to something else", size)
		}
		if b := deflate(t, many, data, 3<<20); !bytes.Equal(a, b) {
			t.Errorf("%d bytes: the stream depends on the workers or on how it was written", size)
		}
	}
}

// limitedWriter fails after some bytes.
type limitedWriter struct{ left int }

var errFull = errors.New("disk full")

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestDeflaterReportsWriteErrors(t *testing.T) {
	data := bytesOf(8<<20, 1)
	d := newDeflater(2)
	for _, left := range []int{0, 100_000, 2_000_000} {
		d.reset(&limitedWriter{left})
		_, err := d.Write(data)
		if closed := d.Close(); !errors.Is(closed, errFull) {
			t.Errorf("after %d bytes: write %v, close %v", left, err, closed)
		}
	}
	if got := inflate(t, deflate(t, d, data, 1<<20)); !bytes.Equal(got, data) {
		t.Error("after a failure the next stream is wrong")
	}
}

func TestZIP(t *testing.T) {
	members := map[string][]byte{
		"empty.csv": nil, "small.csv": []byte("a,b\n1,2\n"), "large.csv": bytesOf(5<<20+17, 2), "Zoë 漢字.csv": []byte("x\n"), "again.csv": bytesOf(2<<20, 3),
	}
	path := filepath.Join(t.TempDir(), "export.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	modified := time.Date(2026, 6, 2, 3, 4, 6, 0, time.FixedZone("", 7200))
	z := NewZIP(f)
	for name, data := range members {
		w, err := z.Create(name, modified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("archive/zip", func(t *testing.T) { readZIP(t, path, members, modified) })
	t.Run("unzip", func(t *testing.T) {
		if out, err := exec.Command(testkit.Tool(t, "unzip"), "-t", path).CombinedOutput(); err != nil {
			t.Errorf("unzip -t: %v: %s", err, out)
		}
	})
}

func readZIP(t *testing.T, path string, members map[string][]byte, modified time.Time) {
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.File) != len(members) {
		t.Errorf("%d members, want %d", len(r.File), len(members))
	}
	for _, f := range r.File {
		m, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(m)
		if err != nil || !bytes.Equal(data, members[f.Name]) {
			t.Errorf("%s: %d bytes (%v), want %d", f.Name, len(data), err, len(members[f.Name]))
		}
		if !f.Modified.Equal(modified) {
			t.Errorf("%s: modified %v, want %v", f.Name, f.Modified, modified)
		}
	}
}

func TestMemberName(t *testing.T) {
	taken := map[string]bool{}
	for _, c := range []struct{ table, want string }{
		{"contacts", "contacts.csv"},
		{"Contacts", "Contacts_2.csv"},
		{"CONTACTS", "CONTACTS_3.csv"},
		{"contacts_2", "contacts_2_2.csv"},
		{"a/b\\c:d", "a_b_c_d.csv"},
		{"../../etc/passwd", "_.._etc_passwd.csv"},
		{"..", "table.csv"},
		{"", "table_2.csv"},
		{" dots. ", "dots.csv"},
		{"nul", "_nul.csv"},
		{"Com1", "_Com1.csv"},
		{"lpt9.x", "_lpt9.x.csv"},
		{"com10", "com10.csv"},
		{"console", "console.csv"},
		{"line\nbreak\x00\xff", "line_break__.csv"},
		{"Zoë 漢字", "Zoë 漢字.csv"},
		{"Zoe\u0308 漢字", "Zoe\u0308 漢字_2.csv"},
	} {
		if got := MemberName(c.table, "csv", taken); got != c.want {
			t.Errorf("MemberName(%q) = %q, want %q", c.table, got, c.want)
		}
	}
}

func TestMemberNamesUnpack(t *testing.T) {
	unzip := testkit.Tool(t, "unzip")
	dir := t.TempDir()
	path := filepath.Join(dir, "names.zip")
	var file bytes.Buffer
	z, taken := NewZIP(&file), map[string]bool{}
	names := rapid.SliceOfN(rapid.OneOf(text(), rapid.StringN(300, 400, -1)), 100, 100).Example(1)
	for _, table := range names {
		name := MemberName(table, "csv", taken)
		if len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, `/\`) {
			t.Errorf("%q became %q", table, name)
		}
		if _, err := z.Create(name, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unzip, "-q", path, "-d", filepath.Join(dir, "out"))
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unzip: %v: %s", err, out)
	}
	files, err := os.ReadDir(filepath.Join(dir, "out"))
	if err != nil || len(files) != len(names) {
		t.Errorf("%d files (%v), want %d", len(files), err, len(names))
	}
}
