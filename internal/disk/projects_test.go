package disk

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zangtable/zangtable/internal/ids"
)

// tree returns the files below a directory, as sorted slash-separated paths.
func tree(t *testing.T, root string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		found = append(found, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// fillProjects creates two projects with files, a scratch file and files that belong
// nowhere.
func fillProjects(t *testing.T) Projects {
	t.Helper()
	d, err := OpenProjects(filepath.Join(t.TempDir(), "exports"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Make(1), d.Make(22), d.Make(1), d.MakeScratch(), d.MakeScratch()); err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(d.Of(1), "deep")
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		filepath.Join(d.Of(1), "a.csv"), filepath.Join(d.Of(1), "b.csv.part"), filepath.Join(d.Of(22), "a.csv"),
		filepath.Join(d.Scratch(), "x"), filepath.Join(d.Path, "stray"), filepath.Join(deep, "a.csv"),
	} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestProjectsArePrivate(t *testing.T) {
	d := fillProjects(t)
	for _, path := range []string{d.Path, d.Of(1), d.Scratch()} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	again, err := OpenProjects(d.Path)
	if err != nil || tree(t, again.Path) != tree(t, d.Path) {
		t.Errorf("opened again: %v", err)
	}
	if err := again.Make(1); err != nil || !strings.Contains(tree(t, d.Path), "1/a.csv") {
		t.Errorf("a directory made twice: %v, %s", err, tree(t, d.Path))
	}
	if _, err := OpenProjects(filepath.Join(d.Path, "stray")); err == nil {
		t.Error("a file is opened as a directory")
	}
}

func TestEachFileOfAProject(t *testing.T) {
	d := fillProjects(t)
	var found []string
	err := d.Each(func(path string) error {
		name, err := filepath.Rel(d.Path, path)
		found = append(found, filepath.ToSlash(name))
		return err
	})
	if got := strings.Join(found, " "); err != nil || got != "1/a.csv 1/b.csv.part 1/deep 22/a.csv" {
		t.Errorf("got %s, %v", got, err)
	}
	stop, calls := errors.New("stop"), 0
	if err := d.Each(func(string) error { calls++; return stop }); err != stop || calls != 1 {
		t.Errorf("after an error: %v, %d calls", err, calls)
	}
	if err := (Projects{filepath.Join(d.Path, "nowhere")}).Each(nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is missing: %v", err)
	}
}

func TestLostFilesAreKept(t *testing.T) {
	d := fillProjects(t)
	if err := d.Lose(filepath.Join(d.Of(22), "a.csv")); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveOrphans(func(ids.Project, string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, d.Path); got != "lost/22/a.csv" {
		t.Errorf("left: %s", got)
	}
	if err := d.Lose(filepath.Join(d.Of(22), "a.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lost twice: %v", err)
	}
}

func TestOrphansAreRemoved(t *testing.T) {
	d := fillProjects(t)
	err := d.RemoveOrphans(func(project ids.Project, name string) bool { return project == 1 && name == "a.csv" })
	if got := tree(t, d.Path); err != nil || got != "1/a.csv" {
		t.Errorf("left: %s, %v", got, err)
	}
	if err := d.RemoveProject(1); err != nil || tree(t, d.Path) != "" {
		t.Errorf("left of a removed project: %s, %v", tree(t, d.Path), err)
	}
	if err := errors.Join(d.RemoveProject(1), d.Make(1)); err != nil {
		t.Errorf("removed twice and made anew: %v", err)
	}
}

func TestRemoveFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(RemoveFile(name), RemoveFile(name)); err != nil {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(name, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := RemoveFile(name); err == nil {
		t.Error("a directory with something in it is removed as a file")
	}
}

func TestSyncFolder(t *testing.T) {
	dir := t.TempDir()
	if err := SyncFolder(dir); err != nil {
		t.Error(err)
	}
	if err := SyncFolder(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is missing is synced: %v", err)
	}
	if err := WriteFile(filepath.Join(dir, "no", "where"), nil); err == nil {
		t.Error("a file is written into a directory that is missing")
	}
}

func TestSpace(t *testing.T) {
	free, total, err := Space(t.TempDir())
	if err != nil || free < 0 || total < free || total == 0 {
		t.Errorf("%d of %d bytes are free, %v", free, total, err)
	}
	if _, _, err := Space(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a directory that is missing has room")
	}
}
