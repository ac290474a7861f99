package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/problem"
)

func TestPublish(t *testing.T) {
	folder := t.TempDir()
	begin := func() *os.File {
		f, err := os.Create(filepath.Join(folder, "x.part"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("content"); err != nil {
			t.Fatal(err)
		}
		return f
	}
	var steps []string
	if err := Publish(begin(), filepath.Join(folder, "x"), func(step string) { steps = append(steps, step) }); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(folder, "x")); string(content) != "content" || err != nil {
		t.Errorf("got %q, %v", content, err)
	}
	if !slices.Equal(steps, []string{"synced", "renamed"}) {
		t.Errorf("the steps are %v", steps)
	}
	// A file that cannot get its name is not left under the temporary one.
	f := begin()
	if err := Publish(f, filepath.Join(folder, "missing", "x"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a folder that is not there: %v", err)
	}
	f = begin()
	f.Close()
	if err := Publish(f, filepath.Join(folder, "y"), nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file that cannot be synced: %v", err)
	}
	if names, err := filepath.Glob(filepath.Join(folder, "*")); len(names) != 1 || err != nil {
		t.Errorf("left are %v, %v", names, err)
	}
}

func TestWriteFileReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, content := range []string{"a longer text", "short"} {
		if err := WriteFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); string(got) != content || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if err := WriteFile(filepath.Join(path, "below a file"), nil); err == nil {
		t.Error("a file was written below a file")
	}
}

func TestMakeFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	for range 2 {
		if err := MakeFolder(path); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := MakeFolder(filepath.Join(path, "a", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its parent: %v", err)
	}
}

func TestBudget(t *testing.T) {
	const total = 1000
	free := int64(150)
	b := Budget{Folder: "/data", Reserve: 100, Free: func(folder string) (int64, int64, error) {
		if folder != "/data" {
			t.Errorf("asked for %s", folder)
		}
		return free, total, nil
	}}
	for _, test := range []struct {
		free, bytes, room int64
		says              string // "" if there is enough space
	}{
		{150, 0, 50, ""},
		{150, 50, 50, ""},
		{150, 51, 50, "about 51 bytes are needed, but only 50 are free beyond the reserve"},
		{100, 0, 0, ""},
		{99, 0, 0, "99 bytes are free, and 100 are kept in reserve"},
		{99, 7, 0, "about 7 bytes are needed, but only 0 are free"},
	} {
		free = test.free
		err := b.Need(test.bytes)
		if test.says == "" != (err == nil) || err != nil && (!problem.Is(err, problem.CodeStorageFull) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%d bytes of %d: %v", test.bytes, test.free, err)
		}
		if room, err := b.Room(); room != test.room || err != nil {
			t.Errorf("the room of %d is %d, %v", test.free, room, err)
		}
	}
	free, b.Reserve = 50, 0 // 5 % of the disk
	if room, err := b.Room(); room != 0 || b.Need(0) != nil || b.Need(1) == nil || err != nil {
		t.Errorf("with the usual reserve: %d, %v", room, err)
	}
	broken := errors.New("broken")
	b.Free = func(string) (int64, int64, error) { return 0, 0, broken }
	if err := b.Need(0); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if room, err := (Budget{Folder: t.TempDir()}).Room(); room <= 0 || err != nil {
		t.Errorf("the system says %d, %v", room, err)
	}
}
