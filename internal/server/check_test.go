package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// examine checks a folder and returns the lines that are not ok.
func examine(t *testing.T, folder string) (report CheckReport, found string) {
	t.Helper()
	report, err := Check(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range report.Lines {
		// Which limits of workers are in force depends on the machine.
		if line.Verdict != CheckOK && !strings.HasPrefix(line.Subject, "workers, ") {
			found += string(line.Verdict) + " " + line.Subject + ": " + line.Message + "\n"
		}
	}
	if report.OK != (report.Faults() == 0) {
		t.Errorf("ok is %t with %d faults", report.OK, report.Faults())
	}
	return report, found
}

func TestCheck(t *testing.T) {
	t.Parallel()
	original, m := furnished(t)
	if err := os.Chmod(original, 0o700); err != nil {
		t.Fatal(err)
	}
	if report, found := examine(t, original); !report.OK || found != "" || report.ServerRunning {
		t.Fatalf("a sound folder: %+v\n%s", report, found)
	}
	artifact := filepath.Join("exports", "1", m.ID+".json")
	for name, test := range map[string]struct {
		spoil func(folder string) error
		want  string // "" for nothing
		fault bool
	}{
		"open to others":      {func(f string) error { return os.Chmod(f, 0o755) }, "fault data folder: Others", true},
		"an artifact changed": {func(f string) error { return overwrite(filepath.Join(f, artifact), 0) }, "does not match its manifest", true},
		"an artifact cut":     {func(f string) error { return os.Truncate(filepath.Join(f, artifact), 3) }, "has 3 bytes, not", true},
		"an artifact removed": {func(f string) error { return os.Remove(filepath.Join(f, artifact)) }, "cannot be read", true},
		"no note":             {func(f string) error { return os.Remove(filepath.Join(f, "exports", "1", m.ID+".manifest")) }, "note export " + m.ID, false},
		"a project damaged":   {func(f string) error { return overwrite(filepath.Join(f, "projects", "1.db"), 0) }, "fault projects/1.db", true},
		"a page of a project": {func(f string) error { return overwrite(filepath.Join(f, "projects", "1.db"), 3*4096) }, "fault projects/1.db", true},
		"a project removed":   {func(f string) error { return os.Remove(filepath.Join(f, "projects", "1.db")) }, "has no file", true},
		"a project too many": {func(f string) error {
			return copyOf(filepath.Join(f, "projects", "1.db"), filepath.Join(f, "projects", "9.db"))
		}, "note projects/9.db: It belongs to no project", false},
		"a database removed":  {func(f string) error { return os.Remove(filepath.Join(f, "exports.db")) }, "note exports.db", false},
		"a database mistaken": {func(f string) error { return copyOf(filepath.Join(f, "imports.db"), filepath.Join(f, "exports.db")) }, "fault exports.db: It belongs to another program", true},
		"server.db removed":   {func(f string) error { return os.Remove(filepath.Join(f, "server.db")) }, "fault server.db: It is missing", true},
	} {
		t.Run(name, func(t *testing.T) {
			folder := copyFolder(t, original)
			if err := os.Chmod(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := test.spoil(folder); err != nil {
				t.Fatal(err)
			}
			if report, found := examine(t, folder); !strings.Contains(found, test.want) || report.OK == test.fault {
				t.Errorf("ok is %t, found:\n%s", report.OK, found)
			}
		})
	}
	if _, err := Check(t.Context(), filepath.Join(original, "nothing")); err == nil {
		t.Error("a folder that is not there is checked")
	}
}

func overwrite(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte(strings.Repeat("\xff", 20)), at)
	return err
}

// TestCheckBesideAServer finds no faults while the folder is in use, and refuses to
// repair it.
func TestCheckBesideAServer(t *testing.T) {
	t.Parallel()
	folder, _ := furnished(t)
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	dial(t, folder)
	if report, found := examine(t, folder); !report.OK || !report.ServerRunning || found != "" {
		t.Errorf("%+v\n%s", report, found)
	}
	if _, err := Repair(t.Context(), folder, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "stop it") {
		t.Errorf("a folder in use is repaired: %v", err)
	}
}

// TestRepair creates a new server.db: the projects are there under their last known
// names, with their content.
func TestRepair(t *testing.T) {
	t.Parallel()
	original, m := furnished(t)
	eachDamage(t, original, "server.db", func(t *testing.T, _, folder string) {
		if err := copyOf(filepath.Join(folder, "projects", "1.db"), filepath.Join(folder, "projects", "7.db")); err != nil {
			t.Fatal(err)
		}
		done, err := Repair(t.Context(), folder, slog.New(slog.DiscardHandler))
		if err != nil || !strings.Contains(strings.Join(done, "\n"), "tokens are lost") {
			t.Fatalf("done: %q, %v", done, err)
		}
		if _, found := examine(t, folder); strings.Contains(found, "fault") {
			t.Errorf("afterwards:\n%s", found)
		}
		admin := dial(t, folder)
		projects, err := ListProjects.Call(t.Context(), admin, None{})
		if err != nil || len(projects) != 2 || projects[0].Slug != m.Project || projects[0].ID != 1 || projects[1].Slug != "recovered-7" {
			t.Fatalf("the projects are %+v, %v", projects, err)
		}
		details, err := ShowProject.Call(t.Context(), admin, Slug{m.Project})
		if err != nil || details.TableCount == 0 {
			t.Errorf("the project has %+v, %v", details, err)
		}
		created, err := CreateProject.Call(t.Context(), admin, NewProject{Slug: "new", Name: "New"})
		if err != nil || created.ID <= 7 {
			t.Errorf("a new project: %+v, %v", created, err)
		}
	})
	// An intact folder is left alone.
	before, err := os.ReadFile(filepath.Join(original, "server.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Repair(t.Context(), original, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(filepath.Join(original, "server.db")); err != nil || string(after) != string(before) {
		t.Errorf("a sound server.db was changed: %v", err)
	}
}
